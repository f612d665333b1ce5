"""Many files as one dataset: the parts of a download, the shards of a generated file, a folder of runs."""

from __future__ import annotations

import glob
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Float64

from sciml.data.spec import FieldSpec, TrajectorySpec
from sciml.data.trajectories import Trajectories
from sciml.errors import DataError, LayoutError

if TYPE_CHECKING:
    from sciml.data.normalise import Normaliser

ENDINGS = (".nc", ".nc4", ".h5", ".hdf5", ".npy", ".npz", ".zarr")

# Files kept open at a time: a plain one costs a descriptor, one that is read through HDF5 a cache of chunks.
OPEN_DIRECT, OPEN_THROUGH_LIBRARY = 128, 4


def part_files(path: str | os.PathLike) -> list[Path] | None:
    """The files behind a folder or a pattern such as ``data/velocity_*.nc``, in the order of their names.

    The order is that of the texts (``_10`` before ``_2``), in which the published parts belong together.

    Returns:
        The files, or None if the path is one file (a zarr store, which is a folder, is one).

    Raises:
        LayoutError: there is no file of a known ending.
    """
    path = Path(path)
    if path.suffix == ".zarr" or path.is_file():
        return None
    if path.is_dir():
        found = list(path.iterdir())
    elif glob.has_magic(str(path)):
        found = [Path(name) for name in glob.glob(str(path))]
    else:
        return None
    files = sorted(
        (f for f in found if f.suffix.lower() in ENDINGS and not f.name.startswith(".")), key=lambda f: f.name
    )
    if not files:
        kind = "is a folder without" if path.is_dir() else "matches no"
        raise LayoutError(f"{path} {kind} data files ({', '.join(ENDINGS)}). Check the path.")
    return files


