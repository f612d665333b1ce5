"""The generated sources have the spread of the published file."""

import math

import pytest

from sciml.pde import make_task

pytestmark = pytest.mark.validation
SAMPLES = 2000


def test_the_spread_of_the_source_is_the_published_one():
    task = make_task("Poisson-Gauss")
    source = task.simulate(range(SAMPLES), resolution=33, seed=0)[:, 0, 0]
    power = source.square().mean((1, 2))
    error = 3 * float(power.std()) / math.sqrt(SAMPLES)
    assert error < 0.15 * 4.755**2  # or the test would say little
    assert float(power.mean()) == pytest.approx(4.755**2, abs=error)
    means = source.mean((1, 2))
    assert float(means.mean()) == pytest.approx(0.0148, abs=3 * float(means.std()) / math.sqrt(SAMPLES))
