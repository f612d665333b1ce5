"""The Navier-Stokes solver agrees with an independent one, exponax, to 1e-7 in float64."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.pde import NavierStokes, Viscosity
from tests.validation.flows import grid

pytestmark = pytest.mark.validation
# Its own docstring says which flow this is and how exponax was run.
REFERENCE = Path(__file__).parents[1] / "fixtures/navier_stokes/exponax.npz"
POINTS, KEPT = 96, 4


def initial_velocity():
    """(d stream / dy, -d stream / dx) of the stream function in the reference's docstring."""
    tau = 2 * math.pi
    x, y = (tau * axis for axis in grid(POINTS))
    slanted = 0.3 * (x + 2 * y).cos()
    u = -x.sin() * y.sin() + 2 * slanted
    v = -(x.cos() * y.cos() - 0.8 * (2 * x + 1).sin() + slanted)
    return torch.stack([u, v])


def vorticity_after(time, step):
    solver = NavierStokes(POINTS, damping=Viscosity(1e-2), dtype=torch.float64)
    velocity = solver.solve(initial_velocity()[None], [0, time], cfl=math.inf, max_step=step)[:, 1]
    return solver.vorticity(velocity)[0, ::KEPT, ::KEPT].numpy()


def test_the_vorticity_is_that_of_exponax():
    reference = np.load(REFERENCE)["vorticity"]
    error = np.abs(vorticity_after(0.5, step=2e-3) - reference).max() / np.abs(reference).max()
    assert error < 1e-7, error


def test_the_flow_is_one_in_which_advection_matters():
    # Pure diffusion of the same start is far away, so that the agreement says something of the nonlinear term.
    reference = np.load(REFERENCE)["vorticity"]
    solver = NavierStokes(POINTS, damping=Viscosity(1e-2), dtype=torch.float64)
    k = 2 * math.pi * torch.fft.fftfreq(POINTS, 1 / POINTS, dtype=torch.float64)
    decay = (-1e-2 * 0.5 * (k[:, None] ** 2 + k**2)).exp()
    diffused = torch.fft.ifft2(decay * torch.fft.fft2(solver.vorticity(initial_velocity()[None])[0])).real
    difference = np.abs(diffused[::KEPT, ::KEPT].numpy() - reference).max() / np.abs(reference).max()
    assert difference > 0.1, difference
