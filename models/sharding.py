"""Networks whose weights are sharded over processes (FSDP2), and how they become whole again."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from sciml.poseidon.blocks import Recomputable
from sciml.poseidon.lora import merged_state
from sciml.ssm.blocks import SequenceBlock


def shard(net: nn.Module, mesh: DeviceMesh) -> None:
    """Shard a network in place, block by block: a process holds all weights of one block at a time.

    Args:
        net: The network.
        mesh: (machines, devices of each): weights are sharded along the second axis and copied along the first.
    """
    for module in net.modules():
        if isinstance(module, Recomputable | SequenceBlock):
            fully_shard(module, mesh=mesh)
    fully_shard(net, mesh=mesh)


def plain_network(net: nn.Module, *, device: str = "meta") -> nn.Module:
    """The network with shards gathered and low-rank updates merged; itself, if it has neither.

    All processes must call this; of a sharded network, only the first one gets the weights.

    Args:
        net: The network.
        device: Where a new one is made before it gets its weights; ``cpu`` if there is more to it than weights.
    """
    state: dict[str, Any] = net.state_dict()
    sharded = any(isinstance(tensor, DTensor) for tensor in state.values())
    if sharded:
        state = get_model_state_dict(net, options=StateDictOptions(full_state_dict=True, cpu_offload=True))  # type: ignore[assignment]
    merged = merged_state(net, state) if state else {}
    if not sharded and merged.keys() == state.keys():
        return net
    with torch.device(device):
        plain: nn.Module = type(net)(net.config)
    # What a network knows besides its weights, e.g. their licence.
    vars(plain).update({name: value for name, value in vars(net).items() if not name.startswith("_")})
    if merged:
        plain.load_state_dict(merged, assign=True)
    return plain
