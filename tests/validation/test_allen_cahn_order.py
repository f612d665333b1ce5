"""The splitting is of second order in time."""

import math

import pytest
import torch

from sciml.pde.reaction import AllenCahn

pytestmark = pytest.mark.validation


def test_halving_the_step_divides_the_error_by_four():
    x = torch.arange(32, dtype=torch.float64) / 32
    wave = 2 * math.pi * x
    start = (0.6 * torch.sin(wave)[:, None] * torch.cos(wave) + 0.3 * torch.cos(wave + 1)[:, None])[None]
    solver = AllenCahn(32, eps=8.0, dtype=torch.float64)

    def final(steps):
        return solver.solve(start, horizon=0.04, frames=2, steps=steps)[0, -1]

    reference = final(2048)
    errors = torch.tensor([float((final(steps) - reference).norm()) for steps in (16, 32, 64)])
    orders = torch.log2(errors[:-1] / errors[1:]).tolist()
    # eps^2 dt = 0.16 at first, and the next term of the error expansion is of second order relative to the first.
    assert orders == pytest.approx([2, 2], abs=0.05)
