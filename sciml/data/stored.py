"""Which variables of a file hold which channels of a trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class StoredVariable:
    """One variable of a file, of shape (sample[, time][, channel], *space).

    Args:
        name: Name of the variable, e.g. ``velocity``.
        channels: Names of its channels, in order.
        in_time: False for one field a trajectory: the wave speed, or everything in a steady problem.
        channel_axis: False for a single channel that is stored without a channel axis.
    """

    name: str
    channels: tuple[str, ...]
    in_time: bool = True
    channel_axis: bool = True

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes before space."""
        return ("sample", *("time",) * self.in_time, *("channel",) * self.channel_axis)

    def take(self, fields: Float[np.ndarray, "trajectory time channel *space"]) -> Float[np.ndarray, "trajectory ..."]:
        """Its channels of all frames, without the axes that it does not have: of a constant field the first frame."""
        fields = fields if self.in_time else fields[:, 0]
        return fields if self.channel_axis else fields.squeeze(1 + self.in_time)


def channel_names(variables: Sequence[StoredVariable]) -> tuple[str, ...]:
    """Names of all channels, in order over the variables."""
    return tuple(name for variable in variables for name in variable.channels)


def channel_slices(variables: Sequence[StoredVariable]) -> tuple[slice, ...]:
    """Where the channels of every variable lie among all channels."""
    ends = list(accumulate(len(variable.channels) for variable in variables))
    return tuple(slice(begin, end) for begin, end in pairwise([0, *ends]))
