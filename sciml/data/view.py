"""A part of a file as trajectories of its own: some trajectories and steps, without some channels or scalars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float32, Float64

from sciml.data.normalise import Normaliser
from sciml.data.trajectories import Trajectories
from sciml.errors import ConfigError


class View(Trajectories):
    """Some trajectories of a file and their first steps, without some of its channels and scalars.

    Args:
        trajectories: The whole.
        indices: Which trajectories, in order; all by default.
        drop: Names of channels and scalars to leave out.
        offset: What to add to channels, by name; see ``Channel.shift`` for what a reader subtracts.
        steps: How many steps of every trajectory, from the first; all by default.

    Raises:
        ConfigError: a name to leave out is neither a channel nor a scalar, or no channel is left.
    """

    def __init__(
        self,
        trajectories: Trajectories,
        *,
        indices: Sequence[int] | range | None = None,
        drop: Sequence[str] = (),
        offset: Mapping[str, float] | None = None,
        steps: int | None = None,
    ):
        whole = trajectories.spec
        if unknown := set(drop) - {*whole.names, *whole.scalars}:
            raise ConfigError(
                f"{', '.join(map(repr, sorted(unknown)))} cannot be left out: {trajectories.path} has the channels "
                f"{', '.join(whole.names)} and the scalars {', '.join(whole.scalars) or '(none)'}."
            )
        fields = tuple(field for field in whole.fields if field.name not in drop)
        if not fields:
            raise ConfigError(f"no channel of {trajectories.path} is left. Keep at least one.")
        self.path = trajectories.path
        self._whole = trajectories
        self._indices = np.arange(len(trajectories)) if indices is None else np.asarray(indices, np.int64)
        self._offset = dict(offset or {})
        self.spec = replace(
            whole,
            steps=len(whole.times[:steps]),
            times=whole.times[:steps],
            fields=fields,
            inputs=tuple(name for name in whole.inputs if name not in drop),
            targets=tuple(name for name in whole.targets if name not in drop),
            scalars=tuple(name for name in whole.scalars if name not in drop),
        )

    def __len__(self) -> int:
        return len(self._indices)

    def read_frames(
        self,
        trajectories: np.ndarray,
        steps: np.ndarray,
        *,
        channels: Sequence[str] | None = None,
        normaliser: Normaliser | None = None,
    ) -> Float32[np.ndarray, "frame channel *space"]:
        """Read single frames of many trajectories in one go (see ``Trajectories.read_frames``)."""
        trajectories, steps = np.asarray(trajectories, np.int64), np.asarray(steps, np.int64)
        self._check(trajectories, steps)
        names = self.spec.names if channels is None else tuple(channels)
        self.spec.index(names)
        frames = self._whole.read_frames(self._indices[trajectories], steps, channels=names)
        for slot, name in enumerate(names):
            if name in self._offset:
                frames[:, slot] += np.float32(self._offset[name])
        return frames if normaliser is None else normaliser.encode(frames)

    def times(self, trajectory: int) -> Float64[np.ndarray, " time"]:
        """Physical times of the steps of one trajectory."""
        return self._whole.times(int(self._indices[trajectory]))[: self.spec.steps]

    def coordinates(self, trajectory: int) -> Mapping[str, np.ndarray]:
        """Coordinates of one trajectory, by the names of the axes."""
        return self._whole.coordinates(int(self._indices[trajectory]))

    def scalars(
        self, trajectories: np.ndarray | Sequence[int], steps: np.ndarray | Sequence[int] | None = None
    ) -> dict[str, Float64[np.ndarray, " frame"]]:
        """Scalars of trajectories, at the first or at the given steps (see ``Trajectories.scalars``)."""
        values = self._whole.scalars(self._indices[np.asarray(trajectories)], steps)
        return {name: values[name] for name in self.spec.scalars}

    @property
    def direct(self) -> bool:
        """Whether all frames are read straight from the file."""
        return self._whole.direct

    def close(self) -> None:
        """Let go of the file; the next read opens it again."""
        self._whole.close()
