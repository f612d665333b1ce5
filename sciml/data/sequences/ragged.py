"""Sequences of any length, kept one after the other in one array, and the tasks they are for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Int, Shaped

from sciml.data.normalise import Normaliser

Kind = Literal["classification", "regression", "sequence", "retrieval"]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Examples, each of one sequence or, for retrieval, of two; sequences may overlap, as windows of a signal do.

    Args:
        values: All sequences: tokens of shape (position,), or features of shape (position, feature). In memory, or
            mapped from a file.
        starts: First position of every sequence, shape (example, member).
        lengths: Length of every sequence, shape (example, member).
        target: What is asked of an example: a class, shape (example,); numbers, shape (example, output); or sequences,
            one an example, that are read like these.
        steps: Time from the position before to this one, relative to the mean, shape (position,); None: they are equal.
    """

    values: np.ndarray
    starts: Int[np.ndarray, "example member"]
    lengths: Int[np.ndarray, "example member"]
    target: np.ndarray | Sequences | None = None
    steps: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, part: slice | np.ndarray) -> Sequences:
        """Some of the examples; the values are shared."""
        target = None if self.target is None else self.target[part]
        return replace(self, starts=self.starts[part], lengths=self.lengths[part], target=target)

    def padded(
        self, examples: Int[np.ndarray, " batch"], member: int = 0, *, of: np.ndarray | None = None
    ) -> Shaped[np.ndarray, "batch length *feature"]:
        """The sequences of some examples, filled with zeros up to the longest one.

        Args:
            examples: Which examples, shape (batch,).
            member: Which of the sequences of an example.
            of: What to read in place of ``values``: an array over the same positions.
        """
        values = self.values if of is None else of
        starts, lengths = self.starts[examples, member], self.lengths[examples, member]
        padded = np.zeros((len(starts), lengths.max(), *values.shape[1:]), values.dtype)
        for row, start, length in zip(padded, starts.tolist(), lengths.tolist(), strict=True):
            row[:length] = values[start : start + length]
        return padded


@dataclass(frozen=True, eq=False)
class SequenceTask:
    """Sequences to train, validate and test with, and what a network is asked about them.

    Args:
        name: Name of the data.
        kind: ``classification``, ``regression``, ``sequence`` (a target at every position) or ``retrieval`` (a class of
            a pair of sequences).
        train: Examples to train on.
        validation: Examples to validate with.
        test: Examples to test with.
        outputs: Number of classes, or of target values.
        vocabulary: Number of tokens, of which 0 is padding; None where the inputs are numbers.
        classes: Names of the classes, if they have any.
        normaliser: Normalises the features, by the training part.
        target_normaliser: Normalises targets that are numbers, by the training part.
        permutation: Order in which the positions of a sequence are read; None: as stored.
    """

    name: str
    kind: Kind
    train: Sequences
    validation: Sequences
    test: Sequences
    outputs: int
    vocabulary: int | None = None
    classes: tuple[str, ...] = ()
    normaliser: Normaliser | None = None
    target_normaliser: Normaliser | None = None
    permutation: np.ndarray | None = None

    @property
    def encoder(self) -> Literal["tokens", "continuous"]:
        """What the inputs are."""
        return "continuous" if self.vocabulary is None else "tokens"

    @property
    def features(self) -> int:
        """Numbers at a position; 1 for tokens."""
        return 1 if self.train.values.ndim == 1 else self.train.values.shape[1]

    @property
    def length(self) -> int:
        """Length of the longest sequence."""
        return max(int(part.lengths.max()) for part in (self.train, self.validation, self.test) if len(part))

    @property
    def ragged(self) -> bool:
        """Whether sequences have different lengths."""
        parts = (self.train, self.validation, self.test)
        return any(bool((part.lengths != self.length).any()) for part in parts)


def equal_lengths(values: np.ndarray, target: np.ndarray) -> Sequences:
    """Sequences of the same length from an array of shape (example, length) or (example, length, feature)."""
    count, length = values.shape[:2]
    starts = np.arange(count)[:, None] * length
    return Sequences(values.reshape(-1, *values.shape[2:]), starts, np.full((count, 1), length), target)
