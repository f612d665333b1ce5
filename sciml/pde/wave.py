"""The wave equation with variable speed on a square that lets waves out, batched over trajectories.

Axis -2 of every field is x, axis -1 is y. The square is surrounded by a perfectly matched layer: there the equation
goes on in complex coordinates, in which outgoing waves of every direction and frequency die away without reflection.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import pad

from sciml.errors import ConfigError, ShapeError

LARGEST_CFL = 0.95
"""Largest stable step: 1.06 without the layer, as (c dt / h)^2 times 32/3, the Laplacian's eigenvalue, may be 12."""

_GHOSTS = 2  # zeros round every field, as far as the fourth-order Laplacian reaches


class WaveEquation:
    """Solves the wave equation with absorbing boundaries, from a state at rest.

        u_tt = c^2 Lap u,  u_t(0) = 0

    In the layer, with damping rates s_x(x) and s_y(y) that are zero in the square, this is

        u_tt + (s_x + s_y) u_t + s_x s_y u = c^2 (Lap u + p_x + q_y),
        p_t + s_x p = (s_y - s_x) u_x,  q_t + s_y q = (s_x - s_y) u_y.

    The differences are of fourth order in space and time in the square, of second in the layer. In time it is the
    leapfrog scheme, whose error is taken away by the term dt^4 / 12 (c^2 Lap)^2 u.

    Args:
        speed: Speed of waves c > 0 at the grid points of the square, shape (batch, x, y). In the layer it is constant
            along the normal.
        spacing: Distance of neighbouring points, in the unit of length in ``speed``.
        layer: Grid cells of the absorbing layer on each side. Good values: 12 to 24.
        decay: What is left of a wave that enters the layer at right angles, is reflected at its outer end and comes
            back. Good values: 1e-3 to 1e-5; below that the layer is too steep for its grid.
        dtype: ``torch.float32`` or ``torch.float64``.
        device: Where to compute.

    Raises:
        ShapeError: the speed is not (batch, x, y).
        ConfigError: the speed is not positive and finite, or the layer is too thin.

    Reference:
        Grote and Sim, arXiv:1001.0319 (the layer); Dablain, Geophysics 51 (1986), 54-66 (the differences).
    """

    def __init__(
        self,
        speed: Float[Tensor, "batch x y"],
        *,
        spacing: float,
        layer: int = 16,
        decay: float = 1e-4,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        if speed.ndim != 3:
            raise ShapeError(f"speed has shape {tuple(speed.shape)}; the solver expects (batch, x, y).")
        if not (speed.isfinite().all() and (speed > 0).all()):
            raise ConfigError(
                f"the speed runs from {float(speed.min())} to {float(speed.max())}; give positive, finite numbers."
            )
        if layer < 2 or not 0 < decay < 1 or not spacing > 0:
            raise ConfigError(
                f"the layer came with layer={layer}, decay={decay}, spacing={spacing}; "
                "it needs at least 2 cells, a decay between 0 and 1 and a positive spacing."
            )
        self.spacing, self.layer, self.dtype, self.device = spacing, layer, dtype, torch.device(device)
        speed = speed.to(device, torch.float64)
        self.extended_speed = pad(speed[:, None], 4 * [layer], mode="replicate")[:, 0]
        self.extended_shape = tuple(self.extended_speed.shape)
        # A wave decays by exp(-int s / c) each way, and the integral of a parabola is a third of its top.
        self._largest_rate = -1.5 * math.log(decay) * speed.amax((1, 2)) / (layer * spacing)

    def damping(self, size: int, margin: int, offset: float) -> Float64[Tensor, "batch point"]:
        """Damping rate along an axis of the grid with its layer and a margin, ``offset`` cells beside the points."""
        points = torch.arange(-margin, size + margin, dtype=torch.float64, device=self.device) + offset
        return self._largest_rate[:, None] * self._depth(points, size) ** 2

    def _depth(self, points: Float64[Tensor, " point"], size: int) -> Float64[Tensor, " point"]:
        """How deep grid points lie in the layer, from 0 in the square to 1 at its outer end."""
        return torch.maximum(self.layer - points, points - (size - 1 - self.layer)).clamp(0, self.layer) / self.layer

    def _taper(self, start: Tensor) -> Tensor:
        """Let a field fade to zero in the layer, twice differentiably: an edge at its outer end would send waves in."""
        for axis in (1, 2):
            points = torch.arange(start.shape[axis], dtype=torch.float64, device=self.device)
            depth = self._depth(points, len(points))
            fade = 1 - depth**3 * (10 - 15 * depth + 6 * depth**2)
            start = start * (fade[:, None] if axis == 1 else fade).to(self.dtype)
        return start

    def solve(
        self, start: Float[Tensor, "batch extended_x extended_y"], *, horizon: float, frames: int, cfl: float = 0.8
    ) -> Float[Tensor, "batch frame x y"]:
        """Displacements at equally spaced times from 0 to ``horizon``, both included.

        Args:
            start: Displacement at time 0 on the grid with the layer, shape (batch, x + 2 layer, y + 2 layer). In the
                layer it is faded out, and what goes on from there is lost; it is given so that the field has no edge
                where the square ends. A field that vanishes at the boundary is padded with zeros.
            horizon: Time of the last frame, in the unit of length over speed.
            frames: How many frames, at least 2.
            cfl: Grid cells that the fastest wave crosses in a time step. Good values: 0.5 to 0.9.

        Returns:
            The displacement in the square, shape (batch, frame, x, y).

        Raises:
            ShapeError: ``start`` has another shape.
            ConfigError: the scheme is not stable with this ``cfl``, or the times do not increase.
        """
        if tuple(start.shape) != self.extended_shape:
            raise ShapeError(
                f"start has shape {tuple(start.shape)}; the solver expects {self.extended_shape}, the grid with "
                f"{self.layer} cells of layer on each side."
            )
        if not 0 < cfl <= LARGEST_CFL or frames < 2 or not horizon > 0:
            raise ConfigError(
                f"horizon={horizon}, frames={frames}, cfl={cfl} came; expected a positive horizon, at least 2 frames "
                f"and a stable cfl, at most {LARGEST_CFL}."
            )
        interval = horizon / (frames - 1)
        # In a layer that is steep for its grid the damping limits the step: with rate * dt above 1.2 it is unstable.
        rate = max(float(self.extended_speed.max()) / (cfl * self.spacing), float(self._largest_rate.max()))
        steps = max(1, math.ceil(interval * rate - 1e-9))
        start = self._taper(start.to(self.device, self.dtype))
        march = _March(start, self, interval / steps)
        square = (..., slice(self.layer, -self.layer), slice(self.layer, -self.layer))
        saved = [start[square]]
        for _ in range(frames - 1):
            for _ in range(steps):
                march.step()
            saved.append(march.displacement[square].clone())
        return torch.stack(saved, dim=1)


class _March:
    """The fields of a solution on its way, and the coefficients of a step.

    Everything is stored flat, ghosts included, so that a neighbour is a shift and all operations run along contiguous
    memory. The ghosts of u stay zero because the coefficient of the Laplacian is zero there. p lives between the points
    (i, j) and (i + 1, j), q between (i, j) and (i, j + 1).
    """

    def __init__(self, start: Tensor, equation: WaveEquation, dt: float):
        batch, *sizes = equation.extended_shape
        self._shape = (batch, sizes[0] + 2 * _GHOSTS, sizes[1] + 2 * _GHOSTS)
        self._shifts = (self._shape[2], 1)

        def flat(field: Tensor) -> Tensor:
            return field.expand(self._shape).to(start.dtype).flatten()

        def damping(axis: int, offset: float) -> Tensor:
            rates = dt * equation.damping(sizes[axis], _GHOSTS, offset)
            return rates[:, :, None] if axis == 0 else rates[:, None, :]

        rates = damping(0, 0), damping(1, 0)
        half_sum, product = (rates[0] + rates[1]) / 2, rates[0] * rates[1]
        courant = (pad(equation.extended_speed, 4 * [_GHOSTS]) * (dt / equation.spacing)) ** 2
        self._courant, self._gain = flat(courant), flat(1 / (1 + half_sum))
        self._correction = flat(courant / 12 / (1 + half_sum))
        self._stiffness, self._keep = flat(-product / (1 + half_sum)), flat((1 - half_sum) / (1 + half_sum))
        self._flow_keep, self._flow_gain = [], []
        for axis in (0, 1):
            own, other = damping(axis, 0.5), rates[1 - axis]
            self._flow_keep.append(flat((1 - own / 2) / (1 + own / 2)))
            self._flow_gain.append(flat((other - own) / 2 / (1 + own / 2)))

        self._u = flat(pad(start, 4 * [_GHOSTS]))
        self._flows = [torch.zeros_like(self._u) for _ in range(2)]
        self._first, self._second, self._slope = (torch.zeros_like(self._u) for _ in range(3))
        # Increments u(t) - u(t - dt), not u(t - dt), are kept: rounding then grows with the steps, not their square.
        # At rest the first one, +d from -d, is d = -keep d + stiffness u + change.
        self._increment = -(self._u * self._stiffness + self._change()) / (1 + self._keep)

    @property
    def displacement(self) -> Float[Tensor, "batch extended_x extended_y"]:
        return self._u.view(self._shape)[:, _GHOSTS:-_GHOSTS, _GHOSTS:-_GHOSTS]

    def step(self) -> None:
        self._increment.mul_(self._keep).addcmul_(self._u, self._stiffness).add_(self._change())
        # The layer's own fields see the mean of the displacement before and after, as the trapezoidal rule wants it.
        both = torch.add(self._increment, self._u, alpha=2, out=self._second)
        self._u.add_(self._increment)
        for flow, keep, gain, shift in zip(self._flows, self._flow_keep, self._flow_gain, self._shifts, strict=True):
            slope = torch.sub(both[shift:], both[:-shift], out=self._slope[:-shift])
            flow.mul_(keep)[:-shift].addcmul_(slope, gain[:-shift])

    def _change(self) -> Tensor:
        """What the Laplacian and the layer add to u in a step: (dt^2 L + dt^4 / 12 L^2) u, L u = c^2 (Lap u + ...)."""
        first = self._laplacian(self._u, self._first)
        for flow, shift in zip(self._flows, self._shifts, strict=True):
            first[shift:].add_(flow[shift:]).sub_(flow[:-shift])
        first.mul_(self._courant)
        return self._laplacian(first, self._second).mul_(self._correction).addcmul_(first, self._gain)

    def _laplacian(self, field: Tensor, out: Tensor) -> Tensor:
        """h^2 times the Laplacian, of fourth order: weights -1/12, 4/3, -5/2, 4/3, -1/12 along each axis.

        It is made from differences of neighbours, which have no rounding, and not from the weighted neighbours, whose
        rounding the two integrations in time would raise to some 1e-3 after a thousand steps in single precision.
        """
        out.zero_()
        for shift in self._shifts:
            for distance, weight in ((shift, 4 / 3), (2 * shift, -1 / 12)):
                difference = torch.sub(field[distance:], field[:-distance], out=self._slope[:-distance])
                out[:-distance].add_(difference, alpha=weight)
                out[distance:].sub_(difference, alpha=weight)
        return out
