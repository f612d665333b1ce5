"""Four shocks that meet: configuration 3 of the two-dimensional Riemann problems, which is symmetric about x = y."""

import pytest
import torch

from sciml.pde.finite_volume import Euler
from tests.validation.gas_flows import mesh

pytestmark = pytest.mark.validation


@pytest.fixture(scope="module")
def final():
    x, y = mesh(80)
    right, top = x > 0.5, y > 0.5
    # Lax and Liu, SIAM J. Sci. Comput. 19 (1998), 319-340, configuration 3: rho, u, v, p in the four quadrants.
    states = {
        (True, True): (1.5, 0, 0, 1.5),
        (False, True): (0.5323, 1.206, 0, 0.3),
        (False, False): (0.138, 1.206, 1.206, 0.029),
        (True, False): (0.5323, 0, 1.206, 0.3),
    }
    initial = torch.zeros(4, 80, 80, dtype=torch.float64)
    for (in_right, in_top), state in states.items():
        place = (right == in_right) & (top == in_top)
        initial[:, place] = torch.tensor(state, dtype=torch.float64)[:, None]
    solver = Euler((80, 80), edges=("open", "open"), dtype=torch.float64)
    return solver.solve(initial[None], [0, 0.3])[0, 1]


def test_the_solution_is_symmetric_to_the_last_digit(final):
    rho, u, v, p = final
    for field, mirrored in ((rho, rho), (p, p), (u, v)):
        assert torch.equal(field, mirrored.T)


def test_the_straight_shocks_move_at_their_speed(final):
    # Along the right edge (y direction) the state (0.5323, v = 1.206, p = 0.3) runs into the gas at rest of 1.5:
    # mass conservation gives the speed of the shock, (0.5323 1.206 - 0) / (0.5323 - 1.5) = -0.66337.
    along_edge = final[0, -2]
    speed = 0.5323 * 1.206 / (0.5323 - 1.5)
    # Its place, found from the mass on the edge, is where it should be to a small part of a cell.
    height = (1.5 - along_edge.mean()) / (1.5 - 0.5323)
    assert float(height) == pytest.approx(0.5 + 0.3 * speed, abs=0.2 / 80)
