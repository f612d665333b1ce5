"""How a network is fine-tuned: everything, or a part, or everything after a part; and the mean of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn

from sciml.errors import ConfigError
from sciml.poseidon.lora import TARGETS, add_lora

# What a network needs to see other channels and other times; the rest is the pretrained backbone.
NEW = ("embedding_recovery", "time_embedding")


def freeze(net: nn.Module, *, train: Sequence[str] = NEW) -> None:
    """Freeze all parameters but those of some groups.

    Args:
        net: The network.
        train: Names of the groups of ``net.parameter_groups()`` that are trained.

    Raises:
        ConfigError: the network has no such group.
    """
    groups = net.parameter_groups()  # type: ignore[operator]
    _check(train, groups)
    for name, parameters in groups.items():
        for parameter in parameters:
            parameter.requires_grad_(name in train)


def lora(
    net: nn.Module,
    *,
    rank: int = 8,
    alpha: float = 16.0,
    targets: Sequence[str] = TARGETS,
    train: Sequence[str] = NEW,
) -> None:
    """Freeze the backbone and train low-rank updates of its linear layers instead; see ``sciml.poseidon.lora``.

    Args:
        net: The network.
        rank: Rank of the updates.
        alpha: Scale of the updates.
        targets: Names of the linear layers.
        train: Groups of parameters that are trained as they are.
    """
    freeze(net, train=train)
    add_lora(net, rank=rank, alpha=alpha, targets=targets)


class TrainFirst(L.Callback):
    """Train some groups of parameters alone for the first steps, then all.

    The other gradients are dropped before the optimiser sees them. What is trained is a function of the step, so that a
    resumed run needs to know nothing, and every strategy that shares gradients works.

    Args:
        steps: Number of steps. Good values: a tenth of the run.
        groups: Groups of ``net.parameter_groups()`` that are trained from the start.
    """

    def __init__(self, steps: int, *, groups: Sequence[str] = NEW):
        self.steps = steps
        self.groups = groups

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        """Drop the gradients of what waits."""
        if trainer.global_step >= self.steps:
            return
        groups = pl_module.net.parameter_groups()  # type: ignore[operator, union-attr]
        _check(self.groups, groups)
        for name, parameters in groups.items():
            if name not in self.groups:
                for parameter in parameters:
                    parameter.grad = None


class RunningMean(EMAWeightAveraging):
    """Validate, save and test the running mean of the weights, mean <- decay mean + (1 - decay) weights at every step.

    A checkpoint holds the mean as the weights, and beside it the weights that a resumed run goes on with. Lightning's
    callback would take these also for the test that follows training.

    Args:
        decay: Weight of the past. Good values: such that 1 / (1 - decay) is a tenth of the steps, 0.999.
    """

    def __init__(self, decay: float = 0.999):
        super().__init__(decay=decay)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore weights and mean to go on with; leave the mean where it is otherwise."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


def _check(names: Sequence[str], groups: dict[str, Any]) -> None:
    unknown = [name for name in names if name not in groups]
    if unknown:
        raise ConfigError(
            f"the network has no group of parameters {', '.join(unknown)}; it has {', '.join(groups)}. Name some of "
            "these in the recipe."
        )
