import math
from dataclasses import replace

import pytest
import torch

from sciml.barron.flow import BarronFlow
from sciml.barron.lattice import RankOneLattice
from sciml.barron.problems import cubic, minimal_surface, quartic_gradient, reaction_diffusion, sine
from sciml.barron.residual import Collocation
from sciml.barron.spectral import SpectralNet
from sciml.errors import ConfigError, ShapeError, SolverError
from tests.barron.examples import relative_error, seeded, sines, waves


def system(problem, frequencies, *, points=4000, lattices=2):
    drawn = [RankOneLattice.random(problem.dimension, points, seeded(seed)) for seed in range(lattices)]
    return Collocation(problem, drawn).on(frequencies)


MIXED = ("neumann", "dirichlet", "neumann")
SOLUTIONS = {
    "periodic": waves(3),
    "neumann": SpectralNet([[0, 0, 0], [1, 0, 2], [0, 1, 1]], [0.5, 1.0, 0.3], boundary="neumann"),
    "dirichlet": sines(3),
    "mixed": SpectralNet([[0, 1, 0], [1, 2, 0], [2, 3, 1]], [0.5, 1.0, 0.3], boundary=MIXED),
}


@pytest.mark.parametrize("u", SOLUTIONS.values(), ids=SOLUTIONS.keys())
def test_the_solution_in_the_span_is_the_fixed_point_for_every_boundary(u):
    problem = cubic(3, boundary=u.boundary).with_solution(u)
    flow = BarronFlow(system(problem, u.frequencies))
    assert relative_error(flow.run(tol=1e-13), u) < 1e-12


@pytest.mark.parametrize("make", [reaction_diffusion, cubic, sine, quartic_gradient, minimal_surface])
def test_every_named_problem_is_solved_on_a_box(make):
    u = waves(3, gradient=True)
    u = SpectralNet(u.frequencies, u.coefficients, boundary="periodic", box=(1.0, 2.0, 1.5))
    problem = make(3, boundary="periodic", box=u.box).with_solution(u)
    flow = BarronFlow(system(problem, u.frequencies))
    assert relative_error(flow.run(tol=1e-12), u) < 1e-10


def test_a_linear_problem_is_solved_in_one_step():
    u = sines(4)
    flow = BarronFlow(system(reaction_diffusion(4).with_solution(u), u.frequencies))
    flow.run(tol=1e-12)
    assert len(flow.history) == 2
    assert relative_error(flow.net, u) < 1e-14


def test_the_record_of_an_iterate_has_its_norms_and_its_energy():
    u = sines(3)
    flow = BarronFlow(system(reaction_diffusion(3).with_solution(u), u.frequencies))
    flow.run()
    first, last = flow.history[0], flow.history[-1]
    assert (first.energy, first.wiener, first.barron, first.modes) == (0, 0, 0, 3)
    # mu = 1, and the residual of u = 0 is f, whose dual norm is the norm of u. Two of three modes may share a bin.
    assert first.certificate == pytest.approx(float(u.h1()), rel=1e-2)
    assert last.energy == pytest.approx(-(float(u.h1()) ** 2) / 2, rel=1e-12)
    assert last.barron == pytest.approx(float(u.barron()), rel=1e-12)
    assert last.certificate < 1e-12
    assert math.isnan(last.one_step_bound)


def test_a_frequency_that_one_lattice_cannot_see_is_read_from_the_other():
    u = SpectralNet([[1, 0], [0, 1]], [1.0, 0.5], boundary="periodic")
    blind = RankOneLattice(45, torch.tensor([1, 1]), torch.zeros(2, dtype=torch.float64))
    seeing = RankOneLattice(45, torch.tensor([1, 7]), torch.zeros(2, dtype=torch.float64))
    problem = reaction_diffusion(2, boundary="periodic").with_solution(u)
    flow = BarronFlow(Collocation(problem, [blind, seeing]).on(u.frequencies))
    assert relative_error(flow.run(), u) < 1e-13


def test_the_plain_iteration_takes_the_safe_step_if_it_is_known():
    u = sines(2)
    flow = BarronFlow(system(sine(2).with_solution(u), u.frequencies), depth=0)
    flow.run(iterations=3)
    # M = max((1.5 + l) / (1 + l), 1) with l = 2 pi^2.
    assert flow._step.step == pytest.approx((1 + 2 * math.pi**2) / (1.5 + 2 * math.pi**2), rel=1e-12)
    with pytest.raises(ConfigError, match="the plain iteration needs a step: c_max is None"):
        BarronFlow(system(cubic(2).with_solution(u), u.frequencies), depth=0)


def test_a_step_that_is_too_large_is_reported_when_it_blows_up():
    u = sines(2)
    flow = BarronFlow(system(cubic(2).with_solution(u * 5), u.frequencies), depth=0, step=2.5)
    with pytest.raises(SolverError, match=r"the flow of 'cubic' left the range of numbers after \d+ iterations"):
        flow.run(iterations=200)


def test_a_density_that_turns_out_not_to_be_convex_stops_the_flow():
    problem = replace(sine(2), density=lambda x, u, p: p.square().sum(1) / 2 + torch.cos(u), c=None, c_max=None)
    with pytest.raises(ConfigError, match="L is not convex"):
        BarronFlow(system(problem, torch.tensor([[1, 1]]))).run()


def test_lattices_of_another_dimension_are_named():
    with pytest.raises(ShapeError, match=r"lattices of dimensions \[3\] came for a problem of dimension 2"):
        Collocation(cubic(2), [RankOneLattice.random(3, 100, seeded())])
