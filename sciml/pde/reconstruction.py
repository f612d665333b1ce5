"""From cell averages to values at the faces of the cells: limited slopes."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

Reconstruction = Literal["mc", "minmod", "weno", "central"]

TINY = 1e-6
"""Squared difference below which the WENO weights take a field for smooth."""


def rises(
    backward: Float[Tensor, "..."], forward: Float[Tensor, "..."], *, reconstruction: Reconstruction
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """How far a field drops from a cell's centre to its left face, and rises to its right face.

        minmod:  minmod(a, b) / 2
        mc:      minmod(2 a, (a + b) / 2, 2 b) / 2, the monotonized central slope, twice as steep at most
        weno:    w_a a / 2 + w_b b / 2, w ~ d / (TINY + difference^2)^2, d = (1/3, 2/3) towards the right face and
                 (2/3, 1/3) towards the left one: third order where the field is smooth, not strictly monotone
        central: (a + b) / 4, of second order everywhere; it oscillates at shocks

    Args:
        backward: a, difference to the cell before, any unit.
        forward: b, difference to the cell after, shape as ``backward``.
        reconstruction: Good values: ``mc``; ``minmod`` is more robust and more diffusive.

    Returns:
        The drop to the left face and the rise to the right face, shape as ``backward``.

    Reference:
        van Leer, J. Comput. Phys. 32 (1979), 101-136 (mc); Jiang and Shu, J. Comput. Phys. 126 (1996), 202-228 (weno).
    """
    match reconstruction:
        case "mc":
            rise = _between_zero_and(_between_zero_and(forward, backward), (backward + forward).mul_(0.25))
            return rise, rise
        case "minmod":
            rise = _between_zero_and(forward, backward).mul_(0.5)
            return rise, rise
        case "weno":
            smooth_a = (backward * backward + TINY) ** -2
            smooth_b = (forward * forward + TINY) ** -2
            a, b = smooth_a * backward, smooth_b * forward
            left = (2 * a + b) / (2 * smooth_a + smooth_b)
            right = (a + 2 * b) / (smooth_a + 2 * smooth_b)
            return left.mul_(0.5), right.mul_(0.5)
        case "central":
            rise = (backward + forward).mul_(0.25)
            return rise, rise


def _between_zero_and(bound: Tensor, value: Tensor) -> Tensor:
    """The value, moved into the interval from 0 to the bound: minmod of the two."""
    return value.clamp(bound.clamp(max=0), bound.clamp(min=0))
