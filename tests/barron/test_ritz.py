import math

import pytest
import torch

from sciml.barron.boundary_net import BoundaryNet
from sciml.barron.jet import jet_of
from sciml.barron.problems import cubic, quartic_gradient, reaction_diffusion
from sciml.barron.quadrature import Quadrature
from sciml.barron.ritz import deep_ritz, ritz_loss
from sciml.errors import SolverError
from tests.barron.examples import seeded, sines


def random_net(problem):
    net = BoundaryNet.random(2, boundary=problem.boundary, hidden=(16,), activation="cos", generator=seeded())
    torch.nn.init.normal_(net.outer, generator=seeded())
    return net


def test_the_loss_is_the_energy():
    # E(c u) - with f such that u is the solution - is (c^2 / 2 - c) |u|_H1^2 for -Lap u + u = f.
    u = sines(2)
    problem = reaction_diffusion(2).with_solution(u)
    points = Quadrature(problem, rule="gauss", size=1024, generator=seeded()).draw()
    loss = ritz_loss(problem, u * 0.5, points)
    assert float(loss) == pytest.approx((0.5**2 / 2 - 0.5) * float(u.h1()) ** 2, rel=1e-12)


def test_the_penalty_is_added():
    problem = cubic(2).with_solution(sines(2))
    net, points = random_net(problem), Quadrature(problem, size=256, generator=seeded()).draw()
    plain, penalised = ritz_loss(problem, net, points), ritz_loss(problem, net, points, penalty=0.1)
    assert (penalised - plain).item() == pytest.approx(0.1 * net.barron().item(), rel=1e-12)


def test_the_gradient_of_the_loss_is_minus_the_residual():
    # dE/da_j = -integral of rho phi_j, by parts; 32 Gauss points an axis integrate both to rounding.
    problem = quartic_gradient(2).with_solution(sines(2))
    net, points = random_net(problem), Quadrature(problem, rule="gauss", size=1024, generator=seeded()).draw()
    ritz_loss(problem, net, points).backward()
    x = points.points
    with torch.no_grad():
        residual = problem.residual(jet_of(net, x), problem.load(x))
        expected = -(points.weights * residual) @ net.features(x)
    assert net.outer.grad is not None
    torch.testing.assert_close(net.outer.grad, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def test_training_lowers_the_energy_and_the_error():
    solution = deep_ritz(cubic(2).with_solution(sines(2)), hidden=(16,), steps=120, points=128, learning_rate=2e-2)
    history = solution.history
    assert history[-1].energy < history[0].energy
    assert history[-1].certificate < 0.5 * history[0].certificate
    assert solution.certificate.relative < 0.5
    assert str(solution).startswith("cubic in dimension 2: trained for 120 steps. H1 error at most")


def test_the_same_seed_gives_the_same_network():
    problem = cubic(2).with_solution(sines(2))
    one, two, other = (deep_ritz(problem, hidden=(3,), steps=3, points=16, seed=seed) for seed in (1, 1, 2))
    x = torch.rand(5, 2, generator=seeded(), dtype=torch.float64)
    assert torch.equal(one(x), two(x))
    assert not torch.equal(one(x), other(x))


@pytest.mark.parametrize(
    ("boundary", "mean"),
    [("periodic", 1.0), ("neumann", 1.0), (("dirichlet", "neumann"), 1 - 2 * math.tanh(0.5))],
)
def test_deep_networks_train_under_every_boundary_condition(boundary, mean):
    # -Lap u + u = 1 has the solution 1, or 1 - cosh(x - 1/2) / cosh(1/2), and the energy -(its mean) / 2.
    problem = reaction_diffusion(2, boundary=boundary, source=lambda x: torch.ones_like(x[:, 0]))
    solution = deep_ritz(problem, hidden=(6, 6), steps=60, points=64, learning_rate=2e-2, rule="sobol")
    assert solution.history[-1].energy == pytest.approx(-mean / 2, rel=0.1)


def test_a_penalty_makes_the_norm_smaller():
    problem = cubic(2).with_solution(sines(2))
    settings = {"hidden": (16,), "activation": "cos", "steps": 60, "points": 64, "learning_rate": 2e-2}
    free, penalised = (deep_ritz(problem, penalty=penalty, **settings).history[-1].barron for penalty in (0.0, 1.0))
    assert penalised < 0.8 * free


def test_a_loss_that_is_not_finite_is_named():
    problem = cubic(1, source=lambda x: (x[:, 0] - 2).log())
    with pytest.raises(SolverError, match="the Ritz loss is nan at step 0"):
        deep_ritz(problem, hidden=(4,), steps=2)
