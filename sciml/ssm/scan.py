"""The recurrence of a diagonal system with many inputs, over a whole sequence at once.

A sequence is cut into chunks. What happens inside a chunk is a loop over its columns, vectorised over chunks, samples
and states; from chunk to chunk a state is carried. Both loops are about the square root of the length.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

States = Complex[Tensor, "batch length state"]
State = Complex[Tensor, "batch state"]
Transition = Callable[[int], Tensor]


def chunk_length(length: int) -> int:
    """The power of two nearest to the square root of a length."""
    return 2 ** round(math.log2(length) / 2)


def scan_(x: States, transition: Transition, start: State, *, chunk: int, reverse: bool = False) -> None:
    """Run x[l] <- a[l] x[l-1] + x[l] in place, from x[-1] = start; x[l+1] takes the place of x[l-1] in ``reverse``.

    Two sweeps over the columns x[:, t::chunk]: the first finds what every chunk adds to the state it starts from and
    how much of that state is left at its end, the second runs every chunk from its true start.

    Args:
        x: What is added at every step, shape (batch, length, state); becomes the states.
        transition: a of a column t, shape broadcastable to (batch, chunks, state).
        start: The state before the first step, shape (batch, state).
        chunk: Length of a chunk. Good values: near the square root of the length.
        reverse: Whether to run from the last step to the first.
    """
    columns, chunks = range(chunk), range(-(-x.shape[1] // chunk))
    if reverse:
        columns, chunks = columns[::-1], chunks[::-1]
    added = x.new_zeros(x.shape[0], len(chunks), x.shape[2])
    if len(chunks) > 1:
        kept = torch.ones_like(added)
        for t in columns:
            column, a = x[:, t::chunk], transition(t)
            n = column.shape[1]  # the last chunk may be shorter than the others
            torch.addcmul(column, added[:, :n], a, out=added[:, :n])
            kept[:, :n].mul_(a)
        for j in chunks:
            end = torch.addcmul(added[:, j], kept[:, j], start)
            added[:, j] = start
            start = end
    else:
        added[:, 0] = start
    before = starts = added
    for t in columns:
        column = x[:, t::chunk]
        n = column.shape[1]
        if before.shape[1] < n:  # in reverse, a short last chunk joins late
            before = torch.cat([before, starts[:, before.shape[1] :]], dim=1)
        before = column.addcmul_(before[:, :n], transition(t))


def state_space_scan(
    u: Float[Tensor, "batch length feature"],
    transition: Complex[Tensor, " state"],
    B: Complex[Tensor, "state feature"],
    C: Complex[Tensor, "feature state"],
    D: Float[Tensor, " feature"],
    start: State,
    *,
    lengths: Int[Tensor, " batch"] | None = None,
    backward_states: int = 0,
) -> tuple[Float[Tensor, "batch length feature"], State]:
    """Run x[l] = a x[l-1] + B u[l], y[l] = Re(C x[l]) + D u[l] over a sequence.

    Products with B and C are real matrix products on interleaved real and imaginary parts. Of everything as large as
    the states, training holds two tensors: the states and their gradient. Differentiable once, in all tensors.

    Args:
        u: Input, shape (batch, length, feature).
        transition: a, |a| <= 1 for a stable system, shape (state,).
        B: Input matrix, shape (state, feature).
        C: Output matrix, shape (feature, state).
        D: Skip, shape (feature,).
        start: The state before the first step, shape (batch, state).
        lengths: Steps of every sample after which its last state is taken, 1 to length, shape (batch,).
        backward_states: How many of the states, the last ones, run from the last step to the first.

    Returns:
        Output, shape (batch, length, feature), and x after the last step, shape (batch, state).

    Reference:
        arXiv:2208.04933, section 3.
    """
    W_in, W_out = interleave_input(B), interleave_output(C)
    return _StateSpaceScan.apply(u, transition, W_in, W_out, D, start, lengths, backward_states)


def associative_scan(
    transition: Complex[Tensor, "#batch length state"], drive: States, start: State
) -> Complex[Tensor, "batch length state"]:
    """Run x[l] = a[l] x[l-1] + drive[l] by doubling, in plain operations.

    It needs log2(length) times the memory of ``state_space_scan``, but can be differentiated any number of times.

    Args:
        transition: a, shape (batch or 1, length, state).
        drive: What is added at every step, shape (batch, length, state).
        start: The state before the first step, shape (batch, state).

    Returns:
        The states, shape (batch, length, state).
    """
    x = torch.cat([torch.addcmul(drive[:, :1], transition[:, :1], start[:, None]), drive[:, 1:]], dim=1)
    distance = 1
    while distance < x.shape[1]:
        a, later = transition[:, distance:], x[:, distance:]
        x = torch.cat([x[:, :distance], torch.addcmul(later, a, x[:, :-distance])], dim=1)
        transition = torch.cat([transition[:, :distance], a * transition[:, :-distance]], dim=1)
        distance *= 2
    return x


class _StateSpaceScan(torch.autograd.Function):
    """``state_space_scan`` with interleaved matrices."""

    @staticmethod
    def forward(ctx, u, transition, W_in, W_out, D, start, lengths, backward_states):
        x = as_complex(u @ W_in)
        ctx.directions, ctx.chunk = directions(x.shape[2], backward_states), chunk_length(x.shape[1])
        for part, reverse in ctx.directions:
            a = transition[part]
            scan_(x[..., part], lambda t, a=a: a, start[:, part], chunk=ctx.chunk, reverse=reverse)
        ctx.save_for_backward(u, transition, W_in, W_out, D, start, lengths, x)
        return output(u, x, W_out, D), last_state(x, lengths)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y, grad_last):
        u, transition, W_in, W_out, D, start, lengths, x = ctx.saved_tensors
        with torch.autocast(u.device.type, enabled=False):
            h = conjugate_state_gradient(grad_y, grad_last, W_out, lengths)
            grad_transition, grad_start = torch.empty_like(transition), torch.empty_like(start)
            for part, reverse in ctx.directions:
                a, x_part, h_part = transition[part], x[..., part], h[..., part]
                nothing = torch.zeros_like(start[:, part])
                scan_(h_part, lambda t, a=a: a, nothing, chunk=ctx.chunk, reverse=not reverse)
                first = h_part[:, -1] if reverse else h_part[:, 0]
                grad_start[:, part] = (a * first).conj()
                product = (first * start[:, part]).sum(0)
                after, before = (h_part[:, :-1], x_part[:, 1:]) if reverse else (h_part[:, 1:], x_part[:, :-1])
                for left, right in zip(after.split(ctx.chunk, 1), before.split(ctx.chunk, 1), strict=True):
                    product += (left * right).sum((0, 1))  # a chunk at a time: no product as large as the states
                grad_transition[part] = product.conj()
            matrices = matrix_gradients(u, x, h, grad_y, W_in, D, want_u=ctx.needs_input_grad[0])
        grad_u, grad_in, grad_out, grad_skip = matrices
        return grad_u, grad_transition, grad_in, grad_out, grad_skip, grad_start, None, None


def directions(states: int, backward_states: int) -> list[tuple[slice, bool]]:
    """Which states run forward and which backward in time: (slice, reverse)."""
    forward_states = states - backward_states
    parts = [(slice(0, forward_states), False), (slice(forward_states, states), True)]
    return [(part, reverse) for part, reverse in parts if part.stop > part.start]


def interleave_input(B: Complex[Tensor, "state feature"]) -> Float[Tensor, "feature parts"]:
    """The real matrix W with u W = (Re B u, Im B u), interleaved."""
    return torch.view_as_real(B).permute(1, 0, 2).flatten(1)


def interleave_output(C: Complex[Tensor, "feature state"]) -> Float[Tensor, "parts feature"]:
    """The real matrix W with x W = Re(C x) for interleaved x."""
    return torch.stack([C.real, -C.imag], dim=-1).permute(1, 2, 0).flatten(0, 1)


def as_real(x: Tensor) -> Tensor:
    """Real and imaginary parts, interleaved along the last axis."""
    return torch.view_as_real(x).flatten(-2)


def as_complex(x: Tensor) -> Tensor:
    """The inverse of ``as_real``."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))


