"""Gas at rest in a field of gravity: the equilibrium that a well-balanced scheme must not disturb."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def displaced(
    fields: Float[Tensor, "... channel x y"], climb: Float[Tensor, "... x y"], *, gamma: float
) -> Float[Tensor, "... channel x y"]:
    """What the gas of every cell would be elsewhere in its hydrostatic equilibrium, at its own entropy.

        h + phi = const,  h = gamma / (gamma - 1) p / rho;  with t = 1 - climb / h
        rho -> rho t^(1 / (gamma - 1)),  p -> p t^(gamma / (gamma - 1))

    An isentropic gas in equilibrium is the same continued from any of its cells, to the last digit, in any number of
    dimensions.

    Args:
        fields: Density, velocity u and v, pressure and any number of tracers, nondimensional, shape (..., channel,
            x, y).
        climb: Difference of the gravitational potential, there minus here, nondimensional, shape (..., x, y).
        gamma: Ratio of specific heats.

    Returns:
        The fields with another density and pressure, shape as given.

    Reference:
        Käppeli and Mishra, J. Comput. Phys. 259 (2014), 199-219.
    """
    rho, u, v, p, *tracers = fields.unbind(-3)
    ratio = (1 - climb * ((gamma - 1) / gamma * rho / p)).clamp(min=0)
    rho = rho * ratio ** (1 / (gamma - 1))
    p = p * ratio ** (gamma / (gamma - 1))
    return torch.stack([rho, u, v, p, *tracers], dim=-3)
