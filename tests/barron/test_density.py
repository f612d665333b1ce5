import pytest
import torch

from sciml.barron.density import Density, IsotropicDensity
from sciml.barron.jet import AutogradJet, LatticeJet, jet_of
from sciml.barron.lattice import RankOneLattice
from sciml.errors import ShapeError
from tests.barron.examples import seeded, sines, waves

DENSITIES = {
    "cubic": IsotropicDensity(lambda x, u: u**2 / 2 + u**4 / 4),
    "quartic gradient": IsotropicDensity(lambda x, u: u**2 / 2, profile=lambda q: q / 2 + q**2 / 4),
    "minimal surface": IsotropicDensity(lambda x, u: u**2 / 2, profile=lambda q: torch.sqrt(1 + q) - 1),
    "weighted": IsotropicDensity(
        lambda x, u: x[:, 0] * u**2, profile=lambda q: q / 2 + q**2 / 4, weight=lambda x: 2 + torch.cos(x[:, 1])
    ),
}
every_density = pytest.mark.parametrize("density", DENSITIES.values(), ids=DENSITIES.keys())


def divergence_form(density, u, x):
    """-div L_p(x, u, grad u) + L_u by nested differentiation of the definition."""

    def flux(point):
        return density.flux(point[None], u(point[None]), torch.func.grad(lambda y: u(y).sum())(point[None]))[0]

    divergence = torch.func.vmap(lambda point: torch.func.jacfwd(flux)(point).trace())(x)
    gradient = torch.func.grad(lambda y: u(y).sum())(x)
    return density.slope(x, u(x), gradient) - divergence


@every_density
def test_the_strong_operator_is_the_divergence_form(density):
    u, x = sines(3), torch.rand(7, 3, generator=seeded(), dtype=torch.float64)

    def function(y):  # a plain torch function that autograd can go through three times
        return (u.coefficients.detach() * torch.sin(y[:, None] * u.wavenumbers).prod(2)).sum(1)

    expected = divergence_form(density, function, x)
    # Rounding: second derivatives are of size (3 pi)^2 u ~ 500, times |grad u|^2 ~ 300.
    assert torch.allclose(density.operator(jet_of(u, x)), expected, rtol=1e-10, atol=1e-8)
    assert torch.allclose(density.operator(AutogradJet(x, function)), expected, rtol=1e-10, atol=1e-8)
    general = Density(density)
    assert torch.allclose(general.operator(jet_of(u, x)), expected, rtol=1e-10, atol=1e-8)


@every_density
def test_closed_form_curvatures_are_those_of_the_hessian(density):
    x = torch.rand(6, 3, generator=seeded(), dtype=torch.float64)
    u, p = torch.randn(6, generator=seeded(1), dtype=torch.float64), torch.randn(6, 3, generator=seeded(2)).double()
    for one, other in zip(density.curvatures(x, u, p), Density(density).curvatures(x, u, p), strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_mixed_derivatives_make_the_curvatures_those_of_the_whole_matrix():
    density = Density(lambda x, u, p: (u**2 + p.square().sum(1)) / 2 + 0.5 * u * p[:, 0])
    x = torch.zeros(1, 2, dtype=torch.float64)
    found = density.curvatures(x, x[:, 0], x)
    assert [float(value) for value in found] == pytest.approx([0.5, 1.5, 0.5, 1.5], rel=1e-12)  # 1 +- 1/2


@pytest.mark.parametrize("u", [waves(3), sines(3)], ids=["periodic", "dirichlet"])
def test_the_jet_on_a_lattice_is_the_jet_in_closed_form(u):
    lattice = RankOneLattice.random(3, 300, seeded())
    x = lattice.points(u.boundary)
    fast = LatticeJet(x, lattice.transform(u.frequencies, u.boundary), u.coefficients.detach())
    exact, auto = jet_of(u, x), AutogradJet(x, u)
    # Rounding of third-order quantities g.H g of size (2 pi)^4.
    for jet in (fast, auto):
        assert torch.allclose(jet.value, exact.value, atol=1e-12)
        assert torch.allclose(jet.gradient, exact.gradient, atol=1e-11)
        assert torch.allclose(jet.laplacian, exact.laplacian, atol=1e-9)
        assert torch.allclose(jet.hessian_column(1), exact.hessian_column(1), atol=1e-9)
        assert torch.allclose(jet.curvature_along_gradient(), exact.curvature_along_gradient(), atol=1e-8)


def test_a_network_is_differentiated_in_float64_and_left_as_it_is():
    net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1), torch.nn.Flatten(0))
    jet = jet_of(net, torch.rand(5, 2, dtype=torch.float64))
    assert jet.gradient.dtype == torch.float64
    assert net[0].weight.dtype == torch.float32


def test_a_network_with_a_channel_axis_is_named():
    with pytest.raises(ShapeError, match=r"maps 2 points to shape \(2, 1\)"):
        jet_of(torch.nn.Linear(2, 1), torch.rand(5, 2, dtype=torch.float64))
