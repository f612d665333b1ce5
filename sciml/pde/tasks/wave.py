"""Tasks of the wave equation: Wave-Gauss and Wave-Layer.

The published description of the data leaves some points open. Each of them is a parameter here, whose default is the
reading that agrees best with the statistics of the published files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from sciml.data.stored import StoredVariable
from sciml.errors import ConfigError
from sciml.pde.initial import generator_for, uniform
from sciml.pde.tasks.bumps import bumps
from sciml.pde.tasks.evolving import Evolving
from sciml.pde.tasks.refinement import refinement
from sciml.pde.wave import LARGEST_CFL, WaveEquation

Field = Float64[Tensor, "x y"]
Points = Float64[Tensor, " point"]


@dataclass(frozen=True, kw_only=True)
class WaveTask(Evolving):
    """What the wave tasks have in common; one subclass for each kind of speed.

    The square is 1 m wide; the points include its boundary. At first the displacement is a sum of two to six bumps
    exp(-r^2 / (2 s^2)), s ~ U[0.039, 0.156], centres ~ U[1/6, 5/6]^2, at rest.

    Args:
        frames: Saved time steps.
        horizon: Time of the last frame, s. Not published in this unit. By default a wave of the mean speed crosses 0.9
            of the square: this and the amplitude give the mean and the spread of the published displacements.
        amplitude: Height of the bumps, nondimensional. Not published.
        layer: Thickness of the absorbing layer round the square, m.
        solver_resolution: Points of the solver along each axis, a multiple of the saved ones (its grid divides each
            of their intervals); twice as many if None.
        cfl: Grid cells that the fastest wave crosses in a time step. Good values: 0.5 to 0.9.
        precision: ``float32``, or ``float64`` to check how much rounding matters.
    """

    name: ClassVar[str]
    initial_data: ClassVar[str]
    equation: ClassVar[str] = "u_tt = c^2 Lap u"
    solver: ClassVar[str] = "leapfrog with fourth-order correction, fourth-order differences, perfectly matched layer"
    boundary: ClassVar[tuple[str, str]] = ("open", "open")
    transposed: ClassVar[bool] = False

    frames: int
    horizon: float
    amplitude: float
    layer: float = 0.125
    solver_resolution: int | None = None
    cfl: float = 0.8
    precision: Literal["float32", "float64"] = "float32"

    def __post_init__(self):
        if self.frames < 2 or not self.horizon > 0 or not 0 < self.cfl <= LARGEST_CFL or not self.layer > 0:
            raise ConfigError(
                f"{self.name} got frames={self.frames}, horizon={self.horizon}, cfl={self.cfl}, layer={self.layer}; it "
                f"needs at least 2 frames, a positive horizon, a cfl of at most {LARGEST_CFL} and a positive layer."
            )
        if self.precision not in ("float32", "float64"):
            raise ConfigError(f"precision {self.precision!r} is unknown; choose float32 or float64.")

    @property
    def variables(self) -> tuple[StoredVariable, ...]:
        """What the file holds."""
        return (
            StoredVariable("solution", ("u",), channel_axis=False),
            StoredVariable("c", ("c",), in_time=False, channel_axis=False),
        )

    def coordinates(self, resolution: int) -> dict[str, np.ndarray]:
        """Coordinate arrays x and y of the grid, from 0 to 1 m, both included, shape (resolution,).

        Raises:
            ConfigError: the solver cannot work on such a grid.
        """
        self._refinement(resolution)
        return {axis: np.linspace(0, 1, resolution) for axis in ("x", "y")}

    def speed(self, points: Points, generator: Generator) -> Field:
        """Speed of waves, m/s, shape (x, y)."""
        raise NotImplementedError

    def initial(self, trajectory: int, points: Points, *, seed: int) -> tuple[Field, Field]:
        """Displacement and speed of one trajectory at the points, also outside of the square, each of shape (x, y).

        Outside the speed goes on as a constant along the normal, as the absorbing layer has it.
        """
        generator = generator_for(seed, trajectory)
        number = int(torch.randint(2, 7, (), generator=generator))
        widths = uniform(0.039, 0.156, 6, generator=generator)[:number]
        centres = uniform(1 / 6, 5 / 6, 2, 6, generator=generator)[:, :number]
        heights = torch.full_like(widths, self.amplitude)
        displacement = bumps(points, centres=centres, widths=widths, heights=heights)
        return displacement, self.speed(points.clamp(0, 1), generator)

    def simulate(
        self, trajectories: Sequence[int], *, resolution: int, seed: int, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "trajectory frame channel x y"]:
        """Solve for a block of trajectories at once.

        Args:
            trajectories: Indices of the trajectories. They share their time steps, so a trajectory differs a little
                with the company it is solved in.
            resolution: Saved points along each axis.
            seed: Seed of the data set.
            device: Where to compute.

        Returns:
            Displacement (nondimensional) and speed (m/s), the same in all frames, shape
            (trajectory, frame, channel, x, y), on ``device``.
        """
        finer = self._refinement(resolution)
        intervals = finer * (resolution - 1)
        # Whole intervals of the saved grid, so that a finer solver has the same layer.
        layer = finer * max(1, round(self.layer * (resolution - 1)))
        points = torch.arange(-layer, intervals + layer + 1, dtype=torch.float64) / intervals
        fields = [self.initial(i, points, seed=seed) for i in trajectories]
        displacement, speed = (torch.stack(each) for each in zip(*fields, strict=True))
        speed = speed[:, layer:-layer, layer:-layer]
        solver = WaveEquation(
            speed, spacing=1 / intervals, layer=layer, dtype=getattr(torch, self.precision), device=device
        )
        u = solver.solve(displacement, horizon=self.horizon, frames=self.frames, cfl=self.cfl)
        return torch.stack([u, speed[:, None].expand_as(u).to(u)], dim=2)[..., ::finer, ::finer]

    def _refinement(self, resolution: int) -> int:
        return refinement(resolution, self.solver_resolution, usual=2, least=round(4 / self.layer) + 1)


@dataclass(frozen=True, kw_only=True)
class GaussianSpeed(WaveTask):
    """Wave-Gauss: a constant speed with four smooth hills.

        c = c0 + sum_{i=1..4} v_i exp(-|x - x_i|^2 / (2 s_i^2)),  c0 ~ U[1500, 2500], v ~ U[1000, 2500] m/s

    s ~ U[1/12, 1/6], centres x_i ~ (1/4 or 3/4, 1/4 or 3/4) + U[-jitter, jitter]^2, one for each quarter.

    Args:
        frames: Saved time steps. Published: 16.
        horizon: Time of the last frame, s.
        amplitude: Height of the bumps, nondimensional.
        jitter: How far the centres are off. 1/8 gives the published mean (2618 m/s) and spread (602 m/s) of the speed
            within 1 %; 0.3125, as printed, gives 2535 and 665 m/s.
    """

    name: ClassVar[str] = "Wave-Gauss"
    initial_data: ClassVar[str] = "two to six bumps at rest, speed with four smooth hills"

    frames: int = 16
    horizon: float = 3.3e-4
    amplitude: float = 0.46
    jitter: float = 0.125

    def speed(self, points: Points, generator: Generator) -> Field:
        """Speed of waves, m/s, shape (x, y)."""
        background = uniform(1500, 2500, generator=generator)
        quarters = torch.cartesian_prod(torch.tensor([0.25, 0.75]), torch.tensor([0.25, 0.75])).T.double()
        centres = quarters + uniform(-self.jitter, self.jitter, 2, 4, generator=generator)
        widths = uniform(1 / 12, 1 / 6, 4, generator=generator)
        heights = uniform(1000, 2500, 4, generator=generator)
        return background + bumps(points, centres=centres, widths=widths, heights=heights)


@dataclass(frozen=True, kw_only=True)
class LayeredSpeed(WaveTask):
    """Wave-Layer: three to six layers of constant speed c ~ U[2000, 5000] m/s.

    The interface i of n layers is at y = (i + d_i / 4) / n + waviness sum_{k=1..10} a_ik sin(2 pi (k x + b_ik)),
    d ~ U[-1, 1], a ~ U[-1, 1], b ~ U[0, 1].

    Args:
        frames: Saved time steps. Published: 21.
        horizon: Time of the last frame, s.
        amplitude: Height of the bumps, nondimensional.
        waviness: Amplitude of the ten waves of an interface, m. Not published.
    """

    name: ClassVar[str] = "Wave-Layer"
    initial_data: ClassVar[str] = "two to six bumps at rest, speed constant on three to six wavy layers"

    frames: int = 21
    horizon: float = 2.6e-4
    amplitude: float = 0.41
    waviness: float = 0.01

    def speed(self, points: Points, generator: Generator) -> Field:
        """Speed of waves, m/s, shape (x, y)."""
        layers = int(torch.randint(3, 7, (), generator=generator))
        speeds = uniform(2000, 5000, 6, generator=generator)
        shift = uniform(-0.25, 0.25, 5, generator=generator)
        amplitude = self.waviness * uniform(-1, 1, 5, 10, generator=generator)
        phase = uniform(0, 1, 5, 10, generator=generator)
        turns = torch.arange(1, 11, dtype=torch.float64)[:, None] * points
        waves = (amplitude[..., None] * torch.sin(2 * math.pi * (turns + phase[..., None]))).sum(1)
        heights = (torch.arange(1, 6) + shift)[:, None] / layers + waves
        below = heights[: layers - 1, :, None] <= points
        return speeds[below.sum(0)]


TASKS = (GaussianSpeed, LayeredSpeed)
