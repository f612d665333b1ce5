"""Incompressible Navier-Stokes tasks: NS-Sines, NS-Gauss, NS-PwC, NS-BB, NS-SL, NS-SVS, FNS-KF.

The published description of the data leaves some points open. Each of them is a parameter here, whose default is the
reading that agrees best with the statistics of the published files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from sciml.data.stored import StoredVariable
from sciml.errors import ConfigError
from sciml.pde import initial
from sciml.pde.spectral import Multiplier, NavierStokes, SpectralViscosity, Transport, check_resolution
from sciml.pde.tasks.evolving import Evolving

Precision = Literal["float32", "float64"]
Direction = Literal["solenoidal", "u", "both"]


@dataclass(frozen=True, kw_only=True)
class NavierStokesTask(Evolving):
    """What the incompressible Navier-Stokes tasks have in common; one subclass for each kind of initial data.

    Args:
        viscosity: N times the spectral viscosity eps_N, nondimensional. Published: 0.05.
        multiplier: Shape of the spectral viscosity beyond the mode sqrt(N), ``smooth`` or ``step``; not published.
        tracer: Whether a passive tracer, at first the indicator of a disk of radius 1/4, is stored as third channel.
        transport: How the tracer is carried. ``bounded``: by finite volumes, between 0 and 1. ``spectral``: like the
            velocity; it rings at the edge of the disk, by up to a quarter.
        tracer_viscosity: N times the spectral viscosity of a spectral tracer; that of the velocity if None.
        frames: Saved time steps. Published: 21.
        horizon: Time of the last frame, nondimensional. Published: 1.
        spin_up: Time that the flow has run when the first frame is saved, nondimensional; the tracer starts then.
        cfl: Grid cells that the flow crosses in a time step. Good values: 0.5 to 1.2.
        precision: ``float32``, or ``float64`` to check how much rounding matters.
    """

    name: ClassVar[str]
    initial_data: ClassVar[str]
    equation: ClassVar[str] = "u_t + (u . grad) u + grad p = D u,  div u = 0"
    solver: ClassVar[str] = (
        "pseudo-spectral vorticity form, 2/3 rule, integrating-factor RK4, CFL time step; bounded tracer: van Leer's "
        "finite volumes"
    )
    boundary: ClassVar[tuple[str, str]] = ("periodic", "periodic")
    transposed: ClassVar[bool] = False

    viscosity: float = 0.05
    multiplier: Multiplier = "smooth"
    tracer: bool = True
    transport: Transport = "bounded"
    tracer_viscosity: float | None = None
    frames: int = 21
    horizon: float = 1.0
    spin_up: float = 0.0
    cfl: float = 1.0
    precision: Precision = "float32"

    def __post_init__(self):
        if self.frames < 2 or not self.horizon > 0 or not self.cfl > 0 or not self.spin_up >= 0:
            raise ConfigError(
                f"{self.name} got frames={self.frames}, horizon={self.horizon}, cfl={self.cfl}, "
                f"spin_up={self.spin_up}; it needs at least 2 frames, a positive horizon, a positive cfl and a spin_up "
                "of 0 or more."
            )
        for parameter, kind in (("precision", Precision), ("transport", Transport)):
            if (value := getattr(self, parameter)) not in get_args(kind):
                raise ConfigError(f"{parameter} {value!r} is unknown; choose {' or '.join(get_args(kind))}.")
        self._damping(self.viscosity)

    @property
    def variables(self) -> tuple[StoredVariable, ...]:
        """What the file holds."""
        return (StoredVariable("velocity", ("u", "v", "tracer") if self.tracer else ("u", "v")),)

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

    def force(self, resolution: int) -> Float64[Tensor, "2 x y"] | None:
        """Steady force per mass, nondimensional, shape (2, x, y); None without."""
        return None

    def initial(self, trajectory: int, *, resolution: int, seed: int) -> Float64[Tensor, "channel x y"]:
        """State of one trajectory before the spin-up; it depends on these three numbers and the parameters alone."""
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
            BlowUpError: a trajectory blew up.
        """
        solver = NavierStokes(
            resolution,
            damping=self._damping(self.viscosity),
            transport=self.transport,
            tracer_damping=self._damping(self.viscosity if self.tracer_viscosity is None else self.tracer_viscosity),
            force=self.force(resolution),
            dtype=getattr(torch, self.precision),
            device=device,
        )
        state = torch.stack([self.initial(i, resolution=resolution, seed=seed) for i in trajectories]).to(device)
        if self.spin_up:
            state[:, :2] = solver.solve(state[:, :2], [-self.spin_up, 0], cfl=self.cfl)[:, 1]
        return solver.solve(state, self.times.tolist(), cfl=self.cfl)

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
class BrownianBridge(NavierStokesTask):
    """NS-BB: a flow that starts as a random field with the spectrum of a Brownian bridge and has run for a while.

    Args:
        modes: Waves along each axis. Not published; 42 are what the solver keeps at 128 x 128.
        amplitude: Factor of the velocity at the start of the spin-up. Not published; 1 gives a spread of 0.41, much
            like that of the other tasks.
        spin_up: Published: 0.5.
    """

    name: ClassVar[str] = "NS-BB"
    initial_data: ClassVar[str] = "Brownian bridges that have run for a while"

    modes: int = 42
    amplitude: float = 1.0
    spin_up: float = 0.5

    def velocity(self, resolution: int, generator: Generator) -> Float64[Tensor, "2 x y"]:
        """Velocity before the spin-up, the waves without their divergence, shape (2, x, y)."""
        waves = initial.brownian_bridge(resolution, generator=generator, modes=self.modes)
        return self.amplitude * initial.solenoidal(waves)


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


