import math

import pytest
import torch

from sciml.barron.calculus import (
    CUBIC_THRESHOLD,
    KAPPA,
    ConvexityConstants,
    a_priori_bounds,
    convexity_constants,
    cubic_wiener_bound,
    lowest_eigenvalue,
    one_step_bound,
    shifted_preconditioner,
    vector_wiener,
)
from sciml.barron.spectral import SpectralNet
from sciml.errors import ConfigError
from tests.barron.networks import BOUNDARIES, random_net

NEUMANN = {"lam": 1.0, "Lam": 4.0, "c": 0.5, "c_max": 9.0}


def quotients(*, lam, Lam, c, c_max, alpha=1.0, beta=1.0, lowest=0.0):
    """Least and largest quotient of the Hessian's bounds and the preconditioner, on a fine spectrum."""
    s = torch.cat([torch.tensor([0.0]), torch.logspace(-4, 8, 2000)]).double() + lowest
    return float(((c + lam * s) / (alpha + beta * s)).min()), float(((c_max + Lam * s) / (alpha + beta * s)).max())


@pytest.mark.parametrize("lowest", [0.0, 2 * math.pi**2])
@pytest.mark.parametrize("preconditioner", [(1.0, 1.0), (3.0, 0.5)])
def test_constants_are_the_extremes_over_the_spectrum(lowest, preconditioner):
    alpha, beta = preconditioner
    constants = convexity_constants(**NEUMANN, lowest=lowest, alpha=alpha, beta=beta)
    extremes = quotients(**NEUMANN, lowest=lowest, alpha=alpha, beta=beta)
    assert (constants.mu, constants.M) == pytest.approx(extremes, rel=1e-7)  # the spectrum above ends at 1e8


def test_without_a_mass_the_poincare_inequality_makes_a_dirichlet_problem_convex():
    lowest = lowest_eigenvalue(3, "dirichlet")
    assert lowest == pytest.approx(3 * math.pi**2)
    constants = convexity_constants(lam=2.0, Lam=2.0, c=0.0, c_max=0.0, lowest=lowest)
    assert constants.mu == pytest.approx(2 / (1 + 1 / (3 * math.pi**2)))


def test_the_lowest_eigenvalue_depends_on_box_and_boundary():
    assert lowest_eigenvalue(2, "periodic") == lowest_eigenvalue(2, "neumann") == 0
    assert lowest_eigenvalue(2, ("neumann", "dirichlet"), box=(1, 2)) == pytest.approx(math.pi**2 / 4)


def test_descent_on_a_quadratic_contracts_as_predicted():
    constants = ConvexityConstants(0.5, 4.0)
    eigenvalues = torch.tensor([0.5, 4.0])
    for step in (0.1, constants.best_step, 0.48):
        factors = (1 - step * eigenvalues).abs()
        assert constants.contraction(step) == pytest.approx(float(factors.max()))
    assert constants.contraction() == pytest.approx(3.5 / 4.5)
    assert constants.contraction() <= min(constants.contraction(constants.best_step * s) for s in (0.99, 1.01))
    assert constants.contraction(2 / 4.0) == pytest.approx(1)
    assert constants.energy_rate == pytest.approx(1 - 0.125)


def test_the_number_of_steps_is_the_first_that_suffices():
    constants = ConvexityConstants(0.5, 4.0)
    steps = constants.iterations(3.0, 1e-4)
    assert 3.0 * constants.contraction() ** steps <= 1e-4 < 3.0 * constants.contraction() ** (steps - 1)
    assert ConvexityConstants(2.0, 2.0).iterations(3.0, 1e-4) == 1
    assert constants.iterations(1e-5, 1e-4) == 0
    with pytest.raises(ConfigError, match=r"below 2 / M = 0.5"):
        constants.iterations(1.0, 0.1, step=0.6)


def test_the_shifted_preconditioner_has_the_rate_of_its_formula():
    alpha, beta = shifted_preconditioner(**NEUMANN)
    rate = convexity_constants(**NEUMANN, alpha=alpha, beta=beta).contraction(1.0)
    assert rate == pytest.approx(max(8.5 / 9.5, 3 / 5))


