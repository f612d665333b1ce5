"""Low-rank updates: fine-tune the linear layers of a network by small matrices beside frozen weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sciml.errors import ConfigError

TARGETS = ("query", "key", "value", "dense")


class LowRankUpdate(nn.Module):
    """A weight plus a trained matrix of low rank: W + (alpha / rank) up down. It starts as W, because up starts at 0.

    Args:
        weight: The frozen weight, shape (out, in).
        rank: Rank of the update.
        alpha: Scale of the update.
    """

    def __init__(self, weight: Float[Tensor, "out in"], *, rank: int, alpha: float):
        super().__init__()
        self.scale = alpha / rank
        self.down = nn.Parameter(weight.new_empty(rank, weight.shape[1]))
        self.up = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        """The updated weight."""
        return torch.addmm(weight, self.up, self.down, alpha=self.scale)


def add_lora(net: nn.Module, *, rank: int = 8, alpha: float = 16.0, targets: Sequence[str] = TARGETS) -> None:
    """Add a low-rank update to every targeted linear layer, in place. It freezes nothing.

    The update is a parametrisation of the weight, so that code which reads the weight instead of calling the layer, as
    the attention does, sees it too.

    Args:
        net: The network.
        rank: Rank of the updates. Good values: 4 to 32.
        alpha: Scale of the updates, which are multiplied by alpha / rank. Good values: rank to 2 rank.
        targets: Names of the layers: ``query``, ``key``, ``value``, and ``dense`` for attention output and MLP.

    Raises:
        ConfigError: the network has no such layer, or the rank is below 1.

    Reference:
        arXiv:2106.09685, equation 3.
    """
    if rank < 1:
        raise ConfigError(f"the rank of the low-rank updates is {rank}; at least 1 is expected, 8 is a good value.")
    layers = [m for name, m in net.named_modules() if isinstance(m, nn.Linear) and name.rsplit(".", 1)[-1] in targets]
    if not layers:
        raise ConfigError(
            f"the network has no linear layer called {', '.join(targets)} to add low-rank updates to. Take another "
            "recipe, or name other targets."
        )
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRankUpdate(layer.weight, rank=rank, alpha=alpha))


def merged_state(net: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of the network with the low-rank updates added to the weights, under the names of a plain network.

    Args:
        net: The network, with updates or without.
        state: Its state dict.
    """
    state = dict(state)
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Linear) and parametrize.is_parametrized(layer, "weight"):
            prefix = f"{name}.parametrizations.weight"
            weight, up, down = (state.pop(f"{prefix}.{key}") for key in ("original", "0.up", "0.down"))
            scale: float = layer.parametrizations["weight"][0].scale  # type: ignore[assignment, index]
            state[f"{name}.weight"] = torch.addmm(weight.detach(), up.detach(), down.detach(), alpha=scale)
    return state
