"""Sequences on disk: written once, block by block and side by side, resumable after a kill, mapped into memory.

A data set is a folder. It grows as ``NAME.part``: the raw arrays of the blocks are appended in order, and a line of
the journal says how far they reach. When all blocks are there, the description ``sequences.json`` is added and the
folder gets its name, which contains a digest of the settings: other settings make another folder, and a folder with a
name is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sciml.data.normalise import Normaliser
from sciml.data.sequences.ragged import Sequences
from sciml.errors import SciMLError, WriteError

ARRAYS = ("values", "lengths", "target")
POSITIONS_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Block:
    """Some examples, as they are appended to the files.

    Args:
        values: Their sequences one after the other, shape (position,) or (position, feature).
        lengths: Length of every sequence, shape (example, member).
        target: Class of every example, shape (example,).
    """

    values: np.ndarray
    lengths: Int[np.ndarray, "example member"]
    target: Int[np.ndarray, " example"]


class StoredSequences:
    """A data set on disk, cut into training, validation and test examples, in this order.

    Args:
        path: Its folder, as ``store`` made it.

    Attributes:
        normaliser: By the mean and standard deviation of the training part; None for tokens.
    """

    def __init__(self, path: Path):
        self.path = path
        description = json.loads((path / "sequences.json").read_text())
        self.splits: tuple[int, int, int] = tuple(description["splits"])
        values, lengths, target = (
            np.memmap(path / f"{name}.bin", each["dtype"], mode="r", shape=tuple(each["shape"]))
            for name, each in description["arrays"].items()
        )
        lengths = lengths.astype(np.int64)
        starts = np.cumsum(lengths).reshape(lengths.shape) - lengths
        self._whole = Sequences(values, starts, lengths, target.astype(np.int64))
        statistics = description["statistics"]
        self.normaliser = None if statistics is None else Normaliser(*statistics, dims=0)

    def parts(self) -> tuple[Sequences, Sequences, Sequences]:
        """Training, validation and test examples."""
        train, validation, test = np.cumsum(self.splits).tolist()
        return self._whole[:train], self._whole[train:validation], self._whole[validation:test]


def store(
    folder: str | os.PathLike,
    name: str,
    make: Callable[[range], Block],
    *,
    recipe: Mapping[str, Any],
    splits: Sequence[int],
    block: int,
    workers: int | None = None,
) -> StoredSequences:
    """Open a data set of sequences, after making it where it is not there yet.

    If the making is killed, the same call goes on where it stopped and leaves the same bytes. Of several processes that
    ask for the same data set at once, one makes it and the others wait.

    Args:
        folder: Where data sets are kept.
        name: Name of the data set; its folder is ``NAME_DIGEST``.
        make: Makes the examples of a range; called in threads. What it makes depends on the range alone.
        recipe: What decides the content: settings, seed, source; plain values.
        splits: Numbers of training, validation and test examples.
        block: Examples that are made together; part of the recipe.
        workers: Blocks made at the same time; one for every CPU core by default. Does not change the result.

    Raises:
        WriteError: the folder cannot be written, or the disk is full.
    """
    recipe = {"name": name, "recipe": dict(recipe), "splits": list(splits), "block": block}
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:8]
    path = Path(folder).absolute() / f"{name}_{digest}"
    if not path.exists():
        part = path.with_name(f"{path.name}.part")
        try:
            with _locked(part):
                if not path.exists():  # else another process made it while this one waited
                    _make(part, make, recipe, workers or _cores())
                    part.rename(path)
        except OSError as error:
            if isinstance(error, SciMLError):
                raise
            raise WriteError(
                f"{part} cannot be written: {error.strerror or error}. Make room, or choose another folder with "
                "data_dir=FOLDER; the same command goes on where it stopped."
            ) from error
    return StoredSequences(path)


def _make(part: Path, make: Callable[[range], Block], recipe: Mapping[str, Any], workers: int) -> None:
    total, block = sum(recipe["splits"]), recipe["block"]
    journal = _Journal(part)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    todo = [range(first, min(first + block, total)) for first in range(journal.examples, total, block)]
    with Progress(*columns, console=console) as bar, ThreadPoolExecutor(workers) as pool:
        line = bar.add_task(recipe["name"], total=total, completed=journal.examples)
        try:
            for made in _in_order(pool, make, todo, ahead=2 * workers):
                journal.append(made)
                bar.advance(line, len(made.lengths))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            console.print(f"stopped; {part} keeps {journal.examples} of {total} examples; run the same again to go on.")
            raise
    description = {**recipe, "arrays": journal.arrays, "statistics": _statistics(part, journal, recipe["splits"][0])}
    with (part / "sequences.json").open("w") as file:
        json.dump(description, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    (part / "journal").unlink()


class _Journal:
    """The arrays of a data set that grows, and how far they reach."""

    def __init__(self, part: Path):
        self._part = part
        self._path = part / "journal"
        self.arrays: dict[str, Any] = {}
        # A line that a kill cut off has no newline: its block does not count.
        lines = self._path.read_bytes().rpartition(b"\n")[0].splitlines() if self._path.exists() else []
        if lines:
            self.arrays = json.loads(lines[-1])
            os.truncate(self._path, sum(map(len, lines)) + len(lines))
        for name in ARRAYS:
            file = part / f"{name}.bin"
            file.touch()
            os.truncate(file, self._bytes(name))

    @property
    def examples(self) -> int:
        """Examples that are safely on disk."""
        return self.arrays["target"]["shape"][0] if self.arrays else 0

    def append(self, block: Block) -> None:
        """Put a block on disk; when this returns it survives a crash."""
        after: dict[str, Any] = {}
        for name in ARRAYS:
            array = np.ascontiguousarray(getattr(block, name))
            before = self.arrays[name]["shape"][0] if self.arrays else 0
            self._append(f"{name}.bin", array.tobytes())
            after[name] = {"dtype": array.dtype.str, "shape": [before + len(array), *array.shape[1:]]}
        self._append("journal", json.dumps(after).encode() + b"\n")
        self.arrays = after

    def _append(self, name: str, content: bytes) -> None:
        with (self._part / name).open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _bytes(self, name: str) -> int:
        if not self.arrays:
            return 0
        return int(np.prod(self.arrays[name]["shape"])) * np.dtype(self.arrays[name]["dtype"]).itemsize


def _statistics(part: Path, journal: _Journal, examples: int) -> tuple[list[float], list[float]] | None:
    """Mean and standard deviation of every feature over the training examples; None for tokens."""
    if len(journal.arrays["values"]["shape"]) == 1:
        return None
    lengths = np.fromfile(part / "lengths.bin", journal.arrays["lengths"]["dtype"])
    members = journal.arrays["lengths"]["shape"][1]
    shape = tuple(journal.arrays["values"]["shape"])
    values = np.memmap(part / "values.bin", journal.arrays["values"]["dtype"], mode="r", shape=shape)
    return statistics(values[: int(lengths[: examples * members].sum(dtype=np.int64))])


def statistics(values: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every feature, values of shape (position, feature), in float64."""
    count, features = values.shape
    total, square = np.zeros(features), np.zeros(features)
    centre = values[:POSITIONS_AT_ONCE].mean(0, dtype=np.float64)  # so that nothing cancels where the mean is large
    for first in range(0, count, POSITIONS_AT_ONCE):
        deviation = values[first : first + POSITIONS_AT_ONCE] - centre
        total += deviation.sum(0)
        square += np.square(deviation).sum(0)
    shift = total / count
    return (centre + shift).tolist(), np.sqrt(square / count - shift**2).tolist()


def _in_order(
    pool: ThreadPoolExecutor, make: Callable[[range], Block], todo: Sequence[range], *, ahead: int
) -> Iterator[Block]:
    underway: deque[Any] = deque()
    for each in todo:
        underway.append(pool.submit(make, each))
        if len(underway) > ahead:
            yield underway.popleft().result()
    while underway:
        yield underway.popleft().result()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be, against other processes; wait for one that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for the process that makes {folder}", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
