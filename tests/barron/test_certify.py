import math

import pytest
import torch

from sciml.barron.certify import certify
from sciml.barron.problems import cubic, minimal_surface, reaction_diffusion
from sciml.barron.ridge import RidgeNet
from sciml.barron.spectral import SpectralNet
from sciml.errors import ConfigError, DataError, ShapeError
from tests.barron.examples import seeded, sines, waves


def perturbed(u, size):
    """The function with one more wave, and the H1 norm of that."""
    error = SpectralNet(2 * u.frequencies[:1], u.coefficients.detach()[:1] * size, boundary=u.boundary)
    return u + error, float(error.h1())


@pytest.mark.parametrize("u", [waves(3), sines(3)], ids=["periodic", "dirichlet"])
def test_for_a_linear_problem_the_bound_is_the_error(u):
    problem = reaction_diffusion(3, boundary=u.boundary).with_solution(u)
    network, error = perturbed(u, 0.01)
    found = certify(problem, network, generator=seeded())
    # The residual is (1 - Lap) of the error, and the set of known frequencies has it.
    assert found.error == pytest.approx(error, rel=1e-9)
    assert found.mean == pytest.approx(error, rel=1e-9)
    assert found.relative == pytest.approx(error / float(network.h1()), rel=1e-9)
    assert found.energy_gap == pytest.approx(error**2 / 2, rel=1e-9)
    assert (found.mu, found.lattices, found.form, found.estimate) == (1, 3, "residual", False)


@pytest.mark.parametrize("u", [waves(3), sines(3)], ids=["periodic", "dirichlet"])
def test_any_function_with_the_right_boundary_values_gets_the_same_bound(u):
    problem = cubic(3, boundary=u.boundary).with_solution(u)
    network, error = perturbed(u, 0.01)
    exact = certify(problem, network, generator=seeded())
    found = certify(problem, lambda x: network(x), generator=seeded())
    # The error's wave may be outside the lowest frequencies, and the lattices differ.
    assert error < found.error == pytest.approx(exact.error, rel=0.1)


def test_a_two_layer_cosine_network_is_certified():
    u = waves(3)
    problem = cubic(3, boundary="periodic").with_solution(u)
    network, error = perturbed(u, 0.01)
    ridge = network.to_cosine_network()
    assert isinstance(ridge, RidgeNet)
    assert error < certify(problem, ridge, generator=seeded()).error < 2 * error


def test_the_residual_is_divided_by_mu():
    u = waves(3)
    strong, weak = (
        certify(reaction_diffusion(3, boundary="periodic", rate=rate).with_solution(u), u * 1.01, generator=seeded())
        for rate in (1.0, 0.25)
    )
    assert (strong.mu, weak.mu) == (1, 0.25)
    assert weak.error > 3.5 * strong.error  # the residual itself is hardly smaller: |w|^2 outweighs the rate


def test_the_bound_is_an_estimate_where_the_convexity_is_sampled():
    u = waves(3, gradient=True)
    found = certify(minimal_surface(3, boundary="periodic").with_solution(u), u * 1.01, generator=seeded())
    assert found.estimate
    assert "c or lam is not known for all u" in str(found)


def test_the_bound_is_an_estimate_where_the_lattices_differ():
    # One or two of 5000 points see this peak, and how well varies from lattice to lattice.
    peak = lambda x: 1e4 * torch.exp(-((x - 0.3).square().sum(1)) * 1e4)  # noqa: E731
    found = certify(reaction_diffusion(2, source=peak), sines(2) * 1e-3, generator=seeded(), points=5000)
    assert any("the lattices differ" in caveat for caveat in found.caveats)
    assert found.error > found.mean > found.error - found.spread


def test_a_flux_gives_a_bound_without_second_derivatives():
    u = sines(2)
    problem = reaction_diffusion(2).with_solution(u)
    network, error = perturbed(u, 0.01)
    found = certify(problem, network, flux=u.gradient, generator=seeded())
    # With the flux of the solution: |grad(u - u*)|^2 + |u - u*|^2, the squared error itself, by 16 k points.
    assert found.error == pytest.approx(error, rel=1e-3)
    assert found.form == "flux"
    poor = certify(problem, network, flux=network.gradient, generator=seeded())
    assert poor.error > 2 * found.error


def test_a_kink_is_certified_by_a_flux():
    # Piecewise linear in one dimension: -u'' + u = f has the solution sin(pi x); its interpolant with 8 pieces.
    knots = torch.linspace(0, 1, 9, dtype=torch.float64)

    def interpolant(x):
        left = (x[:, 0] * 8).floor().clamp(0, 7).long()
        share = x[:, 0] * 8 - left
        values = torch.sin(math.pi * knots)
        return (1 - share) * values[left] + share * values[left + 1]

    u = SpectralNet([[1]], [1.0], boundary="dirichlet")
    problem = reaction_diffusion(1).with_solution(u)
    found = certify(problem, interpolant, flux=u.gradient, generator=seeded())
    # |u - I u|_H1 of the linear interpolant is h |u''| / sqrt 12 up to higher orders.
    assert found.error == pytest.approx(math.pi**2 / math.sqrt(2) / 8 / math.sqrt(12), rel=0.02)


@pytest.mark.parametrize(
    ("boundary", "condition"),
    [("dirichlet", "is not zero"), ("neumann", "has a normal derivative"), ("periodic", "is not periodic")],
)
def test_boundary_values_that_are_wrong_are_named(boundary, condition):
    problem = cubic(2, boundary=boundary)
    with pytest.raises(ConfigError, match=f"the network {condition} on the sides of axis 0.*lifted"):
        certify(problem, lambda x: torch.exp(x).sum(1), generator=seeded())


def test_a_network_of_another_boundary_or_box_is_named():
    with pytest.raises(ConfigError, match="a network with boundary 'periodic' on the box"):
        certify(cubic(2), waves(2), generator=seeded())


def test_fluxes_that_cannot_be_used_are_named():
    u = sines(2)
    with pytest.raises(ShapeError, match=r"the flux maps points of shape \(256, 2\) to \(256,\)"):
        certify(cubic(2), u, flux=u, generator=seeded())
    free = SpectralNet([[1, 1]], [1.0], boundary="neumann")
    with pytest.raises(ConfigError, match="the flux has a normal component on a Neumann side, axis 0"):
        certify(cubic(2, boundary="neumann"), free, flux=lambda x: torch.ones_like(x), generator=seeded())


def test_two_lattices_are_too_few():
    with pytest.raises(ConfigError, match="lattices is 2; at least 3 are expected"):
        certify(cubic(2), sines(2), generator=seeded(), lattices=2)


def test_a_residual_that_is_not_finite_is_refused():
    source = lambda x: torch.log(x[:, 0] - 0.5)  # noqa: E731
    with pytest.raises(DataError, match="the residual is not finite"):
        certify(cubic(2, source=source), sines(2), generator=seeded())
