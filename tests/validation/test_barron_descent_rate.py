"""Descent contracts at the predicted rate, lowers the energy, and its Barron norms stay below their bounds."""

import itertools
import math

import pytest

from sciml.barron.calculus import convexity_constants
from sciml.barron.flow import BarronFlow
from sciml.barron.lattice import RankOneLattice
from sciml.barron.problems import cubic
from sciml.barron.residual import Collocation
from tests.barron.examples import seeded, waves

pytestmark = pytest.mark.validation

DIMENSION = 10


def cubic_flow(amplitude, step):
    """Plain descent for a solution with this root mean square, and the solution's constants on its Wiener ball."""
    u = waves(DIMENSION) * amplitude
    problem = cubic(DIMENSION, boundary="periodic").with_solution(u)
    constants = convexity_constants(c=1, c_max=1 + 3 * float(u.wiener()) ** 2, lam=1, Lam=1)
    lattices = [RankOneLattice.random(DIMENSION, 2**12, seeded(seed)) for seed in range(2)]
    system = Collocation(problem, lattices).on(u.frequencies)
    return u, constants, BarronFlow(system, depth=0, step=step(constants))


@pytest.mark.parametrize("amplitude", [0.1, 0.3, 1.0])
def test_the_error_contracts_at_the_predicted_rate(amplitude):
    u, constants, flow = cubic_flow(amplitude, lambda constants: constants.best_step)
    errors = []
    for _ in range(12):
        flow.advance()
        errors.append(float((flow.net - u).h1()))
    rates = [new / old for old, new in itertools.pairwise(errors[2:])]
    predicted = constants.contraction()
    assert max(rates) <= 1.02 * predicted
    # High frequencies contract by 1 - eta whatever u is, which is close to the prediction.
    assert rates[-1] == pytest.approx(predicted, rel=0.02)


@pytest.mark.parametrize("amplitude", [0.1, 0.3, 1.0])
def test_a_step_of_one_over_m_never_raises_the_energy_and_contracts_its_gap(amplitude):
    u, constants, flow = cubic_flow(amplitude, lambda constants: 1 / constants.M)
    for _ in range(12):
        flow.advance()
    least = flow.system.energy(flow.system.jets(u.coefficients.detach()))
    gaps = [record.energy - least for record in flow.history]
    rounding = 1e-13 * abs(least)
    assert all(new <= constants.energy_rate * old + rounding for old, new in itertools.pairwise(gaps))


@pytest.mark.parametrize("amplitude", [0.05, 0.1, 0.3])
def test_the_barron_norm_stays_below_the_one_step_bound(amplitude):
    _, _, flow = cubic_flow(amplitude, lambda constants: 1 / constants.M)
    flow.run(iterations=15, tol=0.0)
    for record in flow.history:
        assert record.barron <= record.one_step_bound * (1 + 1e-12)
        assert record.barron <= record.apriori_bound * (1 + 1e-12)
    tightness = [record.one_step_bound / record.barron for record in flow.history[1:]]
    assert max(tightness) < 1.25  # a bound that is never near would say little


def test_the_bound_known_in_advance_is_sharp_for_small_sources_and_overflows_for_large_ones():
    small, large = (cubic_flow(amplitude, lambda constants: constants.best_step)[2] for amplitude in (0.05, 0.3))
    for flow in (small, large):
        flow.run(iterations=25, tol=0.0)
    assert small.history[-1].apriori_bound < 1.1 * small.history[-1].barron
    # |P f|_A is above 2 / (3 sqrt 3): the recursion a <- |P f|_A + a^3 has no fixed point, though the norms converge.
    assert large.history[-1].apriori_bound == math.inf
    assert large.history[-1].barron == pytest.approx(large.history[-2].barron, rel=1e-2)
