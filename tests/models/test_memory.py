"""What a training step is estimated to take, where it can be counted by hand."""

import pytest
import torch
from torch import nn

from models.memory import step_memory, training_memory
from sciml.poseidon.blocks import Recomputable, recompute_activations

FIELD = 4 * 3 * 2 * 16 * 16  # bytes of 3 samples of 2 channels on 16 x 16 points
# Beside what is kept: input, prediction, target, their difference, and two gradients on their way.
PASSING = 6


class Exponentials(Recomputable):
    """Keeps the result of each for the backward pass."""

    def _transform(self, x, lead_time):
        for _ in range(10):
            x = x.exp()
        return x


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.blocks = nn.ModuleList(Exponentials() for _ in range(10))

    def forward(self, fields, lead_time, scalars=None):
        x = self.scale * fields
        for block in self.blocks:
            x = block(x, lead_time)
        return x if scalars is None else x * scalars.sum()


def fields(net, **settings):
    """Most memory of a step, in fields."""
    return step_memory(net, 3, (16, 16), channels=2, **settings) / FIELD


def test_a_step_keeps_the_result_of_every_operation():
    assert 100 <= fields(Chain()) <= 100 + PASSING


def test_recomputing_keeps_the_input_of_every_block_and_one_block():
    net = Chain()
    recompute_activations(net)
    assert 20 <= fields(net) <= 20 + PASSING


def test_weights_momenta_and_gradients_count_and_half_precision_halves_activations():
    net = nn.ModuleList([Chain(), nn.Linear(1000, 1000, bias=False)])
    net.forward = lambda x, t: net[0](x, t) * net[1].weight.mean()  # type: ignore[method-assign]
    full, half = (training_memory(net, 3, (16, 16), channels=2, precision=p) for p in ("32-true", "bf16-mixed"))
    assert 16e6 <= full <= 16e6 + 4e6 + 108 * FIELD  # a gradient on its way beside the one that is kept
    assert half < full
    net[1].requires_grad_(False)
    assert training_memory(net, 3, (16, 16), channels=2) == pytest.approx(full - 12e6, abs=5e6)


def test_a_network_with_scalars_is_given_some():
    assert fields(Chain(), scalars=2) > fields(Chain())
