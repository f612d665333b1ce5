"""The error in space falls faster than any power of the grid spacing, as long as the solution is smooth."""

from itertools import pairwise

import pytest
import torch

from sciml.pde import NavierStokes, Viscosity
from tests.validation.flows import relative_error, smooth

pytestmark = pytest.mark.validation


def test_doubling_the_grid_gains_more_digits_every_time():
    def final(resolution):
        solver = NavierStokes(resolution, damping=Viscosity(1e-2), dtype=torch.float64)
        return solver.solve(smooth(resolution)[None], [0, 0.2], cfl=1e9, max_step=1e-3)[0, 1]

    reference = final(128)
    errors = [relative_error(final(n), reference[:, :: 128 // n, :: 128 // n]) for n in (16, 32, 64)]
    gains = [coarse / fine for coarse, fine in pairwise(errors)]
    # A method of order p gains 2^p every time. Here the error is exp(-const N): every gain is the square of the last.
    assert gains[0] > 2**6
    assert gains[1] > gains[0] ** 1.8
    assert errors[2] < 1e-8
