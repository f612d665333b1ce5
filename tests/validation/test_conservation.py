"""Without viscosity, energy and enstrophy are conserved."""

import pytest
import torch

from sciml.pde import NavierStokes, Viscosity
from tests.validation.flows import smooth

pytestmark = pytest.mark.validation


def test_an_ideal_flow_keeps_its_energy_and_enstrophy():
    solver = NavierStokes(32, damping=Viscosity(0.0), dtype=torch.float64)
    frames = solver.solve(smooth(32)[None], [0, 0.25, 0.5], cfl=1e9, max_step=1e-3)[0]
    energy = frames.square().mean((1, 2, 3))
    enstrophy = solver.vorticity(frames).square().mean((1, 2))
    # The 2/3 rule makes the cut equations conserve both exactly; RK4 loses O(dt^5) a step: 1e-9 with dt = 1e-3.
    for invariant in (energy, enstrophy):
        torch.testing.assert_close(invariant, invariant[:1].expand(3), rtol=1e-8, atol=0)
    assert float((frames[2] - frames[0]).abs().max()) > 0.1
