"""Transport of passive tracers by finite volumes: within their bounds, and with their mean, whatever their edges.

A spectral method rings at a sharp edge; a monotone one cannot. Grid points are the centres of cells, and the velocity
through the faces of a cell comes from the stream function at its corners, so that no cell has any divergence.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def advance(
    tracers: Float[Tensor, "batch tracer x y"],
    courant: Float[Tensor, "2 batch 1 x y"],
    *,
    first_axis: int,
) -> Float[Tensor, "batch tracer x y"]:
    """Carry tracers along for one time step: c_t + div(u c) = 0 on a periodic square.

    Van Leer's scheme with his MC limiter, second order in space and time where the tracer is smooth, in one sweep along
    each axis. Between the sweeps the fluid itself is compressed, which is kept account of, so that a constant stays
    constant and no new extremum can arise. The order of the axes should alternate from step to step.

    Args:
        tracers: Cell averages, any unit, shape (batch, tracer, x, y).
        courant: Share of a cell that flows through its upper face along x and along y, shape (2, batch, 1, x, y). As
            much flows into a cell as out of it. A step that empties a cell is split up.
        first_axis: The axis to begin with, 0 for x or 1 for y.

    Returns:
        The cell averages after the step, shape (batch, tracer, x, y).

    Reference:
        van Leer, J. Comput. Phys. 32 (1979), 101-136; Easter, Mon. Weather Rev. 121 (1993), 1563-1578 (the sweeps).
    """
    # A cell from which no more flows out than it holds keeps its bounds, in both sweeps.
    parts = max(1, math.ceil(float(_outflow(courant).max()) - 1e-6))
    courant = courant / parts if parts > 1 else courant
    for part in range(parts):
        first = (first_axis + part) % 2
        second = 1 - first
        mass = 1 - _difference(courant[first], first)
        tracers = (tracers - _difference(_flux(tracers, courant[first], None, first), first)) / mass
        # The two compressions cancel: after the second sweep the mass of every cell is 1 again.
        tracers = mass * tracers - _difference(_flux(tracers, courant[second], mass, second), second)
    return tracers


def courant_numbers(
    stream: Float[Tensor, "batch x y"], mean: Float[Tensor, "batch 2"], dt: float
) -> Float[Tensor, "2 batch 1 x y"]:
    """Share of a cell that flows through its upper faces in a time step, without any divergence.

    Args:
        stream: Stream function psi (u = psi_y, v = -psi_x) at the upper corner of each cell, shape (batch, x, y).
        mean: Mean velocity, which no periodic stream function has, shape (batch, 2).
        dt: Time step, nondimensional.
    """
    size = stream.shape[-1]
    along_x, along_y = _difference(stream, 1), -_difference(stream, 0)
    drift = mean.T[:, :, None, None] * (dt * size)
    return (torch.stack([along_x, along_y]) * (dt * size**2) + drift)[:, :, None]


def _flux(tracers: Tensor, courant: Tensor, mass: Tensor | None, axis: int) -> Tensor:
    """What flows of a tracer through the upper face of every cell; the tracer is linear within the cells."""
    dim = axis - 2
    ahead = tracers.roll(-1, dim)
    jump = ahead - tracers
    behind = jump.roll(1, dim)
    # Half the slope: the mean of the two differences, at most twice the smaller one, 0 at an extremum.
    most, least = torch.minimum(jump, behind).clamp_(min=0), torch.maximum(jump, behind).clamp_(max=0)
    half = torch.clamp((jump + behind).mul_(0.25), least, most)
    forward, backward = courant.clamp(min=0), courant.clamp(max=0)
    share, share_ahead = (forward, backward) if mass is None else (forward / mass, backward / mass.roll(-1, dim))
    from_here = tracers + half * (1 - share)
    from_ahead = ahead - half.roll(-1, dim) * (1 + share_ahead)
    return forward * from_here + backward * from_ahead


def _outflow(courant: Tensor) -> Tensor:
    """Share of every cell that flows out through all of its faces."""
    forward, backward = courant.clamp(min=0), -courant.clamp(max=0)
    return forward.sum(0) + backward[0].roll(1, -2) + backward[1].roll(1, -1)


def _difference(values: Tensor, axis: int) -> Tensor:
    """What leaves through the upper face minus what enters through the lower one."""
    return values - values.roll(1, axis - 2)
