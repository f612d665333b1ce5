"""Boundary conditions of functions that are not series: checked at random points of the sides."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sciml.barron.box import check_box, sine_axes
from sciml.barron.jet import Vectors, jet_of
from sciml.barron.problem import EnergyProblem
from sciml.barron.spectral import SpectralNet
from sciml.errors import ConfigError, ShapeError

SAMPLES = 256  # points on each side
ZERO = 1e-8  # relative to the largest value inside: far above rounding, far below an error that one would notice


def check_boundary_values(
    problem: EnergyProblem, network: Callable[[Tensor], Tensor], *, generator: torch.Generator
) -> None:
    """Refuse a function that violates the boundary conditions.

    Raises:
        ConfigError: it is not zero on a Dirichlet side, has a normal derivative on a Neumann side, or differs on
            opposite periodic sides.
    """
    if isinstance(network, SpectralNet):
        if (network.boundary, network.box) != (problem.boundary, problem.box):
            raise ConfigError(
                f"a network with boundary {network.boundary!r} on the box {network.box} came for a problem with "
                f"{problem.boundary!r} on {problem.box}; the same are expected."
            )
        return
    inside, low, high = _sides(problem, generator)
    jet = jet_of(network, inside)
    size, slope = float(jet.value.abs().max()), float(jet.gradient.abs().max())
    sine = sine_axes(problem.boundary, problem.dimension)
    for axis, (x0, x1) in enumerate(zip(low, high, strict=True)):
        left, right = jet_of(network, x0), jet_of(network, x1)
        if sine is None:
            jump = float((left.value - right.value).abs().max())
            bend = float((left.gradient - right.gradient).abs().max())
            wrong, condition = max(jump / max(size, 1e-300), bend / max(slope, 1e-300)), "is not periodic"
        elif sine[axis]:
            values = torch.cat([left.value, right.value]).abs().max()
            wrong, condition = float(values) / max(size, 1e-300), "is not zero"
        else:
            values = torch.cat([left.gradient[:, axis], right.gradient[:, axis]]).abs().max()
            wrong, condition = float(values) / max(slope, 1e-300), "has a normal derivative"
        if wrong > ZERO:
            raise ConfigError(
                f"the network {condition} on the sides of axis {axis}: {wrong:.2g} relative to its size inside. A "
                "bound needs exact boundary conditions: multiply the network by a function that vanishes there, or, "
                "for other boundary values g, solve problem.lifted(g) for u - g."
            )


def check_flux(problem: EnergyProblem, flux: Callable[[Tensor], Tensor], *, generator: torch.Generator) -> None:
    """Refuse a flux of the wrong shape, or with a normal component where it must have none.

    Raises:
        ShapeError: it does not return one vector for every point.
        ConfigError: q.n is not zero on a Neumann side, or differs on opposite periodic sides.
    """
    inside, low, high = _sides(problem, generator)
    q = flux(inside)
    if q.shape != inside.shape:
        raise ShapeError(
            f"the flux maps points of shape {tuple(inside.shape)} to {tuple(q.shape)}; one vector for every point, the "
            "same shape, is expected."
        )
    size = max(float(q.detach().abs().max()), 1e-300)
    sine = sine_axes(problem.boundary, problem.dimension)
    for axis, (x0, x1) in enumerate(zip(low, high, strict=True)):
        left, right = flux(x0)[:, axis].detach(), flux(x1)[:, axis].detach()
        defect = left - right if sine is None else torch.cat([left, right])
        if (sine is None or not sine[axis]) and float(defect.abs().max()) > ZERO * size:
            condition = "is not periodic" if sine is None else "has a normal component on a Neumann side"
            raise ConfigError(
                f"the flux {condition}, axis {axis}. Multiply this component by a function that vanishes there."
            )


def _sides(problem: EnergyProblem, generator: torch.Generator) -> tuple[Vectors, list[Vectors], list[Vectors]]:
    """Random points inside, and the same points moved to the low and to the high side of every axis."""
    box = torch.tensor(check_box(problem.box, problem.dimension), dtype=torch.float64)
    inside = torch.rand(SAMPLES, problem.dimension, generator=generator, dtype=torch.float64) * box
    low, high = [], []
    for axis in range(problem.dimension):
        for sides, value in ((low, 0.0), (high, float(box[axis]))):
            moved = inside.clone()
            moved[:, axis] = value
            sides.append(moved)
    return inside, low, high
