import pytest
import torch

from sciml.barron.boundary_net import BoundaryNet
from sciml.barron.greedy import _scores, orthogonal_greedy
from sciml.barron.problems import reaction_diffusion
from sciml.barron.quadrature import Quadrature
from tests.barron.examples import seeded, sines


def draw(units, seed=0):
    return BoundaryNet.random(2, boundary="dirichlet", hidden=(units,), activation="cos", generator=seeded(seed))


def test_the_residual_falls_with_every_unit():
    problem = reaction_diffusion(2).with_solution(sines(2))
    solution = orthogonal_greedy(problem, units=6, candidates=40, points=400)
    assert [record.modes for record in solution.history] == [1, 2, 3, 4, 5, 6]
    norms = [record.dual_residual for record in solution.history]
    assert norms == sorted(norms, reverse=True)
    assert norms[-1] < 0.5 * norms[0]
    assert "grown to 6 units" in str(solution)


def test_the_unit_that_is_the_solution_has_score_one():
    # A pool in which one unit is the solution, up to a factor: its image is the residual at 0.
    pool = draw(30)
    outer = torch.zeros(30, dtype=torch.float64)
    outer[13] = 2.0
    solution = BoundaryNet(pool.weights, pool.biases, outer, "cos", boundary="dirichlet", dimension=2)
    problem = reaction_diffusion(2).with_solution(solution.requires_grad_(False))
    points = Quadrature(problem, size=300, generator=seeded()).draw()
    load = problem.load(points.points)
    scores = _scores(problem, draw(0), pool, points, load) / (points.weights @ load.square()).sqrt()
    assert int(scores.argmax()) == 13
    assert float(scores[13]) == pytest.approx(1, rel=1e-12)
    assert float(scores.sort().values[-2]) < 1


def test_choosing_beats_chance():
    problem = reaction_diffusion(2).with_solution(sines(2))
    chosen, chance = (
        orthogonal_greedy(problem, units=6, candidates=candidates, points=400).history[-1].dual_residual
        for candidates in (60, 1)
    )
    assert chosen < 0.7 * chance
