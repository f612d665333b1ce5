"""Steady tasks: Poisson-Gauss and Helmholtz, on the unit square, boundary points included.

The published description of the data leaves some points open. Each of them is a parameter here, whose default is the
reading that agrees best with the statistics of the published files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float64
from torch import Generator, Tensor

from sciml.data.stored import StoredVariable, channel_names
from sciml.errors import ConfigError
from sciml.pde.elliptic import helmholtz, poisson
from sciml.pde.initial import generator_for, uniform
from sciml.pde.tasks.bumps import bumps


@dataclass(frozen=True, kw_only=True)
class EllipticTask:
    """What the steady tasks have in common; a trajectory is a single frame."""

    name: ClassVar[str]
    initial_data: ClassVar[str]
    equation: ClassVar[str]
    solver: ClassVar[str]
    boundary: ClassVar[tuple[str, str]] = ("wall", "wall")
    transposed: ClassVar[bool] = False
    steady: ClassVar[bool] = True
    stored: ClassVar[tuple[tuple[str, str], ...]]

    @property
    def variables(self) -> tuple[StoredVariable, ...]:
        """What the file holds."""
        return tuple(
            StoredVariable(variable, (channel,), in_time=False, channel_axis=False) for variable, channel in self.stored
        )

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the stored channels."""
        return channel_names(self.variables)

    @property
    def times(self) -> np.ndarray:
        """The only frame's time, 0."""
        return np.zeros(1)

    def coordinates(self, resolution: int) -> dict[str, np.ndarray]:
        """Coordinate arrays x and y of the grid, from 0 to 1, both included, shape (resolution,).

        Raises:
            ConfigError: the grid is too coarse.
        """
        if resolution < 8:
            raise ConfigError(f"resolution {resolution} is too coarse for {self.name}; give at least 8 points.")
        return {axis: np.linspace(0, 1, resolution) for axis in ("x", "y")}

    def draw(self, resolution: int, generator: Generator) -> Float64[Tensor, "given x y"]:
        """The random fields that make the problem, nondimensional, shape (given, x, y)."""
        raise NotImplementedError

    def initial(self, trajectory: int, *, resolution: int, seed: int) -> Float64[Tensor, "given x y"]:
        """What makes one problem; it depends on nothing but these three numbers and the parameters."""
        return self.draw(resolution, generator_for(seed, trajectory))


@dataclass(frozen=True, kw_only=True)
class PoissonGauss(EllipticTask):
    """Poisson-Gauss: a sum of Gaussian sources, with u = 0 on the boundary.

        -Lap u = f,  f = sum_i a_i exp(-|x - x_i|^2 / (2 s_i^2)),  s ~ U[0.025, 0.1],  x_i ~ U[0, 1]^2

    of a geometrically distributed number of sources (1, 2, ... with probability 0.4, 0.24, ...).

    Args:
        amplitude: Largest strength of a source. Not published; 46 gives the published spread of f, 4.76, but
            one of u of 0.077, three times the published one.
        signed: a ~ U[-amplitude, amplitude]; with False a = amplitude, as printed, but the published f has mean 0.
    """

    name: ClassVar[str] = "Poisson-Gauss"
    initial_data: ClassVar[str] = "source of Gaussian bumps"
    equation: ClassVar[str] = "-Lap u = f,  u = 0 on the boundary"
    solver: ClassVar[str] = "compact fourth-order differences, fast sine transform, float64"
    stored: ClassVar[tuple[tuple[str, str], ...]] = (("source", "source"), ("solution", "solution"))

    amplitude: float = 46.0
    signed: bool = True

    def draw(self, resolution: int, generator: Generator) -> Float64[Tensor, "1 x y"]:
        """The source f, shape (1, x, y)."""
        number = int(torch.empty((), dtype=torch.float64).geometric_(0.4, generator=generator))
        centres = uniform(0, 1, 2, number, generator=generator)
        widths = uniform(0.025, 0.1, number, generator=generator)
        heights = uniform(-1, 1, number, generator=generator) if self.signed else torch.ones_like(widths)
        points = torch.linspace(0, 1, resolution, dtype=torch.float64)
        return bumps(points, centres=centres, widths=widths, heights=self.amplitude * heights)[None]

    def simulate(
        self, trajectories: Sequence[int], *, resolution: int, seed: int, device: torch.device | str = "cpu"
    ) -> Float64[Tensor, "trajectory 1 channel x y"]:
        """Solve a block of problems at once.

        Args:
            trajectories: Indices of the problems.
            resolution: Points along each axis.
            seed: Seed of the data set.
            device: Where to compute.

        Returns:
            f and u, nondimensional, shape (trajectory, 1, 2, x, y), on ``device``.
        """
        source = torch.cat([self.initial(i, resolution=resolution, seed=seed) for i in trajectories]).to(device)
        return torch.stack([source, poisson(source, spacing=1 / (resolution - 1))], dim=1)[:, None]


