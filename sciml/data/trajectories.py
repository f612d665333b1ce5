"""Trajectories: what every reader offers, and the reader for files whose channels are planes of HDF5 datasets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int

from sciml.data.handle import PlaneFile
from sciml.data.spec import FieldSpec, TrajectorySpec
from sciml.data.variable import Variable
from sciml.errors import DataError

if TYPE_CHECKING:
    from sciml.data.normalise import Normaliser


class Trajectories(ABC):
    """Trajectories of one file, read on demand: ``open_trajectories`` makes one.

    It can be pickled and used in DataLoader workers, forked or spawned: every process opens the file for itself, at the
    first read. Use it as a context manager, or call ``close``, to let go of the file early.

    Attributes:
        path: The file.
        spec: What all its trajectories have in common.
    """

    path: Path
    spec: TrajectorySpec

    @abstractmethod
    def __len__(self) -> int:
        """Number of trajectories."""

    @abstractmethod
    def read_frames(
        self,
        trajectories: np.ndarray,
        steps: np.ndarray,
        *,
        channels: Sequence[str] | None = None,
        normaliser: Normaliser | None = None,
    ) -> Float32[np.ndarray, "frame channel *space"]:
        """Read single frames of many trajectories in one go.

        Args:
            trajectories: Trajectory of every frame, shape (frame,).
            steps: Time step of every frame, shape (frame,). A frame that is asked for twice is read once.
            channels: Names of the channels to read; all of ``spec.fields`` by default.
            normaliser: Normalises the channels as they are read; by default they come in the units of the file.

        Returns:
            Fields of shape (frame, channel, *space), a new array.

        Raises:
            DataError: there is no such trajectory or step.
            LayoutError: the file ends before a frame does.
        """

    @property
    def direct(self) -> bool:
        """Whether all frames are read straight from the file, and not through the library of its format."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Let go of the file; the next read opens it again."""

    def read(
        self, trajectory: int, start: int = 0, stop: int | None = None, *, channels: Sequence[str] | None = None
    ) -> Float32[np.ndarray, "time channel *space"]:
        """Read the steps ``start`` to ``stop`` (excluded; all by default) of one trajectory.

        Args:
            trajectory: Which one, from 0.
            start: First step.
            stop: Step after the last one; the end by default.
            channels: Names of the channels to read; all of ``spec.fields`` by default.

        Returns:
            Fields of shape (time, channel, *space), in the units of the file.
        """
        steps = np.arange(start, self.spec.steps if stop is None else stop)
        return self.read_frames(np.full(len(steps), trajectory), steps, channels=channels)

    def times(self, trajectory: int) -> Float64[np.ndarray, " time"]:
        """Physical times of the steps of one trajectory; they are ``spec.times`` unless the file has others for it."""
        return self.spec.times

    def coordinates(self, trajectory: int) -> Mapping[str, np.ndarray]:
        """Coordinates of one trajectory; they are ``spec.coordinates`` unless the file has others for it."""
        return self.spec.coordinates

    def scalars(
        self, trajectories: np.ndarray | Sequence[int], steps: np.ndarray | Sequence[int] | None = None
    ) -> dict[str, Float64[np.ndarray, " frame"]]:
        """Parameters of the equation that belong to frames, by the names of ``spec.scalars``.

        Here they are numbers that the whole file shares, taken from its attributes; readers of files that have others
        for every trajectory, or for every step, say so.

        Args:
            trajectories: Trajectory of every frame, shape (frame,).
            steps: Time step of every frame; the first one by default.

        Returns:
            One array of shape (frame,) for each name, in the units of the file.
        """
        return {name: np.full(len(trajectories), float(self.spec.attributes[name])) for name in self.spec.scalars}

    def _check(self, trajectories: Int[np.ndarray, " frame"], steps: Int[np.ndarray, " frame"]) -> None:
        for kind, asked, count in (("trajectory", trajectories, len(self)), ("step", steps, self.spec.steps)):
            if len(asked) and (asked.min() < 0 or asked.max() >= count):
                wrong = asked.min() if asked.min() < 0 else asked.max()
                raise DataError(f"{self.path} has no {kind} {wrong}: it has {count}, counted from 0.")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self) -> str:
        spec = self.spec
        size = " x ".join(map(str, spec.shape))
        return (
            f"<{len(self)} trajectories of {spec.task or 'an unnamed task'}: {spec.steps} steps of "
            f"{', '.join(spec.names)} on {size}, {self.path}>"
        )


