"""What a run will train and cost: parameters by group, steps and memory, printed before it starts."""

from __future__ import annotations

import math
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call

from models.optimisation import steps_of_epoch, total_steps

_MIB = 2**20


def print_summary(module: Any) -> None:
    """Print the table of an ``OperatorLearning`` whose networks are built."""
    data, trainer = module.data, module.trainer
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

    loader = data.train_dataloader()
    each, steps = steps_of_epoch(trainer, len(loader)), total_steps(trainer)
    batch, world, accumulate = data.batch_size, trainer.world_size, trainer.accumulate_grad_batches
    sizes = " x ".join(
        f"{number} {of}"
        for number, of in ((batch, "pairs"), (world, "processes"), (accumulate, "batches"))
        if number > 1 or of == "pairs"
    )
    memory = sum(
        training_memory(net, batch, data.shape, channels=len(data.fields_in), precision=str(trainer.precision))
        for net in module.networks.values()
    )
    print(
        f"Training: {steps} steps of {sizes}, {each} steps an epoch ({len(loader.dataset)} pairs), "
        f"{math.ceil(steps / each)} epochs; about {memory / _MIB:,.0f} MiB of memory for networks, optimiser and "
        "activations of a process.",
        flush=True,
    )


def training_memory(
    net: nn.Module, batch_size: int, shape: tuple[int, ...], *, channels: int, precision: str = "32-true"
) -> float:
    """Estimated peak memory of a training step: weights, gradients, AdamW's two momenta, and activations.

    4 (weights) + 12 (trained weights) bytes + activations. The activations are what a forward pass keeps for the
    backward pass, which is run without numbers and so costs neither memory nor arithmetic. Half precision halves them.

    Args:
        net: The network, called as ``net(fields, lead_time)``.
        batch_size: Samples in a batch.
        shape: Grid points of the fields.
        channels: Channels of the input fields.
        precision: Lightning's name of it.

    Returns:
        Bytes, without what Python, its libraries and their work space take, and without sharding.
    """
    weights = sum(p.numel() for p in net.parameters())
    trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
    half = 0.5 if "16" in precision else 1.0
    return 4 * weights + 12 * trained + half * activation_memory(net, batch_size, shape, channels=channels)


def activation_memory(net: nn.Module, batch_size: int, shape: tuple[int, ...], *, channels: int) -> int:
    """Bytes that a forward pass keeps for its backward pass, found on tensors without content."""
    state: dict[str, Any] = {
        name: nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=p.requires_grad)
        for name, p in net.named_parameters()
    }
    state |= {name: torch.empty_like(b, device="meta") for name, b in net.named_buffers()}
    known = {id(p) for p in state.values()}
    kept: dict[int, Tensor] = {}  # the tensors themselves, so that no storage's number is given out twice

    def keep(tensor: Tensor) -> Tensor:
        if id(tensor) not in known:
            kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    fields = torch.empty(batch_size, channels, *shape, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.enable_grad():
        prediction = functional_call(net, state, (fields, torch.empty(batch_size, device="meta")))
    del prediction
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
