"""The flux of the Euler equations between two states: the HLLC approximate Riemann solver."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def hllc(left: Sequence[Tensor], right: Sequence[Tensor], *, gamma: float) -> list[Tensor]:
    """Flux through the faces between pairs of states.

    The fan of waves is replaced by three: the fastest to the left and to the right, of speed S_L and S_R, and the
    contact between them, of speed S. The state at the face is, with k the side that the contact leaves behind,

        rho* = m / (S_k - S),  p* = p + m (S - u),  E* = ((S_k - u) E - p u + p* S) / (S_k - S),  m = rho (S_k - u)

    between the fastest waves, and that of side k outside of them; the flux is the one of this state. A contact at rest
    stays exactly as it is. The tangential velocity and the tracers are carried along by the flux of mass.

    Args:
        left: Density, velocity normal to the face, tangential velocity, pressure and any number of tracers left of the
            faces, nondimensional, one tensor each, all of one shape.
        right: The same right of the faces.
        gamma: Ratio of specific heats. Air: 1.4.

    Returns:
        Fluxes of mass, normal momentum, tangential momentum, energy and of the tracers' densities.

    Reference:
        Toro, Riemann Solvers and Numerical Methods for Fluid Dynamics, section 10.4; speeds by Davis, SIAM J. Sci.
        Stat. Comput. 9 (1988), 445-473.
    """
    (rho_l, u_l, *carried_l), (rho_r, u_r, *carried_r) = left, right
    p_l, p_r = left[3], right[3]
    sound_l = (gamma * p_l / rho_l).sqrt_()
    sound_r = (gamma * p_r / rho_r).sqrt_()
    fastest_l = torch.minimum(u_l - sound_l, u_r - sound_r)
    fastest_r = torch.maximum(u_l + sound_l, u_r + sound_r)
    mass_l = rho_l * (fastest_l - u_l)
    mass_r = rho_r * (fastest_r - u_r)
    contact = (p_r - p_l + u_l * mass_l - u_r * mass_r) / (mass_l - mass_r)

    upwind = contact >= 0  # the left state
    rho = torch.where(upwind, rho_l, rho_r)
    u = torch.where(upwind, u_l, u_r)
    tangential, p, *tracers = (torch.where(upwind, a, b) for a, b in zip(carried_l, carried_r, strict=True))
    fastest = torch.where(upwind, fastest_l, fastest_r)
    mass = torch.where(upwind, mass_l, mass_r)

    energy = p / (gamma - 1) + 0.5 * rho * (u * u + tangential * tangential)
    between = torch.where(upwind, fastest_l < 0, fastest_r > 0)
    width = fastest - contact
    pressure = p + mass * (contact - u)
    energy = torch.where(between, ((fastest - u) * energy - p * u + pressure * contact) / width, energy)
    rho = torch.where(between, mass / width, rho)
    u = torch.where(between, contact, u)
    p = torch.where(between, pressure, p)

    flow = rho * u
    return [flow, flow * u + p, flow * tangential, u * (energy + p), *(flow * tracer for tracer in tracers)]
