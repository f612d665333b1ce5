"""Incompressible Navier-Stokes tasks: NS-Sines, NS-Gauss, NS-PwC, NS-SL.

The published description of the data leaves some points open. Each of them is a parameter here, whose default is the
reading that agrees best with the statistics of the published files.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from sciml.errors import ConfigError, SolverError
from sciml.pde import initial
from sciml.pde.spectral import BlowUpError, Multiplier, NavierStokes, SpectralViscosity, check_resolution

Precision = Literal["float32", "float64"]


@dataclass(frozen=True, kw_only=True)
class NavierStokesTask:
    """What the incompressible Navier-Stokes tasks have in common; one subclass for each kind of initial data.

    Args:
        viscosity: N times the spectral viscosity eps_N, nondimensional. Published: 0.05.
        multiplier: Shape of the spectral viscosity beyond the mode sqrt(N), ``smooth`` or ``step``; not published.
        tracer: Whether a passive tracer, at first the indicator of a disk of radius 1/4, is stored as third channel.
        tracer_viscosity: N times the spectral viscosity of the tracer; that of the velocity if None.
        frames: Saved time steps. Published: 21.
        horizon: Time of the last frame, nondimensional. Published: 1.
        cfl: Grid cells that the flow crosses in a time step. Good values: 0.5 to 1.2.
        precision: ``float32``, or ``float64`` to check how much rounding matters.
    """

    name: ClassVar[str]
    initial_data: ClassVar[str]
    equation: ClassVar[str] = "u_t + (u . grad) u + grad p = D u,  div u = 0"
    solver: ClassVar[str] = "pseudo-spectral vorticity form, 2/3 rule, integrating-factor RK4, CFL time step"
    variable: ClassVar[str] = "velocity"
    boundary: ClassVar[tuple[str, str]] = ("periodic", "periodic")
    transposed: ClassVar[bool] = False

    viscosity: float = 0.05
    multiplier: Multiplier = "smooth"
    tracer: bool = True
    tracer_viscosity: float | None = None
    frames: int = 21
    horizon: float = 1.0
    cfl: float = 1.0
    precision: Precision = "float32"

    def __post_init__(self):
        if self.frames < 2 or not self.horizon > 0 or not self.cfl > 0:
            raise ConfigError(
                f"{self.name} got frames={self.frames}, horizon={self.horizon}, cfl={self.cfl}; "
                "it needs at least 2 frames, a positive horizon and a positive cfl."
            )
        if self.precision not in ("float32", "float64"):
            raise ConfigError(f"precision {self.precision!r} is unknown; choose float32 or float64.")
        self._damping(self.viscosity)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the stored channels."""
        return ("u", "v", "tracer") if self.tracer else ("u", "v")

    @property
    def times(self) -> np.ndarray:
        """Times of the saved frames, nondimensional, shape (frames,)."""
        return np.linspace(0, self.horizon, self.frames)

    def coordinates(self, resolution: int) -> dict[str, np.ndarray]:
        """Coordinate arrays x and y of the grid, shape (resolution,); 1, which is the same point as 0, is left out.

        Raises:
            ConfigError: the solver cannot work on such a grid.
        """
        check_resolution(resolution)
        return {axis: initial.grid(resolution).numpy() for axis in ("x", "y")}

    def velocity(self, resolution: int, generator: Generator) -> Float64[Tensor, "2 x y"]:
        """Initial velocity, nondimensional, shape (2, x, y)."""
        raise NotImplementedError

    def initial(self, trajectory: int, *, resolution: int, seed: int) -> Float64[Tensor, "channel x y"]:
        """Initial state of one trajectory; it depends on nothing but these three numbers and the parameters."""
        velocity = self.velocity(resolution, initial.generator_for(seed, trajectory))
        return torch.cat([velocity, initial.disk(resolution)[None]]) if self.tracer else velocity

    def simulate(
        self, trajectories: Sequence[int], *, resolution: int, seed: int, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "trajectory frame channel x y"]:
        """Solve for a block of trajectories at once.

        Args:
            trajectories: Indices of the trajectories. They share their time steps, so a trajectory differs a little
                (about 1e-5) with the company it is solved in.
            resolution: Grid points along each axis.
            seed: Seed of the data set.
            device: Where to compute.

        Returns:
            The stored channels, nondimensional, shape (trajectory, frame, channel, x, y), on ``device``.

        Raises:
            SolverError: a trajectory blew up, also with half the time step.
        """
        solver = NavierStokes(
            resolution,
            damping=self._damping(self.viscosity),
            tracer_damping=self._damping(self.viscosity if self.tracer_viscosity is None else self.tracer_viscosity),
            dtype=getattr(torch, self.precision),
            device=device,
        )
        state = torch.stack([self.initial(i, resolution=resolution, seed=seed) for i in trajectories])
        times = self.times.tolist()
        try:
            return solver.solve(state, times, cfl=self.cfl)
        except BlowUpError as error:
            trajectory = trajectories[error.trajectory]
            warnings.warn(f"{self.name}: trajectory {trajectory} blew up, trying half the time step", stacklevel=2)
        try:
            return solver.solve(state, times, cfl=self.cfl / 2)
        except BlowUpError as error:
            raise SolverError(
                f"{self.name}: trajectory {trajectories[error.trajectory]} of seed {seed} blew up at resolution "
                f"{resolution}, even with cfl={self.cfl / 2:g} (largest speed {error.speed:g}). "
                f"Raise viscosity (now {self.viscosity:g}) or the resolution."
            ) from error

    def _damping(self, strength: float) -> SpectralViscosity:
        return SpectralViscosity(strength, multiplier=self.multiplier)


