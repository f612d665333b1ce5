"""A plane wave splits in two as d'Alembert says, with an error of fourth order."""

import pytest
import torch

from sciml.pde.wave import WaveEquation
from tests.validation.waves import points

pytestmark = pytest.mark.validation
SPEED, TIME, LAYER = 2.0, 0.12, 8


def profile(x):
    return torch.exp(-(((x - 0.5) / 0.08) ** 2) / 2)


def largest_error(count):
    x = points(count, LAYER)
    start = profile(x)[:, None].expand(-1, len(x))[None]
    solver = WaveEquation(
        torch.full((1, count, count), SPEED), spacing=1 / (count - 1), layer=LAYER, dtype=torch.float64
    )
    frames = solver.solve(start, horizon=TIME, frames=4)[0]
    inside = x[LAYER:-LAYER]
    errors = []
    for time, frame in zip((0, TIME / 3, 2 * TIME / 3, TIME), frames, strict=True):
        exact = (profile(inside - SPEED * time) + profile(inside + SPEED * time)) / 2
        # The layer above and below eats the ends of the plane wave. The middle learns of it after t = 0.5 / c.
        errors.append(float((frame[:, count // 2] - exact).abs().max()))
    assert errors[0] == 0
    return max(errors)


def test_the_error_of_a_plane_wave_falls_with_the_fourth_power_of_the_spacing():
    errors = torch.tensor([largest_error(count) for count in (41, 81, 161)])
    orders = torch.log2(errors[:-1] / errors[1:]).tolist()
    # The pulse is 3 cells wide on the first grid: the next term of the expansion is (1/3)^2 of the leading one.
    assert orders == pytest.approx([4, 4], abs=0.3)
    assert errors[-1] < 1e-4
