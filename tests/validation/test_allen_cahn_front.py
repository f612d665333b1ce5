"""The front in which the phase 1 invades the unstable state 0 moves at its exact speed and keeps its exact shape."""

import math

import pytest
import torch

from sciml.pde.reaction import AllenCahn

pytestmark = pytest.mark.validation


def test_the_front_moves_at_three_eps_over_root_two():
    eps, size, horizon = 100.0, 256, 1e-3
    x = torch.arange(size, dtype=torch.float64) / size

    def exact(time):
        """Two fronts that run away from each other: u = 1 / (1 + exp(eps / sqrt(2) (|x| - x0 - c t)))."""
        place = (x - 0.5).abs() - 0.15 - 3 * eps / math.sqrt(2) * time
        return torch.sigmoid(-eps / math.sqrt(2) * place)

    solver = AllenCahn(size, eps=eps, dtype=torch.float64)
    start = exact(0)[:, None].expand(-1, size)[None]
    frames = solver.solve(start, horizon=horizon, frames=6, steps=64)[0]
    # In u_t = u_xx + eps^2 u (1 - u^2) the profile 1 / (1 + exp(k s)), k = eps / sqrt(2), moves at c = 3 k. The two
    # fronts feel each other by exp(-k 0.3) = 6e-10 at the centre. The splitting, eps^2 dt = 0.03, is off by 3e-4.
    for step, time in enumerate(torch.linspace(0, horizon, 6).tolist()):
        assert float((frames[step, :, 0] - exact(time)).abs().max()) < 5e-4
    travelled = (frames[-1, :, 0] - frames[0, :, 0]).sum() / size / 2
    assert float(travelled) == pytest.approx(3 * eps / math.sqrt(2) * horizon, rel=1e-4)
