"""A plane wave is reflected and transmitted where the speed jumps as the continuity of u and u_x says."""

import pytest
import torch

from sciml.pde.wave import WaveEquation
from tests.validation.waves import points

pytestmark = pytest.mark.validation


def test_the_amplitudes_behind_an_interface_are_those_of_theory():
    count, layer, slow, fast = 161, 8, 1.0, 2.0
    x = points(count, layer)
    inside = x[layer:-layer]
    speed = torch.where(inside > 0.5, fast, slow)[:, None].expand(-1, count)[None]
    solver = WaveEquation(speed, spacing=1 / (count - 1), layer=layer, dtype=torch.float64)
    start = torch.exp(-(((x - 0.3) / 0.03) ** 2) / 2)[:, None].expand(-1, len(x))[None]
    # The half that runs to the right meets the interface at t = 0.2; at t = 0.29 both parts are clear of it, and the
    # ends of the plane wave, which the layer eats, are not yet felt in the middle even at the fast speed.
    row = solver.solve(start, horizon=0.29, frames=2)[0, -1, :, count // 2]
    # 1 + R = T and (1 - R) / slow = T / fast give R = (fast - slow) / (fast + slow), T = 2 fast / (fast + slow).
    reflected, transmitted = row[(inside > 0.3) & (inside < 0.5)].max(), row[inside > 0.5].max()
    # The grid sees the jump somewhere within a cell, a fifth of the pulse's width; that is second order: 2 %.
    assert float(reflected) == pytest.approx(0.5 * (fast - slow) / (fast + slow), rel=0.02)
    assert float(transmitted) == pytest.approx(0.5 * 2 * fast / (fast + slow), rel=0.02)