@dataclass(frozen=True, kw_only=True)
class Sines(NavierStokesTask):
    """NS-Sines: random sine waves.

    Args:
        modes: Waves along each axis. Published: 10.
    """

    name: ClassVar[str] = "NS-Sines"
    initial_data: ClassVar[str] = "velocity of random sine waves"

    modes: int = 10

    def velocity(self, resolution: int, generator: Generator) -> Float64[Tensor, "2 x y"]:
        """Initial velocity, the waves without their divergence, shape (2, x, y)."""
        return initial.solenoidal(initial.sines(resolution, generator=generator, modes=self.modes))


@dataclass(frozen=True, kw_only=True)
class Gauss(NavierStokesTask):
    """NS-Gauss: many Gaussian vortices.

    Args:
        vortices: How many. Published: 100.
        exponent: Vorticity exp(-exponent r^2 / s^2). 1 agrees with the spread of the published velocities; 1/2, as
            printed, gives twice that.
    """

    name: ClassVar[str] = "NS-Gauss"
    initial_data: ClassVar[str] = "vorticity of Gaussian vortices"

    vortices: int = 100
    exponent: float = 1.0

    def velocity(self, resolution: int, generator: Generator) -> Float64[Tensor, "2 x y"]:
        """Initial velocity, shape (2, x, y)."""
        return initial.velocity_of(
            initial.gaussian_vortices(resolution, generator=generator, vortices=self.vortices, exponent=self.exponent)
        )


@dataclass(frozen=True, kw_only=True)
class PiecewiseConstant(NavierStokesTask):
    """NS-PwC: vorticity that is constant on every square of a coarse grid.

    Args:
        cells: Squares along each axis. Published: 10.
        amplitude: The vorticity of a square is amplitude U[-1, 1]. 10 agrees with the spread of the published
            velocities; 1, as printed, gives a flow that hardly moves by time 1.
    """

    name: ClassVar[str] = "NS-PwC"
    initial_data: ClassVar[str] = "vorticity constant on 10 x 10 squares"

    cells: int = 10
    amplitude: float = 10.0

    def velocity(self, resolution: int, generator: Generator) -> Float64[Tensor, "2 x y"]:
        """Initial velocity, shape (2, x, y)."""
        values = initial.piecewise_constant(resolution, generator=generator, cells=self.cells)
        return initial.velocity_of(self.amplitude * values)


@dataclass(frozen=True, kw_only=True)
class ShearLayer(NavierStokesTask):
    """NS-SL: two shear layers that roll up. Stored with x and y exchanged, as in the published file.

    Args:
        tracer: The published file has none.
        perturb_profile: Whether the layers follow the wavy interface. As printed they do not; they then stay straight,
            and nothing happens.
    """

    name: ClassVar[str] = "NS-SL"
    initial_data: ClassVar[str] = "two wavy shear layers"
    transposed: ClassVar[bool] = True

    tracer: bool = False
    perturb_profile: bool = True

    def velocity(self, resolution: int, generator: Generator) -> Float64[Tensor, "2 x y"]:
        """Initial velocity, the layers without their divergence, shape (2, x, y)."""
        return initial.solenoidal(
            initial.shear_layers(resolution, generator=generator, perturb_profile=self.perturb_profile)
        )
