"""The Taylor-Green vortex decays as the exact solution of the Navier-Stokes equations does."""

import math

import pytest
import torch

from sciml.pde import NavierStokes, Viscosity
from tests.validation.flows import grid

pytestmark = pytest.mark.validation
NU = 0.01


def taylor_green(time, resolution, mean=(0.0, 0.0)):
    x, y = grid(resolution)
    x, y = 2 * math.pi * (x - mean[0] * time), 2 * math.pi * (y - mean[1] * time)
    decay = math.exp(-2 * NU * (2 * math.pi) ** 2 * time)
    return torch.stack([mean[0] + decay * x.sin() * y.cos(), mean[1] - decay * x.cos() * y.sin()])


def test_the_vortex_decays_to_1e_10():
    solver = NavierStokes(32, damping=Viscosity(NU), dtype=torch.float64)
    times = [0, 0.5, 1.0, 2.0]
    frames = solver.solve(taylor_green(0, 32)[None], times)[0]
    exact = torch.stack([taylor_green(time, 32) for time in times])
    # The advection of the vortex is a gradient and drops out, the damping is integrated exactly: only rounding is left.
    assert float((frames - exact).abs().max()) < 1e-10


def test_the_vortex_is_carried_by_a_mean_flow_to_1e_10():
    # Here the advection works in every step: this checks the nonlinear term and its signs against an exact solution.
    mean = (0.7, -0.4)
    solver = NavierStokes(16, damping=Viscosity(NU), dtype=torch.float64)
    frames = solver.solve(taylor_green(0, 16, mean)[None], [0, 0.5], max_step=1e-3)[0]
    # RK4 of a wave of frequency 2 pi 1.1 = 6.9: (6.9 dt)^5 / 120 per step, 500 steps: 6.5e-11.
    assert float((frames[1] - taylor_green(0.5, 16, mean)).abs().max()) < 1e-10
