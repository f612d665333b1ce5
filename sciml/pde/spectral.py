"""Pseudo-spectral incompressible Navier-Stokes on the periodic unit square, batched over trajectories.

Axis -2 of every field is x, axis -1 is y. The state is the Fourier series of the vorticity and of the tracers, cut
along y to the modes that the 2/3 rule keeps, so that little time goes into modes that would be thrown away. It is
stored as (ky, kx), ky >= 0: the transform along x then runs along contiguous memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol, get_args

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from sciml.errors import ConfigError, ShapeError
from sciml.pde.retry import BlowUpError
from sciml.pde.transport import advance, courant_numbers

Multiplier = Literal["smooth", "step"]
Transport = Literal["spectral", "bounded"]

STEPS_BETWEEN_FRAMES = 100_000
"""More steps than this between two saved frames means that the velocity has run away."""


class Damping(Protocol):
    """Decay rate of every Fourier mode, 1/time: d/dt a_k = -rate(k) a_k."""

    def rate(self, wavenumber: Float[Tensor, "..."], resolution: int) -> Float[Tensor, "..."]:
        """The rate at integer wavenumbers |k| (mode exp(2 pi i k x)), shape as given."""
        ...


@dataclass(frozen=True)
class Viscosity:
    """Plain viscosity: rate(k) = nu (2 pi |k|)^2.

    Args:
        nu: Kinematic viscosity, nondimensional (the inverse Reynolds number of velocity 1, length 1). Good values:
            1e-4 to 1e-2; 0 is the Euler equation.
    """

    nu: float

    def __post_init__(self):
        if not self.nu >= 0:
            raise ConfigError(f"viscosity nu = {self.nu} would make the flow grow. Give nu >= 0.")

    def rate(self, wavenumber: Float[Tensor, "..."], resolution: int) -> Float[Tensor, "..."]:
        """The rate at integer wavenumbers |k|, shape as given."""
        return self.nu * (2 * math.pi * wavenumber) ** 2


@dataclass(frozen=True)
class SpectralViscosity:
    """Viscosity on the high modes alone.

        rate(k) = eps_N (2 pi |k|)^2 Q(|k| / m_N),  eps_N = strength / N,  m_N = sqrt(N)

    The large scales follow the Euler equation; only modes beyond m_N are damped, more so the closer they come to the
    grid scale.

    Args:
        strength: N times the viscosity eps_N, nondimensional. Good values: 0.02 to 0.1.
        multiplier: Shape of Q. ``smooth``: Q(s) = max(0, 1 - s^-4). ``step``: 0 up to m_N, 1 beyond.

    Reference:
        arXiv:2405.19101, appendix B (eps_N, m_N); Tadmor, SIAM J. Numer. Anal. 26 (1989), 30-44.
    """

    strength: float = 0.05
    multiplier: Multiplier = "smooth"

    def __post_init__(self):
        if not self.strength >= 0:
            raise ConfigError(
                f"spectral viscosity strength = {self.strength} would make the flow grow. Give a value >= 0."
            )
        if self.multiplier not in get_args(Multiplier):
            raise ConfigError(
                f"spectral viscosity multiplier {self.multiplier!r} is unknown; choose one of {get_args(Multiplier)}."
            )

    def rate(self, wavenumber: Float[Tensor, "..."], resolution: int) -> Float[Tensor, "..."]:
        """The rate at integer wavenumbers |k|, shape as given."""
        inverse = math.sqrt(resolution) / wavenumber.clamp(min=0.5)
        share = (1 - inverse**4).clamp(min=0) if self.multiplier == "smooth" else (inverse < 1).to(wavenumber)
        return self.strength / resolution * (2 * math.pi * wavenumber) ** 2 * share


def check_resolution(resolution: int) -> None:
    """Raise ConfigError unless the solver can work on a grid of so many points along each axis."""
    if resolution < 8 or resolution % 2:
        raise ConfigError(f"resolution {resolution} is too small or odd; give an even number of points, at least 8.")


class NavierStokes:
    """Solves the incompressible Navier-Stokes equations and the transport of any number of passive tracers c.

        u_t + (u . grad) u + grad p = D u + f,  div u = 0,  c_t + u . grad c = D_c c  (D_c = 0 if ``bounded``)

    In Fourier space, for the vorticity w = v_x - u_y (Basdevant's form, which needs four transforms instead of five):

        d/dt w_k = (kx^2 - ky^2) [u v]_k - kx ky [u^2 - v^2]_k + (curl f)_k - rate(k) w_k

    The damping is integrated exactly, the rest by the classical fourth-order Runge-Kutta method. The mean velocity,
    which the vorticity does not see, is kept.

    Args:
        resolution: Grid points N along x and along y, even, at least 8. Good values: 64 to 512, powers of two.
        damping: Damping of the velocity.
        transport: How tracers are carried: ``spectral``, as accurate as the velocity where they are smooth, or
            ``bounded``, by finite volumes, which never leave the range of the initial values: for sharp edges.
        tracer_damping: Damping of spectral tracers; that of the velocity by default.
        force: Steady force field (f, g), nondimensional, shape (2, x, y), zero mean.
        dtype: ``torch.float32`` to make data, ``torch.float64`` to measure errors.
        device: Where to compute.

    Raises:
        ConfigError: the resolution is odd or too small, or the force has a mean.
        ShapeError: the force does not have shape (2, N, N).

    Reference:
        Basdevant, J. Comput. Phys. 50 (1983), 209-214.
    """

    def __init__(
        self,
        resolution: int,
        *,
        damping: Damping | None = None,
        transport: Transport = "spectral",
        tracer_damping: Damping | None = None,
        force: Float[Tensor, "2 x y"] | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        check_resolution(resolution)
        if transport not in get_args(Transport):
            raise ConfigError(f"transport {transport!r} is unknown; choose one of {get_args(Transport)}.")
        damping = damping or SpectralViscosity()
        self.transport = transport
        self.resolution = resolution
        self.dtype = dtype
        self.device = torch.device(device)

        kept = (resolution - 1) // 3
        kx = torch.fft.fftfreq(resolution, 1 / resolution, dtype=torch.float64)[None, :]
        ky = torch.arange(kept + 1, dtype=torch.float64)[:, None]
        self._modes = kept + 1
        mask = (kx.abs() <= kept).double()
        wavenumber = torch.sqrt(kx**2 + ky**2)
        kx, ky = torch.broadcast_tensors(2 * math.pi * kx * mask, 2 * math.pi * ky * mask)
        square = kx**2 + ky**2
        inverse_square = torch.where(square > 0, 1 / square, 0)

        self._gradient = self._complex(1j * torch.stack([kx, ky]))
        self._outflow = -self._gradient
        self._biot_savart = self._complex(torch.stack([1j * ky, -1j * kx]) * inverse_square)
        self._stress = self._pairs(torch.stack([kx**2 - ky**2, -kx * ky]))
        dampings = (damping, tracer_damping or damping)
        self._rates = self._pairs(torch.stack([each.rate(wavenumber, resolution) for each in dampings]))
        corner = torch.exp(0.5j * (kx + ky) / resolution)  # half a cell further along both axes
        self._stream = self._complex(corner * inverse_square * mask)
        self._mask = self._pairs(mask.expand(self._modes, -1))
        self._force_curl, self._force_size = None, 0.0
        if force is not None:
            self._set_force(force)

    def solve(
        self,
        initial: Float[Tensor, "batch channel x y"],
        times: Sequence[float],
        *,
        cfl: float = 1.0,
        max_step: float = math.inf,
    ) -> Float[Tensor, "batch frame channel x y"]:
        """Integrate from ``initial`` and return the fields at ``times``, each of which is reached exactly.

        The time step is the same for all trajectories of a batch: dt = cfl / (N max(|u| + |v|)), shortened so that the
        next frame is met.

        Args:
            initial: Velocity u, v and any number of tracers at ``times[0]``, nondimensional, shape (batch, 2 + tracers,
                x, y). What is not solenoidal, and what the 2/3 rule cuts, is projected out of what is spectral.
            times: Increasing times of the saved frames, nondimensional, shape (frame,).
            cfl: Grid cells that the flow crosses in a step. Good values: 0.5 to 1.2; unstable from about 1.35.
            max_step: Longest time step, nondimensional.

        Returns:
            The fields, in the order of the channels of ``initial``, shape (batch, frame, channel, x, y).

        Raises:
            ShapeError: ``initial`` is not on the solver's grid.
            BlowUpError: the solution became infinite, or too fast to follow.
            ConfigError: ``times`` do not increase.
        """
        size = self.resolution
        if initial.ndim != 4 or initial.shape[1] < 2 or initial.shape[2:] != (size, size):
            raise ShapeError(
                f"initial fields have shape {tuple(initial.shape)}; the solver expects u, v and the tracers, shape "
                f"(batch, 2 + tracers, {size}, {size})."
            )
        if any(later <= earlier for earlier, later in pairwise(times)):
            raise ConfigError(f"times of the saved frames must increase; got {list(times)}.")
        initial = initial.to(self.device, self.dtype)
        bounded = initial[:, 2 if self.transport == "bounded" else initial.shape[1] :]
        rates = self._rates[[0] + [1] * (initial.shape[1] - 2 - bounded.shape[1])]
        state, mean = self._enter(initial[:, : initial.shape[1] - bounded.shape[1]])
        fields = self._fields(state, mean)
        stream, steps = self._corner_stream(state), 0
        frames = fields.new_empty(len(initial), len(times), *initial.shape[1:])
        frames[:, 0] = torch.cat([fields, bounded], 1)
        for frame, (earlier, later) in enumerate(pairwise(times), start=1):
            remaining = later - earlier
            while remaining > 0:
                speed = fields[:, :2].abs().sum(1).amax((-2, -1))
                dt = self._step_length(speed, remaining, cfl, max_step)
                state = self._step(state, mean, fields, dt, rates)
                fields = self._fields(state, mean)
                if bounded.shape[1]:
                    before, stream = stream, self._corner_stream(state)
                    courant = courant_numbers((before + stream) / 2, mean.real, dt)
                    bounded = advance(bounded, courant, first_axis=steps % 2)
                steps += 1
                remaining -= dt
            frames[:, frame] = torch.cat([fields, bounded], 1)
        return frames

    def vorticity(self, velocity: Float[Tensor, "... 2 x y"]) -> Float[Tensor, "... x y"]:
        """Vorticity v_x - u_y of a velocity field, cut by the 2/3 rule, shape (..., x, y)."""
        gradient = self._gradient
        u, v = self._forward(velocity.to(self.device, self.dtype)).unbind(-3)
        return self._inverse(gradient[0] * v - gradient[1] * u)

    def divergence(self, velocity: Float[Tensor, "... 2 x y"]) -> Float[Tensor, "... x y"]:
        """Divergence u_x + v_y of a velocity field, cut by the 2/3 rule, shape (..., x, y)."""
        return self._inverse((self._gradient * self._forward(velocity.to(self.device, self.dtype))).sum(-3))

    def _complex(self, table: Tensor) -> Tensor:
        return table.to(self.device, torch.promote_types(self.dtype, torch.complex32))

    def _pairs(self, table: Tensor) -> Tensor:
        """A real table over modes, every entry twice: it then multiplies the (real, imaginary) pairs without a cast."""
        return table.repeat_interleave(2, dim=-1).to(self.device, self.dtype)

    def _set_force(self, force: Tensor):
        size = self.resolution
        if tuple(force.shape) != (2, size, size):
            raise ShapeError(f"force has shape {tuple(force.shape)}; the solver expects (2, {size}, {size}): f and g.")
        force = force.to(self.device, self.dtype)
        self._force_size = float(force.abs().sum(0).amax())
        if float(force.mean((-2, -1)).abs().amax()) > 1e-5 * self._force_size:
            raise ConfigError("the force has a mean, which speeds the flow up for ever. Subtract force.mean((-2, -1)).")
        f, g = self._forward(force)
        self._force_curl = (self._gradient[0] * g - self._gradient[1] * f).view(self.dtype)

    def _forward(self, fields: Float[Tensor, "... x y"]) -> Complex[Tensor, "... ky kx"]:
        half = torch.fft.rfft(fields, norm="forward")
        return torch.fft.fft(half[..., : self._modes].mT, norm="forward").contiguous()

    def _inverse(self, series: Complex[Tensor, "... ky kx"]) -> Float[Tensor, "... x y"]:
        return torch.fft.irfft(torch.fft.ifft(series, norm="forward").mT, n=self.resolution, norm="forward")

    def _enter(self, fields: Tensor) -> tuple[Tensor, Tensor]:
        """Fourier series of vorticity and tracers, and the mean velocity (batch, 2)."""
        series = self._forward(fields)
        series.view(self.dtype).mul_(self._mask)
        u, v = series[:, 0], series[:, 1]
        vorticity = self._gradient[0] * v - self._gradient[1] * u
        return torch.cat([vorticity[:, None], series[:, 2:]], dim=1), series[:, :2, 0, 0].clone()

    def _fields(self, state: Tensor, mean: Tensor) -> Tensor:
        """Velocity and tracers on the grid, shape (batch, 2 + tracers, x, y)."""
        batch, channels, *modes = state.shape
        series = state.new_empty(batch, channels + 1, *modes)
        torch.mul(state[:, :1], self._biot_savart, out=series[:, :2])
        series[:, :2, 0, 0] = mean
        series[:, 2:] = state[:, 1:]
        return self._inverse(series)

    def _corner_stream(self, state: Tensor) -> Tensor:
        """Stream function at the upper corner of every cell of the grid, shape (batch, x, y)."""
        return self._inverse(state[:, 0] * self._stream)

    def _slope(self, fields: Tensor) -> Tensor:
        """Time derivative of the state without the damping, as (real, imaginary) pairs, from the fields on the grid."""
        batch, channels, size, _ = fields.shape
        u, v = fields[:, 0], fields[:, 1]
        products = fields.new_empty(batch, 2 * (channels - 1), size, size)
        torch.mul(u, v, out=products[:, 0])
        torch.mul(u - v, u + v, out=products[:, 1])
        for tracer in range(2, channels):
            torch.mul(fields[:, :2], fields[:, tracer, None], out=products[:, 2 * tracer - 2 : 2 * tracer])
        series = self._forward(products)
        stress = series[:, :2].view(self.dtype)
        slope = stress.new_empty(batch, channels - 1, self._modes, 2 * size)
        torch.mul(stress[:, 0], self._stress[0], out=slope[:, 0]).addcmul_(stress[:, 1], self._stress[1])
        if self._force_curl is not None:
            slope[:, 0] += self._force_curl
        for tracer in range(2, channels):
            flux = series[:, 2 * tracer - 2 : 2 * tracer].mul_(self._outflow)
            torch.add(flux[:, 0], flux[:, 1], out=slope.view(series.dtype)[:, tracer - 1])
        return slope

    def _step_length(self, speed: Tensor, remaining: float, cfl: float, max_step: float) -> float:
        """The time step for the fastest of the given speeds, shape (batch,); ``remaining`` is a multiple of it."""
        # A force speeds a fluid at rest up to about sqrt(|f| / N) while it crosses one cell.
        fastest = max(float(speed.max()), math.sqrt(self._force_size / self.resolution), 1e-12)
        steps = remaining / min(cfl / (self.resolution * fastest), max_step)
        if not steps < STEPS_BETWEEN_FRAMES:
            raise BlowUpError(
                int(torch.nan_to_num(speed, nan=math.inf).argmax()),
                f"largest speed {fastest:g}",
                "Check the initial fields for NaN, take more resolution or more viscosity.",
            )
        return remaining / max(1, math.ceil(steps - 1e-9))

    def _step(self, state: Tensor, mean: Tensor, fields: Tensor, dt: float, rates: Tensor) -> Tensor:
        """One step of integrating-factor RK4; ``fields`` are those of ``state``."""
        half = torch.exp(rates * (-dt / 2))

        def slope(pairs: Tensor) -> Tensor:
            return self._slope(self._fields(pairs.view(state.dtype), mean))

        # With h = e^(-rate dt/2) and a = h y the stages are a + dt/2 h k1, a + dt/2 k2, h (a + dt k3), and the result
        # is h (a + dt/6 h k1 + dt/3 k2 + dt/3 k3) + dt/6 k4: the bracket grows in ``total``, stage by stage.
        start = state.view(self.dtype) * half
        change = self._slope(fields).mul_(half)
        total = torch.add(start, change, alpha=dt / 6)
        change = slope(torch.add(start, change, alpha=dt / 2))
        total.add_(change, alpha=dt / 3)
        change = slope(torch.add(start, change, alpha=dt / 2))
        total.add_(change, alpha=dt / 3)
        change = slope(torch.add(start, change, alpha=dt).mul_(half))
        return total.mul_(half).add_(change, alpha=dt / 6).view(state.dtype)