def output(u: Tensor, x: States, W_out: Tensor, D: Tensor) -> Tensor:
    """Re(C x) + D u."""
    y = u * D
    y.view(-1, y.shape[-1]).addmm_(as_real(x).flatten(0, 1), W_out)
    return y


def last_state(x: States, lengths: Tensor | None) -> State:
    """The state of every sample after its last step."""
    return x[:, -1].clone() if lengths is None else x[torch.arange(len(x), device=x.device), lengths - 1]


def conjugate_state_gradient(grad_y: Tensor, grad_last: Tensor, W_out: Tensor, lengths: Tensor | None) -> States:
    """What outputs and last states say of the states, as its complex conjugate: no product has to conjugate then."""
    h = as_complex(grad_y @ (W_out * _signs(W_out)[:, None]).T)
    samples = torch.arange(len(h), device=h.device)
    h[samples, -1 if lengths is None else lengths - 1] += grad_last.conj()
    return h


def matrix_gradients(
    u: Tensor, x: States, h: States, grad_y: Tensor, W_in: Tensor, D: Tensor, *, want_u: bool
) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
    """Gradients of u, W_in, W_out and D; h is the conjugate of the gradient of what enters the states."""
    parts, signs, rows = as_real(h).flatten(0, 1), _signs(W_in.T), grad_y.flatten(0, 1)
    grad_u = None
    if want_u:
        grad_u = grad_y * D
        grad_u.view(-1, D.shape[0]).addmm_(parts, (W_in * signs).T)
    grad_in = u.flatten(0, 1).T @ parts * signs
    grad_out = as_real(x).flatten(0, 1).T @ rows
    grad_skip = torch.stack([(g * v).sum(0) for g, v in zip(grad_y, u, strict=True)]).sum(0)
    return grad_u, grad_in, grad_out, grad_skip


def _signs(interleaved: Tensor) -> Tensor:
    """1, -1, 1, -1, ...: conjugates what is interleaved along the first axis."""
    return interleaved.new_tensor([1.0, -1.0]).repeat(len(interleaved) // 2)
