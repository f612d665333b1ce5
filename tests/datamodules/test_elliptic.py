"""Problems by name and of one's own, and their points."""

import sys
import types

import pytest
import torch

from datamodules.elliptic import EllipticData
from datamodules.known_solutions import SOLUTIONS, make_solution
from sciml.barron import EnergyProblem, SpectralNet
from sciml.barron.jet import AutogradJet, jet_of
from sciml.errors import ConfigError


def data(**settings):
    made = EllipticData(**{"problem": "cubic", "dimension": 3, "boundary": "periodic", "solution": "waves", **settings})
    made.setup("fit")
    return made


@pytest.fixture
def own(monkeypatch):
    """A user's module."""
    module = types.ModuleType("mine")

    def problem(dimension, *, boundary="neumann", rate=2.0, source=None):
        return EnergyProblem(
            dimension=dimension,
            boundary=boundary,
            density=lambda x, u, p: p.square().sum(1) / 2 + rate * u**2 / 2,
            source=source or (lambda x: rate * torch.ones_like(x[:, 0])),
            c=rate,
            lam=1.0,
        )

    module.problem = problem
    module.source = lambda x: x.sum(1)
    module.solution = lambda dimension, *, size=1.0: lambda x: size * torch.cos(torch.pi * x).prod(1)
    module.number = lambda dimension: 3
    monkeypatch.setitem(sys.modules, "mine", module)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_known_solution_solves_the_problem_that_is_made_of_it(name):
    boundary = "dirichlet" if name in ("sines", "poisson_kernel") else "periodic"
    made = data(solution=name, boundary=boundary)
    x = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    load = made.problem.load(x)
    residual = made.problem.residual(jet_of(made.solution, x), load)
    assert residual.abs().max() < 1e-11 * load.abs().max()  # rounding of second derivatives


@pytest.mark.parametrize("name", ["poisson_kernel", "exponential"])
def test_closed_forms_of_a_known_solution_are_its_derivatives(name):
    u = make_solution(name, 3)
    x = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[0, 0] = x[1, 1] = 0.0  # where a factor vanishes
    closed, auto = u.jet(x), AutogradJet(x, u)
    for wanted in ("value", "gradient", "laplacian"):
        torch.testing.assert_close(getattr(closed, wanted), getattr(auto, wanted), rtol=1e-11, atol=1e-11)
    for axis in range(3):
        torch.testing.assert_close(closed.hessian_column(axis), auto.hessian_column(axis), rtol=1e-11, atol=1e-10)


def test_waves_and_sines_have_the_size_that_was_asked_for():
    u = make_solution("waves", 4, size=0.3)
    assert (len(u), float(u.l2())) == (7, pytest.approx(0.3, rel=1e-12))
    v = make_solution("sines", 4, size=2.0, of="gradient")
    assert float(v.h1() ** 2 - v.l2() ** 2) ** 0.5 == pytest.approx(2.0, rel=1e-12)


def test_the_points_of_a_step_follow_from_the_seed_and_the_step():
    first, again, other = data(seed=1), data(seed=1), data(seed=2)
    draws = [set_.train_dataloader().dataset for set_ in (first, again, other)]
    draws[0][3]
    torch.testing.assert_close(draws[0][7], draws[1][7], rtol=0, atol=0)
    assert not torch.equal(draws[0][7]["points"], draws[0][8]["points"])
    assert not torch.equal(draws[0][7]["points"], draws[2][7]["points"])
    assert float(draws[0][7]["weights"].sum()) == pytest.approx(1.0)


def test_a_run_that_goes_on_gets_the_points_of_the_next_step():
    made = data()
    made.trainer = types.SimpleNamespace(
        max_steps=10, global_step=4, limit_train_batches=1.0, accumulate_grad_batches=1, is_global_zero=True
    )
    loader = made.train_dataloader()
    batches = list(loader)
    assert len(batches) == 6
    torch.testing.assert_close(batches[0], loader.dataset[4], rtol=0, atol=0)


def test_the_solution_is_given_at_points_that_no_step_has_seen():
    made = data()
    (validation,), (test,) = made.val_dataloader(), made.test_dataloader()
    assert isinstance(made.solution, SpectralNet)
    torch.testing.assert_close(test["value"], made.solution(test["points"]))
    torch.testing.assert_close(test["gradient"], made.solution.gradient(test["points"]))
    assert not torch.equal(validation["points"], test["points"])


def test_a_problem_a_source_and_a_solution_of_ones_own_are_found(own):
    settings = {"problem": "mine.problem", "boundary": None, "settings": {"rate": 3.0}}
    x = torch.rand(5, 3, dtype=torch.float64)
    problem = data(**settings, solution=None).problem
    assert (problem.c, problem.boundary) == (3.0, "neumann")
    torch.testing.assert_close(problem.load(x), torch.full((5,), 3.0, dtype=torch.float64))
    torch.testing.assert_close(data(**settings, solution=None, source="mine.source").problem.load(x), x.sum(1))
    made = data(**settings, solution="mine.solution", solution_settings={"size": 2.0})
    # -Lap u + 3 u for u = 2 prod cos(pi x_i).
    expected = (3 * torch.pi**2 + 3) * 2 * torch.cos(torch.pi * x).prod(1)
    torch.testing.assert_close(made.problem.load(x), expected)
    assert "value" not in next(iter(data(**settings, solution=None).test_dataloader()))


WRONG = {
    "unknown problem": ({"problem": "cubik"}, "problem 'cubik' came; one of reaction_diffusion"),
    "unknown solution": ({"solution": "wave"}, "data.solution=wave came; one of waves, sines"),
    "solution and source": ({"source": "mine.source"}, "data.solution=waves and data.source=mine.source came"),
    "nothing to solve for": ({"solution": None}, "the problem cubic has no right-hand side"),
    "another boundary": ({"boundary": "dirichlet"}, "data.solution=waves has the boundary 'periodic'"),
    "another box": ({"box": [2.0, 1.0, 1.0]}, r"on \(2.0, 1.0, 1.0\); the same are expected"),
    "not there": ({"problem": "nowhere.problem"}, r"data.problem=nowhere.problem cannot be imported \(No module"),
    "not a problem": ({"problem": "mine.number", "boundary": None}, "mine.number returned a int; a sciml.barron"),
    "no points": ({"points": 0}, "data.points is 0; a whole number of at least 1"),
    "size of what": ({"solution_settings": {"of": "slope"}}, "of='slope' came; 'value' or 'gradient'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings_say_what_is_expected(case, own):
    settings, message = WRONG[case]
    with pytest.raises(ConfigError, match=message):
        data(**settings)


def test_a_problem_that_is_not_made_yet_says_so():
    with pytest.raises(ConfigError, match="call setup"):
        _ = EllipticData("cubic", dimension=2).problem
