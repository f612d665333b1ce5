"""Learning-rate schedules, and how many steps a run will take."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch.optim.lr_scheduler import LambdaLR

from sciml.errors import ConfigError

SCHEDULES = ("cosine", "constant")


def total_steps(trainer: Trainer) -> int:
    """Optimiser steps of the whole run, from ``max_steps`` or from ``max_epochs`` and the number of batches.

    Lightning's own estimate builds, and starts to read, the training loader before a checkpoint is restored, which
    would begin a resumed epoch at the wrong sample.
    """
    if trainer.max_steps > 0:
        return trainer.max_steps
    if trainer.max_epochs is None or trainer.max_epochs < 0:
        raise ConfigError("neither trainer.max_steps nor trainer.max_epochs is set, but the schedule needs an end.")
    return steps_of_epoch(trainer, len(trainer.datamodule.train_dataloader())) * trainer.max_epochs  # type: ignore[attr-defined]


def steps_of_epoch(trainer: Trainer, batches: int) -> int:
    """Optimiser steps of an epoch of so many batches."""
    limit = trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    return math.ceil(batches / trainer.accumulate_grad_batches)


def make_scheduler(optimizer: torch.optim.Optimizer, *, schedule: str, warmup: float, steps: int) -> dict[str, Any]:
    """Linear warm-up from 0, then a cosine to 0 or a constant rate, updated every step.

    Args:
        optimizer: Holds the largest learning rate of every group.
        schedule: ``cosine`` or ``constant``.
        warmup: Fraction of the steps spent on the warm-up, in [0, 1).
        steps: Optimiser steps of the run.
    """
    if schedule not in SCHEDULES:
        raise ConfigError(f"model.schedule is {schedule!r}; {' or '.join(SCHEDULES)} is expected.")
    if not 0 <= warmup < 1:
        raise ConfigError(f"model.warmup is {warmup}; a fraction of all steps in [0, 1) is expected.")
    rising = max(int(warmup * steps), 1)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        if schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min((step - rising) / max(steps - rising, 1), 1.0)))

    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
