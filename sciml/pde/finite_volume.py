"""Finite-volume compressible Euler equations on a rectangle, batched over trajectories.

Axis -2 of every field is x, axis -1 is y. The state is kept with a rim of ghost cells, which hold the boundary
conditions. A step works on slabs of rows that fit the cache of a CPU core; a slab with its rim is all it needs to know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.errors import ConfigError, ShapeError
from sciml.pde.compilation import compiled, compiler_available
from sciml.pde.gas import conserved, primitive
from sciml.pde.muscl import RIM, advance, inner, positive, survey
from sciml.pde.reconstruction import Reconstruction
from sciml.pde.retry import BlowUpError

Edge = Literal["periodic", "open", "wall"]

CELLS_IN_A_SLAB = 2**14
"""Cells that a CPU core works on at once: the temporary arrays of so many stay in its cache."""

STEPS_BETWEEN_FRAMES = 100_000
"""More steps than this between two saved frames means that a velocity or the sound speed has run away."""

WEIGHTS = {2: (1.0, 1 / 2), 3: (1.0, 1 / 4, 2 / 3)}
"""Stages of the strong-stability-preserving Runge-Kutta methods: U <- U0 + weight (U + dt L(U) - U0)."""


class Euler:
    """Solves the compressible Euler equations and the transport of any number of tracers c, with or without gravity.

        rho_t + div(rho u) = 0,   (rho u)_t + div(rho u x u) + grad p = -rho grad phi
        E_t + div((E + p) u) = -rho u . grad phi,   (rho c)_t + div(rho c u) = 0
        E = p / (gamma - 1) + rho |u|^2 / 2

    by limited linear reconstruction of density, velocity, pressure and tracers, HLLC fluxes and a strong-stability-
    preserving Runge-Kutta method: second order where the flow is smooth, shocks in two or three cells. Mass, momentum,
    energy and tracers are conserved to rounding. Where a stage would make density or pressure negative it is redone
    with values constant in the cells concerned, by the same fluxes on both sides of every face. With gravity, slopes
    are those of the deviation from hydrostatic equilibrium, which is kept to rounding if it is isentropic, and the
    energy E + rho phi is conserved.

    Every trajectory has time steps of its own: it does not depend on the batch that it is solved in.

    Args:
        shape: Cells along x and y. One cell along an axis leaves that axis out.
        lengths: Size of the rectangle, nondimensional.
        edges: What is at the boundary along x and along y: ``periodic``; ``open``, where the flow goes out freely; or
            ``wall``, which it slips along.
        gamma: Ratio of specific heats. Air: 1.4.
        reconstruction: ``mc``, ``minmod``, ``weno`` or ``central``; see ``sciml.pde.reconstruction.rises``.
        order: Order of the Runge-Kutta method, 2 or 3.
        potential: Gravitational potential phi at the cell centres of every trajectory or of all, nondimensional, shape
            ([batch,] x, y); none by default.
        compile: Whether to compile the inner loop: several times as fast, after half a minute or so of preparation. The
            result differs by rounding.
        dtype: ``torch.float32`` to make data, ``torch.float64`` to measure errors.
        device: Where to compute.

    Raises:
        ConfigError: a setting is unknown, or there is no C++ compiler to compile with.
        ShapeError: the potential is not on the grid.

    Reference:
        Toro, Riemann Solvers and Numerical Methods for Fluid Dynamics, chapters 10 and 13 to 16.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        lengths: tuple[float, float] = (1.0, 1.0),
        edges: tuple[Edge, Edge] = ("periodic", "periodic"),
        gamma: float = 1.4,
        reconstruction: Reconstruction = "mc",
        order: int = 2,
        potential: Float[Tensor, "... x y"] | None = None,
        compile: bool = False,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        unknown = [edge for edge in edges if edge not in get_args(Edge)]
        if unknown or reconstruction not in get_args(Reconstruction) or order not in WEIGHTS or not gamma > 1:
            raise ConfigError(
                f"got edges={edges}, reconstruction={reconstruction!r}, order={order}, gamma={gamma}; edges are "
                f"{', '.join(get_args(Edge))}, reconstructions {', '.join(get_args(Reconstruction))}, the order is 2 "
                "or 3, and gamma is above 1."
            )
        if compile and torch.device(device).type == "cpu" and not compiler_available():
            raise ConfigError(
                "compile=True needs a C++ compiler, and there is none. Install g++, or take compile=False."
            )
        self.shape = shape
        self.edges = edges
        self.gamma = gamma
        self.dtype = dtype
        self.device = torch.device(device)
        spacing = tuple(cells / length for cells, length in zip(shape, lengths, strict=True))
        self._units: dict[str, Any] = {"inverse_spacing": spacing, "gamma": gamma}
        self._options: dict[str, Any] = self._units | {"reconstruction": reconstruction}
        self._compile = compile
        self._advance = compiled(advance) if compile else advance
        self._weights = [torch.tensor(weight, dtype=dtype, device=self.device) for weight in WEIGHTS[order]]
        self._potential = None
        if potential is not None:
            if tuple(potential.shape[-2:]) != shape:
                raise ShapeError(f"potential has shape {tuple(potential.shape)}; the solver expects (..., {shape}).")
            self._potential = self._rimmed(potential[..., None, :, :])

    def solve(
        self,
        initial: Float[Tensor, "batch channel x y"],
        times: Sequence[float],
        *,
        cfl: float = 0.8,
        coarsen: int = 1,
    ) -> Float[Tensor, "batch frame channel xs ys"]:
        """Integrate from ``initial`` and return the fields at ``times``, each of which is reached exactly.

        The time step of a trajectory is dt = cfl / max((|u| + c) / dx + (|v| + c) / dy), shortened so that the next
        frame is met; c is the speed of sound.

        Args:
            initial: Density, velocity u and v, pressure and any number of tracers at ``times[0]``, nondimensional,
                averages over the cells, shape (batch, 4 + tracers, x, y).
            times: Increasing times of the saved frames, nondimensional, shape (frame,).
            cfl: Cells that the fastest wave crosses in a step. Good values: 0.4 to 0.9; unstable above 1.
            coarsen: Number of cells along each axis whose conserved quantities are averaged in the saved frames.

        Returns:
            The fields, in the order of the channels of ``initial``, shape (batch, frame, channel, x / coarsen,
            y / coarsen).

        Raises:
            ShapeError: ``initial`` is not on the solver's grid.
            BlowUpError: density or pressure became negative or NaN, or a wave too fast to follow.
            ConfigError: ``times`` do not increase, or the grid cannot be coarsened so.
        """
        if initial.ndim != 4 or initial.shape[1] < 4 or tuple(initial.shape[2:]) != self.shape:
            raise ShapeError(
                f"initial fields have shape {tuple(initial.shape)}; the solver expects rho, u, v, p and the tracers, "
                f"shape (batch, 4 + tracers, {self.shape[0]}, {self.shape[1]})."
            )
        if any(later <= earlier for earlier, later in pairwise(times)):
            raise ConfigError(f"times of the saved frames must increase; got {list(times)}.")
        if any(cells % coarsen for cells in self.shape):
            raise ConfigError(f"a grid of {self.shape} cells cannot be coarsened by {coarsen}; it must divide both.")
        saved = tuple(cells // coarsen for cells in self.shape)
        frames = torch.empty(len(initial), len(times), initial.shape[1], *saved, dtype=self.dtype, device=self.device)
        for first in range(0, len(initial), self._company()):
            some = slice(first, first + self._company())
            potential = self._potential
            if potential is not None and potential.ndim == 4:
                potential = potential[some]
            try:
                self._solve(initial[some], times, cfl, coarsen, potential, frames[some])
            except BlowUpError as error:
                raise BlowUpError(first + error.trajectory, error.reason, error.advice) from error
        return frames

    def _company(self) -> int:
        """Trajectories to advance together: all on an accelerator; on a CPU as many as fit the cache."""
        if self.device.type != "cpu":
            return 1 << 30
        # A compiled loop has little overhead to share, and one shape to be compiled for.
        return 1 if self._compile else max(1, CELLS_IN_A_SLAB // math.prod(self.shape))

    def _solve(
        self,
        initial: Tensor,
        times: Sequence[float],
        cfl: float,
        coarsen: int,
        potential: Tensor | None,
        frames: Tensor,
    ) -> None:
        state = self._rimmed(conserved(initial.to(self.device, self.dtype), gamma=self.gamma))
        rate, lowest = survey(inner(state).unbind(-3), **self._units)
        _require(lowest > 0, "density or pressure is negative or NaN at the start")
        for frame, (earlier, later) in enumerate(pairwise((times[0], *times))):
            remaining = [later - earlier] * len(initial)
            while any(remaining):
                steps = [wait * wave / cfl for wait, wave in zip(remaining, rate.tolist(), strict=True)]
                _require(torch.tensor(steps) < STEPS_BETWEEN_FRAMES, "a wave is too fast to follow")
                dt = [wait / max(1, math.ceil(count - 1e-9)) for wait, count in zip(remaining, steps, strict=True)]
                remaining = [wait - step for wait, step in zip(remaining, dt, strict=True)]
                step = torch.tensor(dt, dtype=self.dtype, device=self.device)[:, None, None]
                state, rate = self._step(state, step, potential)
            frames[:, frame] = primitive(_averaged(inner(state), coarsen), gamma=self.gamma)

    def _step(self, start: Tensor, step: Tensor, potential: Tensor | None) -> tuple[Tensor, Tensor]:
        """The state after one step, and the rate at which waves then cross cells, shape (batch,)."""
        state, rate = start, step
        for weight in self._weights:
            new, rate, lowest = self._stage(start, state, step, weight, potential)
            if not (lowest > 0).all():
                new, rate = self._cautious_stage(start, state, step, weight, potential, new)
            state = new
        return state, rate

    def _stage(
        self, start: Tensor, state: Tensor, step: Tensor, weight: Tensor, potential: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The state after a stage, the rate of its waves and its lowest density or pressure, shape (batch,) each."""
        new = torch.empty_like(state)
        rows, columns = self.shape
        height = _slab(rows, columns) if self.device.type == "cpu" else rows
        rates, lowests = [], []
        for row in range(0, rows, height):
            around = slice(row, row + height + 2 * RIM)
            inside = (..., slice(row + RIM, row + RIM + height), slice(RIM, -RIM))
            slab_potential = None if potential is None else potential[..., around, :]
            advanced, rate, lowest = self._advance(
                state[..., around, :], start[inside], step, weight, slab_potential, None, **self._options
            )
            new[inside] = advanced
            rates.append(rate)
            lowests.append(lowest)
        self._fill_rim(new)
        return new, torch.stack(rates).amax(0), torch.stack(lowests).amin(0)

    def _cautious_stage(
        self, start: Tensor, state: Tensor, step: Tensor, weight: Tensor, potential: Tensor | None, failed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The stage again, of first order in and next to the cells that it left without a positive density or pressure.

        If that does not help, of first order in the whole trajectory.
        """
        bad = ~positive(inner(failed), gamma=self.gamma)
        for everywhere in (False, True):
            if everywhere:
                bad = bad | bad.flatten(1).any(1)[:, None, None]
            near = torch.nn.functional.max_pool2d(self._rimmed(bad[:, None]), 3, stride=1, padding=1)
            new = torch.empty_like(state)
            advanced, rate, lowest = advance(state, inner(start), step, weight, potential, 1 - near, **self._options)
            if (lowest > 0).all():
                break
            bad = bad | ~positive(advanced, gamma=self.gamma)
        _require(lowest > 0, "density or pressure became negative or NaN")
        inner(new).copy_(advanced)
        self._fill_rim(new)
        return new, rate

    def _rimmed(self, fields: Float[Tensor, "... channel x y"]) -> Float[Tensor, "... channel x+4 y+4"]:
        rows, columns = self.shape
        out = torch.empty(*fields.shape[:-2], rows + 2 * RIM, columns + 2 * RIM, dtype=self.dtype, device=self.device)
        inner(out).copy_(fields)
        self._fill_rim(out)
        return out

    def _fill_rim(self, fields: Tensor) -> None:
        """Write the boundary conditions into the ghost cells."""
        for axis, momentum, edge in ((-2, 1, self.edges[0]), (-1, 2, self.edges[1])):
            cells = self.shape[axis]
            for ghost in range(RIM):
                before, after = RIM - 1 - ghost, RIM + cells + ghost
                match edge:
                    case "periodic":
                        sources = RIM + (-1 - ghost) % cells, RIM + ghost % cells
                    case "open":
                        sources = RIM, RIM + cells - 1
                    case "wall":
                        sources = RIM + min(ghost, cells - 1), RIM + max(cells - 1 - ghost, 0)
                for target, source in zip((before, after), sources, strict=True):
                    fields.select(axis, target).copy_(fields.select(axis, source))
                    if edge == "wall" and fields.shape[-3] > momentum:
                        fields.select(axis, target)[..., momentum, :].neg_()


def _require(fine: Tensor, reason: str) -> None:
    """Raise BlowUpError for the first trajectory that is not fine, shape (batch,)."""
    if not fine.all():
        raise BlowUpError(int(fine.int().argmin()), reason)


def _averaged(state: Tensor, coarsen: int) -> Tensor:
    return state if coarsen == 1 else torch.nn.functional.avg_pool2d(state, coarsen)


def _slab(rows: int, columns: int) -> int:
    """Rows of a slab: a divisor, so that all slabs have one shape."""
    fits = (height for height in range(1, rows + 1) if rows % height == 0 and height * columns <= CELLS_IN_A_SLAB)
    return max(fits, default=1)
