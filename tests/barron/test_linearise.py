import math

import pytest
import torch

from sciml.barron.linearise import linearise
from sciml.barron.problem import EnergyProblem
from sciml.barron.problems import cubic, minimal_surface, quartic_gradient, variable_coefficient
from tests.barron.examples import seeded, sines, waves
from tests.barron.networks import assert_same, random_points


def mixed(x, u, p):
    """A density in which points, values and gradients meet."""
    q = p.square().sum(1)
    return (1 + x[:, 0]) * q / 2 + q**2 / 4 + u**2 + 0.1 * u * p[:, 0] + u**4 / 4


PROBLEMS = [
    cubic(2),
    quartic_gradient(2),
    minimal_surface(2),
    variable_coefficient(2, lambda x: 2 + torch.cos(math.pi * x[:, 0]), lowest=1, highest=3),
    EnergyProblem(dimension=2, boundary="dirichlet", density=mixed),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_the_linearisation_is_the_difference_quotient(problem):
    u, v, x = sines(2), sines(2) * 1.5 + sines(2).multiplier(torch.sin), random_points(20, 2)
    load = torch.cos(x.sum(1))
    change = linearise(problem, u, x, load).of(lambda x: torch.stack([v(x), 2 * v(x)], dim=1))
    ahead, behind = (linearise(problem, u + v * h, x, load).residual for h in (1e-5, -1e-5))
    # Second order in 1e-5, against rounding of 1e-16 / 1e-5 times second derivatives.
    torch.testing.assert_close(change[:, 0], (ahead - behind) / 2e-5, rtol=0, atol=1e-7 * float(change.abs().max()))
    assert_same(change[:, 1], 2 * change[:, 0])


def test_the_residual_is_that_of_the_problem():
    u, x = waves(3), random_points(50)
    problem = cubic(3, boundary="periodic").with_solution(u)
    off = linearise(problem, u * 1.1, x, problem.load(x)).residual
    v = u.requires_grad_(False)
    assert_same(off, 0.1 * v.laplacian(x) - 0.1 * v(x) - (1.1**3 - 1) * v(x) ** 3, rounding=1e-12)


def test_a_closed_form_and_autograd_give_the_same():
    u, x = sines(2), random_points(20, 2, seed=4)
    u.requires_grad_(False)
    problem, load = quartic_gradient(2), torch.rand(20, generator=seeded(), dtype=torch.float64)
    one, two = linearise(problem, u, x, load), linearise(problem, lambda x: u(x), x, load)
    for name in ("residual", "value", "gradient", "hessian"):
        assert_same(getattr(one, name), getattr(two, name), rounding=1e-12)
