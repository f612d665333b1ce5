"""A star at rest stays at rest to rounding over the whole horizon of GCE-RT."""

import pytest
import torch

from sciml.pde.finite_volume import Euler
from sciml.pde.tasks import make_task

pytestmark = pytest.mark.validation


@pytest.mark.parametrize("edge", ["wall", "open", "periodic"])
def test_the_hydrostatic_state_is_kept_to_1e_12(edge):
    task = make_task("GCE-RT", atwood=0.0, precision="float64", edges=edge, solver_resolution=24, frames=2)
    frames = task.simulate([0], resolution=24, seed=0)[0]
    change = (frames[1] - frames[0]).abs().amax((1, 2))
    assert float(change[:4].max()) < 1e-12
    # The tracer's jump of 1 in a cell of 1/24 is carried by velocities of 1e-14 for a time of 5.
    assert float(change[4]) < 1e-11


def test_a_scheme_that_is_not_balanced_would_not_do():
    # The same with the source from central differences: the star rings at once. (What the test above would miss if the
    # potential were zero.)
    initial = make_task("GCE-RT", atwood=0.0).initial(0, resolution=24, seed=0)
    solver = Euler((24, 24), edges=("wall", "wall"), gamma=2.0, dtype=torch.float64)
    frames = solver.solve(initial[None, :4], [0, 0.1])[0]
    assert float((frames[1] - frames[0]).abs().max()) > 1e-2


def test_small_waves_on_the_star_are_not_drowned():
    # A pressure bump of 1e-8 makes waves of 1e-8, a thousand million times smaller than the star itself: with twice the
    # bump they are twice as large. An unbalanced scheme's own error, 1e-4 on this grid, would swamp them.
    initial = make_task("GCE-RT", atwood=0.0).initial(0, resolution=24, seed=0)
    state, potential = initial[:4], initial[4 + 1]
    x = (torch.arange(24, dtype=torch.float64) + 0.5) / 24 - 0.5
    bump = torch.exp(-100 * (x[:, None] ** 2 + x[None, :] ** 2))
    solver = Euler(
        (24, 24), edges=("wall", "wall"), gamma=2.0, potential=potential, reconstruction="central", dtype=torch.float64
    )

    def velocity(size):
        fields = state.clone()
        fields[3] *= 1 + size * bump
        return solver.solve(fields[None], [0, 0.2])[0, 1, 1]

    small, large = velocity(1e-8), velocity(2e-8)
    assert float(small.abs().max()) > 1e-10
    torch.testing.assert_close(large, 2 * small, rtol=0, atol=1e-12)  # rounding; the nonlinear terms are 1e-16
