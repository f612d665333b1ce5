"""Compressible Euler with gravity: GCE-RT.

The published description of the data leaves some points open. Each of them is a parameter here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from sciml.data.stored import StoredVariable
from sciml.errors import ConfigError
from sciml.pde.finite_volume import Edge
from sciml.pde.initial import uniform
from sciml.pde.initial_gas import mesh
from sciml.pde.tasks.euler import EulerTask, Fields


@dataclass(frozen=True, kw_only=True)
class RayleighTaylor(EulerTask):
    """GCE-RT: a star, a polytrope in its own gravity, with a heavier gas outside of a wavy boundary.

        phi = -2 K0 rho0 sinc(alpha r),  p = K0 (rho0 sinc(alpha r))^2,  K0 = p0 / rho0^2,  alpha = sqrt(2 pi G / K0)
        rho = rho0 sinc(alpha r) where r < r_RT, (1 + A) / (1 - A) times that elsewhere
        r_RT = 1/4 (1 + a cos(theta + b))

    a ~ U[-amplitude, amplitude], b ~ U[-pi, pi], rho0 = 1 + 0.2 c, p0 = 1 + 0.2 d, A = 0.05 (1 + 0.2 e),
    c, d, e ~ U[-1, 1], G = 1, on the square [-1/2, 1/2]^2. The tracer is at first 1 inside of r_RT, 0 outside; the
    channel phi is the potential. Without the heavier gas the star is at rest, and stays so to rounding.

    Args:
        frames: Saved time steps. Published: 11.
        horizon: Time of the last frame. Published: 5.
        gamma: Ratio of specific heats; 2 is that of the polytrope.
        amplitude: Of the boundary's wave. 0.3 agrees with the spread of the published velocities, 0.015; with 1, as
            printed, it is twice that, and the boundary may touch the centre.
        atwood: A before its variation. Published: 0.05. With 0 the star is in equilibrium.
        edges: What is at the edges of the square, ``wall``, ``open`` or ``periodic``. Not published.
    """

    name: ClassVar[str] = "GCE-RT"
    initial_data: ClassVar[str] = "a polytropic star with a heavier gas outside, wavy boundary"
    equation: ClassVar[str] = (
        "rho_t + div(rho u) = 0,  (rho u)_t + div(rho u x u) + grad p = -rho grad phi,  "
        "E_t + div((E + p) u) = -rho u . grad phi"
    )
    boundary: ClassVar[tuple[str, str]] = ("wall", "wall")
    solver: ClassVar[str] = EulerTask.solver + ", well-balanced"

    frames: int = 11
    horizon: float = 5.0
    gamma: float = 2.0
    amplitude: float = 0.3
    atwood: float = 0.05
    edges: Edge = "wall"

    @property
    def variables(self) -> tuple[StoredVariable, ...]:
        """What the file holds."""
        return (StoredVariable("solution", ("rho", "u", "v", "p", "tracer", "phi")),)

    def __post_init__(self):
        super().__post_init__()
        if self.edges not in get_args(Edge):
            raise ConfigError(f"edges={self.edges!r} is unknown; choose one of {', '.join(get_args(Edge))}.")
        object.__setattr__(self, "boundary", (self.edges, self.edges))

    def coordinates(self, resolution: int) -> dict[str, np.ndarray]:
        """Coordinate arrays x and y of the cell centres, from -1/2 to 1/2, shape (resolution,)."""
        return {axis: points - 0.5 for axis, points in super().coordinates(resolution).items()}

    def draw(self, resolution: int, generator: Generator) -> Fields:
        """Initial density, velocity u and v, pressure and tracer, and the potential, shape (6, x, y)."""
        wave, density, pressure, contrast = uniform(-1, 1, 4, generator=generator)
        phase = uniform(-math.pi, math.pi, generator=generator)
        density, pressure = 1 + 0.2 * density, 1 + 0.2 * pressure
        atwood = self.atwood * (1 + 0.2 * contrast)
        stiffness = pressure / density**2
        x, y = (each - 0.5 for each in mesh(resolution))
        profile = density * torch.sinc(torch.sqrt(2 * math.pi / stiffness) * torch.hypot(x, y) / math.pi)
        interface = 0.25 * (1 + self.amplitude * wave * torch.cos(torch.atan2(y, x) + phase))
        inside = (torch.hypot(x, y) < interface).double()
        rho = profile * torch.where(inside > 0, 1, (1 + atwood) / (1 - atwood))
        return torch.stack([rho, 0 * inside, 0 * inside, stiffness * profile**2, inside, -2 * stiffness * profile])

    def evolve(
        self,
        state: Float[Tensor, "trajectory channel x y"],
        *,
        coarsen: int,
        device: torch.device | str,
        **setting: Any,
    ) -> Float[Tensor, "trajectory frame channel xs ys"]:
        """Density, velocity, pressure, tracer and potential at the saved times, cell averages as saved."""
        potential = state[:, 5]
        gravity = {"edges": self.boundary, "potential": potential} | setting
        frames = super().evolve(state[:, :5], coarsen=coarsen, device=device, **gravity)
        saved = torch.nn.functional.avg_pool2d(potential, coarsen).to(frames)
        return torch.cat([frames, saved[:, None, None].expand(-1, self.frames, -1, -1, -1)], dim=2)


TASKS = (RayleighTaylor,)
"""Every kind of task of this family."""
