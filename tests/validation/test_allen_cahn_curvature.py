"""A disk of one phase shrinks by the curvature of its edge: R^2 = R0^2 - 2 t."""

import math

import pytest
import torch

from sciml.pde.reaction import AllenCahn

pytestmark = pytest.mark.validation


def test_a_disk_shrinks_at_the_rate_of_its_curvature():
    eps, size, radius, horizon = 60.0, 128, 0.3, 0.02
    x = torch.arange(size, dtype=torch.float64) / size - 0.5
    distance = radius - torch.hypot(x[:, None], x[None, :])
    start = torch.tanh(eps / math.sqrt(2) * distance)[None]
    frames = AllenCahn(size, eps=eps, dtype=torch.float64).solve(start, horizon=horizon, frames=5, steps=50)[0]
    area = ((frames + 1) / 2).mean((1, 2))
    expected = math.pi * (radius**2 - 2 * torch.linspace(0, horizon, 5, dtype=torch.float64))
    # The law holds up to (width / R)^2 = (1 / (60 * 0.22))^2 = 0.6 % of the change.
    torch.testing.assert_close(area - area[0], expected - expected[0], rtol=1e-2, atol=0)
