"""Where the flow is smooth the scheme is of second order."""

import math
from itertools import pairwise

import pytest
import torch

from sciml.pde.finite_volume import Euler
from tests.validation.gas_flows import isentropic_vortex, mesh

pytestmark = pytest.mark.validation


def density_wave_error(cells, **options):
    """L1 error after the waves have come round; they are carried along obliquely and do not change."""
    x, y = mesh(cells)
    # The averages over the cells of 1 + 0.2 (sin 2 pi x + cos 2 pi y): a wave shrinks by sin(pi / N) / (pi / N).
    height = 0.2 * math.sin(math.pi / cells) / (math.pi / cells)
    rho = 1 + height * (torch.sin(2 * math.pi * x) + torch.cos(2 * math.pi * y))
    one = torch.ones_like(rho)
    solver = Euler((cells, cells), dtype=torch.float64, **options)
    final = solver.solve(torch.stack([rho, one, -one, one])[None], [0, 1.0])[0, 1]
    return float((final[0] - rho).abs().mean())


@pytest.mark.parametrize("order", [2, 3])
def test_the_central_scheme_is_of_order_two(order):
    errors = [density_wave_error(cells, reconstruction="central", order=order) for cells in (16, 32, 64)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([2, 2], abs=0.1)  # the next term of the error has a share of (pi / 16)^2


@pytest.mark.parametrize(("reconstruction", "least"), [("mc", 1.6), ("minmod", 1.5), ("weno", 1.9)])
def test_the_limited_schemes_lose_a_little_at_the_crests(reconstruction, least):
    # A limiter that clips extrema costs one order in a share N^(-1/3) of the cells.
    coarse, fine = (density_wave_error(cells, reconstruction=reconstruction) for cells in (32, 64))
    assert least < math.log2(coarse / fine) < 2.6


def test_the_isentropic_vortex_returns_where_it_was():
    errors = []
    for cells in (32, 64):
        vortex = isentropic_vortex(cells)
        solver = Euler((cells, cells), dtype=torch.float64)
        final = solver.solve(vortex, [0, 1.0])
        errors.append(float((final[0, 1, 0] - vortex[0, 0]).abs().mean()))
    # The centre's density is 0.49; a vortex that has gone missing, or sits a width off, has an error of 0.02.
    assert errors[1] < 2e-3
    assert errors[0] / errors[1] > 2.8  # order 1.5, as mc has with a resolved vortex
