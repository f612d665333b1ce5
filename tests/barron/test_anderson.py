import torch

from sciml.barron.anderson import AndersonMixing
from tests.barron.examples import seeded


def linear_map(n=5):
    """A contraction with the given fixed point."""
    root = torch.randn(n, n, generator=seeded(), dtype=torch.float64)
    matrix = 0.9 * root @ root.T / torch.linalg.matrix_norm(root @ root.T, 2)
    solution = torch.randn(n, generator=seeded(1), dtype=torch.float64)
    return lambda x: matrix @ (x - solution) + solution - x, solution


def iterate(depth, steps, weights=None):
    step, solution = linear_map()
    mixing = AndersonMixing(depth, torch.ones(5, dtype=torch.float64) if weights is None else weights)
    x = torch.zeros(5, dtype=torch.float64)
    for _ in range(steps):
        x = mixing.next(x, step(x))
    return float((x - solution).norm() / solution.norm())


def test_a_linear_problem_of_five_unknowns_is_solved_in_six_steps():
    # GMRES has the whole space after five steps; the sixth iterate is the solution up to rounding.
    assert iterate(5, 6) < 1e-12
    assert iterate(5, 5) > 1e-9


def test_weights_do_not_change_the_solution():
    assert iterate(5, 6, weights=torch.tensor([1.0, 10, 100, 1e3, 1e4], dtype=torch.float64)) < 1e-10


def test_depth_zero_is_the_plain_iteration():
    step, _ = linear_map()
    x = torch.ones(5, dtype=torch.float64)
    assert torch.equal(AndersonMixing(0, torch.ones(5)).next(x, step(x)), x + step(x))


def test_steps_that_have_become_equal_do_no_harm():
    mixing = AndersonMixing(3, torch.ones(2, dtype=torch.float64))
    x = torch.zeros(2, dtype=torch.float64)
    for _ in range(4):
        x = mixing.next(x, torch.zeros(2, dtype=torch.float64))
    assert torch.equal(x, torch.zeros(2, dtype=torch.float64))
