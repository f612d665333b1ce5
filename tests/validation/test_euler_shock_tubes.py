"""Shock tubes have the exact solution's waves, with the error that a scheme of second order leaves at shocks."""

import pytest
import torch

from sciml.pde.finite_volume import Euler
from tests.validation.gas_flows import LAX, SOD, centres, exact_riemann, shock_tube

pytestmark = pytest.mark.validation


def errors(left, right, time, cells, **options):
    """L1 errors of density, velocity and pressure."""
    solver = Euler((cells, 1), edges=("open", "periodic"), dtype=torch.float64, **options)
    found = solver.solve(shock_tube(left, right, cells), [0, time], cfl=0.4)[0, 1, [0, 1, 3], :, 0]
    return (found - exact_riemann(left, right, (centres(cells) - 0.5) / time)).abs().mean(1)


def test_the_exact_solution_of_sods_tube_has_the_numbers_of_the_literature():
    # Toro, table 4.2, test 1: p* = 0.30313, u* = 0.92745, rho* = 0.42632 and 0.26557.
    behind, ahead = exact_riemann(*SOD, torch.tensor([0.9, 1.0])).T.tolist()
    assert behind == pytest.approx([0.42632, 0.92745, 0.30313], abs=1e-5)
    assert ahead == pytest.approx([0.26557, 0.92745, 0.30313], abs=1e-5)


def test_sods_tube_has_the_known_errors():
    # Measured with an independent code of the same scheme (MC, HLLC, third-order Runge-Kutta), to two digits.
    found = [float(errors(*SOD, 0.2, cells, order=3)[0]) for cells in (100, 200, 400)]
    assert found == pytest.approx([4.8e-3, 2.5e-3, 1.4e-3], abs=1e-4)


@pytest.mark.parametrize("reconstruction", ["mc", "minmod", "weno"])
def test_the_error_of_laxs_tube_falls_as_it_must_with_shocks(reconstruction):
    coarse, fine = (errors(*LAX, 0.12, cells, reconstruction=reconstruction) for cells in (100, 400))
    # A contact spreads over N^(1/3) cells of N in a scheme of second order: its error falls by 4^(2/3) = 2.5 at least.
    assert (coarse / fine > 2.4).all()
    # What captured waves cost: two cells where density, velocity and pressure jump by 1, 1.5 and 3.5, and as many for
    # the contact, which the velocity and the pressure do not see.
    assert (fine < torch.tensor([4 * 1.0, 2 * 1.5, 2 * 3.5]) / 400).all()
