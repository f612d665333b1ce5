"""Statistics of a data set of The Well: ``stats.yaml``, and their accumulation in float64 while a file is written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from sciml.data.normalise import moments
from sciml.data.splits import SPLITS
from sciml.errors import LayoutError

FILE = "stats.yaml"
MINIMUM_STD = 1e-4  # the published reader does not divide by less

Statistics = dict[str, dict[str, Any]]


class RunningMoments:
    """Mean and variance per channel of frames that come block by block, without the cancellation of E[x^2] - E[x]^2.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int):
        self._count = 0
        self.mean: Float64[np.ndarray, " channel"] = np.zeros(channels)
        self._squares = np.zeros(channels)  # sum of (x - mean)^2

    def update(self, frames: Float[np.ndarray, "time channel *space"]) -> None:
        """Take in a block of frames."""
        count = frames[:, 0].size
        if count == 0:
            return
        mean, variance = moments(frames)
        total, shift = self._count + count, mean - self.mean
        self.mean = self.mean + shift * (count / total)
        self._squares = self._squares + variance * count + shift**2 * (self._count * (count / total))
        self._count = total

    @property
    def std(self) -> Float64[np.ndarray, " channel"]:
        """Standard deviation (biased) of what came so far."""
        return np.sqrt(self._squares / max(self._count, 1))

    @property
    def rms(self) -> Float64[np.ndarray, " channel"]:
        """Root of the mean square."""
        return np.hypot(self.mean, self.std)


def tabulate(
    shapes: Mapping[str, tuple[int, ...]], values: RunningMoments, changes: RunningMoments | None = None
) -> Statistics:
    """The entries of some fields in ``stats.yaml``.

    Args:
        shapes: Shape of a value of every field: () for a scalar, (axis,) for a vector, (axis, axis) for a tensor.
        values: Moments of all their components, in order.
        changes: Moments of the differences between successive steps; None for fields that do not change.
    """
    moments = {"mean": values.mean, "std": values.std, "rms": values.rms}
    if changes is not None:
        moments |= {"mean_delta": changes.mean, "std_delta": changes.std, "rms_delta": changes.rms}
    cuts = np.cumsum([prod(shape) for shape in shapes.values()])[:-1]
    return {
        key: {
            name: own.reshape(shape).tolist()
            for (name, shape), own in zip(shapes.items(), np.split(numbers, cuts), strict=True)
        }
        for key, numbers in moments.items()
        if shapes
    }


def merge(first: Statistics, second: Statistics) -> Statistics:
    """The statistics of the fields of both."""
    return {key: first.get(key, {}) | second.get(key, {}) for key in first | second}


def read_statistics(path: str | os.PathLike) -> Statistics:
    """Read ``stats.yaml``: a mapping from ``mean``, ``std``, ... to a mapping from fields to numbers.

    Raises:
        LayoutError: the file is no such mapping.
    """
    import yaml

    try:
        read = yaml.safe_load(Path(path).read_text())
        return {key: {name: np.asarray(value, float).tolist() for name, value in read[key].items()} for key in read}
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise LayoutError(
            f"{path} cannot be understood ({error}); expected the keys mean, std, ..., each with numbers by field. "
            "Correct or remove it."
        ) from error


def write_statistics(path: str | os.PathLike, statistics: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``stats.yaml`` with all digits of float64."""
    import yaml

    Path(path).write_text(yaml.safe_dump({key: dict(values) for key, values in statistics.items()}))


def statistics_beside(path: Path) -> Statistics:
    """The ``stats.yaml`` that belongs to a file of a data set, with ``std`` bounded from below; empty if there is none.

    It lies beside the file, or three folders up where the file is in ``NAME/data/train``, ``valid`` or ``test``.
    """
    folders = [path.parent]
    if path.parent.name in SPLITS and path.parent.parent.name == "data":
        folders.append(path.parents[2])
    for folder in folders:
        if (folder / FILE).is_file():
            read = read_statistics(folder / FILE)
            bounded = {name: np.maximum(value, MINIMUM_STD).tolist() for name, value in read.get("std", {}).items()}
            return read | {"std": bounded}
    return {}
