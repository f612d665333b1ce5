"""The recurrence of a diagonal system whose time step differs from step to step and from sample to sample.

Transitions are computed column by column, again in the backward pass: none of them is ever held for a whole sequence.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from sciml.ssm.discretize import Discretization
from sciml.ssm.scan import (
    State,
    as_complex,
    chunk_length,
    conjugate_state_gradient,
    directions,
    interleave_input,
    interleave_output,
    last_state,
    matrix_gradients,
    output,
    scan_,
)


def increment(
    z: Complex[Tensor, " state"], scale: Float[Tensor, "*batch"], method: Discretization
) -> Complex[Tensor, "*batch state"]:
    """How far a transition is from one, a - 1, with full accuracy for small steps.

    ``zoh``: exp(s z) - 1.  ``bilinear``: s z / (1 - s z / 2).  The gain of either is (a - 1) / lam.

    Args:
        z: Time step times eigenvalue, shape (state,).
        scale: What multiplies the time step, shape (...).
        method: ``zoh`` or ``bilinear``.
    """
    x, y = scale[..., None] * z.real, scale[..., None] * z.imag
    if method == "bilinear":
        scaled = torch.complex(x, y)
        return scaled / (1 - scaled / 2)
    # In real arithmetic, several times as fast as a complex exponential.
    growth, sine = torch.expm1(x), torch.sin(y / 2)
    versine = 2 * sine * sine  # 1 - cos y
    return torch.complex(growth * (1 - versine) - versine, (1 + growth) * torch.sin(y))


def irregular_scan(
    u: Float[Tensor, "batch length feature"],
    z: Complex[Tensor, " state"],
    B: Complex[Tensor, "state feature"],
    C: Complex[Tensor, "feature state"],
    D: Float[Tensor, " feature"],
    start: State,
    scale: Float[Tensor, "batch length"],
    *,
    method: Discretization = "zoh",
    lengths: Int[Tensor, " batch"] | None = None,
    backward_states: int = 0,
) -> tuple[Float[Tensor, "batch length feature"], State]:
    """Run x[l] = a[l] x[l-1] + (a[l] - 1) B u[l], y[l] = Re(C x[l]) + D u[l], a[l] the transition of the step s[l] z.

    With B divided by the eigenvalues, this is the exact response to inputs that are held for the time s[l] (``zoh``).

    Args:
        u: Input, shape (batch, length, feature).
        z: Time step times eigenvalue, shape (state,).
        B: Input matrix, its rows divided by the eigenvalues, shape (state, feature).
        C: Output matrix, shape (feature, state).
        D: Skip, shape (feature,).
        start: The state before the first step, shape (batch, state).
        scale: s, what multiplies the time step at every step, nonnegative, shape (batch, length).
        method: ``zoh`` or ``bilinear``.
        lengths: Steps of every sample after which its last state is taken, 1 to length, shape (batch,).
        backward_states: How many of the states, the last ones, run from the last step to the first.

    Returns:
        Output, shape (batch, length, feature), and x after the last step, shape (batch, state).

    Reference:
        arXiv:2208.04933, section 6.3 (irregularly sampled sequences).
    """
    W_in, W_out = interleave_input(B), interleave_output(C)
    return _IrregularScan.apply(u, z, W_in, W_out, D, start, scale, method, lengths, backward_states)


class _IrregularScan(torch.autograd.Function):
    """``irregular_scan`` with interleaved matrices."""

    @staticmethod
    def forward(ctx, u, z, W_in, W_out, D, start, scale, method, lengths, backward_states):
        x = as_complex(u @ W_in)
        ctx.method, ctx.chunk = method, chunk_length(x.shape[1])
        ctx.directions = directions(x.shape[2], backward_states)
        for t in range(ctx.chunk):
            x[:, t :: ctx.chunk] *= increment(z, scale[:, t :: ctx.chunk], method)
        for part, reverse in ctx.directions:
            _scan(ctx, x[..., part], z[part], scale, start[:, part], reverse=reverse)
        ctx.save_for_backward(u, z, W_in, W_out, D, start, scale, lengths, x)
        return output(u, x, W_out, D), last_state(x, lengths)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y, grad_last):
        u, z, W_in, W_out, D, start, scale, lengths, x = ctx.saved_tensors
        with torch.autocast(u.device.type, enabled=False):
            h = conjugate_state_gradient(grad_y, grad_last, W_out, lengths)
            grad_start, grad_scale = torch.empty_like(start), torch.zeros_like(scale)
            grad_z = torch.zeros_like(z)
            end = torch.zeros_like(scale[:, :1])
            for part, reverse in ctx.directions:
                # What a step adds to its gradient comes through the transition of the step that follows it.
                following = torch.cat([end, scale[:, :-1]] if reverse else [scale[:, 1:], end], dim=1)
                _scan(ctx, h[..., part], z[part], following, torch.zeros_like(start[:, part]), reverse=not reverse)
                first = -1 if reverse else 0
                transition = 1 + increment(z[part], scale[:, first], ctx.method)
                grad_start[:, part] = (transition * h[:, first, part]).conj()
                grad_z[part] = _through_increments(
                    ctx, u, x[..., part], h[..., part], z[part], W_in[:, 2 * part.start : 2 * part.stop],
                    start[:, part], scale, grad_scale, reverse=reverse,
                )  # fmt: skip
            matrices = matrix_gradients(u, x, h, grad_y, W_in, D, want_u=ctx.needs_input_grad[0])
        grad_u, grad_in, grad_out, grad_skip = matrices
        return grad_u, grad_z, grad_in, grad_out, grad_skip, grad_start, grad_scale, None, None, None


def _scan(ctx, x, z, scale, start, *, reverse):
    """``scan_`` with the transitions of a sequence of steps."""
    chunk = ctx.chunk
    scan_(x, lambda t: 1 + increment(z, scale[:, t::chunk], ctx.method), start, chunk=chunk, reverse=reverse)


def _through_increments(ctx, u, x, h, z, W_in, start, scale, grad_scale, *, reverse):
    """Turn h from states to what enters them, in place; add to the gradient of the scale; return that of z.

    x[l] = x[l-1] + m[l] (x[l-1] + w[l]), with w = B u and m the increment, whose derivative is m + 1 (``zoh``) or
    (m / 2 + 1)^2 (``bilinear``).
    """
    chunk, conjugate_grad_z = ctx.chunk, torch.zeros_like(z)
    for t in range(chunk):
        h_t, s = h[:, t::chunk], scale[:, t::chunk]
        m = increment(z, s, ctx.method)
        base = _neighbours(x, start, t, chunk, reverse=reverse) + as_complex(u[:, t::chunk] @ W_in)
        slope = m + 1 if ctx.method == "zoh" else (m / 2 + 1).square()
        through = h_t * base * slope
        grad_scale[:, t::chunk] += (z * through).real.sum(-1)
        conjugate_grad_z += (s[..., None] * through).sum((0, 1))
        h_t *= m
    return conjugate_grad_z.conj()


def _neighbours(x, start, t, chunk, *, reverse):
    """The states that column t of the recurrence starts from."""
    columns = len(range(t, x.shape[1], chunk))
    if reverse:
        found = x[:, t + 1 :: chunk][:, :columns]
        return found if found.shape[1] == columns else torch.cat([found, start[:, None]], dim=1)
    return (
        x[:, t - 1 :: chunk][:, :columns]
        if t
        else torch.cat([start[:, None], x[:, chunk - 1 :: chunk]], 1)[:, :columns]
    )
