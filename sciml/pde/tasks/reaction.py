"""The Allen-Cahn task ACE.

The published description of the data leaves some points open. Each of them is a parameter here, whose default is the
reading that agrees best with the statistics of the published file.
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
from sciml.pde.initial import generator_for, grid, uniform
from sciml.pde.reaction import AllenCahn
from sciml.pde.tasks.evolving import Evolving
from sciml.pde.tasks.refinement import refinement


@dataclass(frozen=True, kw_only=True)
class AllenCahnTask(Evolving):
    """ACE: phases that separate, from random sine waves.

        u_0 = K^(-power) sum_{i,j=1..K} a_ij (i^2 + j^2)^(-r) sin(pi i x) sin(pi j y)

    K ~ U{16..32}, r ~ U[0.7, 1], a ~ U[-1, 1].

    Args:
        frames: Saved time steps. Published: 20.
        horizon: Time of the last frame, nondimensional. Published: 2e-4.
        eps: Strength of the reaction; interfaces are 1 / eps wide. Published: 220.
        power: Of 1 / K in the amplitude. Printed: 2, which gives fields of spread 0.40; 1 gives 0.66, near the
            published 0.65.
        steps: Time steps between two frames. Good values: 2 to 8.
        solver_resolution: Points of the solver along each axis, a multiple of the saved ones; twice as many if None.
        precision: ``float32``, or ``float64`` to check how much rounding matters.
    """

    name: ClassVar[str] = "ACE"
    initial_data: ClassVar[str] = "random sine waves"
    equation: ClassVar[str] = "u_t = Lap u - eps^2 u (u^2 - 1)"
    solver: ClassVar[str] = "Strang splitting of exact reaction and exact, pseudo-spectral diffusion"
    boundary: ClassVar[tuple[str, str]] = ("periodic", "periodic")
    transposed: ClassVar[bool] = False

    frames: int = 20
    horizon: float = 2e-4
    eps: float = 220.0
    power: float = 1.0
    steps: int = 4
    solver_resolution: int | None = None
    precision: Literal["float32", "float64"] = "float32"

    def __post_init__(self):
        if self.frames < 2 or not self.horizon > 0 or self.steps < 1 or not self.eps >= 0:
            raise ConfigError(
                f"{self.name} got frames={self.frames}, horizon={self.horizon}, steps={self.steps}, eps={self.eps}; it "
                "needs at least 2 frames, a positive horizon, at least 1 step and eps >= 0."
            )
        if self.precision not in ("float32", "float64"):
            raise ConfigError(f"precision {self.precision!r} is unknown; choose float32 or float64.")

    @property
    def variables(self) -> tuple[StoredVariable, ...]:
        """What the file holds."""
        return (StoredVariable("solution", ("u",), channel_axis=False),)

    def coordinates(self, resolution: int) -> dict[str, np.ndarray]:
        """Coordinate arrays x and y of the grid, shape (resolution,); 1, which is the same point as 0, is left out.

        Raises:
            ConfigError: the solver cannot work on such a grid.
        """
        self._refinement(resolution)
        return {axis: grid(resolution).numpy() for axis in ("x", "y")}

    def draw(self, resolution: int, generator: Generator) -> Float64[Tensor, "x y"]:
        """Initial field, nondimensional, shape (x, y)."""
        modes = int(torch.randint(16, 33, (), generator=generator))
        roughness = uniform(0.7, 1, generator=generator)
        weight = uniform(-1, 1, 32, 32, generator=generator)[:modes, :modes]
        number = torch.arange(1, modes + 1, dtype=torch.float64)
        waves = torch.sin(math.pi * number[:, None] * grid(resolution))
        weight = weight * (number[:, None] ** 2 + number**2) ** -roughness
        return modes**-self.power * waves.T @ weight @ waves

    def initial(self, trajectory: int, *, resolution: int, seed: int) -> Float64[Tensor, "x y"]:
        """Initial field of one trajectory; it depends on nothing but these three numbers and the parameters."""
        return self.draw(resolution, generator_for(seed, trajectory))

    def simulate(
        self, trajectories: Sequence[int], *, resolution: int, seed: int, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "trajectory frame channel x y"]:
        """Solve for a block of trajectories at once; a trajectory does not depend on its company.

        Args:
            trajectories: Indices of the trajectories.
            resolution: Saved points along each axis.
            seed: Seed of the data set.
            device: Where to compute.

        Returns:
            The field, nondimensional, shape (trajectory, frame, 1, x, y), on ``device``.
        """
        finer = self._refinement(resolution)
        start = torch.stack([self.initial(i, resolution=finer * resolution, seed=seed) for i in trajectories])
        solver = AllenCahn(finer * resolution, eps=self.eps, dtype=getattr(torch, self.precision), device=device)
        frames = solver.solve(start, horizon=self.horizon, frames=self.frames, steps=self.steps)
        return frames[:, :, None, ::finer, ::finer]

    def _refinement(self, resolution: int) -> int:
        return refinement(resolution, self.solver_resolution, usual=2, least=8)


TASKS = (AllenCahnTask,)