class JoinedTrajectories(Trajectories):
    """The trajectories of several files, one file after the other.

    Only a few files are open at a time, however many there are. Statistics that all files carry are pooled: the mean is
    that of the means, the variance that of the variances plus that of the means, weighted by trajectories.

    Args:
        path: Where the files are.
        parts: The trajectories of each file, in order.

    Raises:
        LayoutError: two files do not hold the same fields on the same grid, or a shard of a dataset is not there.
    """

    def __init__(self, path: str | os.PathLike, parts: Sequence[Trajectories]):
        self.path = Path(path)
        self.parts = tuple(parts)
        _check_shards(self.parts)
        self._counts = np.array([len(part) for part in parts])
        self._ends = np.cumsum(self._counts)
        self.spec = _common_spec(self.parts, self._counts)
        self._recent: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def direct(self) -> bool:
        """Whether all frames are read straight from the files."""
        return all(part.direct for part in self.parts)

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
        names = self.spec.names if channels is None else tuple(channels)
        part, local = self._locate(trajectories)
        touched = np.unique(part)
        if len(touched) == 1:
            return self._part(touched[0]).read_frames(local, steps, channels=names, normaliser=normaliser)
        self.spec.index(names)
        frames = np.empty((len(trajectories), len(names), *self.spec.shape), np.float32)
        for i in touched:
            here = np.flatnonzero(part == i)
            frames[here] = self._part(i).read_frames(local[here], steps[here], channels=names, normaliser=normaliser)
        return frames

    def times(self, trajectory: int) -> Float64[np.ndarray, " time"]:
        """Physical times of the steps of one trajectory."""
        part, local = self._locate(np.array([trajectory]))
        return self.parts[part[0]].times(int(local[0]))

    def coordinates(self, trajectory: int) -> Mapping[str, np.ndarray]:
        """Coordinates of one trajectory."""
        part, local = self._locate(np.array([trajectory]))
        return self.parts[part[0]].coordinates(int(local[0]))

    def scalars(
        self, trajectories: np.ndarray | Sequence[int], steps: np.ndarray | Sequence[int] | None = None
    ) -> dict[str, Float64[np.ndarray, " frame"]]:
        """Parameters of the equation that belong to frames (see ``Trajectories.scalars``)."""
        trajectories = np.asarray(trajectories, np.int64)
        steps = np.zeros_like(trajectories) if steps is None else np.asarray(steps, np.int64)
        part, local = self._locate(trajectories)
        values = {name: np.empty(len(trajectories)) for name in self.spec.scalars}
        for i in np.unique(part):
            here = np.flatnonzero(part == i)
            for name, found in self.parts[i].scalars(local[here], steps[here]).items():
                if name in values:
                    values[name][here] = found
        return values

    def close(self) -> None:
        """Let go of the files; the next read opens them again."""
        for i in self._recent:
            self.parts[i].close()
        self._recent.clear()

    def _locate(self, trajectories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(trajectories) and (trajectories.min() < 0 or trajectories.max() >= len(self)):
            wrong = trajectories.min() if trajectories.min() < 0 else trajectories.max()
            raise DataError(f"{self.path} has no trajectory {wrong}: it has {len(self)}, counted from 0.")
        part = np.searchsorted(self._ends, trajectories, side="right")
        return part, trajectories - (self._ends - self._counts)[part]

    def _part(self, i: int) -> Trajectories:
        self._recent[i] = None
        self._recent.move_to_end(i)
        limit = OPEN_DIRECT if self.parts[i].direct else OPEN_THROUGH_LIBRARY
        while len(self._recent) > limit:
            self.parts[self._recent.popitem(last=False)[0]].close()
        return self.parts[i]


def _check_shards(parts: Sequence[Trajectories]) -> None:
    """Check that the shards of a generated dataset are all there: without one, every split would be another."""
    shards = [str(part.spec.attributes["shard"]) for part in parts if "shard" in part.spec.attributes]
    count = int(shards[0].partition("/")[2] or 0) if shards else 0
    missing = [f"{i}/{count}" for i in range(count) if f"{i}/{count}" not in shards]
    if missing:
        raise LayoutError(
            f"{parts[0].path.parent} lacks the shards {', '.join(missing[:8])}. Generate them with the same command "
            "and --shard."
        )


def _common_spec(parts: Sequence[Trajectories], counts: np.ndarray) -> TrajectorySpec:
    first = parts[0].spec
    for part in parts[1:]:
        if difference := _difference(first, part.spec):
            raise LayoutError(
                f"{part.path} has {difference[1]}, but {parts[0].path} has {difference[0]}: they are not parts of one "
                "dataset. Keep files of one kind in a folder, or name them with a pattern such as data/NAME_*.nc."
            )
    shared = {
        key: value
        for key, value in first.attributes.items()
        if all(key in part.spec.attributes and _same(part.spec.attributes[key], value) for part in parts)
    }
    return replace(
        first,
        fields=tuple(_pooled([part.spec.select([f.name])[0] for part in parts], counts) for f in first.fields),
        attributes=shared,
        scalars=tuple(name for name in first.scalars if all(name in part.spec.scalars for part in parts)),
    )


def _difference(one: TrajectorySpec, other: TrajectorySpec) -> tuple[str, str] | None:
    """What two files do not have in common, in words."""
    described = [
        {
            "fields": f"the fields {', '.join(sorted(spec.names))}",
            "steps": f"{spec.steps} steps",
            "grid": f"a grid of {' x '.join(map(str, spec.shape))}",
            "boundary": f"the boundary conditions {spec.faces}",
            "layout": f"the layout {spec.layout}",
            "task": f"the task {spec.task!r}",
        }
        for spec in (one, other)
    ]
    return next(((described[0][k], described[1][k]) for k in described[0] if described[0][k] != described[1][k]), None)


def _pooled(fields: Sequence[FieldSpec], counts: np.ndarray) -> FieldSpec:
    means = [f.mean for f in fields if f.mean is not None]
    stds = [f.std for f in fields if f.std is not None]
    if len(means) < len(fields) or len(stds) < len(fields):
        return replace(fields[0], mean=None, std=None)
    if len(set(means)) == len(set(stds)) == 1:  # published constants are not to change in the last digit
        return fields[0]
    mean = np.average(means, weights=counts)
    variance = np.average(np.square(stds) + np.square(np.subtract(means, mean)), weights=counts)
    return replace(fields[0], mean=float(mean), std=float(np.sqrt(variance)))


def _same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))
