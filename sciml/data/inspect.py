"""What ``sciml inspect`` tells: what trajectories hold, how they are stored, and what would make reading slow."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from sciml.data.detect import open_trajectories
from sciml.data.parts import JoinedTrajectories
from sciml.data.spec import FieldSpec, TrajectorySpec
from sciml.data.storage import StoredArray, stored_arrays
from sciml.data.trajectories import Trajectories

Rows = list[tuple[str, str]]

# What is looked at: enough to see a channel that is all zero or not finite, little enough to take a moment.
FRAMES = 16
SAMPLE_BYTES = 256 << 20

LONGEST = 100  # characters of an attribute that is shown

SMALL_FILE = 16 << 20
MANY_FILES = 100


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Args:
        summary: Name and value of what holds for the whole.
        channels: For every channel its name and unit, the statistics that are known, range and statistics of a few
            frames, and remarks.
        storage: The arrays of the (first) file.
        advice: What makes reading slow or training fail, and what to do about it, a sentence or two each.
    """

    summary: Rows
    channels: list[tuple[str, str, str, str, str]]
    storage: list[StoredArray]
    advice: list[str]


def inspect(path: str | os.PathLike, *, task: str | None = None) -> Inspection:
    """Look into a file, folder or pattern of files, in any layout that ``open_trajectories`` knows.

    A few frames are read, spread over the trajectories, however large the file.

    Args:
        path: What to look into.
        task: Name of the published task where the file does not say it.

    Raises:
        SciMLError: it cannot be read.
    """
    with open_trajectories(path, task=task) as trajectories:
        files = _files(trajectories)
        sample, seconds = _sample(trajectories)
        storage = stored_arrays(files[0])
        sizes = [_size(file) for file in files]
        return Inspection(
            summary=_summary(trajectories, sizes, seconds),
            channels=_channels(trajectories.spec, sample),
            storage=storage,
            advice=[*_storage_advice(trajectories, storage), *_content_advice(trajectories, sample, sizes)],
        )


