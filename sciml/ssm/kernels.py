"""Convolution kernels and states of diagonal systems with one input and one output (S4D)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor


def powers(
    exponent: Complex[Tensor, "*state"], times: Float[Tensor, " time"]
) -> tuple[Float[Tensor, "*state time"], Float[Tensor, "*state time"]]:
    """Real and imaginary part of exp(exponent t), in real arithmetic: ten times faster than a complex exponential."""
    size, angle = torch.exp(exponent.real[..., None] * times), exponent.imag[..., None] * times
    return size * torch.cos(angle), size * torch.sin(angle)


def diagonal_kernel(
    coefficients: Complex[Tensor, "*batch pair"], exponent: Complex[Tensor, "*#batch pair"], length: int
) -> Float[Tensor, "*batch length"]:
    """K[l] = Re sum_n c_n exp(l e_n), for l = 0 ... length - 1.

    With l = a k + b the powers are products exp(a k e_n) exp(b e_n): of about two square roots of the length
    exponentials, one real matrix product makes the kernel.

    Args:
        coefficients: c, output times input vector; twice that if one of each conjugate pair is kept.
        exponent: e, logarithm of the transition.
        length: Samples of the kernel.

    Returns:
        The kernel, shape (..., length).

    Reference:
        arXiv:2206.11893, section 3.2, where the sum is taken term by term.
    """
    fine = square_root(length)
    near, far = (torch.arange(n, device=exponent.device, dtype=exponent.real.dtype) for n in (fine, -(-length // fine)))
    c_real, c_imag = coefficients.real[..., None], coefficients.imag[..., None]
    far_real, far_imag = powers(_multiple(exponent, fine), far)
    rows = torch.cat([c_real * far_real - c_imag * far_imag, -c_imag * far_real - c_real * far_imag], dim=-2)
    return (rows.mT @ torch.cat(powers(exponent, near), dim=-2)).flatten(-2)[..., :length]


def diagonal_last_state(
    u: Float[Tensor, "batch length feature"],
    exponent: Complex[Tensor, "feature pair"],
    input: Complex[Tensor, "feature pair"],
    initial: Complex[Tensor, "batch feature pair"],
    lengths: Int[Tensor, " batch"],
) -> Complex[Tensor, "batch feature pair"]:
    """The state after each sequence's last valid sample.

    exp(length e) initial + sum_l exp((length - 1 - l) e) input u[l], summed inside chunks, then over them.
    """
    chunk = square_root(u.shape[1])
    chunks = -(-u.shape[1] // chunk)
    near, far = (torch.arange(n - 1, -1, -1, device=u.device, dtype=u.dtype) for n in (chunk, chunks))
    samples = align_right(u, lengths, chunks * chunk).unflatten(1, (chunks, chunk))
    real, imag = (torch.einsum("bkth,hnt->bkhn", samples, part) for part in powers(exponent, near))
    weights = torch.complex(*powers(_multiple(exponent, chunk), far))
    driven = torch.einsum("bkhn,hnk->bhn", torch.complex(real, imag), weights)
    return torch.exp(lengths[:, None, None] * exponent) * initial + input * driven


def _multiple(exponent: Tensor, factor: int) -> Tensor:
    """A multiple by a power of two, its angle brought back into (-pi, pi], so that powers of it stay accurate."""
    product = factor * exponent
    turns = torch.round(product.imag / (2 * math.pi))
    # 2 pi = 6.28125 + a small rest: the first product and difference are free of rounding.
    angle = (product.imag - 6.28125 * turns) - (2 * math.pi - 6.28125) * turns
    return torch.complex(product.real, angle)


def align_right(
    u: Float[Tensor, "batch length feature"], lengths: Int[Tensor, " batch"], size: int
) -> Float[Tensor, "batch size feature"]:
    """Shift every sequence so that its last valid sample is the last of all; zeros come before."""
    positions = torch.arange(-size, 0, device=u.device) + lengths[:, None]
    shifted = u[torch.arange(len(u), device=u.device)[:, None], positions.clamp(min=0)]
    return torch.where((positions >= 0)[..., None], shifted, 0)


def square_root(length: int) -> int:
    """A power of two near the square root, at least that."""
    return 1 << ((length - 1).bit_length() + 1) // 2
