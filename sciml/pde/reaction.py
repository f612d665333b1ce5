"""The Allen-Cahn equation on the periodic unit square, batched over trajectories.

Axis -2 of every field is x, axis -1 is y.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.errors import ConfigError, ShapeError


class AllenCahn:
    """Solves the Allen-Cahn equation by Strang splitting, both parts of which are solved exactly.

        u_t = Lap u - eps^2 u (u^2 - 1)

    Diffusion multiplies the Fourier modes by exp(-|k|^2 dt); reaction takes u to u / sqrt(E + (1 - E) u^2),
    E = exp(-2 eps^2 dt). Values between -1 and 1 stay there up to the ringing of an interface that the grid does not
    resolve: it is 1 / eps wide. The method is of second order in time and stable for every step.

    Args:
        resolution: Grid points along each axis.
        eps: Strength of the reaction, 1/length. Published: 220.
        dtype: ``torch.float32`` or ``torch.float64``.
        device: Where to compute.

    Raises:
        ConfigError: the grid is too small, or eps negative.

    Reference:
        Strang, SIAM J. Numer. Anal. 5 (1968), 506-517.
    """

    def __init__(
        self,
        resolution: int,
        *,
        eps: float = 220.0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        if resolution < 4 or not eps >= 0:
            raise ConfigError(f"resolution={resolution}, eps={eps} came; expected at least 4 points and eps >= 0.")
        self.resolution, self.eps, self.dtype, self.device = resolution, eps, dtype, torch.device(device)
        kx = 2 * math.pi * torch.fft.fftfreq(resolution, 1 / resolution, dtype=torch.float64)
        ky = 2 * math.pi * torch.fft.rfftfreq(resolution, 1 / resolution, dtype=torch.float64)
        self._square = (kx[:, None] ** 2 + ky[None, :] ** 2).to(device)

    def solve(
        self, start: Float[Tensor, "batch x y"], *, horizon: float, frames: int, steps: int
    ) -> Float[Tensor, "batch frame x y"]:
        """Fields at equally spaced times from 0 to ``horizon``, both included.

        Args:
            start: The field at time 0, nondimensional, shape (batch, x, y).
            horizon: Time of the last frame, length^2 (the diffusivity is 1).
            frames: How many frames, at least 2.
            steps: Time steps between two frames. Good values make eps^2 dt 0.03 to 0.2.

        Returns:
            The fields, shape (batch, frame, x, y).

        Raises:
            ShapeError: ``start`` is not (batch, x, y) with the solver's resolution.
            ConfigError: no frames, no steps or no time.
        """
        if start.ndim != 3 or tuple(start.shape[1:]) != (self.resolution, self.resolution):
            raise ShapeError(
                f"start has shape {tuple(start.shape)}; the solver expects (batch, {self.resolution}, "
                f"{self.resolution})."
            )
        if frames < 2 or steps < 1 or not horizon > 0:
            raise ConfigError(
                f"horizon={horizon}, frames={frames}, steps={steps} came; expected a positive horizon, at least 2 "
                "frames and at least 1 step between them."
            )
        dt = horizon / (frames - 1) / steps
        decay = torch.exp(-self._square * dt).to(self.dtype)
        u = start.to(self.device, self.dtype)
        saved = [u]
        for _ in range(frames - 1):
            # The half steps of reaction at the end of one step and at the beginning of the next are one whole step.
            u = self._react(u, dt / 2)
            for _ in range(steps - 1):
                u = self._react(self._diffuse(u, decay), dt)
            u = self._react(self._diffuse(u, decay), dt / 2)
            saved.append(u)
        return torch.stack(saved, dim=1)

    def _react(self, u: Tensor, dt: float) -> Tensor:
        left = math.exp(-2 * self.eps**2 * dt)
        return u * torch.rsqrt(left + (1 - left) * u * u)

    def _diffuse(self, u: Tensor, decay: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(u) * decay, s=u.shape[-2:])
