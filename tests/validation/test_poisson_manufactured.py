"""The Poisson solver reproduces a manufactured solution with an error of fourth order."""

import math

import pytest
import torch

from sciml.pde.elliptic import poisson

pytestmark = pytest.mark.validation


def largest_error(count):
    x = torch.linspace(0, 1, count, dtype=torch.float64)[:, None]
    y = x.T
    # u = x (1 - x) y (1 - y) e^(x + 2 y) is zero on the boundary, its Laplacian is not, as in the task.
    growth = torch.exp(x + 2 * y)
    u = x * (1 - x) * y * (1 - y) * growth
    along_x = (-x - 3) * x * y * (1 - y) * growth
    along_y = (-2 + 4 * (1 - 2 * y) + 4 * y * (1 - y)) * x * (1 - x) * growth
    return float((poisson(-(along_x + along_y)[None], spacing=1 / (count - 1))[0] - u).abs().max())


def test_the_error_falls_with_the_fourth_power_of_the_spacing():
    errors = torch.tensor([largest_error(count) for count in (17, 33, 65, 129)])
    orders = torch.log2(errors[:-1] / errors[1:]).tolist()
    # u is a polynomial times exp(x + 2 y): the next term of the expansion is (2 h)^2, 1 %, of the leading one.
    assert orders == pytest.approx([4, 4, 4], abs=0.1)
    assert math.isfinite(errors.sum())
