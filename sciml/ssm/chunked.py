"""Diagonal systems run over a sequence chunk by chunk: matrix products inside a chunk, a state between them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sciml.ssm.kernels import align_right, powers

CHUNK = 64
# What one block of work holds, so that its buffers stay in a processor's cache: features, and sequences times samples.
BLOCK_FEATURES, BLOCK_SAMPLES = 16, 32768
# Chunks that are walked through one by one; a longer run is scanned in two levels.
LONGEST_LOOP = 64


def run_chunked(
    u: Float[Tensor, "batch length feature"],
    exponent: Complex[Tensor, "feature pair"],
    input: Complex[Tensor, "feature pair"],
    output: Complex[Tensor, "feature pair"],
    skip: Float[Tensor, " feature"],
    *,
    initial: Complex[Tensor, "batch feature pair"] | None = None,
    lengths: Int[Tensor, " batch"] | None = None,
    chunk: int = CHUNK,
) -> tuple[Float[Tensor, "batch length feature"], Complex[Tensor, "batch feature pair"]]:
    """Outputs and last state of one discrete diagonal system a feature.

    x[l] = exp(exponent) x[l-1] + input u[l],  y[l] = Re(output x[l]) + skip u[l].

    A chunk's outputs are a triangular Toeplitz matrix times its inputs plus a matrix times the state before it; what it
    adds to the state behind it is a third matrix product. That is 2 chunk + 8 pair operations a sample.

    Args:
        u: Inputs, shape (batch, length, feature).
        exponent: Logarithm of the transition, shape (feature, pair).
        input: Input vector, shape (feature, pair).
        output: Output vector, shape (feature, pair); twice the layer's if one of each conjugate pair is kept.
        skip: Weight of the input in the output, shape (feature,).
        initial: State before the first sample; zero by default.
        lengths: Number of valid samples of each sequence; all by default. Outputs behind them are not valid.
        chunk: Samples a chunk. Good values: the number of real states.

    Returns:
        Outputs, and the state after each sequence's last valid sample.
    """
    chunk = min(chunk, u.shape[1])
    real, imag = powers(exponent, torch.arange(chunk + 1, device=u.device, dtype=u.dtype))
    # Inputs of a chunk -> state behind it; state before a chunk -> its outputs; inputs -> outputs.
    absorb = torch.stack(_product(input, real[..., :-1].flip(-1), imag[..., :-1].flip(-1)), dim=-1)
    emit = torch.stack(_product(output.conj(), real[..., 1:], -imag[..., 1:]), dim=-1)
    impulse = _product(input * output, real[..., :-1], imag[..., :-1])[0].sum(1)
    impulse = torch.cat([impulse[:, :1] + skip[:, None], impulse[:, 1:]], dim=1)
    inside = nn.functional.pad(impulse, (chunk - 1, 0)).unfold(1, chunk, 1).flip(1)
    if initial is None:
        initial = exponent.new_zeros(len(u), *exponent.shape)
    if lengths is None:
        lengths = torch.full((len(u),), u.shape[1], device=u.device)
    absorb, emit = absorb.transpose(1, 2).flatten(2), emit.transpose(2, 3).flatten(1, 2)
    decay, whole = chunk * exponent, lengths // chunk
    y, before = _Chunks.apply(u, inside, absorb, emit, decay, initial, whole)  # pyright: ignore[reportGeneralTypeIssues]
    return y, _state_after(lengths - chunk * whole, before, u, lengths, absorb, exponent)


def _product(c: Tensor, real: Tensor, imag: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of c times powers, shape (feature, pair, time)."""
    a, b = c.real[..., None], c.imag[..., None]
    return a * real - b * imag, a * imag + b * real


def _state_after(rest: Tensor, before: Tensor, u: Tensor, lengths: Tensor, absorb: Tensor, exponent: Tensor) -> Tensor:
    """The last states: from those before the chunks that the sequences end in, and what came since."""
    chunk = absorb.shape[1]
    window = align_right(u, lengths, chunk)
    window = torch.where((torch.arange(chunk, 0, -1, device=u.device) <= rest[:, None])[..., None], window, 0)
    since = torch.einsum("bth,htp->bhp", window, absorb)
    return before * torch.exp(rest[:, None, None] * exponent) + _complex(since)


