"""With a smooth variable speed the error is of fourth order in the spacing of grid and time."""

import math

import pytest
import torch

from sciml.pde.wave import WaveEquation
from tests.validation.waves import packet, points

pytestmark = pytest.mark.validation


def final(count):
    layer = (count - 1) // 8
    x = points(count, layer)
    inside = x[layer:-layer]
    speed = 1 + 0.5 * torch.sin(2 * math.pi * inside)[:, None] * torch.cos(math.pi * inside)
    solver = WaveEquation(speed[None], spacing=1 / (count - 1), layer=layer, dtype=torch.float64)
    start = packet(x, x, centre=(0.45, 0.55), width=0.07)[None]
    return solver.solve(start, horizon=0.15, frames=2)[0, -1]


def test_halving_the_spacing_divides_the_error_by_sixteen():
    coarse, middle, fine = (final(count) for count in (33, 65, 129))
    first = (coarse - middle[::2, ::2]).norm()
    second = (middle - fine[::2, ::2])[::2, ::2].norm()
    # 2.2 cells a width on the coarsest grid: the next term is a fifth of the leading one.
    assert math.log2(float(first / second)) == pytest.approx(4, abs=0.4)
