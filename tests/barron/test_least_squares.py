import itertools

import pytest
import torch

from sciml.barron.boundary_net import BoundaryNet
from sciml.barron.jet import jet_of
from sciml.barron.least_squares import fit_outer_weights, random_features, ritz_then_lsq
from sciml.barron.problems import cubic, quartic_gradient, reaction_diffusion
from sciml.barron.quadrature import PointSet, Quadrature
from sciml.errors import ConfigError
from tests.barron.examples import seeded, sines


def random_net(boundary="dirichlet", units=20):
    return BoundaryNet.random(2, boundary=boundary, hidden=(units,), activation="cos", generator=seeded())


def target(problem, net):
    """The problem whose solution has the features of the network, and the outer weights of it."""
    outer = torch.linspace(-0.1, 0.1, len(net), dtype=torch.float64)
    solution = BoundaryNet(net.weights, net.biases, outer, "cos", boundary=net.boundary, dimension=2)
    return problem.with_solution(solution.requires_grad_(False)), solution


@pytest.mark.parametrize(
    ("make", "boundary", "steps"),
    [(reaction_diffusion, "dirichlet", 1), (cubic, "periodic", None), (quartic_gradient, "neumann", None)],
)
def test_a_solution_in_the_span_is_found_to_rounding(make, boundary, steps):
    net = random_net(boundary)
    problem, solution = target(make(2, boundary=boundary), net)
    points = Quadrature(problem, size=800, generator=seeded()).draw()
    taken = fit_outer_weights(problem, net, points)
    x = points.points
    # The features are nearly dependent: outer weights differ, values do not.
    torch.testing.assert_close(net(x).detach(), solution(x), rtol=0, atol=1e-9 * float(solution(x).abs().max()))
    assert taken == steps or (steps is None and taken < 12)


def test_the_residual_is_orthogonal_to_what_the_features_can_change():
    problem, net = reaction_diffusion(2).with_solution(sines(2)), random_net(units=10)
    points = Quadrature(problem, size=300, generator=seeded()).draw()
    fit_outer_weights(problem, net, points)
    x = points.points
    with torch.no_grad():
        residual = problem.residual(jet_of(net, x), problem.load(x))
    for j in range(10):
        unit = BoundaryNet(net.weights, net.biases, torch.eye(10)[j], "cos", boundary="dirichlet", dimension=2)
        jet = jet_of(unit.requires_grad_(False), x)
        image = jet.laplacian - jet.value
        # Rounding of a sum of 300 products.
        assert abs(float((residual * image).sum())) < 1e-10 * float(residual.norm() * image.norm())


def test_the_residual_never_grows():
    # From far away the full step of a cubic is too long.
    problem, net = cubic(2).with_solution(sines(2)), random_net()
    net.outer.data.fill_(30.0)
    points = Quadrature(problem, size=400, generator=seeded()).draw()
    x, norms = points.points, []
    for _ in range(12):
        with torch.no_grad():
            norms.append(float(problem.residual(jet_of(net, x), problem.load(x)).norm()))
        fit_outer_weights(problem, net, points, iterations=1)
    assert all(after <= before for before, after in itertools.pairwise(norms))
    assert norms[-1] < 1e-3 * norms[0]


def test_weights_of_the_points_count():
    # Twice the weight is the same as the point twice.
    problem = reaction_diffusion(2).with_solution(sines(2))
    points = Quadrature(problem, size=100, generator=seeded()).draw()
    double = points.weights.clone()
    double[:30] *= 2
    twice = PointSet(torch.cat([points.points, points.points[:30]]), torch.cat([points.weights, points.weights[:30]]))
    one, two = random_net(units=8), random_net(units=8)
    fit_outer_weights(problem, one, PointSet(points.points, double))
    fit_outer_weights(problem, two, twice)
    torch.testing.assert_close(one.outer.detach(), two.outer.detach(), rtol=1e-8, atol=1e-8)


def test_blocks_of_points_do_not_matter(monkeypatch):
    problem, nets = cubic(2).with_solution(sines(2)), [random_net(units=12), random_net(units=12)]
    points = Quadrature(problem, size=500, generator=seeded()).draw()
    fit_outer_weights(problem, nets[0], points)
    monkeypatch.setattr("sciml.barron.least_squares.BLOCK", 60)
    fit_outer_weights(problem, nets[1], points)
    torch.testing.assert_close(nets[0].outer.detach(), nets[1].outer.detach(), rtol=1e-8, atol=1e-8)


def test_random_features_solve_a_smooth_problem_with_a_certificate():
    u = sines(2)
    solution = random_features(cubic(2).with_solution(u), units=100, points=1000)
    x = torch.rand(500, 2, generator=seeded(), dtype=torch.float64)
    with torch.no_grad():
        found = jet_of(solution, x)
        square = (found.value - u(x)).square() + (found.gradient - u.gradient(x)).square().sum(1)
    # The error is a mean over 500 points, good to 10 percent.
    assert float(square.mean().sqrt()) < 1.1 * solution.certificate.error
    assert solution.certificate.relative < 1e-5
    assert "100 outer weights fitted in" in str(solution)


def test_a_fit_goes_on_from_a_training():
    problem = reaction_diffusion(2).with_solution(sines(2))
    solution = ritz_then_lsq(problem, hidden=(60,), activation="cos", steps=20, points=64, fit_points=600)
    trained, fitted = solution.history[-2:]
    assert fitted.certificate < trained.certificate / 100
    assert fitted.iteration == len(solution.history) - 1
    assert fitted.seconds > trained.seconds


def test_too_few_points_are_named():
    problem, net = cubic(2), random_net(units=60)
    points = Quadrature(problem, size=49, generator=seeded()).draw()
    with pytest.raises(ConfigError, match="49 points came to fit 60 outer weights"):
        fit_outer_weights(problem, net, points)
