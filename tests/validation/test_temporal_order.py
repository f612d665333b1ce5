"""The time integration is of fourth order."""

import math

import pytest
import torch

from sciml.pde import NavierStokes, Viscosity
from tests.validation.flows import smooth

pytestmark = pytest.mark.validation


def test_halving_the_step_divides_the_error_by_sixteen():
    solver = NavierStokes(32, damping=Viscosity(2e-3), dtype=torch.float64)
    tracer = smooth(32)[:1] ** 2

    def final(steps):
        state = torch.cat([smooth(32), tracer])[None]
        return solver.solve(state, [0, 0.5], cfl=1e9, max_step=0.5 / steps)[0, 1]

    reference = final(800)
    errors = torch.tensor([float((final(steps) - reference).norm()) for steps in (40, 80, 160)])
    orders = torch.log2(errors[:-1] / errors[1:]).tolist()
    # The next term of the error expansion is smaller by about the step over the turnover time, 0.01: 0.1 is ample.
    assert orders == pytest.approx([4, 4], abs=0.1)
    assert math.isfinite(sum(orders))
