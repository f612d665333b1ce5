"""Barron norms obey the calculus that the theory of the solver rests on, and one of its constants is attained."""

import math

import pytest
import torch

from sciml.barron.calculus import KAPPA, a_priori_bounds, one_step_bound, vector_wiener
from sciml.barron.spectral import SpectralNet
from tests.barron.networks import BOUNDARIES, grid, random_net

pytestmark = pytest.mark.validation
ROUNDING = 1 + 1e-12  # a bound may be attained, and both sides are sums of a thousand rounded numbers
every_boundary = pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)


@every_boundary
@pytest.mark.parametrize("seed", range(5))
def test_norms_of_products_are_bounded_by_products_of_norms(boundary, seed):
    u, v = random_net(boundary, modes=25, top=6, seed=seed), random_net(boundary, modes=15, top=6, seed=seed + 100)
    a, b, product = u.wiener(), u.barron(), u * v
    assert float(product.wiener()) <= float(a * v.wiener()) * ROUNDING
    sharp = b * v.wiener() + a * v.barron() - a * v.wiener()
    assert float(product.barron()) <= float(sharp) * ROUNDING
    assert float(sharp) < float(b * v.barron())


def test_the_bound_of_a_product_is_attained_by_a_constant_factor():
    u = SpectralNet([[1, 2]], [1 + 1j], boundary="periodic")
    constant = SpectralNet([[0, 0]], [3.0], boundary="periodic")
    a, b, c = u.wiener(), u.barron(), constant.wiener()
    assert float((u * constant).barron()) == pytest.approx(float(b * c + a * constant.barron() - a * c), rel=1e-12)


@every_boundary
@pytest.mark.parametrize("box", [None, (3.0, 20.0, 7.0)], ids=str)
def test_the_resolvent_raises_norms_by_kappa_at_most(boundary, box):
    field = [random_net(boundary, modes=25, seed=seed, box=box) for seed in range(3)]
    assert float(field[0].resolvent().barron()) <= KAPPA * float(field[0].wiener())
    # A vector field whose divergence has the boundary condition: its components are derivatives of such functions.
    field = [component.derivative(axis) for axis, component in enumerate(field)]
    divergence = field[0].derivative(0) + field[1].derivative(1) + field[2].derivative(2)
    assert float(divergence.resolvent().barron()) <= KAPPA * float(vector_wiener(field))


def test_kappa_is_attained():
    net = SpectralNet([[1]], [1.0], boundary="periodic", box=[2 * math.pi / (math.sqrt(2) - 1)])
    assert float(net.resolvent().barron()) == pytest.approx(KAPPA * float(net.wiener()), rel=1e-12)


@every_boundary
def test_norms_of_many_waves_are_those_of_quadrature(boundary):
    net = random_net(boundary, modes=60, top=7, seed=3)
    x = grid(24, 3)
    u, gradient = net(x), net.gradient(x)
    assert float(net.l2()) == pytest.approx(float((u**2).mean()) ** 0.5, rel=1e-12)
    assert float(net.h1()) == pytest.approx(float((u**2 + gradient.square().sum(1)).mean()) ** 0.5, rel=1e-12)
    assert float(u.abs().max()) <= float(net.wiener())
    assert float((u.abs() + gradient.norm(dim=1)).max()) <= float(net.barron())


@every_boundary
def test_the_best_sum_of_n_waves_is_the_pruned_one(boundary):
    net = random_net(boundary, modes=40, top=5, seed=4)
    errors = [float((net - net.prune(n=n)).h1()) for n in range(len(net.merge()) + 1)]
    assert sorted(errors, reverse=True) == errors
    assert errors[0] == pytest.approx(float(net.h1()))
    assert errors[-1] == 0
    best = net.prune(n=10)
    for seed in range(20):
        chosen = torch.randperm(len(net.merge()), generator=torch.Generator().manual_seed(seed))[:10]
        merged = net.merge()
        other = SpectralNet(merged.frequencies[chosen], merged.coefficients[chosen], boundary=boundary)
        assert float((net - best).h1()) <= float((net - other).h1()) * ROUNDING


@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet"])
def test_descent_for_a_cubic_never_breaks_its_bounds(boundary):
    f = random_net(boundary, dimension=2, modes=4, top=2, seed=6)
    source = f.resolvent() * (0.3 / float(f.resolvent().wiener()))
    step, iterations = 0.8, 8
    a_priori = a_priori_bounds(source, step=step, iterations=iterations, reaction=lambda a: a**3)
    u = source * 0.0
    for t in range(iterations):
        cubic = u * u * u
        known = {"step": step, "source": float(source.barron()), "reaction": float(cubic.wiener())}
        bound = one_step_bound(float(u.barron()), **known)
        # Waves of 1e-10 are dropped, which keeps the exact algebra small; the bounds hold for any smaller norm.
        u = ((1 - step) * u + step * (source - cubic.resolvent())).prune(tol=1e-10, norm="barron")
        assert float(u.barron()) <= bound * ROUNDING
        assert float(u.barron()) <= a_priori.barron[t + 1] * ROUNDING
        assert float(u.wiener()) <= a_priori.wiener[t + 1] * ROUNDING
    assert bound / float(u.barron()) < 1.1  # and they are not far from the truth
    assert a_priori.barron[-1] / float(u.barron()) < 1.2
    residual = u + (u * u * u).resolvent() - source
    assert float(residual.h1()) < 1e-4 * float(u.h1())  # it is the solution that is bounded


def test_descent_for_a_quartic_gradient_energy_never_breaks_its_bounds():
    f = random_net("periodic", dimension=1, modes=4, top=2, seed=6)
    source = f.resolvent() * (0.25 / float(f.resolvent().barron()))
    step, iterations = 0.8, 8
    a_priori = a_priori_bounds(source, step=step, iterations=iterations, flux=lambda g: g**3)
    u = source * 0.0
    for t in range(iterations):
        slope = u.derivative(0)
        flux = slope * slope * slope
        known = {"step": step, "source": float(source.barron()), "flux": float(vector_wiener([flux]))}
        bound = one_step_bound(float(u.barron()), **known)
        u = ((1 - step) * u + step * (source + flux.derivative(0).resolvent())).prune(tol=1e-12, norm="barron")
        assert float(u.barron()) <= bound * ROUNDING
        assert float(u.barron()) <= a_priori.barron[t + 1] * ROUNDING
        assert float(u.wiener()) <= a_priori.wiener[t + 1] * ROUNDING
    assert bound / float(u.barron()) < 1.1
