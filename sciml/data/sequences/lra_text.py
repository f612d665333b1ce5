"""The texts of the Long Range Arena from their published files: ListOps, AAN (retrieval) and IMDB (sentiment)."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from sciml.data.sequences.listops import TOKENS, listops_task
from sciml.data.sequences.ragged import SequenceTask
from sciml.data.sequences.storage import Block, store
from sciml.errors import ConfigError, DataError, LayoutError

BYTES = 257
"""Vocabulary of a text: byte b is token b + 1, 0 is padding."""

RELEASE = (
    "It is in lra_release.gz of the Long Range Arena (github.com/google-research/long-range-arena): unpack it and "
    "give the folder with data.path=FOLDER."
)
EXAMPLES_IN_A_BLOCK = 256


def open_listops_files(path: str | os.PathLike, *, folder: str | os.PathLike = ".data") -> SequenceTask:
    """ListOps as published: lines of an expression, a tab and its value, brackets of the tree left out.

    Args:
        path: Folder of ``basic_{train,val,test}.tsv``.
        folder: Where the tokens are kept.

    Raises:
        LayoutError: a file is not there.
        DataError: a line is no expression with a value.
    """
    lines = _line_files(path, [f"basic_{part}.tsv" for part in ("train", "val", "test")], header=True)
    return listops_task(*_stored(folder, "ListOps_published", lines, read=_listops_line, recipe={}).parts())


def open_aan(
    *, path: str | os.PathLike | None = None, folder: str | os.PathLike = ".data", max_length: int = 4_000
) -> SequenceTask:
    """AAN: does one paper cite the other, by the bytes of their texts?

    Args:
        path: Folder of ``new_aan_pairs.{train,eval,test}.tsv``; None: ``FOLDER/aan``.
        folder: Where the tokens are kept.
        max_length: Bytes of a text that are read. Published: 4000.

    Raises:
        LayoutError: a file is not there.
        DataError: a line has not the columns label, two names, two texts.

    Reference:
        arXiv:2011.04006, section 2.2.3.
    """
    place = Path(folder) / "aan" if path is None else Path(path)
    lines = _line_files(place, [f"new_aan_pairs.{part}.tsv" for part in ("train", "eval", "test")])
    read = partial(_aan_line, max_length=max_length)
    stored = _stored(folder, "AAN", lines, read=read, recipe={"max_length": max_length})
    return SequenceTask(
        "AAN", "retrieval", *stored.parts(), outputs=2, vocabulary=BYTES, classes=("unrelated", "cited")
    )


def open_imdb(
    *,
    path: str | os.PathLike | None = None,
    folder: str | os.PathLike = ".data",
    max_length: int = 4_096,
    validation: int = 2_500,
) -> SequenceTask:
    """IMDB: is a review kind, by its bytes?

    Args:
        path: Folder ``aclImdb`` with ``train`` and ``test``, each with ``pos`` and ``neg``; None: ``FOLDER/aclImdb``.
        folder: Where the tokens are kept.
        max_length: Bytes of a review that are read.
        validation: Reviews set aside from the end of the training part, half of either class.

    Raises:
        LayoutError: a folder is not there.
        ConfigError: no review is left to train on.

    Reference:
        arXiv:2011.04006, section 2.2.2.
    """
    place = Path(folder) / "aclImdb" if path is None else Path(path)
    files, counts = [], []
    for part in ("train", "test"):
        sides = [sorted((place / part / side).glob("*.txt"), key=_number) for side in ("neg", "pos")]
        if not all(sides) or len(sides[0]) != len(sides[1]):
            raise LayoutError(
                f"{place / part} has {len(sides[0])} reviews in neg and {len(sides[1])} in pos; as many in both are "
                "expected. Fetch aclImdb_v1.tar.gz (ai.stanford.edu/~amaas/data/sentiment), unpack it and give the "
                "folder aclImdb with data.path=FOLDER."
            )
        files += [file for pair in zip(*sides, strict=True) for file in pair]  # the classes alternate
        counts.append(2 * len(sides[0]))
    if not 0 <= validation < counts[0]:
        raise ConfigError(f"validation is {validation}, but there are {counts[0]} reviews in all. Set fewer aside.")
    stored = store(
        folder,
        "IMDB",
        partial(_reviews, files, max_length),
        recipe={"version": 1, "source": str(place.absolute()), "max_length": max_length},
        splits=(counts[0] - validation, validation, counts[1]),
        block=EXAMPLES_IN_A_BLOCK,
    )
    parts = stored.parts()
    return SequenceTask("IMDB", "classification", *parts, outputs=2, vocabulary=BYTES, classes=("negative", "positive"))


class LineFile:
    """The lines of a text file, found by their offsets.

    Args:
        path: The file.
        header: Whether the first line is not one of them.

    Raises:
        LayoutError: it is not there, or is empty.
    """

    def __init__(self, path: Path, *, header: bool = False):
        if not path.is_file() or not path.stat().st_size:
            raise LayoutError(f"{path} is missing or empty. {RELEASE}")
        self.path = path
        content = np.memmap(path, np.uint8, mode="r")
        breaks = [
            first + np.flatnonzero(content[first : first + 2**26] == ord("\n"))
            for first in range(0, len(content), 2**26)
        ]
        ends = np.concatenate(breaks)
        if content[-1] != ord("\n"):
            ends = np.append(ends, len(content))
        self._ends, self._starts = ends[header:], np.concatenate([[0], ends[:-1] + 1])[header:]

    def __len__(self) -> int:
        return len(self._ends)

    def read(self, lines: range) -> list[bytes]:
        """Some neighbouring lines."""
        starts, ends = self._starts[lines.start : lines.stop], self._ends[lines.start : lines.stop]
        with self.path.open("rb") as file:
            file.seek(int(starts[0]))
            content = file.read(int(ends[-1] - starts[0]))
        return [content[a:b].rstrip(b"\r") for a, b in zip(starts - starts[0], ends - starts[0], strict=True)]

    @property
    def stamp(self) -> list[str | int]:
        """What changes when the file does."""
        status = self.path.stat()
        return [str(self.path.absolute()), status.st_size, status.st_mtime_ns]


def _line_files(path: str | os.PathLike, names: list[str], *, header: bool = False) -> list[LineFile]:
    folder = Path(path)
    # The release has its texts in folders of their own.
    inner = next((found.parent for found in sorted(folder.rglob(names[0]))), folder)
    return [LineFile(inner / name, header=header) for name in names]


def _stored(
    folder: str | os.PathLike,
    name: str,
    files: list[LineFile],
    *,
    read: Callable[[bytes], tuple[list[np.ndarray], int]],
    recipe: dict,
):
    return store(
        folder,
        name,
        partial(_lines_block, files, read),
        recipe={"version": 1, "source": [file.stamp for file in files], **recipe},
        splits=[len(file) for file in files],
        block=EXAMPLES_IN_A_BLOCK,
    )


def _lines_block(
    files: list[LineFile], read: Callable[[bytes], tuple[list[np.ndarray], int]], examples: range
) -> Block:
    first, sequences, target = 0, [], []
    for file in files:
        start, stop = max(examples.start - first, 0), min(examples.stop - first, len(file))
        if start < stop:
            for number, line in enumerate(file.read(range(start, stop)), start):
                try:
                    made, label = read(line)
                except ValueError as error:
                    raise DataError(f"{file.path}, example {number}: {error}. Fetch the file again.") from error
                sequences.append(made)
                target.append(label)
        first += len(file)
    return _block(sequences, target)


def _block(sequences: list[list[np.ndarray]], target: list[int]) -> Block:
    lengths = np.array([[len(member) for member in example] for example in sequences])
    values = np.concatenate([member for example in sequences for member in example])
    return Block(values, lengths, np.array(target, np.uint8))


_LISTOPS_TOKEN = {token.encode(): number for number, token in enumerate(TOKENS) if number}


def _listops_line(line: bytes) -> tuple[list[np.ndarray], int]:
    source, _, value = line.rpartition(b"\t")
    words = [word for word in source.split() if word not in (b"(", b")")]
    unknown = next((word for word in words if word not in _LISTOPS_TOKEN), None)
    if not words or unknown is not None or not value.isdigit():
        raise ValueError(f"an expression of ListOps, a tab and its value are expected, not {line[:40]!r}")
    return [np.array([_LISTOPS_TOKEN[word] for word in words], np.uint8)], int(value)


def _aan_line(line: bytes, *, max_length: int) -> tuple[list[np.ndarray], int]:
    columns = line.split(b"\t")
    if len(columns) != 5:
        raise ValueError(f"5 columns (label, two names, two texts) are expected, {len(columns)} came")
    label = int(float(columns[0]))
    return [_bytes(columns[3], max_length), _bytes(columns[4], max_length)], label


def _reviews(files: list[Path], max_length: int, examples: range) -> Block:
    chosen = files[examples.start : examples.stop]
    texts = [[_bytes(file.read_bytes(), max_length)] for file in chosen]
    return _block(texts, [int(file.parent.name == "pos") for file in chosen])


def _bytes(text: bytes, max_length: int) -> np.ndarray:
    # A text without a byte would be a sequence without a position.
    return np.frombuffer(text[:max_length] or b" ", np.uint8).astype(np.uint16) + 1


def _number(file: Path) -> tuple[int, str]:
    head = file.stem.partition("_")[0]
    return (int(head) if head.isdigit() else 0, file.name)
