"""Conserved and primitive variables of an ideal gas."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def conserved(fields: Float[Tensor, "... channel x y"], *, gamma: float) -> Float[Tensor, "... channel x y"]:
    """Density, momenta rho u and rho v, energy E = p / (gamma - 1) + rho |u|^2 / 2 and tracer densities rho c.

    Args:
        fields: Density, velocity u and v, pressure and any number of tracers, nondimensional, shape (..., channel,
            x, y).
        gamma: Ratio of specific heats.
    """
    rho, u, v, p, *tracers = fields.unbind(-3)
    energy = p / (gamma - 1) + 0.5 * rho * (u * u + v * v)
    return torch.stack([rho, rho * u, rho * v, energy, *(rho * tracer for tracer in tracers)], dim=-3)


def primitive(state: Float[Tensor, "... channel x y"], *, gamma: float) -> Float[Tensor, "... channel x y"]:
    """Density, velocity u and v, pressure and tracers: the inverse of ``conserved``, shape as given."""
    return torch.stack(primitive_channels(state.unbind(-3), gamma=gamma), dim=-3)


def primitive_channels(state: Sequence[Tensor], *, gamma: float) -> list[Tensor]:
    """The same for a list of channels."""
    rho, momentum_x, momentum_y, energy, *tracers = state
    u, v = momentum_x / rho, momentum_y / rho
    p = (gamma - 1) * (energy - 0.5 * (momentum_x * u + momentum_y * v))
    return [rho, u, v, p, *(tracer / rho for tracer in tracers)]
