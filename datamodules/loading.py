"""A loader that goes on where a run stands."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import lightning as L
from torch.utils.data import DataLoader


class ResumableLoader(DataLoader):
    """A loader whose every pass starts where the run stands, so that a resumed epoch goes on with the next batch.

    Args:
        position: Gives the epoch and the batch of the epoch at which the next pass starts.
        arguments: Of ``DataLoader``; the batch sampler is a ``ResumableBatchSampler``.
    """

    def __init__(self, *arguments: Any, position: Any, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.position = position

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        epoch, batch = self.position()
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
        self.batch_sampler.start_at(batch)  # type: ignore[union-attr]
        return super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep: the position follows from the trainer's step. Tells Lightning that we can resume."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


def position(trainer: L.Trainer | None, batches: int) -> tuple[int, int]:
    """Epoch, and batch in the epoch, of the step that the trainer will take next."""
    if trainer is None or trainer.global_step == 0:
        return 0, 0
    limit = trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    accumulate = trainer.accumulate_grad_batches
    epoch, step = divmod(trainer.global_step, math.ceil(batches / accumulate))
    return epoch, step * accumulate


def loader_settings(trainer: L.Trainer | None, num_workers: int) -> dict[str, Any]:
    """What every loader of a run has in common."""
    pin = bool(trainer) and trainer.strategy.root_device.type == "cuda"  # type: ignore[union-attr]
    return {"num_workers": num_workers, "persistent_workers": num_workers > 0, "pin_memory": pin}
