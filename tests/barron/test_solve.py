import math

import pytest
import torch

from sciml.barron.problem import EnergyProblem
from sciml.barron.problems import cubic, reaction_diffusion, variable_coefficient
from sciml.barron.solve import solve
from sciml.errors import ConfigError
from tests.barron.examples import relative_error, seeded, waves


def test_a_smooth_problem_is_solved_to_the_tolerance_with_a_certificate():
    solution = solve(cubic(2, source=lambda x: 50 * (math.pi * x).sin().prod(1)), tol=1e-6)
    assert solution.converged
    assert solution.certificate.relative <= 1e-6
    assert solution.history[-1].modes >= len(solution.network)
    x = torch.rand(5, 2, generator=seeded(), dtype=torch.float64)
    assert torch.equal(solution(x), solution.network(x))
    assert str(solution).startswith("cubic in dimension 2: converged. H1 error at most")


def test_a_density_of_the_user_needs_a_few_lines_only():
    def density(x, u, p):
        return p.square().sum(1) / 2 + u**2 / 2 + u**4 / 4

    u = waves(2)
    problem = EnergyProblem(dimension=2, boundary="periodic", density=density).with_solution(u)
    solution = solve(problem, tol=1e-8)
    assert solution.converged
    assert relative_error(solution.network, u) < 1e-8
    assert solution.certificate.estimate  # its constants are not known for all u


def test_a_variable_coefficient_is_solved():
    u = waves(2)
    problem = variable_coefficient(
        2, lambda x: 2 + torch.cos(2 * math.pi * x[:, 0]), lowest=1.0, highest=3.0, boundary="periodic"
    ).with_solution(u)
    assert relative_error(solve(problem, tol=1e-8).network, u) < 1e-8


def test_what_is_outside_comes_back_with_the_certificate_that_was_reached():
    rough = reaction_diffusion(2, source=lambda x: torch.where(x[:, 0] + x[:, 1] ** 2 < 0.7, 100.0, 0.0).double())
    solution = solve(rough, tol=1e-6, max_points=2**14)
    assert not solution.converged
    assert "the spectrum of the solution decays too slowly" in str(solution)
    assert 1e-6 < solution.certificate.relative < 0.1


def test_a_problem_that_is_not_convex_is_named():
    problem = EnergyProblem(
        dimension=2,
        boundary="periodic",
        density=lambda x, u, p: p.square().sum(1) / 2 - u**2 / 2 + u**4 / 4,
        source=lambda x: torch.sin(2 * math.pi * x[:, 0]),
    )
    with pytest.raises(ConfigError, match="L is not convex: L_uu has the eigenvalue -1"):
        solve(problem)