def _files(trajectories: Trajectories) -> list[Path]:
    if isinstance(trajectories, JoinedTrajectories):
        return [part.path for part in trajectories.parts]
    return [trajectories.path]


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _sample(trajectories: Trajectories) -> tuple[np.ndarray, float]:
    """A few frames, spread over trajectories and steps, and the median time that reading one takes."""
    spec = trajectories.spec
    frame_bytes = 4 * len(spec.fields) * prod(spec.shape)
    total = len(trajectories) * spec.steps
    count = min(FRAMES, total, max(1, SAMPLE_BYTES // frame_bytes))
    # Odd multiples of half a stride: neither only first steps nor only last ones.
    places = ((2 * np.arange(count) + 1) * total) // (2 * count)
    frames, seconds = [], []
    for trajectory, step in zip(places // spec.steps, places % spec.steps, strict=True):
        start = time.perf_counter()
        frames.append(trajectories.read_frames(np.array([trajectory]), np.array([step])))
        seconds.append(time.perf_counter() - start)
    return np.concatenate(frames), statistics.median(seconds)


def _summary(trajectories: Trajectories, sizes: Sequence[int], seconds: float) -> Rows:
    spec = trajectories.spec
    how = "straight from the file" if trajectories.direct else "through the library of the format"
    rows = [
        ("layout", spec.layout),
        ("task", spec.task or "not named"),
        ("origin", "generated (replica)" if spec.replica else "not marked as generated"),
        ("size", f"{readable_bytes(sum(sizes))} in {len(sizes)} file{'s' * (len(sizes) > 1)}"),
        ("trajectories", str(len(trajectories))),
        ("times", "steady" if spec.steady else f"{spec.steps} steps, {_spacing(spec.times)}"),
        ("grid", " x ".join(map(str, spec.shape))),
        *((axis, _spacing(values)) for axis, values in spec.coordinates.items()),
        ("boundary", ", ".join(a if a == b else f"{a} to {b}" for a, b in spec.faces)),
    ]
    scalars = trajectories.scalars(np.arange(len(trajectories)))
    for name, values in scalars.items():
        low, high = values.min(), values.max()
        rows.append((name, f"{low:g}" if low == high else f"{low:g} to {high:g}"))
    if spec.validation is not None:
        rows.append(("published split", f"{spec.validation} for validation, the last {spec.test} for testing"))
    rows.append(("reading", f"{1e3 * seconds:.2g} ms a frame, {how}"))
    told = {"task", "boundary", "replica", *scalars}
    others = {key: str(value) for key, value in spec.attributes.items() if key not in told}
    return rows + [(key, text) for key, text in others.items() if len(text) <= LONGEST and "\n" not in text]


def _spacing(values: np.ndarray) -> str:
    ends = f"{values[0]:g} to {values[-1]:g}"
    steps = np.diff(values)
    if len(steps) == 0:
        return f"{values[0]:g}"
    # 1e-3 of a step: coordinates are often single precision.
    even = np.ptp(steps) <= 1e-3 * abs(steps.mean())
    return f"{ends}, every {steps.mean():.4g}" if even else f"{ends}, in unequal steps"


def _channels(spec: TrajectorySpec, sample: np.ndarray) -> list[tuple[str, str, str, str, str]]:
    rows = []
    for field, values in zip(spec.fields, sample.swapaxes(0, 1), strict=True):
        known = "-" if field.mean is None or field.std is None else f"{field.mean:.4g} ± {field.std:.4g}"
        values = values.astype(np.float64)
        with np.errstate(invalid="ignore"):
            found = f"{values.mean():.4g} ± {values.std():.4g}"
        name = field.name if field.unit == "nondimensional" else f"{field.name} [{field.unit}]"
        rows.append((name, known, f"{values.min():.4g} to {values.max():.4g}", found, _remarks(spec, field)))
    return rows


def _remarks(spec: TrajectorySpec, field: FieldSpec) -> str:
    seen, predicted = field.name in spec.inputs, field.name in spec.targets
    role = {(True, True): "", (True, False): "input", (False, True): "target", (False, False): "not used"}
    remarks = [
        role[seen, predicted],
        "made up" * (not field.observed),
        "masked" * field.masked,
        "constant in time" * (not field.in_time and not spec.steady),
    ]
    return ", ".join(filter(None, remarks))


def _storage_advice(trajectories: Trajectories, storage: Sequence[StoredArray]) -> list[str]:
    points = prod(trajectories.spec.shape)
    advice = []
    for array in storage:
        if prod(array.shape) < points or len(array.shape) == 1:  # a coordinate or a parameter
            continue
        unpacked = prod(array.chunks) * array.dtype.itemsize
        held = prod(array.chunks) / _frame_size(array, trajectories)
        if array.filters == "zip":
            advice.append(
                f"{array.name} is in a compressed .npz, which cannot be read piecewise: all of it, "
                f"{readable_bytes(unpacked)}, is unpacked into memory. Write it with numpy.save."
            )
        elif array.filters and held > 1.5:
            advice.append(
                f"{array.name} is compressed ({array.filters}) in chunks of {held:.0f} frames: to read one frame, "
                f"{readable_bytes(unpacked)} are unpacked. Rewrite it: sciml convert IN OUT --to poseidon."
            )
        elif array.filters:
            advice.append(
                f"{array.name} is compressed ({array.filters}): every frame is unpacked when it is read, several times "
                "slower than plain numbers. If there is room on the disk: sciml convert IN OUT --to poseidon."
            )
        elif array.chunks and held < 0.9:
            advice.append(
                f"{array.name} is stored in chunks {array.chunks} that cut through frames: a frame is gathered from "
                f"{1 / held:.0f} places. Rewrite it: sciml convert IN OUT --to poseidon."
            )
        if not array.dtype.isnative:
            advice.append(f"{array.name} has the other byte order: every number is turned round when it is read.")
        if array.dtype.kind == "f" and array.dtype.itemsize == 8:
            advice.append(f"{array.name} is stored in double precision: twice the bytes, and rounded when read.")
    if not advice and not trajectories.direct:
        advice.append(
            "frames are read through the library of the format, several times slower than plain numbers: the axes are "
            "in an unusual order, or the file has a user block. Rewrite it: sciml convert IN OUT --to poseidon."
        )
    return advice


def _frame_size(array: StoredArray, trajectories: Trajectories) -> float:
    """How many numbers of an array belong to one frame."""
    spec = trajectories.spec
    count = len(trajectories.parts[0] if isinstance(trajectories, JoinedTrajectories) else trajectories)
    each = prod(array.shape) * array.copies / count
    return each / spec.steps if each >= spec.steps * prod(spec.shape) else each


def _content_advice(trajectories: Trajectories, sample: np.ndarray, sizes: Sequence[int]) -> list[str]:
    spec, advice = trajectories.spec, []
    if len(sizes) > MANY_FILES and np.mean(sizes) < SMALL_FILE:
        advice.append(
            f"there are {len(sizes)} files of {readable_bytes(int(np.mean(sizes)))} on average: opening them takes "
            "longer than reading. Put them into one: sciml convert IN OUT --to poseidon."
        )
    for name, values in zip(spec.names, sample.swapaxes(0, 1), strict=True):
        if not np.isfinite(values).all():
            advice.append(
                f"channel {name} has NaN or infinity; training would stop there. Leave such trajectories out."
            )
        elif np.ptp(values) == 0 and spec.select([name])[0].observed:
            advice.append(f"channel {name} is constant ({values.flat[0]:g}) in what was read: it cannot be normalised.")
    if any(f.mean is None for f in spec.fields):
        advice.append(
            "the file carries no statistics: training computes them first, in one pass over its trajectories."
        )
    return advice


def readable_bytes(size: int) -> str:
    """A size with a unit that people read, in powers of 1000."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