@dataclass(frozen=True, kw_only=True)
class VortexSheet(NavierStokesTask):
    """NS-SVS: a wavy vortex sheet that rolls up.

    Args:
        thickness: Radius over which the sheet is smeared out. Published: 5/128.
        harmonics: Whether the ten small waves have the lengths 1, 1/2, ..., 1/10. As printed they all have length 1,
            and the sheets would be nearly the same.
    """

    name: ClassVar[str] = "NS-SVS"
    initial_data: ClassVar[str] = "a wavy vortex sheet"

    thickness: float = 5 / 128
    harmonics: bool = True

    def velocity(self, resolution: int, generator: Generator) -> Float64[Tensor, "2 x y"]:
        """Initial velocity, shape (2, x, y)."""
        return initial.velocity_of(
            initial.vortex_sheet(resolution, generator=generator, thickness=self.thickness, harmonics=self.harmonics)
        )


@dataclass(frozen=True, kw_only=True)
class KolmogorovFlow(PiecewiseConstant):
    """FNS-KF: the flow of NS-PwC under the steady force g = 0.1 sin(2 pi (x + y)).

    Args:
        forcing: Amplitude of g. Published: 0.1.
        direction: What the force is: ``solenoidal``: (g, -g), which is free of divergence. ``u``: (g, 0). ``both``:
            (g, g), which is a gradient and moves nothing. Not published; the first agrees best with the spread of the
            published velocities.
        tracer: The published file has none.
    """

    name: ClassVar[str] = "FNS-KF"
    initial_data: ClassVar[str] = "vorticity constant on 10 x 10 squares, steady force"
    equation: ClassVar[str] = "u_t + (u . grad) u + grad p = D u + f,  div u = 0"

    forcing: float = 0.1
    direction: Direction = "solenoidal"
    tracer: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.direction not in get_args(Direction):
            raise ConfigError(f"direction {self.direction!r} is unknown; choose {' or '.join(get_args(Direction))}.")

    @property
    def variables(self) -> tuple[StoredVariable, ...]:
        """What the file holds."""
        return (replace(super().variables[0], name="solution"),)

    def force(self, resolution: int) -> Float64[Tensor, "2 x y"]:
        """The force per mass, nondimensional, shape (2, x, y)."""
        points = initial.grid(resolution)
        g = self.forcing * torch.sin(2 * math.pi * (points[:, None] + points[None, :]))
        return torch.stack([g, {"u": 0 * g, "solenoidal": -g, "both": g}[self.direction]])


TASKS = (Sines, Gauss, PiecewiseConstant, BrownianBridge, ShearLayer, VortexSheet, KolmogorovFlow)