@dataclass(frozen=True, eq=False)
class Channel:
    """Where the values of one field come from.

    Args:
        field: The field.
        variable: Name of the dataset that holds it; None for a field that is made up.
        position: Index along the dataset's channel axis, if it has one.
        value: Value of a made-up field: a number, or an array of shape (*space).
        shift: Subtracted from what is stored, e.g. the mean pressure.
    """

    field: FieldSpec
    variable: str | None = None
    position: int = 0
    value: float | np.ndarray = 0.0
    shift: float = 0.0


class StoredTrajectories(Trajectories):
    """Trajectories whose channels are planes of the datasets of one file, or made up.

    Args:
        file: The file.
        spec: What its trajectories have in common; ``spec.fields`` are the fields of ``channels``.
        channels: Where every field comes from.
        variables: The datasets that the channels refer to, by name.
        trajectories: Number of trajectories.
        transposed: Whether the two spatial axes are stored in the other order.
        scalars: Parameters that differ between trajectories, by name, each of shape (trajectory,).
    """

    def __init__(
        self,
        file: PlaneFile,
        *,
        spec: TrajectorySpec,
        channels: Sequence[Channel],
        variables: dict[str, Variable],
        trajectories: int,
        transposed: bool = False,
        scalars: Mapping[str, np.ndarray] | None = None,
    ):
        self.path = file.path
        self.spec = spec
        self._file = file
        self._channels = tuple(channels)
        self._variables = variables
        self._trajectories = trajectories
        self._transposed = transposed
        self._scalars = dict(scalars or {})

    def __len__(self) -> int:
        return self._trajectories

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
        picked = [self._channels[i] for i in self.spec.index(self.spec.names if channels is None else channels)]
        space = self.spec.shape[::-1] if self._transposed else self.spec.shape
        frames = np.empty((len(trajectories), len(picked), *space), np.float32)
        for name, variable in self._variables.items():
            slots = [slot for slot, channel in enumerate(picked) if channel.variable == name]
            if slots and len(frames):
                positions = [picked[slot].position for slot in slots]
                self._file.read(variable, trajectories, steps, positions, out=frames, slots=slots)
        for slot, channel in enumerate(picked):
            mean, std = (0.0, 1.0) if normaliser is None else (normaliser.mean[slot], normaliser.std[slot])
            if channel.variable is None:
                frames[:, slot] = (channel.value - mean) / std
            elif (mean + channel.shift, std) != (0.0, 1.0):
                _standardise(frames[:, slot], mean + channel.shift, std)
        return np.ascontiguousarray(np.swapaxes(frames, -1, -2)) if self._transposed else frames

    def scalars(
        self, trajectories: np.ndarray | Sequence[int], steps: np.ndarray | Sequence[int] | None = None
    ) -> dict[str, Float64[np.ndarray, " frame"]]:
        """Parameters of the equation that belong to frames (see ``Trajectories.scalars``)."""
        chosen = np.asarray(trajectories, np.int64)
        of_file = self.spec.attributes
        return {
            name: self._scalars[name][chosen] if name in self._scalars else np.full(len(chosen), float(of_file[name]))
            for name in self.spec.scalars
        }

    @property
    def direct(self) -> bool:
        """Whether all frames are read straight from the file."""
        return all(variable.table is not None for variable in self._variables.values())

    def close(self) -> None:
        """Let go of the file; the next read opens it again."""
        self._file.close()


def _standardise(planes: Float32[np.ndarray, "frame *space"], mean: float, std: float) -> None:
    """``planes = (planes - mean) / std`` in place, in one pass over memory."""
    tensor = torch.from_numpy(planes)
    torch.add(torch.tensor(-mean / std, dtype=torch.float32), tensor, alpha=float(1 / std), out=tensor)
