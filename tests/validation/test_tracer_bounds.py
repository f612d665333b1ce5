"""The tracer stays within its bounds to 1 percent, in every task that has one."""

import pytest

from sciml.pde import make_task
from sciml.pde.tasks import ns

pytestmark = pytest.mark.validation


@pytest.mark.parametrize("name", sorted(kind.name for kind in ns.TASKS if kind().tracer))
def test_the_tracer_stays_between_0_and_1(name):
    tracer = make_task(name, frames=6).simulate(range(4), resolution=64, seed=0)[:, :, 2]
    assert -0.01 < float(tracer.min()) < float(tracer.max()) < 1.01
    assert 0.05 < float(tracer[:, -1].std()) < 0.99 * float(tracer[:, 0].std())  # stirred, but not yet mixed