def test_a_problem_that_is_not_strongly_convex_is_refused():
    with pytest.raises(ConfigError, match="strongly convex in u"):
        convexity_constants(lam=1.0, Lam=1.0, c=0.0, c_max=1.0)


def test_kappa_is_the_largest_gain_of_the_resolvent():
    s = torch.linspace(0, 10, 1_000_001, dtype=torch.float64)
    assert float(((1 + s) / (1 + s**2)).max()) == pytest.approx(KAPPA, rel=1e-10)
    assert float((s * (1 + s) / (1 + s**2)).max()) == pytest.approx(KAPPA, rel=1e-10)


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
def test_the_wiener_norm_of_the_gradient_is_what_the_barron_norm_adds(boundary):
    net = random_net(boundary, modes=12)
    gradient = [net.derivative(axis) for axis in range(3)]
    assert float(vector_wiener(gradient)) == pytest.approx(float(net.barron() - net.wiener()), rel=1e-13)


def test_the_one_step_bound_is_that_of_the_formula():
    assert one_step_bound(3.0, step=0.25, source=2.0) == 0.75 * 3 + 0.25 * 2
    assert one_step_bound(3.0, step=1.0, source=2.0, reaction=0.5, flux=1.5) == pytest.approx(2 + 2 * KAPPA)


def source(wiener):
    """A network of a given Wiener norm; its Barron norm is 1 + 2 pi times that."""
    return SpectralNet([[1]], [wiener], boundary="periodic")


def test_the_cubic_bound_is_a_fixed_point():
    for s in (0.0, 0.1, 0.3, CUBIC_THRESHOLD):
        bound = cubic_wiener_bound(s)
        assert s + bound**3 == pytest.approx(bound, rel=1e-12)
    assert cubic_wiener_bound(CUBIC_THRESHOLD) == pytest.approx(1 / math.sqrt(3))
    assert cubic_wiener_bound(1.001 * CUBIC_THRESHOLD) == math.inf


def test_the_recursion_for_the_cubic_reaches_its_fixed_point_from_below():
    bounds = a_priori_bounds(source(0.3), step=0.5, iterations=200, reaction=lambda a: a**3)
    assert len(bounds.wiener) == len(bounds.barron) == 201
    assert bounds.wiener[0] == 0
    assert sorted(bounds.wiener) == bounds.wiener
    assert bounds.wiener[-1] == pytest.approx(cubic_wiener_bound(0.3), rel=1e-12)
    limit = 0.3 * (1 + 2 * math.pi) + KAPPA * cubic_wiener_bound(0.3) ** 3
    assert bounds.barron[-1] == pytest.approx(limit, rel=1e-12)


def test_the_recursion_for_the_quartic_gradient_reaches_its_fixed_point():
    s = 0.05
    bounds = a_priori_bounds(source(s), step=0.5, iterations=200, flux=lambda g: g**3)
    gradient = cubic_wiener_bound(2 * math.pi * s)
    wiener = s + gradient**3 / 2
    assert bounds.wiener[-1] == pytest.approx(wiener, rel=1e-12)
    barron = min(s * (1 + 2 * math.pi) + KAPPA * gradient**3, wiener + gradient)
    assert bounds.barron[-1] == pytest.approx(barron, rel=1e-12)


@pytest.mark.parametrize("majorant", [lambda a: a**3, lambda a: a * a * a, lambda a: math.sinh(a) - a])
def test_a_bound_that_blows_up_is_infinite(majorant):
    bounds = a_priori_bounds(source(3.0), step=1.0, iterations=50, reaction=majorant)
    assert bounds.barron[-1] == math.inf
    assert not any(map(math.isnan, bounds.barron + bounds.wiener))


def test_a_linear_problem_keeps_the_norm_of_its_source():
    bounds = a_priori_bounds(source(0.7), step=1.0, iterations=3)
    assert bounds.wiener == [0, 0.7, 0.7, 0.7]
    start = a_priori_bounds(source(0.7), step=0.0, iterations=1, initial=source(5.0))
    assert start.wiener == [5, 5]
