"""Families of random initial data for compressible flow, sampled at the centres of cells.

The numbers drawn do not depend on the resolution. Axis 0 of a field is x, axis 1 is y.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64
from torch import Generator, Tensor

from sciml.pde.initial import uniform

Field = Float64[Tensor, "x y"]


def centres(resolution: int) -> Float64[Tensor, " cell"]:
    """Centres (i + 1/2) / N of N cells on the unit interval."""
    return (torch.arange(resolution, dtype=torch.float64) + 0.5) / resolution


def mesh(resolution: int) -> tuple[Field, Field]:
    """Coordinates x and y of the centres of the cells of the unit square, shape (x, y) each."""
    x, y = torch.meshgrid(centres(resolution), centres(resolution), indexing="ij")
    return x, y


def random_states(
    squares: int,
    *,
    density: tuple[float, float],
    speed: float,
    pressure: tuple[float, float],
    generator: Generator,
) -> Float64[Tensor, "4 squares squares"]:
    """Independent density, velocities from U[-speed, speed] and pressure in squares x squares squares.

    Args:
        squares: Squares along each axis.
        density: Interval of the density.
        speed: Largest velocity along an axis.
        pressure: Interval of the pressure.
        generator: Where the random numbers come from.
    """
    intervals = (density, (-speed, speed), (-speed, speed), pressure)
    return torch.stack([uniform(*interval, squares, squares, generator=generator) for interval in intervals])


def at(states: Float64[Tensor, "channel squares squares"], x: Field, y: Field) -> Float64[Tensor, "channel x y"]:
    """The states of the squares in which the points (x, y), modulo 1, lie."""
    squares = states.shape[-1]
    # A point just below an integer may be rounded to 1 by the remainder.
    column, row = ((torch.remainder(each, 1) * squares).long().clamp(max=squares - 1) for each in (x, y))
    return states[:, column, row]


def plane_waves(
    x: Field,
    y: Field,
    *,
    generator: Generator,
    modes: int,
    amplitude: float,
    lowest: int = 1,
    printed_phase: bool = False,
) -> Field:
    """A sum of plane waves, the displacement of an interface.

        sum_{i,j} a_ij sin(2 pi (i x + j y + b_ij)),  a ~ U[-amplitude, amplitude],  b ~ U[0, 1]

    Args:
        x: First coordinate, shape (x, y).
        y: Second coordinate.
        generator: Where the random numbers come from.
        modes: i and j run over so many numbers.
        amplitude: Largest amplitude of a wave.
        lowest: The first of these numbers.
        printed_phase: Whether the argument is 2 pi i x + j y + b, which is not periodic in y.

    Reference:
        arXiv:2405.19101, appendix B.
    """
    height = uniform(-amplitude, amplitude, modes, modes, generator=generator)
    phase = uniform(0, 1, modes, modes, generator=generator)
    turn = 1.0 if printed_phase else 2 * math.pi
    return sum(
        (
            height[i, j] * torch.sin(2 * math.pi * (lowest + i) * x + turn * ((lowest + j) * y + phase[i, j]))
            for i in range(modes)
            for j in range(modes)
        ),
        start=torch.zeros_like(x),
    )


def cosines(angle: Float64[Tensor, "..."], *, generator: Generator, modes: int) -> Float64[Tensor, "..."]:
    """A random mean of cosines, the displacement of an interface, between -1 and 1.

        sum_{j = 1..modes} a_j cos(2 pi j (angle + b_j)) / sum_j a_j,  a, b ~ U[0, 1]

    Args:
        angle: Position along the interface, of period 1, any shape.
        generator: Where the random numbers come from.
        modes: How many.
    """
    height = uniform(0, 1, modes, generator=generator)
    phase = uniform(0, 1, modes, generator=generator)
    waves = (height[j] * torch.cos(2 * math.pi * (j + 1) * (angle + phase[j])) for j in range(modes))
    return sum(waves, start=torch.zeros_like(angle)) / height.sum()
