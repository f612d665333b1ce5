"""Sequences to classify, to predict at every position, or to compare: generated, published, or your own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from datamodules.loading import ResumableLoader, loader_settings, position
from sciml.data.dataset import identity
from sciml.data.sampler import ResumableBatchSampler
from sciml.data.sequences import LengthBatchSampler, SequenceDataset, Sequences, SequenceTask
from sciml.errors import ConfigError


class SequenceData(L.LightningDataModule):
    """Batches of sequences, with the keys of ``sciml.data.sequences.SequenceDataset``.

    Args:
        source: Makes the task from ``path`` and ``folder``, e.g. ``sciml.data.sequences.open_listops``; what has to be
            generated or converted is so at the first call.
        path: File or folder of the user's own or published data; None: generated, or at the usual place.
        folder: Where generated and converted data are kept.
        train: Examples to train on, from the start; None: all.
        validation: Examples to validate with; None: all.
        test: Examples to test with; None: all.
        batch_size: Examples in a batch of one process.
        eval_batch_size: Examples in a batch of the evaluation.
        length_pool: Batches among which sequences of like length are put together, which saves padding where lengths
            differ much. Good values: 16 to 64; 1: batches are left to chance.
        num_workers: Loader processes; 0 reads in the training process.
        seed: Seed of the order of the examples, which is a function of seed, epoch and step.

    Raises:
        ConfigError: a number cannot work.
    """

    def __init__(
        self,
        source: Callable[..., SequenceTask] | None,
        *,
        path: str | None = None,
        folder: str = ".data",
        train: int | None = None,
        validation: int | None = None,
        test: int | None = None,
        batch_size: int = 32,
        eval_batch_size: int = 64,
        length_pool: int = 1,
        num_workers: int = 0,
        seed: int = 0,
    ):
        super().__init__()
        numbers = {"batch_size": batch_size, "eval_batch_size": eval_batch_size, "length_pool": length_pool}
        numbers |= {"train": train, "validation": validation, "test": test}
        for name, value in numbers.items():
            optional = name in ("train", "validation", "test")
            if not (isinstance(value, int) and value >= 1) and not (optional and value is None):
                raise ConfigError(f"data.{name} is {value!r}; a whole number of at least 1 is expected.")
        self.source = source
        self.path, self.folder = path, folder
        self.limits = (train, validation, test)
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.length_pool, self.num_workers, self.seed = length_pool, num_workers, seed
        self._task: SequenceTask | None = None

    def prepare_data(self) -> None:
        """Generate or convert what is not on disk yet."""
        self._open()

    def setup(self, stage: str) -> None:
        """Open the data."""
        if self._task is not None:
            return
        self._task = task = self._open()
        parts = (task.train, task.validation, task.test)
        names = ("train", "validation", "test")
        for name, part, limit in zip(names, parts, self.limits, strict=True):
            if limit is not None and limit > len(part):
                raise ConfigError(f"data.{name}={limit}, but {task.name} has {len(part)} of them. Ask for fewer.")
        self.parts_of_task = tuple(part[:limit] for part, limit in zip(parts, self.limits, strict=True))
        self._print_summary()

    @property
    def described(self) -> SequenceTask:
        """The data as they were opened, with names of classes and normalisers."""
        if self._task is None:
            raise ConfigError("the data are not open yet; call prepare_data() and setup('fit') first.")
        return self._task

    @property
    def task(self) -> str:
        """``classification``, ``regression``, ``sequence`` or ``retrieval``."""
        return self.described.kind

    @property
    def encoder(self) -> str:
        """``tokens`` or ``continuous``."""
        return self.described.encoder

    @property
    def vocabulary(self) -> int | None:
        """Number of tokens, 0, padding, included; None where the inputs are numbers."""
        return self.described.vocabulary

    @property
    def features(self) -> int:
        """Numbers at every position; 1 for tokens."""
        return self.described.features

    @property
    def outputs(self) -> int:
        """Number of classes, or of predicted values."""
        return self.described.outputs

    @property
    def length(self) -> int:
        """Length of the longest sequence."""
        return self.described.length

    def train_dataloader(self) -> DataLoader:
        """Batches of training examples, from the current step of the run on."""
        part = self.parts_of_task[0]
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        settings: dict[str, Any] = {"seed": self.seed, "rank": rank, "world": world}
        if self.length_pool > 1 and self.described.ragged:
            longest = part.lengths.max(1)
            sampler = LengthBatchSampler(longest, self.batch_size, pool=self.length_pool, **settings)
        else:
            sampler = ResumableBatchSampler(len(part), self.batch_size, **settings)
        return ResumableLoader(
            SequenceDataset(self.described, part),
            batch_sampler=sampler,
            collate_fn=identity,
            position=partial(position, self.trainer, len(sampler)),
            **loader_settings(self.trainer, self.num_workers),
        )

    def val_dataloader(self) -> DataLoader:
        """The validation examples, in order."""
        return self._evaluation(self.parts_of_task[1])

    def test_dataloader(self) -> DataLoader:
        """The test examples, in order."""
        return self._evaluation(self.parts_of_task[2])

    def _open(self) -> SequenceTask:
        if self.source is None:
            raise ConfigError(
                "data.source is null: it is not said what to read. Choose e.g. data=sfmnist, or for a file of your own "
                "data=series data.path=FILE."
            )
        return self.source(path=self.path, folder=self.folder)

    def _evaluation(self, part: Sequences) -> DataLoader:
        return DataLoader(
            SequenceDataset(self.described, part),
            batch_size=self.eval_batch_size,
            collate_fn=identity,
            **loader_settings(self.trainer, self.num_workers),
        )

    def _print_summary(self) -> None:
        if self.trainer is not None and not self.trainer.is_global_zero:
            return
        task, (train, validation, test) = self.described, map(len, self.parts_of_task)
        what = f"{task.vocabulary} tokens" if task.vocabulary else f"{task.features} feature(s)"
        asked = "classes" if task.kind in ("classification", "retrieval") else "values"
        length = f"up to {task.length}" if task.ragged else str(task.length)
        print(
            f"Data: {task.name}, {task.kind} into {task.outputs} {asked}, sequences of length {length}, {what}; "
            f"{train} to train on, {validation} to validate, {test} to test.",
            flush=True,
        )
