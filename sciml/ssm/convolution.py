"""Long convolutions along a sequence by the fast Fourier transform, in blocks that stay in a processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import count
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

# What one block of work holds: features, and sequences times samples.
BLOCK_FEATURES, BLOCK_SAMPLES = 16, 8192


def fft_convolution(
    u: Float[Tensor, "batch length feature"],
    kernel: Float[Tensor, "feature length"],
    backward_kernel: Float[Tensor, "feature length"] | None = None,
) -> Float[Tensor, "batch length feature"]:
    """Convolve every feature with its own causal kernel, and with one that looks ahead.

    y[l] = sum_{s <= l} kernel[l - s] u[s] + sum_{s > l} backward_kernel[s - l - 1] u[s]; one transform serves both.

    Args:
        u: Inputs, shape (batch, length, feature).
        kernel: Shape (feature, length), as long as the inputs.
        backward_kernel: Same shape; its first number weighs the next sample. None: causal.

    Returns:
        Outputs in the shape of the inputs.
    """
    length = u.shape[1]
    size = fast_length(2 * length - 1)
    ahead = kernel.new_zeros(len(kernel), length - 1)
    if backward_kernel is not None:
        ahead = backward_kernel[:, : length - 1].flip(1)
    gap = kernel.new_zeros(len(kernel), size - 2 * length + 1)
    return _Circular.apply(u, torch.cat([kernel, gap, ahead], dim=1))  # pyright: ignore[reportReturnType]


@cache
def fast_length(length: int) -> int:
    """Smallest even number, not below ``length``, without prime factors above 5: fast on CPUs and for cuFFT."""
    for size in count(length + length % 2, 2):
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
    raise AssertionError("unreachable")


class _Circular(torch.autograd.Function):
    """Convolution with a periodic kernel, shape (feature, period); the input's spectrum is computed again, not kept."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, kernel: Tensor) -> Tensor:
        length, size = u.shape[1], kernel.shape[1]
        response = torch.fft.rfft(kernel)
        y, padded = torch.empty_like(u), _padded(u, size)
        for b, f in _blocks(u):
            spectrum = _spectrum(u[b, :, f], padded).mul_(response[f])
            y[b, :, f] = torch.fft.irfft(spectrum, n=size)[..., :length].mT
        ctx.save_for_backward(u, response)
        ctx.size = size
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        u, response = ctx.saved_tensors
        length, size = u.shape[1], ctx.size
        adjoint, grad_response = response.conj().resolve_conj(), torch.zeros_like(response)
        grad_u, padded = torch.empty_like(u), _padded(u, size)
        for b, f in _blocks(u):
            spectrum = _spectrum(grad[b, :, f], padded)
            for one, inputs in zip(spectrum, _spectrum(u[b, :, f], padded), strict=True):
                grad_response[f].addcmul_(one, inputs.conj_physical_())
            grad_u[b, :, f] = torch.fft.irfft(spectrum.mul_(adjoint[f]), n=size)[..., :length].mT
        return grad_u, torch.fft.irfft(grad_response, n=size)


def _padded(u: Tensor, size: int) -> Tensor:
    """Room for the largest block, zero behind its inputs."""
    b, f = next(_blocks(u))
    return u.new_zeros(min(b.stop, len(u)), min(f.stop, u.shape[2]), size)


def _spectrum(u: Tensor, padded: Tensor) -> Tensor:
    """Spectrum of a block's inputs, shape (batch, length, feature) -> (batch, feature, frequency)."""
    rows = padded[: len(u), : u.shape[2]]
    rows[..., : u.shape[1]] = u.mT
    return torch.fft.rfft(rows)


def _blocks(u: Tensor) -> Iterator[tuple[slice, slice]]:
    """Sequences and features to work on at a time: all of them, except on a processor."""
    batch, length, features = u.shape
    b, f = (max(1, BLOCK_SAMPLES // length), BLOCK_FEATURES) if u.device.type == "cpu" else (batch, features)
    for j in range(0, features, f):
        for i in range(0, batch, b):
            yield slice(i, i + b), slice(j, j + f)
