"""The transport of a bounded tracer is of second order where the tracer is smooth, and better than first at an edge."""

import math
from itertools import pairwise

import pytest
import torch

from sciml.pde import NavierStokes, SpectralViscosity, Viscosity, initial
from tests.validation.flows import grid, smooth

pytestmark = pytest.mark.validation


def carried(resolution, tracer, transport, tracer_damping):
    solver = NavierStokes(
        resolution,
        damping=Viscosity(2e-3),
        tracer_damping=tracer_damping,
        transport=transport,
        dtype=torch.float64,
    )
    state = torch.cat([smooth(resolution), tracer(resolution)[None]])[None]
    return solver.solve(state, [0, 0.25], cfl=0.8)[0, 1, 2]


def bump(resolution):
    x, y = grid(resolution)
    return torch.exp(torch.cos(2 * math.pi * x) + torch.cos(2 * math.pi * (y - 0.3)))


def test_the_error_of_a_smooth_tracer_falls_with_the_square_of_the_grid_spacing():
    reference = carried(128, bump, "spectral", Viscosity(0.0))
    found = {n: carried(n, bump, "bounded", None) for n in (32, 64, 128)}
    errors = [float((found[n] - reference[:: 128 // n, :: 128 // n]).abs().mean()) for n in found]
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    # The limiter costs an order at the extrema, a share of the square that shrinks with the spacing.
    assert orders[-1] == pytest.approx(2, abs=0.3)
    assert errors[-1] < 1e-3 * math.e**2  # a thousandth of the bump's height


def test_at_a_sharp_edge_it_is_closer_to_the_truth_than_the_spectral_method():
    fine = carried(256, initial.disk, "bounded", None)
    for _ in range(2):  # cell averages of a grid of 64, whose points are every fourth
        for axis in (0, 1):
            fine = (fine.roll(1, axis) + 2 * fine + fine.roll(-1, axis)) / 4
        fine = fine[::2, ::2]
    errors = [
        float((carried(64, initial.disk, transport, SpectralViscosity()) - fine).abs().mean())
        for transport in ("bounded", "spectral")
    ]
    assert errors[0] < 0.7 * errors[1]
