"""Steady compressible inviscid flow past airfoils, batched over airfoils, by multigrid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sciml.errors import ConfigError
from sciml.pde.airfoil_level import GAMMA, FreeStream, Level, State
from sciml.pde.airfoil_mesh import ConformalMap, conformal_map, o_mesh
from sciml.pde.airfoil_shape import Contour
from sciml.pde.gas import primitive
from sciml.pde.retry import BlowUpError

START_CYCLES = 30
"""Cycles on each coarser mesh, whose flow is the start on the next finer one."""
CELLS_TOGETHER = 2**16
"""Cells that a CPU core works on at once: enough to share the overhead, few enough for its cache."""


@dataclass(frozen=True, eq=False, kw_only=True)
class AirfoilFlow:
    """The steady flow past a batch of airfoils, in units in which density and pressure far away and the chord are 1.

    Args:
        flow: Density, velocity and pressure in the cells, shape (batch, 4, around, outwards).
        level: The meshes.
        maps: The conformal map of every airfoil.
        radii: log |Z| of the mesh circles of every airfoil, shape (batch, outwards + 1).
        imbalance: Root mean square of the net mass flow out of a cell relative to what waves carry through it (batch,).
        cycles: Multigrid cycles on the finest mesh, shape (batch,).
    """

    flow: State
    level: Level
    maps: tuple[ConformalMap, ...]
    radii: Float64[np.ndarray, "batch outwards_plus_1"]
    imbalance: Float[Tensor, " batch"]
    cycles: Float[Tensor, " batch"]

    @property
    def lift(self) -> Float[Tensor, " batch"]:
        """Lift coefficient, shape (batch,)."""
        return self.level.lift(self.flow)

    @property
    def drag(self) -> Float[Tensor, " batch"]:
        """Drag coefficient, shape (batch,); without viscosity only that of shocks, and the error of the scheme."""
        return self.level.drag(self.flow)

    def pressure_coefficient(self) -> tuple[Float[Tensor, "batch around"], Float[Tensor, "batch around"]]:
        """Where the wall faces are, x in chords, and (p - 1) / (rho q^2 / 2) there, each of shape (batch, around).

        They run from the trailing edge over the upper surface to the nose and back below.
        """
        around = self.flow.shape[2]
        angle = 2 * math.pi * (np.arange(around) + 0.5) / around
        x = np.stack([np.real(mapping(np.exp(1j * angle))) for mapping in self.maps])
        speed_squared = (self.level.stream**2).sum(1)[:, None]
        return torch.from_numpy(x), (self.level.wall_pressure(self.flow) - 1) / (speed_squared / 2)

    def sample(
        self, airfoil: int, x: Float64[np.ndarray, " point"], y: Float64[np.ndarray, " point"]
    ) -> Float[Tensor, "4 point"]:
        """Density, velocity and pressure at points outside an airfoil, interpolated in the plane of its circle.

        Args:
            airfoil: Position in the batch.
            x: Along the chord from the nose, in chords, shape (point,).
            y: Across the chord, in chords, shape (point,).

        Returns:
            Nondimensional, shape (4, point).
        """
        Z = self.maps[airfoil].inverse(x + 1j * y)
        around = self.flow.shape[2]
        circles = self.radii[airfoil]
        centres = (circles[1:] + circles[:-1]) / 2
        flow = self.flow[airfoil].cpu()
        slope = (flow[..., 1:2] - flow[..., :1]) / (centres[1] - centres[0])
        flow = torch.cat([flow[..., :1] - centres[0] * slope, flow], -1)  # with the values at the wall

        i = (np.angle(Z) / (2 * math.pi) * around - 0.5) % around
        j = np.interp(np.log(np.abs(Z)), np.concatenate([[0.0], centres]), np.arange(len(centres) + 1))
        i0, j0 = np.floor(i).astype(int) % around, np.minimum(np.floor(j).astype(int), len(centres) - 1)
        a, b = torch.from_numpy(i - np.floor(i)), torch.from_numpy(j - j0)
        i1 = (i0 + 1) % around
        near = (1 - a) * flow[:, i0, j0] + a * flow[:, i1, j0]
        far = (1 - a) * flow[:, i0, j0 + 1] + a * flow[:, i1, j0 + 1]
        return (1 - b) * near + b * far


def steady_flow(
    contours: Sequence[Contour],
    stream: FreeStream,
    *,
    around: int = 240,
    outwards: int = 40,
    radius: float = 25.0,
    cfl: float = 1.0,
    tolerance: float = 3e-6,
    cycles: int = 400,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> AirfoilFlow:
    """Solve the steady Euler equations past airfoils.

        div(rho u) = 0,  div(rho u x u) + grad p = 0,  div((E + p) u) = 0,  u . n = 0 at the wall

    Finite volumes (HLLC, limited third-order reconstruction) on conformal O-meshes. Steps in local time of a five-stage
    Runge-Kutta scheme are accelerated by W-cycles of the full approximation scheme; each mesh starts from the flow on
    the next coarser one. The far field carries the vortex that goes with the lift.

    Args:
        contours: The airfoils.
        stream: The flow far away, subsonic.
        around: Cells around the airfoil, even; multigrid likes to halve it three times. Good values: 128 to 384;
            published: 243.
        outwards: Cells from the wall outwards. Good values: around / 6; published: 43.
        radius: Distance of the far field in chords. Good values: 20 to 100.
        cfl: Cells that waves cross in a step. Good values: 0.5 to 1.1.
        tolerance: The flow counts as steady when the root mean square of the net mass flow out of a cell, relative to
            what waves carry through it, is below. Good values: 2e-6; or 1e-5, where the
            lift is still off by up to 0.3 %.
        cycles: Most cycles on the finest mesh.
        dtype: Of the computation.
        device: Where to compute.

    Raises:
        ConfigError: a setting that cannot work.
        BlowUpError: the flow past an airfoil does not become steady.
        SolverError: an airfoil cannot be meshed.
    """
    if not 0 < stream.mach < 1 or not tolerance > 0 or not cfl > 0 or cycles < 1:
        raise ConfigError(
            f"got mach={stream.mach}, cfl={cfl}, tolerance={tolerance}, cycles={cycles}; the free stream must be "
            "subsonic, 0 < mach < 1, the others positive."
        )
    if around < 16 or outwards < 4 or around % 2 or outwards % 2:
        raise ConfigError(
            f"a mesh of {around} x {outwards} cells cannot be coarsened; take even numbers, 16 x 4 at least."
        )
    maps = tuple(conformal_map(contour) for contour in contours)
    meshes = [o_mesh(mapping, around, outwards, radius=radius) for mapping in maps]
    nodes = torch.from_numpy(np.stack([mesh[0] for mesh in meshes]))
    levels = [Level.of(nodes[:, :: 2**k, :: 2**k], stream).to(device, dtype) for k in range(_depth(around, outwards))]
    company = max(1, CELLS_TOGETHER // (around * outwards)) if torch.device(device).type == "cpu" else len(contours)
    parts = []
    for first in range(0, len(contours), company):
        some = torch.arange(first, min(first + company, len(contours)))
        parts.append(_Multigrid([level.take(some) for level in levels], cfl).solve(tolerance, cycles, first))
    state, imbalance, used = (torch.cat(part) for part in zip(*parts, strict=True))
    return AirfoilFlow(
        flow=primitive(state, gamma=GAMMA),
        level=levels[0],
        maps=maps,
        radii=np.stack([mesh[1] for mesh in meshes]),
        imbalance=imbalance,
        cycles=used,
    )


class _Multigrid:
    """W-cycles over a list of levels, from fine to coarse: second order on the finest, first order below.

    Reference:
        A. Jameson, Solution of the Euler equations by a multigrid method, Applied Math. and Computation 13 (1983) 327.
    """

    def __init__(self, levels: Sequence[Level], cfl: float):
        self.levels = list(levels)
        self.cfl = cfl

    def solve(self, tolerance: float, cycles: int, first: int) -> tuple[State, Tensor, Tensor]:
        """The steady state, its imbalance and the cycles used; ``first`` is added to positions in the batch."""
        state = self.levels[-1].uniform()
        for k in range(len(self.levels) - 1, 0, -1):
            coarse = _Multigrid(self.levels[k:], self.cfl)
            for _ in range(START_CYCLES):
                state, _ = coarse.cycle(state)
            state = _refined(state)
        batch = len(state)
        result, imbalance, used = state.clone(), state.new_full((batch,), math.inf), state.new_zeros(batch)
        active, here = torch.arange(batch, device=state.device), self
        for _ in range(cycles):
            state, error = here.cycle(state)
            result[active], imbalance[active] = state, error
            used[active] += 1
            going = ~(error < tolerance)
            if not torch.isfinite(error).all():
                break
            if not going.all():
                if not going.any():
                    return result, imbalance, used
                active, state = active[going], state[going]
                here = _Multigrid([level.take(going) for level in here.levels], self.cfl)
        worst = int(torch.nan_to_num(imbalance, nan=math.inf).argmax())
        raise BlowUpError(
            first + worst,
            f"the flow is not steady to {tolerance:g} after {cycles} cycles: imbalance {float(imbalance[worst]):.2g}",
            "Take a coarser mesh, a larger tolerance or more cycles.",
        )

    def cycle(self, state: State, *, k: int = 0, source: State | None = None) -> tuple[State, Float[Tensor, " batch"]]:
        """One W-cycle from level k down; the new state and the imbalance before it."""
        order = 2 if k == 0 else 1
        level = self.levels[k]
        state, imbalance = level.advance(state, order=order, cfl=self.cfl, source=source)
        if k + 1 == len(self.levels):
            return state, imbalance
        net = level.residual(primitive(state, gamma=GAMMA), order=order)
        net = net if source is None else net + source
        below = self.levels[k + 1]
        start = _summed(state * level.area) / _summed(level.area)
        source = _summed(net) - below.residual(primitive(start, gamma=GAMMA), order=1)
        coarse = start
        for _ in range(2):
            coarse, _ = self.cycle(coarse, k=k + 1, source=source)
        return _corrected(state, coarse - start), imbalance


def _depth(around: int, outwards: int) -> int:
    """Levels down to about 30 x 5 cells."""
    depth = 1
    while around % 2 == 0 and outwards % 2 == 0 and around > 32 and outwards > 5:
        around, outwards, depth = around // 2, outwards // 2, depth + 1
    return depth


def _summed(fields: Float[Tensor, "batch channel i j"]) -> Float[Tensor, "batch channel i/2 j/2"]:
    pairs = fields[:, :, 0::2] + fields[:, :, 1::2]
    return pairs[..., 0::2] + pairs[..., 1::2]


def _refined(coarse: Float[Tensor, "batch channel i j"]) -> Float[Tensor, "batch channel 2*i 2*j"]:
    """Bilinear interpolation between cell centres; constant beyond the last ones outwards."""
    near = 0.75 * coarse
    around = torch.stack([near + 0.25 * coarse.roll(1, 2), near + 0.25 * coarse.roll(-1, 2)], 3)
    return _refined_outwards(around.flatten(2, 3))


def _refined_outwards(coarse: Float[Tensor, "batch channel i j"]) -> Float[Tensor, "batch channel i 2*j"]:
    inner = torch.cat([coarse[..., :1], coarse[..., :-1]], -1)
    outer = torch.cat([coarse[..., 1:], coarse[..., -1:]], -1)
    return torch.stack([0.75 * coarse + 0.25 * inner, 0.75 * coarse + 0.25 * outer], -1).flatten(-2, -1)


def _corrected(state: State, correction: Float[Tensor, "batch channel i/2 j/2"]) -> State:
    """The state plus the correction found on the next coarser mesh.

    Around the airfoil it is not interpolated: that would feed waves of two cells in weakly supersonic flow. Cells whose
    density or pressure it would more than halve are left as they are.
    """
    new = state + _refined_outwards(correction).repeat_interleave(2, 2)
    before, after = primitive(state, gamma=GAMMA), primitive(new, gamma=GAMMA)
    sound = (after[:, ::3] > 0.5 * before[:, ::3]).all(1, keepdim=True)
    return torch.where(sound, new, state)
