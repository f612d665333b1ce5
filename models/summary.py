"""What a run will train and cost: parameters by group, steps and memory, printed before it starts."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console
from rich.table import Table

from models.memory import training_memory
from models.optimisation import steps_of_epoch, total_steps

_MIB = 2**20


def print_summary(module: Any) -> None:
    """Print the table of an ``OperatorLearning`` whose networks are built."""
    data, trainer = module.data, module.trainer
    print_parameters(module)

    loader = data.train_dataloader()
    each, steps = steps_of_epoch(trainer, len(loader)), total_steps(trainer)
    batch, world, accumulate = data.batch_size, trainer.world_size, trainer.accumulate_grad_batches
    sizes = " x ".join(
        f"{number} {of}"
        for number, of in ((batch, "pairs"), (world, "processes"), (accumulate, "batches"))
        if number > 1 or of == "pairs"
    )
    memory = sum(
        training_memory(
            net,
            batch,
            data.shape,
            channels=len(data.fields_in),
            scalars=len(data.scalars),
            precision=str(trainer.precision),
        )
        for net in module.networks.values()
    )
    print(
        f"Training: {steps} steps of {sizes}, {each} steps an epoch ({len(loader.dataset)} pairs), "
        f"{math.ceil(steps / each)} epochs; about {memory / _MIB:,.0f} MiB of memory for networks, optimiser and "
        "activations of a process.",
        flush=True,
    )


def print_parameters(module: Any) -> None:
    """Print the groups of parameters of a module whose networks are built."""
    table = Table(title="Trained parameters", title_justify="left")
    table.add_column("group")
    for heading in ("trained", "frozen", "learning rate", "weight decay"):
        table.add_column(heading, justify="right")
    for name, net in module.networks.items():
        for group in module.optimiser_groups(name, net):
            count = sum(p.numel() for p in group["params"])
            table.add_row(group["name"], f"{count:,}", "", f"{group['lr']:.3g}", f"{group['weight_decay']:.3g}")
        frozen = sum(p.numel() for p in net.parameters() if not p.requires_grad)
        if frozen:
            table.add_row(f"{name} frozen".strip(), "", f"{frozen:,}", "", "")
    Console().print(table)
