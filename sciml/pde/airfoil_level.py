"""The steady Euler equations on one O-mesh: fluxes through the faces of its cells, and steps in local time."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from jaxtyping import Complex128, Float
from torch import Tensor

from sciml.pde.gas import conserved, primitive
from sciml.pde.riemann import hllc

GAMMA = 1.4

State = Float[Tensor, "batch 4 around outwards"]

STAGES = {1: (0.0533, 0.1263, 0.2375, 0.4414, 1.0), 2: (0.0695, 0.1602, 0.2898, 0.5060, 1.0)}
"""Runge-Kutta coefficients that damp short waves best, for upwind schemes of first and second order."""
STEP = {1: 2.0, 2: 1.0}
"""Their time steps relative to each other."""
LIMITER = 0.6
"""Differences between cells below this over the number of cells around are not limited, lest the limiter ring."""


@dataclass(frozen=True, kw_only=True)
class FreeStream:
    """The flow far away, in units in which density, pressure and the gas constant are 1.

    Args:
        mach: Mach number, below 1. Published: 0.729.
        angle: Angle of attack, degrees. Published: 2.31.
    """

    mach: float
    angle: float

    @property
    def speed(self) -> float:
        """Speed, nondimensional."""
        return self.mach * math.sqrt(GAMMA)

    @property
    def dynamic_pressure(self) -> float:
        """Half of density times speed squared, nondimensional."""
        return self.speed**2 / 2

    @property
    def direction(self) -> tuple[float, float]:
        """Unit vector of the velocity."""
        return math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))


@dataclass(frozen=True, eq=False, kw_only=True)
class Level:
    """Geometry of a batch of O-meshes and the flow far away from them.

    Cell (i, j) has the nodes i, i + 1 around and j, j + 1 outwards. Faces across the two directions have a unit normal
    that points to the next cell, and a length in chords.

    Args:
        area: Area of the cells, shape (batch, 1, around, outwards).
        normal_around, length_around: Face between cells i - 1 and i, shape (batch, 2 or 1, around, outwards).
        normal_outwards, length_outwards: Face between cells j - 1 and j, shape (batch, 2 or 1, around, outwards + 1);
            the first is the wall, the last the far field.
        mean_around, mean_outwards: Mean of normal times length over the two faces of a cell, shape (batch, 2, around,
            outwards).
        lifting: Lift coefficient per wall pressure, shape (batch, around).
        dragging: Drag coefficient per wall pressure, shape (batch, around).
        swirl: Velocity of a vortex of lift coefficient 1 at the far field, shape (batch, 2, around).
        stream: Velocity of the free stream, shape (batch, 2).
    """

    area: Tensor
    normal_around: Tensor
    length_around: Tensor
    normal_outwards: Tensor
    length_outwards: Tensor
    mean_around: Tensor
    mean_outwards: Tensor
    lifting: Tensor
    dragging: Tensor
    swirl: Tensor
    stream: Tensor

    @classmethod
    def of(cls, nodes: Complex128[Tensor, "batch around outwards_plus_1"], stream: FreeStream) -> Level:
        """The level with these nodes, x + i y in chords; the chord reaches from (0, 0) to (1, 0)."""
        following = nodes.roll(-1, 1)
        across_around = 1j * (nodes[..., 1:] - nodes[..., :-1])
        across_outwards = -1j * (following - nodes)
        diagonals = following[..., 1:] - nodes[..., :-1], nodes[..., 1:] - following[..., :-1]
        wall = across_outwards[..., 0]
        along = complex(*stream.direction)
        force = -wall * along.conjugate() / stream.dynamic_pressure

        # A point vortex in subsonic flow; circulation = speed lift / 2.
        far = (nodes[..., -1] + following[..., -1]) / 2 - 0.25
        across = (far / far.abs() * along.conjugate()).imag
        squeeze = math.sqrt(1 - stream.mach**2) / (1 - (stream.mach * across) ** 2)
        swirl = -1j * far * stream.speed / 2 * squeeze / (2 * math.pi * far.abs() ** 2)

        velocity = force.real.new_tensor([stream.speed * part for part in stream.direction])
        return cls(
            area=(-(diagonals[0].conj() * diagonals[1]).imag / 2)[:, None].abs(),
            normal_around=_parts(across_around / across_around.abs()),
            length_around=across_around.abs()[:, None],
            normal_outwards=_parts(across_outwards / across_outwards.abs()),
            length_outwards=across_outwards.abs()[:, None],
            mean_around=_parts((across_around + across_around.roll(-1, 1)) / 2),
            mean_outwards=_parts((across_outwards[..., 1:] + across_outwards[..., :-1]) / 2),
            lifting=force.imag,
            dragging=force.real,
            swirl=_parts(swirl),
            stream=velocity.expand(len(nodes), 2),
        )

    def take(self, which: Tensor) -> Level:
        """The level of some members of the batch, given by their positions or by a mask."""
        return Level(**{field.name: getattr(self, field.name)[which] for field in fields(self)})

    def to(self, *args, **kwargs) -> Level:
        """The level with another dtype or on another device."""
        return Level(**{field.name: getattr(self, field.name).to(*args, **kwargs) for field in fields(self)})

    def uniform(self) -> State:
        """Conserved variables of the free stream in all cells."""
        batch, _, around, outwards = self.area.shape
        u, v = self.stream.unbind(1)
        flow = torch.stack([torch.ones_like(u), u, v, torch.ones_like(u)], 1)
        return conserved(flow[:, :, None, None].expand(batch, 4, around, outwards), gamma=GAMMA)

    def wall_pressure(self, flow: State) -> Float[Tensor, "batch around"]:
        """Pressure at the wall, extrapolated from the two cells next to it, shape (batch, around)."""
        return 1.5 * flow[:, 3, :, 0] - 0.5 * flow[:, 3, :, 1]

    def lift(self, flow: State) -> Float[Tensor, " batch"]:
        """Lift coefficient, shape (batch,)."""
        return (self.wall_pressure(flow) * self.lifting).sum(-1)

    def drag(self, flow: State) -> Float[Tensor, " batch"]:
        """Drag coefficient, shape (batch,)."""
        return (self.wall_pressure(flow) * self.dragging).sum(-1)

    def far_field(self, flow: State) -> Float[Tensor, "batch 4 around"]:
        """The free stream and the vortex that goes with the lift, of the free stream's entropy and total enthalpy."""
        u, v = (self.stream[..., None] + self.lift(flow)[:, None, None] * self.swirl).unbind(1)
        square = (self.stream**2).sum(1)[:, None]
        temperature = 1 - (GAMMA - 1) / (2 * GAMMA) * (u * u + v * v - square)
        rho = temperature ** (1 / (GAMMA - 1))
        return torch.stack([rho, u, v, rho * temperature], 1)

    def residual(self, flow: State, *, order: int) -> State:
        """Net outflow of mass, momentum and energy from every cell.

        Fluxes by HLLC between limited reconstructions (van Albada) of density, velocity and pressure. The wall exerts
        pressure only. At the far field the Riemann solver tells what comes in from what goes out.

        Args:
            flow: Density, velocity and pressure, nondimensional, shape (batch, 4, around, outwards).
            order: 1 for no reconstruction, or 2.
        """
        outside = self.far_field(flow)[..., None]
        if order == 1:
            before, after, inner, outer = flow.roll(1, 2), flow, flow, flow
        else:
            ease = (LIMITER / flow.shape[2]) ** 2
            backward = flow - flow.roll(1, 2)
            drop, rise = _limited(backward, backward.roll(-1, 2), ease)
            before, after = (flow + rise).roll(1, 2), flow - drop
            wide = torch.cat([2 * flow[..., :1] - flow[..., 1:2], flow, outside], -1)
            step = wide[..., 1:] - wide[..., :-1]
            drop, rise = _limited(step[..., :-1], step[..., 1:], ease)
            inner, outer = flow + rise, flow - drop
        around = _flux(before, after, self.normal_around) * self.length_around
        beyond = torch.cat([outer[..., 1:], outside], -1)
        outwards = _flux(inner, beyond, self.normal_outwards[..., 1:]) * self.length_outwards[..., 1:]
        net = around.roll(-1, 2).sub_(around).add_(outwards)
        net[..., 1:] -= outwards[..., :-1]
        net[:, 1:3, :, 0] -= outer[:, 3:4, :, 0] * (self.normal_outwards * self.length_outwards)[..., 0]
        return net

    def waves(self, flow: State) -> Float[Tensor, "batch 1 around outwards"]:
        """Volume that waves cross in a cell per time: sum over both directions of (|u . n| + c) length."""
        sound = torch.sqrt(GAMMA * flow[:, 3] / flow[:, 0])
        total = sound * 0
        for mean in (self.mean_around, self.mean_outwards):
            total += (flow[:, 1] * mean[:, 0] + flow[:, 2] * mean[:, 1]).abs() + sound * mean.norm(dim=1)
        return total[:, None]

    def advance(
        self, state: State, *, order: int, cfl: float, source: State | None = None
    ) -> tuple[State, Float[Tensor, " batch"]]:
        """One Runge-Kutta step in local time towards residual + source = 0.

        Args:
            state: Conserved variables, nondimensional, shape (batch, 4, around, outwards).
            order: Of the scheme, 1 or 2.
            cfl: Cells that waves cross in a step of the scheme of second order. Stable below about 1.2.
            source: Added to the residual.

        Returns:
            The new state, and the root mean square of the net mass flow out of a cell relative to what waves carry
            through it, before the step, shape (batch,).
        """
        flow = primitive(state, gamma=GAMMA)
        pace = STEP[order] * cfl / self.waves(flow)
        start, imbalance = state, None
        for stage in STAGES[order]:
            net = self.residual(flow, order=order)
            if source is not None:
                net += source
            net *= pace
            if imbalance is None:
                imbalance = net[:, 0].square().mean((-2, -1)).sqrt() / (STEP[order] * cfl)
            state = start - stage * net
            flow = primitive(state, gamma=GAMMA)
        assert imbalance is not None
        return state, imbalance