@dataclass(frozen=True, kw_only=True)
class HelmholtzTask(EllipticTask):
    """Helmholtz: waves of one frequency through random hollows of the coefficient.

        -Lap u - w^2 a u = 0,  u = b on the boundary,  b ~ U[0.25, 0.5]
        a = (g - min g) / (max g - min g),  g = -sum_i A_i exp(-|x - x_i|^2 / (2 s_i^2))

    of two to seven hollows, A ~ U[0.5, 10], s ~ U[0.05, 0.1], x_i ~ U[0.2, 0.8]^2. Solved on the CPU.

    Args:
        wavenumber: w, nondimensional. Published: 5 pi / 2.
        limit: Problems whose solution exceeds it somewhere are drawn again; None keeps all. It is not published, but
            without a limit the spread of u is infinite, because w comes as close as one likes to a resonance of some
            coefficient. 5.7, which one problem in ten exceeds, gives the published spread, 0.83.
    """

    name: ClassVar[str] = "Helmholtz"
    initial_data: ClassVar[str] = "coefficient with two to seven hollows"
    equation: ClassVar[str] = "-Lap u - w^2 a u = 0,  u = b on the boundary"
    solver: ClassVar[str] = "compact fourth-order differences, sparse LU factorisation, float64"
    stored: ClassVar[tuple[tuple[str, str], ...]] = (("a", "a"), ("bc", "bc"), ("solution", "u"))

    wavenumber: float = 2.5 * math.pi
    limit: float | None = 5.7

    def __post_init__(self):
        if not self.wavenumber > 0 or (self.limit is not None and not self.limit >= 1):
            raise ConfigError(
                f"wavenumber={self.wavenumber}, limit={self.limit} came; give a positive wavenumber, e.g. 5 pi / 2, "
                "and a limit of at least 1 (the boundary value alone may be 0.5), or none."
            )

    def draw(self, resolution: int, generator: Generator) -> Float64[Tensor, "2 x y"]:
        """The coefficient a, from 0 to 1, and the boundary value b as a field, shape (2, x, y)."""
        value = float(uniform(0.25, 0.5, generator=generator))
        number = int(torch.randint(2, 8, (), generator=generator))
        depths = uniform(0.5, 10, number, generator=generator)
        widths = uniform(0.05, 0.1, number, generator=generator)
        centres = uniform(0.2, 0.8, 2, number, generator=generator)
        points = torch.linspace(0, 1, resolution, dtype=torch.float64)
        field = bumps(points, centres=centres, widths=widths, heights=-depths)
        coefficient = (field - field.min()) / (field.max() - field.min())
        return torch.stack([coefficient, torch.full_like(coefficient, value)])

    def simulate(
        self, trajectories: Sequence[int], *, resolution: int, seed: int, device: torch.device | str = "cpu"
    ) -> Float64[Tensor, "trajectory 1 channel x y"]:
        """Solve problems, one after the other.

        Args:
            trajectories: Indices of the problems.
            resolution: Points along each axis.
            seed: Seed of the data set.
            device: Where the result goes.

        Returns:
            a, b (as a field) and u, nondimensional, shape (trajectory, 1, 3, x, y).
        """
        problems = [self._problem(generator_for(seed, i), resolution) for i in trajectories]
        return torch.stack(problems)[:, None].to(device)

    def _problem(self, generator: Generator, resolution: int) -> Float64[Tensor, "3 x y"]:
        while True:
            coefficient, boundary = self.draw(resolution, generator)
            solution = helmholtz(
                coefficient.numpy(),
                wavenumber=self.wavenumber,
                boundary=boundary.numpy(),
                spacing=1 / (resolution - 1),
            )
            if self.limit is None or np.abs(solution).max() <= self.limit:
                return torch.stack([coefficient, boundary, torch.from_numpy(solution)])


TASKS = (PoissonGauss, HelmholtzTask)
