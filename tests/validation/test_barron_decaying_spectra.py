"""Solutions with infinitely many waves are found to the tolerance where their spectrum decays fast."""

import pytest

from sciml.barron.solve import solve
from tests.barron.spectra import ExponentialOfWaves, PoissonProduct, h1_error

pytestmark = pytest.mark.validation


@pytest.mark.parametrize(
    ("solution", "tol", "modes"),
    [
        (PoissonProduct(2), 1e-9, 600),
        (PoissonProduct(5), 1e-4, 12_000),
        (ExponentialOfWaves(5), 3e-4, 6000),
        (ExponentialOfWaves(10), 1e-2, 12_000),
    ],
    ids=["poisson-2", "poisson-5", "exponential-5", "exponential-10"],
)
def test_a_decaying_spectrum_is_solved_to_the_tolerance(solution, tol, modes):
    found = solve(solution.problem(), tol=tol)
    error, norm = h1_error(found.network, solution)
    assert found.converged
    # The norm of the error is itself a mean over 4096 points, good to a few percent.
    assert error < 1.05 * tol * norm
    assert len(found.network) < modes
