"""From continuous to discrete time: zero-order hold and the bilinear (Tustin) rule, both as an exponent and a gain."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from sciml.errors import ConfigError

Discretization = Literal["zoh", "bilinear"]


def discretize(
    eigenvalues: Complex[Tensor, "*state"], step: Float[Tensor, "*#state"], method: Discretization = "zoh"
) -> tuple[Complex[Tensor, "*state"], Complex[Tensor, "*state"]]:
    """Discretise x' = lam x + b u, one eigenvalue at a time.

    x[l] = exp(exponent) x[l-1] + gain b u[l], so that the l-th power of the transition is exp(l exponent). With
    z = step lam:

    - ``zoh`` (the input is constant over a step): exponent = z, gain = step (exp(z) - 1) / z;
    - ``bilinear`` (the trapezoidal rule): exponent = 2 artanh(z/2), gain = step / (1 - z/2).

    Values and gradients keep their relative accuracy as z -> 0 and are finite for every z with Re z <= 0.

    Args:
        eigenvalues: Eigenvalues lam of the continuous system, in units of one over time.
        step: Time between two samples, positive; broadcasts with the eigenvalues.
        method: ``zoh`` or ``bilinear``.

    Returns:
        Exponent, whose imaginary part counts modulo 2 pi, and gain, in the broadcast shape.

    Raises:
        ConfigError: the method is none of these.

    Reference:
        arXiv:2206.11893, section 3.1 (S4D); arXiv:2208.04933, section 3.2 (S5).
    """
    scaled = eigenvalues * step
    if method == "zoh":
        return scaled, step * _relative_exponential(scaled)
    if method == "bilinear":
        return _twice_artanh(scaled / 2), step / (1 - scaled / 2)
    raise ConfigError(f"discretization is {method!r}; expected one of {', '.join(get_args(Discretization))}.")


def _relative_exponential(z: Tensor) -> Tensor:
    """(exp(z) - 1) / z, by its Taylor series where the difference would cancel."""
    small = z.abs() < 0.1
    series = torch.ones_like(z)
    for k in range(11, 1, -1):  # the first term left out, 0.1^11 / 12!, is below the rounding of float64
        series = 1 + torch.where(small, z, 0) * series / k
    away = torch.where(small, 1, z)
    return torch.where(small, series, torch.expm1(away) / away)


def _twice_artanh(w: Tensor) -> Tensor:
    """log((1 + w) / (1 - w)) in real arithmetic, which keeps a small real part that a complex logarithm rounds away."""
    real, imag = w.real, w.imag
    nearly_zero = math.sqrt(torch.finfo(real.dtype).tiny)
    # The transition vanishes at w = -1. It is moved off zero by less than float32 can see, so that it has a logarithm.
    above = 1 + real
    above = torch.where(above.abs() + imag.abs() < nearly_zero, above + 2 * nearly_zero, above)
    below = (1 - real) ** 2 + imag**2
    slow = -8 * real < below
    near = torch.log1p(torch.where(slow, 4 * real / below, 0))
    far = torch.log(torch.where(slow, 1, (above**2 + imag**2) / below))
    angle = torch.atan2(2 * imag, above * (1 - real) - imag**2)
    return torch.complex(torch.where(slow, near, far) / 2, angle)
