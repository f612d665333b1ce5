import math

import pytest
import torch

from sciml.barron.jet import jet_of
from sciml.barron.problem import EnergyProblem
from sciml.barron.problems import PROBLEMS, cubic, make_problem, minimal_surface, reaction_diffusion
from sciml.errors import ConfigError, ShapeError
from tests.barron.examples import seeded, sines, waves


def points(dimension, n=200):
    return torch.rand(n, dimension, generator=seeded(3), dtype=torch.float64)


def named(name, dimension, **settings):
    if name == "variable_coefficient":
        settings |= {"coefficient": lambda x: 2 + torch.cos(2 * math.pi * x[:, 0]), "lowest": 1.0, "highest": 3.0}
    return make_problem(name, dimension, **settings)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_residual_of_a_manufactured_solution_is_zero(name):
    u = waves(3, gradient=True)
    problem = named(name, 3, boundary="periodic").with_solution(u)
    jet = jet_of(u, points(3))
    assert float(problem.residual(jet, problem.load(jet.points)).abs().max()) < 1e-12
    off = jet_of(u * 1.01, points(3))
    assert float(problem.residual(off, problem.load(off.points)).abs().max()) > 1e-3


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_constants_of_named_problems_hold(name):
    problem = named(name, 3)
    x = points(3)
    u, p = torch.randn(200, generator=seeded(1)).double(), torch.randn(200, 3, generator=seeded(2)).double()
    found = problem.density.curvatures(x, u, p)
    for bound, values, sign in (
        (problem.c, found.c, 1),
        (problem.c_max, found.c_max, -1),
        (problem.lam, found.lam, 1),
        (problem.Lam, found.Lam, -1),
    ):
        assert bound is None or float((sign * (values - bound)).min()) > -1e-12


@pytest.mark.parametrize(("u", "value"), [(waves(2), None), (sines(2), None)], ids=["periodic", "dirichlet"])
def test_the_energy_of_a_linear_problem_is_minus_half_of_the_squared_norm(u, value):
    problem = reaction_diffusion(2, boundary=u.boundary).with_solution(u)
    # 64 x 64 midpoints integrate products of these waves exactly.
    axis = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    x = torch.cartesian_prod(axis, axis)
    assert problem.energy(jet_of(u, x), problem.load(x)) == pytest.approx(-(float(u.h1()) ** 2) / 2, rel=1e-12)


def test_constants_that_are_not_given_are_found_where_the_function_is():
    u = sines(2)
    found = cubic(2).ellipticity(jet_of(u, points(2, 4000)))
    assert (found.c, found.lam, found.Lam) == (1, 1, 1)
    assert found.c_max == pytest.approx(1 + 3 * float(u(points(2, 4000)).abs().max()) ** 2, rel=1e-12)
    assert found.global_below
    steep = minimal_surface(2).ellipticity(jet_of(u, points(2, 4000)))
    largest = float(u.gradient(points(2, 4000)).square().sum(1).max())
    assert steep.lam == pytest.approx((1 + largest) ** -1.5, rel=1e-9)
    assert not steep.global_below


def test_a_density_that_is_not_convex_is_found_with_the_place():
    problem = EnergyProblem(
        dimension=2, boundary="dirichlet", density=lambda x, u, p: p.square().sum(1) / 2 + u**4 / 4 - u**2 / 2
    )
    with pytest.raises(ConfigError, match=r"L is not convex: L_uu has the eigenvalue -1 at x = \(.*\), u = 0, grad u"):
        problem.ellipticity(jet_of(sines(2), points(2)))
    saddle = EnergyProblem(
        dimension=2, boundary="dirichlet", density=lambda x, u, p: u**2 + p[:, 0] ** 2 / 2 - p[:, 1] ** 2 / 4
    )
    with pytest.raises(ConfigError, match=r"L_pp has the eigenvalue -0.5"):
        saddle.ellipticity(jet_of(sines(2), points(2)))


def test_a_lifted_problem_is_solved_by_the_difference():
    lifting = lambda x: torch.exp(x[:, 0]) * x[:, 1]  # noqa: E731
    w = sines(2)
    problem = cubic(2).with_solution(
        lambda x: (torch.sin(x[:, None] * w.wavenumbers).prod(2) @ w.coefficients) + lifting(x)
    )
    lifted = problem.lifted(lifting)
    jet = jet_of(w, points(2))
    # u^3 and u'' of size 100, differentiated by three nested passes.
    assert float(lifted.residual(jet, lifted.load(jet.points)).abs().max()) < 1e-9


def test_functions_of_the_wrong_shape_are_named():
    with pytest.raises(ShapeError, match=r"the density maps 2 points to shape \(2, 3\)"):
        EnergyProblem(dimension=3, boundary="dirichlet", density=lambda x, u, p: p**2)
    with pytest.raises(ShapeError, match=r"the source maps 2 points to shape \(2, 1\)"):
        cubic(3, source=lambda x: x[:, :1])
    with pytest.raises(ShapeError, match="a box with 2 sides came in dimension 3"):
        cubic(3, box=(1.0, 2.0))


def test_settings_that_cannot_work_are_named():
    with pytest.raises(ConfigError, match=r"c is -1.0 and its upper bound None; 0 <= c <= c_max"):
        EnergyProblem(dimension=2, boundary="dirichlet", density=lambda x, u, p: u, c=-1.0)
    with pytest.raises(ConfigError, match="problem 'heat' came; one of reaction_diffusion, cubic, sine"):
        make_problem("heat", 2)
    with pytest.raises(ConfigError, match="boundary='robin' came"):
        cubic(2, boundary="robin")