def _parts(number: Tensor) -> Tensor:
    return torch.stack([number.real, number.imag], 1)


def _limited(a: Tensor, b: Tensor, ease: float) -> tuple[Tensor, Tensor]:
    """Drop to the face before and rise to the face after, from the differences to the cells before and after.

    s / 4 ((1 +- s / 3) a + (1 -+ s / 3) b),  s = (2 a b + e) / (a^2 + b^2 + e): third order in one dimension, if smooth
    """
    product = torch.addcmul(a.new_tensor(ease), a, b, value=2.0)
    smooth = product.div_(torch.addcmul(a.new_tensor(ease), a, a).addcmul_(b, b))
    mean = (a + b).mul_(smooth).mul_(0.25)
    skew = (b - a).mul_(smooth).mul_(smooth).mul_(1 / 12)
    return mean - skew, mean.add_(skew)


def _flux(left: State, right: State, normal: Tensor) -> State:
    x, y = normal.unbind(1)

    def turned(flow: Tensor) -> tuple[Tensor, ...]:
        rho, u, v, p = flow.unbind(1)
        return rho, u * x + v * y, v * x - u * y, p

    mass, along, across, energy = hllc(turned(left), turned(right), gamma=GAMMA)
    return torch.stack([mass, along * x - across * y, along * y + across * x, energy], 1)