class _Chunks(torch.autograd.Function):
    """Outputs of all chunks, and the state behind so many ``whole`` chunks of each sequence.

    Work goes in blocks of features and sequences. Rows are a chunk of one sequence each, those of the same chunk next
    to each other: the states before and behind the chunks are then two views of one buffer.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, inside: Tensor, absorb: Tensor, emit: Tensor, decay: Tensor, initial: Tensor, whole: Tensor
    ) -> tuple[Tensor, Tensor]:
        chunk, size = absorb.shape[1:]
        y, before, saved = torch.empty_like(u), torch.empty_like(initial), []
        for b, f in _blocks(u.shape, u.device):
            rows = _gather(u[b, :, f], chunk)
            n = len(u[b])
            x = rows.new_empty(len(rows), rows.shape[1] + n, size)
            x[:, :n] = torch.view_as_real(initial[b, f]).flatten(2).transpose(0, 1)
            x[:, n:].baddbmm_(rows, absorb[f], beta=0)
            states = _complex(x).unflatten(1, (-1, n))
            _scan(states, decay[f, None], reverse=False)
            before[b, f] = states[:, whole[b], torch.arange(n, device=u.device)].transpose(0, 1)
            _scatter(torch.bmm(rows, inside[f]).baddbmm_(x[:, :-n], emit[f]), y[b, :, f])
            saved += [rows, x]
        ctx.save_for_backward(inside, absorb, emit, decay, whole, *saved)
        ctx.set_materialize_grads(False)
        ctx.shape = u.shape
        return y, before

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor | None, grad_before: Tensor | None) -> tuple[Tensor | None, ...]:
        inside, absorb, emit, decay, whole, *saved = ctx.saved_tensors
        grad = absorb.new_zeros(ctx.shape) if grad_y is None else grad_y
        grad_u = absorb.new_empty(ctx.shape)
        grad_initial = decay.new_empty(len(whole), *decay.shape)
        grad_inside, grad_absorb, grad_emit, grad_decay = map(torch.zeros_like, (inside, absorb, emit, decay))
        for (b, f), rows, x in zip(_blocks(ctx.shape, whole.device), saved[::2], saved[1::2], strict=True):
            grad_rows = _gather(grad[b, :, f], rows.shape[2])
            n = len(whole[b])
            g = torch.empty_like(x)
            g[:, -n:] = 0
            g[:, :-n].baddbmm_(grad_rows, emit[f].mT, beta=0)
            grad_states = _complex(g).unflatten(1, (-1, n))
            if grad_before is not None:
                grad_states[:, whole[b], torch.arange(n, device=g.device)] += grad_before[b, f].transpose(0, 1)
            _scan(grad_states, decay[f, None].conj(), reverse=True)
            grad_initial[b, f] = grad_states[:, 0].transpose(0, 1)
            grad_inside[f].baddbmm_(rows.mT, grad_rows)
            grad_absorb[f].baddbmm_(rows.mT, g[:, n:])
            grad_emit[f].baddbmm_(x[:, :-n].mT, grad_rows)
            grad_decay[f] += _complex(x[:, :-n]).conj_physical().mul_(_complex(g[:, n:])).sum(1)
            _scatter(torch.bmm(grad_rows, inside[f].mT).baddbmm_(g[:, n:], absorb[f].mT), grad_u[b, :, f])
        grad_decay *= torch.exp(decay).conj()
        return grad_u, grad_inside, grad_absorb, grad_emit, grad_decay, grad_initial, None


def _complex(pairs: Tensor) -> Tensor:
    """A view of real pairs, next to each other in the last axis, as complex numbers."""
    return torch.view_as_complex(pairs.unflatten(-1, (-1, 2)))


def _blocks(shape: torch.Size, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Sequences and features to work on at a time: all of them, except on a processor."""
    batch, length, features = shape
    b, f = (max(1, BLOCK_SAMPLES // length), BLOCK_FEATURES) if device.type == "cpu" else (batch, features)
    for j in range(0, features, f):
        for i in range(0, batch, b):
            yield slice(i, i + b), slice(j, j + f)


def _gather(u: Tensor, chunk: int) -> Tensor:
    """Shape (batch, length, feature) -> (feature, chunks x batch, chunk), the last chunk filled up with zeros."""
    batch, length, features = u.shape
    whole = length // chunk
    rows = u.new_empty(features, -(-length // chunk), batch, chunk)
    for i, one in enumerate(u):  # a plain transposition at a time, for which torch has a fast path
        rows[:, :whole, i] = one[: whole * chunk].contiguous().mT.unflatten(1, (whole, chunk))
    if length % chunk:
        rows[:, -1, :, length % chunk :] = 0
        rows[:, -1, :, : length % chunk] = u[:, whole * chunk :].permute(2, 0, 1)
    return rows.flatten(1, 2)


def _scatter(rows: Tensor, y: Tensor) -> None:
    """Write what ``_gather`` would have read into y, shape (batch, length, feature)."""
    batch, length, _ = y.shape
    chunk = rows.shape[2]
    whole = length // chunk
    rows = rows.unflatten(1, (-1, batch))
    y[:, : whole * chunk].unflatten(1, (whole, chunk)).copy_(rows[:, :whole].permute(2, 1, 3, 0))
    if length % chunk:
        y[:, whole * chunk :] = rows[:, -1, :, : length % chunk].permute(1, 2, 0)


def _scan(x: Tensor, exponent: Tensor, *, reverse: bool) -> None:
    """x[:, j] += exp(exponent) x[:, j-1] in place, from the second on; backwards from the last but one if ``reverse``.

    A long run is split into groups: first inside all groups at once, then from group to group, then from the end of
    each group into the next.
    """
    steps, decay = x.unbind(1)[:: -1 if reverse else 1], torch.exp(exponent)
    if len(steps) <= LONGEST_LOOP + 1:
        _walk(steps, decay)
        return
    size = 1 << len(steps).bit_length() // 2
    grouped = len(steps) // size * size
    inside = (x[:, -grouped:] if reverse else x[:, :grouped]).unflatten(1, (-1, size)).unbind(2)
    later, earlier = slice(1, None), slice(None, -1)
    if reverse:
        inside, later, earlier = inside[::-1], earlier, later
    _walk(inside, decay[:, None])
    _walk(steps[size - 1 : grouped : size], torch.exp(size * exponent))
    for i, here in enumerate(inside[:-1], start=1):
        here[:, later].addcmul_(inside[-1][:, earlier], torch.exp(i * exponent)[:, None])
    _walk(steps[grouped - 1 :], decay)


def _walk(steps: Sequence[Tensor], decay: Tensor) -> None:
    """Add to each step the decayed one before it."""
    for before, here in itertools.pairwise(steps):
        here.addcmul_(before, decay)
