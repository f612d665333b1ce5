"""Batches of sequences: padded, normalised, with their lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sciml.data.normalise import Normaliser
from sciml.data.sequences.ragged import Sequences, SequenceTask


class SequenceDataset(Dataset):
    """Examples of one part of a task as padded batches.

    Use it with ``collate_fn=identity``. A batch is a dict:

    - ``inputs``: tokens, int64, shape (batch, length), 0 beyond the end of a sequence; or normalised features, float32,
      shape (batch, length, feature);
    - ``lengths``: valid positions of every sequence, int64, shape (batch,). Absent where all are equally long;
    - ``inputs2``, ``lengths2``: the same of the second sequence, in retrieval;
    - ``steps``: time from the position before to this one, relative to the mean, float32, shape (batch, length). Absent
      where the steps are equal;
    - ``target``: the class, int64, shape (batch,); or normalised numbers, float32, shape (batch, output), and
      (batch, length, output) where every position has its own.

    Args:
        task: What the sequences are for.
        part: Which of its examples.
    """

    def __init__(self, task: SequenceTask, part: Sequences):
        self.task = task
        self.part = part
        self._ragged = task.ragged

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One example, with the keys of a batch and no batch axis."""
        return {key: value[0] for key, value in self.__getitems__([range(len(self))[index]]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """One batch, already collated: torch's DataLoader calls this with all indices of a batch."""
        examples = np.asarray(indices, np.int64)
        batch = {}
        for member in range(self.part.starts.shape[1]):
            suffix = "" if member == 0 else str(member + 1)
            batch[f"inputs{suffix}"] = self._inputs(examples, member)
            if self._ragged:
                batch[f"lengths{suffix}"] = torch.from_numpy(self.part.lengths[examples, member].astype(np.int64))
        if self.part.steps is not None:
            steps = self.part.padded(examples, of=self.part.steps)
            batch["steps"] = torch.from_numpy(steps.astype(np.float32))
        batch["target"] = self._target(examples)
        return batch

    def _inputs(self, examples: np.ndarray, member: int) -> Tensor:
        values = self.part.padded(examples, member)
        if self.task.permutation is not None:
            values = values[:, self.task.permutation]
        if self.task.vocabulary is not None:
            return torch.from_numpy(values.astype(np.int64))
        features = torch.from_numpy(_encoded(self.task.normaliser, values))
        if self._ragged:
            # Zero is the mean of a feature, and what stands beyond the end of a sequence.
            beyond = np.arange(values.shape[1]) >= self.part.lengths[examples, member, None]
            features[torch.from_numpy(beyond)] = 0.0
        return features

    def _target(self, examples: np.ndarray) -> Tensor:
        target = self.part.target
        asked: Any = target.padded(examples) if isinstance(target, Sequences) else target[examples]  # type: ignore[index]
        if self.task.kind in ("classification", "retrieval"):
            return torch.from_numpy(asked.astype(np.int64))
        numbers = torch.from_numpy(_encoded(self.task.target_normaliser, asked))
        return numbers if self.task.kind == "sequence" else numbers.flatten(1)


def _encoded(normaliser: Normaliser | None, values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float32)
    return values if normaliser is None else normaliser.encode(values)
