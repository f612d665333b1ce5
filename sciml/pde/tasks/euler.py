"""Compressible Euler tasks: CE-RP, CE-CRP, CE-KH, CE-Gauss, CE-RPUI, CE-RM.

The published description of the data leaves some points open. Each of them is a parameter here. Initial data are
sampled at the centres of the solver's cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from sciml.data.stored import StoredVariable
from sciml.errors import ConfigError
from sciml.pde import initial
from sciml.pde.compilation import compiler_available
from sciml.pde.finite_volume import Euler
from sciml.pde.initial_gas import at, centres, cosines, mesh, plane_waves, random_states
from sciml.pde.reconstruction import Reconstruction
from sciml.pde.tasks.evolving import Evolving

Fields = Float64[Tensor, "channel x y"]

WORTH_COMPILING = 128
"""Cells along an axis from which on the time that compiled code saves on one trajectory pays for the compilation."""


@dataclass(frozen=True, kw_only=True)
class EulerTask(Evolving):
    """What the compressible tasks have in common; one subclass for each kind of initial data.

    Args:
        frames: Saved time steps. Published: 21.
        horizon: Time of the last frame, nondimensional. Published: 1.
        gamma: Ratio of specific heats.
        solver_resolution: Cells of the solver along each axis, a multiple of the saved ones, whose conserved quantities
            are averaged down; twice the saved ones if None. Published: 512 for 128.
        reconstruction: ``mc``, ``minmod`` or ``weno``. Published: a WENO of two stencils.
        order: Order of the Runge-Kutta method, 2 or 3.
        cfl: Cells that the fastest wave crosses in a time step. Good values: 0.4 to 0.9.
        precision: ``float32``, or ``float64`` to check how much rounding matters.
        compile: Whether to solve with compiled code, from 128 cells along an axis: four times as fast. By default if
            there is a C++ compiler. The last digits differ, so a file records what it was made with.
    """

    name: ClassVar[str]
    initial_data: ClassVar[str]
    equation: ClassVar[str] = (
        "rho_t + div(rho u) = 0,  (rho u)_t + div(rho u x u) + grad p = 0,  E_t + div((E + p) u) = 0"
    )
    solver: ClassVar[str] = "finite volumes, limited linear reconstruction, HLLC fluxes, SSP Runge-Kutta, CFL time step"
    boundary: ClassVar[tuple[str, str]] = ("periodic", "periodic")
    transposed: ClassVar[bool] = False

    frames: int = 21
    horizon: float = 1.0
    gamma: float = 1.4
    solver_resolution: int | None = None
    reconstruction: Reconstruction = "mc"
    order: int = 2
    cfl: float = 0.8
    precision: Literal["float32", "float64"] = "float32"
    compile: bool | None = None

    def __post_init__(self):
        if self.frames < 2 or not self.horizon > 0 or not 0 < self.cfl <= 1:
            raise ConfigError(
                f"{self.name} got frames={self.frames}, horizon={self.horizon}, cfl={self.cfl}; "
                "it needs at least 2 frames, a positive horizon and a cfl of at most 1."
            )
        if self.precision not in ("float32", "float64"):
            raise ConfigError(f"precision {self.precision!r} is unknown; choose float32 or float64.")
        if self.compile is None:
            object.__setattr__(self, "compile", compiler_available())

    @property
    def variables(self) -> tuple[StoredVariable, ...]:
        """What the file holds."""
        return (StoredVariable("data", ("rho", "u", "v", "p", "E")),)

    def coordinates(self, resolution: int) -> dict[str, np.ndarray]:
        """Coordinate arrays x and y of the cell centres, shape (resolution,).

        Raises:
            ConfigError: the solver cannot work on such a grid.
        """
        self._refinement(resolution)
        return {axis: centres(resolution).numpy() for axis in ("x", "y")}

    def draw(self, resolution: int, generator: Generator) -> Fields:
        """Initial density, velocity u and v, pressure and tracers, nondimensional, shape (channel, x, y)."""
        raise NotImplementedError

    def initial(self, trajectory: int, *, resolution: int, seed: int) -> Fields:
        """Initial state of one trajectory; it depends on nothing but these three numbers and the parameters."""
        return self.draw(resolution, initial.generator_for(seed, trajectory))

    def simulate(
        self, trajectories: Sequence[int], *, resolution: int, seed: int, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "trajectory frame channel x y"]:
        """Solve for a block of trajectories, each with its own time steps.

        Args:
            trajectories: Indices of the trajectories.
            resolution: Saved cells along each axis.
            seed: Seed of the data set.
            device: Where to compute.

        Returns:
            The stored channels, nondimensional, shape (trajectory, frame, channel, x, y), on ``device``.

        Raises:
            BlowUpError: density or pressure of a trajectory became negative.
        """
        coarsen = self._refinement(resolution)
        state = torch.stack([self.initial(i, resolution=coarsen * resolution, seed=seed) for i in trajectories])
        fields = self.evolve(state, coarsen=coarsen, device=device)
        if "E" not in self.channels:
            return fields
        rho, u, v, p, *_ = fields.unbind(2)
        energy = p / (self.gamma - 1) + 0.5 * rho * (u * u + v * v)
        return torch.cat([fields, energy[:, :, None]], dim=2)

    def evolve(
        self,
        state: Float[Tensor, "trajectory channel x y"],
        *,
        coarsen: int,
        device: torch.device | str,
        **setting: Any,
    ) -> Float[Tensor, "trajectory frame channel xs ys"]:
        """Density, velocity, pressure and tracers at the saved times, averaged over coarsen x coarsen cells.

        Args:
            state: The initial fields, shape (trajectory, channel, x, y).
            coarsen: Cells of the solver for each saved one, along each axis.
            device: Where to compute.
            **setting: Further arguments of ``Euler``.
        """
        cells = state.shape[-1]
        solver = Euler(
            (cells, cells),
            gamma=self.gamma,
            reconstruction=self.reconstruction,
            order=self.order,
            compile=bool(self.compile) and cells >= WORTH_COMPILING,
            dtype=getattr(torch, self.precision),
            device=device,
            **setting,
        )
        return solver.solve(state, self.times.tolist(), cfl=self.cfl, coarsen=coarsen)

    def _refinement(self, resolution: int) -> int:
        """Cells of the solver for each saved one, along each axis."""
        cells = 2 * resolution if self.solver_resolution is None else self.solver_resolution
        if resolution < 4 or cells < resolution or cells % resolution:
            raise ConfigError(
                f"resolution {resolution} with solver_resolution={self.solver_resolution} cannot be; give at least 4 "
                "saved cells along each axis, and a multiple of them for the solver."
            )
        return cells // resolution


@dataclass(frozen=True, kw_only=True)
class RiemannProblem(EulerTask):
    """CE-RP: a constant state in each of four quadrants.

        rho, p ~ U[0.1, 1],  u, v ~ U[-1, 1]

    Args:
        squares: Squares along each axis. Published: 2.
    """

    name: ClassVar[str] = "CE-RP"
    initial_data: ClassVar[str] = "constant states in 2 x 2 squares"

    squares: int = 2

    def draw(self, resolution: int, generator: Generator) -> Fields:
        """Initial density, velocity u and v, and pressure, shape (4, x, y)."""
        return at(_mild_states(self.squares, generator), *mesh(resolution))


@dataclass(frozen=True, kw_only=True)
class CurvedRiemannProblem(EulerTask):
    """CE-CRP: a constant state in each of four regions with curved boundaries.

    The point (x, y) has the state of the square in which (x + sigma_x, y + sigma_y) modulo 1 lies,

        sigma(x, y) = sum_{i,j = 1..modes} a_ij sin(2 pi (i x + j y + b_ij)),  a ~ U[-0.1, 0.1],  b ~ U[0, 1].

    Args:
        squares: Squares along each axis. Published: p, without a value.
        modes: Waves along each axis. Published: p, without a value.
        printed_phase: Whether the phase is 2 pi i x + j y + b, as printed. It then jumps at the boundary y = 0.
    """

    name: ClassVar[str] = "CE-CRP"
    initial_data: ClassVar[str] = "constant states in four curved regions"

    squares: int = 2
    modes: int = 2
    printed_phase: bool = False

    def draw(self, resolution: int, generator: Generator) -> Fields:
        """Initial density, velocity u and v, and pressure, shape (4, x, y)."""
        states = _mild_states(self.squares, generator)
        x, y = mesh(resolution)
        shift_x, shift_y = (
            plane_waves(x, y, generator=generator, modes=self.modes, amplitude=0.1, printed_phase=self.printed_phase)
            for _ in range(2)
        )
        return at(states, x + shift_x, y + shift_y)


@dataclass(frozen=True, kw_only=True)
class KelvinHelmholtz(EulerTask):
    """CE-KH: a heavy layer that slides between two light ones, with wavy interfaces.

        (rho, u, v, p) = (1, 1/2, 0, p0) where y < 1/4 + s_0(x) or y > 3/4 + s_1(x), (2, -1/2, 0, p0) elsewhere
        s = amplitude sum_{j = 1..modes} a_j cos(2 pi j (x + b_j)) / sum_j a_j,  a, b ~ U[0, 1]

    Args:
        modes: Waves of an interface. Not published.
        amplitude: Size of the waves. Published: 0.05.
        pressure: p0. As printed 2.5; the published normalisation subtracts 1.
    """

    name: ClassVar[str] = "CE-KH"
    initial_data: ClassVar[str] = "a heavy layer between two light ones, wavy interfaces"

    modes: int = 10
    amplitude: float = 0.05
    pressure: float = 2.5

    def draw(self, resolution: int, generator: Generator) -> Fields:
        """Initial density, velocity u and v, and pressure, shape (4, x, y)."""
        x, y = mesh(resolution)
        lower, upper = (self.amplitude * cosines(x, generator=generator, modes=self.modes) for _ in range(2))
        light = ((y < 0.25 + lower) | (y > 0.75 + upper)).double()
        return torch.stack([2 - light, light - 0.5, 0 * light, torch.full_like(light, self.pressure)])


@dataclass(frozen=True, kw_only=True)
class Gauss(EulerTask):
    """CE-Gauss: the vortices of NS-Gauss in a gas of constant density and pressure, at a Mach number of 0.05.

    Args:
        vortices: How many. Published: 100.
        exponent: Vorticity exp(-exponent r^2 / s^2). 1 agrees with the spread of the published velocities; 1/2, as
            printed, gives twice that.
        density: Published: 0.1.
        pressure: Published: 2.5.
    """

    name: ClassVar[str] = "CE-Gauss"
    initial_data: ClassVar[str] = "vorticity of Gaussian vortices"

    vortices: int = 100
    exponent: float = 1.0
    density: float = 0.1
    pressure: float = 2.5

    def draw(self, resolution: int, generator: Generator) -> Fields:
        """Initial density, velocity u and v, and pressure, shape (4, x, y)."""
        # Every second point of a grid of twice the resolution is a cell's centre.
        vorticity = initial.gaussian_vortices(
            2 * resolution, generator=generator, vortices=self.vortices, exponent=self.exponent
        )
        u, v = initial.velocity_of(vorticity)[:, 1::2, 1::2]
        return torch.stack([torch.full_like(u, self.density), u, v, torch.full_like(u, self.pressure)])


@dataclass(frozen=True, kw_only=True)
class PerturbedRiemannProblem(EulerTask):
    """CE-RPUI: a constant state in each of four quadrants, whose boundaries have short, small waves.

    As CE-CRP, with amplitudes a ~ U[-amplitude, amplitude] and the modes i + 2 p^2, j + 2 p^2, p = modes.

    Args:
        squares: Squares along each axis. Published: 2.
        modes: p. Published without a value.
        amplitude: Of every wave. Published: 0.01.
        density_from: Density from U[density_from, density_to]. Published: 1 to 3.
        density_to: See there.
        speed: Velocities from U[-speed, speed]. Published: 10. The published normalisation of the pressure does not
            agree with that, see the documentation.
        pressure_from: Pressure from U[pressure_from, pressure_to]. Published: 5 to 7.
        pressure_to: See there.
    """

    name: ClassVar[str] = "CE-RPUI"
    initial_data: ClassVar[str] = "constant states in 2 x 2 squares, uncertain interfaces"

    squares: int = 2
    modes: int = 2
    amplitude: float = 0.01
    density_from: float = 1.0
    density_to: float = 3.0
    speed: float = 10.0
    pressure_from: float = 5.0
    pressure_to: float = 7.0

    def draw(self, resolution: int, generator: Generator) -> Fields:
        """Initial density, velocity u and v, and pressure, shape (4, x, y)."""
        states = random_states(
            self.squares,
            density=(self.density_from, self.density_to),
            speed=self.speed,
            pressure=(self.pressure_from, self.pressure_to),
            generator=generator,
        )
        x, y = mesh(resolution)
        shift_x, shift_y = (
            plane_waves(
                x, y, generator=generator, modes=self.modes, amplitude=self.amplitude, lowest=1 + 2 * self.modes**2
            )
            for _ in range(2)
        )
        return at(states, x + shift_x, y + shift_y)


@dataclass(frozen=True, kw_only=True)
class RichtmyerMeshkov(EulerTask):
    """CE-RM: a blast in the middle of a heavy disk, whose shock runs through the disk's wavy boundary.

        u = v = 0,  p = 20 where r < 0.1, 1 elsewhere,  rho = 2 where r < I(theta), 1 elsewhere
        I = 1/4 + amplitude sum_{j = 1..modes} a_j cos(j (theta + 2 pi b_j)) / sum_j a_j,  a, b ~ U[0, 1]

    r and theta are polar coordinates about the centre of the square. The tracer is at first 1 in the disk, 0 outside.

    Args:
        horizon: Time of the last frame. Published: 2.
        modes: Waves of the boundary. Published: 10.
        amplitude: Size of the waves. Published without a value.
    """

    name: ClassVar[str] = "CE-RM"
    initial_data: ClassVar[str] = "a blast in a heavy disk, wavy boundary"

    horizon: float = 2.0
    modes: int = 10
    amplitude: float = 0.05

    @property
    def variables(self) -> tuple[StoredVariable, ...]:
        """What the file holds."""
        return (StoredVariable("solution", ("rho", "u", "v", "p", "tracer")),)

    def draw(self, resolution: int, generator: Generator) -> Fields:
        """Initial density, velocity u and v, pressure and tracer, shape (5, x, y)."""
        x, y = (each - 0.5 for each in mesh(resolution))
        radius, angle = torch.hypot(x, y), torch.atan2(y, x) / (2 * math.pi)
        interface = 0.25 + self.amplitude * cosines(angle, generator=generator, modes=self.modes)
        inside = (radius < interface).double()
        pressure = 1 + 19 * (radius < 0.1).double()
        return torch.stack([1 + inside, 0 * inside, 0 * inside, pressure, inside])


def _mild_states(squares: int, generator: Generator) -> Tensor:
    return random_states(squares, density=(0.1, 1), speed=1, pressure=(0.1, 1), generator=generator)


TASKS = (RiemannProblem, CurvedRiemannProblem, KelvinHelmholtz, Gauss, PerturbedRiemannProblem, RichtmyerMeshkov)
"""Every kind of task of this family."""
