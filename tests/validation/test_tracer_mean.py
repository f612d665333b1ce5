"""The mean of a tracer is conserved."""

import pytest

from sciml.pde import make_task

pytestmark = pytest.mark.validation


@pytest.mark.parametrize("transport", ["bounded", "spectral"])
@pytest.mark.parametrize(("precision", "rounding"), [("float32", 1e-6), ("float64", 1e-14)])
def test_the_mean_of_the_tracer_is_conserved(transport, precision, rounding):
    # What leaves a cell enters its neighbour, or: the mean is a Fourier mode whose slope is exactly zero. What is left
    # is the rounding of the mean over the grid.
    task = make_task("NS-PwC", precision=precision, transport=transport)
    tracer = task.simulate(range(4), resolution=64, seed=0)[:, :, 2].double()
    means = tracer.mean((-2, -1))
    assert float((means - means[:, :1]).abs().max()) < rounding
    assert float(tracer[:, 0].std() - tracer[:, -1].std()) > 0.01  # the tracer itself did change
