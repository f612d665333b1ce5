import numpy as np
import pytest

from sciml.dispatch.risk import CVaR, Expectation
from sciml.errors import ConfigError

COSTS = np.array([1.0, 10.0, 2.0])
PROBABILITIES = np.array([0.3, 0.3, 0.4])


def judged(measure, costs=COSTS, probabilities=PROBABILITIES):
    return measure.weights(costs, probabilities) @ costs


def by_definition(costs, probabilities, level):
    """min_u u + E[(C - u)^+] / (1 - a); the minimum is at one of the costs."""
    return min(u + probabilities @ np.maximum(costs - u, 0) / (1 - level) for u in costs)


@pytest.mark.parametrize(
    ("level", "weight", "expected"),
    [
        (0.8, 1.0, 10.0),  # the worst fifth is part of the opening of 0.3
        (0.5, 1.0, (0.3 * 10 + 0.2 * 2) / 0.5),
        (0.2, 1.0, (0.3 * 10 + 0.4 * 2 + 0.1 * 1) / 0.8),
        (0.5, 0.25, 0.75 * 4.1 + 0.25 * 6.8),
        (0.0, 1.0, 4.1),
        (0.9, 0.0, 4.1),
    ],
)
def test_cvar_is_the_mean_of_the_worst_share(level, weight, expected):
    assert judged(CVaR(level, weight)) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_cvar_is_the_minimum_that_defines_it(seed):
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, 6, 12).astype(float)  # with ties
    probabilities = rng.dirichlet(np.ones(12))
    level = rng.uniform(0, 0.99)
    assert judged(CVaR(level, 1.0), costs, probabilities) == pytest.approx(
        by_definition(costs, probabilities, level), rel=1e-12
    )


def test_the_weights_are_a_density_and_the_gradient():
    measure = CVaR(0.6, 0.7)
    weights = measure.weights(COSTS, PROBABILITIES)
    assert weights.sum() == pytest.approx(1, rel=1e-14)
    assert (weights >= 0).all()
    step = 1e-3  # the measure is linear as long as the order of the costs stays
    for i in range(3):
        more = COSTS + step * np.eye(3)[i]
        assert (judged(measure, more) - judged(measure)) / step == pytest.approx(weights[i], abs=1e-9)


def test_the_expectation_is_the_mean():
    assert judged(Expectation()) == pytest.approx(4.1, rel=1e-14)


@pytest.mark.parametrize(("level", "weight"), [(1.0, 0.5), (-0.1, 0.5), (0.9, 1.1), (0.9, -0.1)])
def test_a_level_or_weight_outside_its_interval_is_an_error(level, weight):
    with pytest.raises(ConfigError, match=r"level in \[0, 1\) and a weight in \[0, 1\]"):
        CVaR(level, weight)
