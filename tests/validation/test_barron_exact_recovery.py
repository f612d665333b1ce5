"""Solutions that are sums of few waves are found to rounding, frequencies included, in up to 50 dimensions."""

import pytest

from sciml.barron.problems import cubic, minimal_surface, quartic_gradient, reaction_diffusion
from sciml.barron.solve import solve
from tests.barron.examples import relative_error, sines, waves

pytestmark = pytest.mark.validation


@pytest.mark.parametrize(
    ("make", "u", "error"),
    [
        (reaction_diffusion, sines(10), 1e-12),
        (cubic, waves(10), 1e-12),
        (quartic_gradient, waves(10, gradient=True), 1e-12),
        (minimal_surface, waves(10, gradient=True), 1e-12),
        (cubic, waves(50), 1e-12),
    ],
    ids=["linear-10", "cubic-10", "quartic-gradient-10", "minimal-surface-10", "cubic-50"],
)
def test_a_sparse_solution_is_recovered_to_rounding(make, u, error):
    problem = make(u.dimension, boundary=u.boundary).with_solution(u)
    solution = solve(problem, tol=10 * error)
    assert solution.converged
    assert relative_error(solution.network, u) < error
