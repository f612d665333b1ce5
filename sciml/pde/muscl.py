"""One stage of the finite-volume scheme for the Euler equations, on a slab of rows with its rim of ghost cells."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sciml.pde.gas import primitive, primitive_channels
from sciml.pde.hydrostatic import displaced
from sciml.pde.reconstruction import Reconstruction, rises
from sciml.pde.riemann import hllc

RIM = 2
"""Ghost cells on every side: a slope needs one neighbour, a flux the slopes of two cells."""


def advance(
    state: Tensor,
    start: Tensor,
    step: Tensor,
    weight: Tensor,
    potential: Tensor | None,
    sloped: Tensor | None,
    *,
    inverse_spacing: tuple[float, float],
    gamma: float,
    reconstruction: Reconstruction,
) -> tuple[Tensor, Tensor, Tensor]:
    """One stage on a slab: start + weight (state + step L(state) - start), its wave rate and its lowest value.

    ``state`` and ``potential`` have a rim of ghost cells, ``start`` and the result do not. ``sloped`` is 0 in cells
    that are to be of first order, 1 elsewhere.
    """
    fields = primitive(state, gamma=gamma)
    changes: list[Tensor | float] = [0.0] * fields.shape[-3]
    for axis, normal in ((-2, 1), (-1, 2)):
        cells, inverse = start.shape[axis], inverse_spacing[axis]
        if cells == 1:
            continue
        rows = fields.narrow(-3 - axis, RIM, start.shape[-3 - axis])
        phi, slopes = (
            None if each is None else each.narrow(-3 - axis, RIM, start.shape[-3 - axis])
            for each in (potential, sloped)
        )
        left, right, push = _faces(rows, axis, phi, slopes, gamma=gamma, reconstruction=reconstruction)
        order = (0, normal, 3 - normal, *range(3, len(changes)))
        fluxes = hllc([left.select(-3, i) for i in order], [right.select(-3, i) for i in order], gamma=gamma)
        for i, flux in zip(order, fluxes, strict=True):
            changes[i] = changes[i] - flux.diff(dim=axis) * inverse
        if phi is not None:
            # The work of gravity on the flow through the faces, so that energy plus potential energy is conserved.
            work = fluxes[0] * phi.narrow(axis, 1, cells + 2).diff(dim=axis).squeeze(-3)
            changes[normal] = changes[normal] + push * inverse
            changes[3] = changes[3] - (work.narrow(axis, 0, cells) + work.narrow(axis, 1, cells)) * (inverse / 2)
    new = [
        begun + weight * (now - begun + step * change)
        for begun, now, change in zip(start.unbind(-3), inner(state).unbind(-3), changes, strict=True)
    ]
    return torch.stack(new, dim=-3), *survey(new, inverse_spacing=inverse_spacing, gamma=gamma)


def _faces(
    fields: Tensor,
    axis: int,
    potential: Tensor | None,
    sloped: Tensor | None,
    *,
    gamma: float,
    reconstruction: Reconstruction,
) -> tuple[Tensor, Tensor, Tensor | float]:
    """Fields left and right of every face, and what gravity adds to the momentum of every cell, times the spacing."""
    size = fields.shape[axis] - 2  # cells that have a neighbour on either side
    centre = fields.narrow(axis, 1, size)
    if potential is None:
        difference = fields.diff(dim=axis)
        backward, forward = difference.narrow(axis, 0, size), difference.narrow(axis, 1, size)
        at_left = at_right = centre
        push = 0.0
    else:
        climb = potential.diff(dim=axis).squeeze(-3)
        down, up = -climb.narrow(axis, 0, size), climb.narrow(axis, 1, size)
        backward = displaced(centre, down, gamma=gamma) - fields.narrow(axis, 0, size)
        forward = fields.narrow(axis, 2, size) - displaced(centre, up, gamma=gamma)
        at_left, at_right = displaced(centre, down / 2, gamma=gamma), displaced(centre, up / 2, gamma=gamma)
        push = (at_right - at_left).select(-3, 3).narrow(axis, 1, size - 2)
    drop, rise = rises(backward, forward, reconstruction=reconstruction)
    if sloped is not None:
        drop, rise = (slope * sloped.narrow(axis, 1, size) for slope in (drop, rise))
    return (at_right + rise).narrow(axis, 0, size - 1), (at_left - drop).narrow(axis, 1, size - 1), push


def survey(state: Sequence[Tensor], *, inverse_spacing: tuple[float, float], gamma: float) -> tuple[Tensor, Tensor]:
    """Rate at which the fastest wave crosses cells, and the lowest density or pressure, shape (batch,) each."""
    rho, u, v, p = primitive_channels(state[:4], gamma=gamma)
    sound = (gamma * p / rho).sqrt()
    rate = torch.zeros_like(rho)
    for axis, speed in ((-2, u), (-1, v)):
        if rho.shape[axis] > 1:
            rate = rate + (speed.abs() + sound) * inverse_spacing[axis]
    return rate.amax((-2, -1)), torch.minimum(rho, p).amin((-2, -1))


def positive(state: Tensor, *, gamma: float) -> Tensor:
    """Where density and pressure are positive, shape (batch, x, y)."""
    rho, _, _, p = primitive_channels(state.unbind(-3)[:4], gamma=gamma)
    return (rho > 0) & (p > 0)


def inner(fields: Tensor) -> Tensor:
    """The fields without their rim of ghost cells."""
    return fields[..., RIM:-RIM, RIM:-RIM]
