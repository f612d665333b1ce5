"""A least-squares fit of the last layer improves a network that Adam has trained at least a hundredfold."""

import pytest
import torch

from sciml.barron.jet import jet_of
from sciml.barron.least_squares import ritz_then_lsq
from sciml.barron.problems import cubic, reaction_diffusion
from sciml.barron.ritz import deep_ritz
from tests.barron.examples import sines

pytestmark = pytest.mark.validation


def relative_error(network, u):
    """H1 error relative to the norm of u, by 4096 points that no lattice has."""
    x = torch.quasirandom.SobolEngine(2, scramble=True, seed=1).draw(4096, dtype=torch.float64)
    with torch.no_grad():
        found = jet_of(network, x)
        square = (found.value - u(x)).square() + (found.gradient - u.gradient(x)).square().sum(1)
    return float(square.mean().sqrt() / u.h1())


@pytest.mark.parametrize("make", [reaction_diffusion, cubic])
def test_the_fit_improves_the_trained_network_a_hundredfold(make):
    u = sines(2)
    problem = make(2).with_solution(u)
    settings = {"hidden": (96,), "activation": "cos", "steps": 400, "points": 512}
    trained, fitted = deep_ritz(problem, **settings), ritz_then_lsq(problem, **settings)
    errors = relative_error(trained, u), relative_error(fitted, u)
    assert errors[0] < 0.1  # Adam has done its part
    assert errors[1] < errors[0] / 100
    # The certificate knows: for mu = 1 and a mild nonlinearity it is the error up to a factor of 3.
    assert 0.9 * errors[1] < fitted.certificate.relative < 3 * errors[1]
