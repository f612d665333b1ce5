"""The certificate is the error up to a small factor for semilinear problems, and never less for any named problem."""

import math

import pytest
import torch

from sciml.barron.adapt import AdaptiveFlow
from sciml.barron.certify import certify
from sciml.barron.problems import PROBLEMS, make_problem, minimal_surface
from sciml.barron.spectral import SpectralNet
from tests.barron.examples import seeded, waves
from tests.barron.spectra import ExponentialOfWaves, PoissonProduct, h1_error

pytestmark = pytest.mark.validation


@pytest.mark.parametrize(
    ("solution", "modes"),
    [
        (PoissonProduct(2), 60),
        (PoissonProduct(5), 300),
        (ExponentialOfWaves(5), 64),
        (ExponentialOfWaves(5), 1500),
        (ExponentialOfWaves(10), 300),
        (ExponentialOfWaves(10), 2500),
    ],
    ids=["poisson-2", "poisson-5", "exponential-5-few", "exponential-5", "exponential-10-few", "exponential-10"],
)
def test_the_certificate_is_between_the_error_and_three_times_it(solution, modes):
    problem = solution.problem()
    flow = AdaptiveFlow(problem, generator=seeded(), tol=1e-9, max_modes=modes, max_points=2**17)
    net = flow.run()
    certificate = certify(problem, net, generator=seeded(100))
    error, _ = h1_error(net, solution)
    assert 0.9 <= certificate.error / error <= 3  # below 1 by no more than the quadrature of either


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("size", [0.1, 0.001])
def test_the_certificate_is_valid_for_every_named_problem(name, size):
    u = waves(5, gradient=True)
    settings = {}
    if name == "variable_coefficient":
        settings = {"coefficient": lambda x: 2 + torch.cos(2 * math.pi * x[:, 0]), "lowest": 1.0, "highest": 3.0}
    problem = make_problem(name, 5, boundary="periodic", **settings).with_solution(u)
    error = waves(5, seed=7) * (size / float(waves(5, seed=7).h1()))
    certificate = certify(problem, u + error, generator=seeded())
    assert certificate.error >= size * (1 - 1e-9)
    # mu of the minimal surface is taken where the slope is largest, which most of the domain is far from.
    assert certificate.error <= (20 if name in ("minimal_surface", "quartic_gradient") else 4) * size


def test_without_the_division_by_mu_a_minimal_surface_would_be_misjudged():
    u = waves(5, gradient=True) * 3
    problem = minimal_surface(5, boundary="periodic").with_solution(u)
    # An error along the steepest mode, where the energy is least convex.
    error = SpectralNet(u.frequencies[:1], u.coefficients.detach()[:1] * 1e-3, boundary="periodic")
    certificate = certify(problem, u + error, generator=seeded())
    assert certificate.error * certificate.mu < 0.5 * float(error.h1()) < certificate.error
