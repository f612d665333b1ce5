"""Without a shock the flow past an airfoil has no drag and no entropy, and one total enthalpy."""

import pytest

from sciml.pde.airfoil import steady_flow
from sciml.pde.airfoil_level import GAMMA, FreeStream
from sciml.pde.airfoil_shape import naca00

pytestmark = pytest.mark.validation
MACH = 0.5


def errors(around, outwards):
    """Drag, and mean errors of entropy at the wall and of total enthalpy in all cells."""
    solution = steady_flow(
        [naca00()], FreeStream(mach=MACH, angle=0.0), around=around, outwards=outwards, tolerance=3e-6
    )
    rho, u, v, p = solution.flow[0]
    entropy = p / rho**GAMMA - 1
    enthalpy = GAMMA / (GAMMA - 1) * p / rho + (u * u + v * v) / 2
    total = GAMMA / (GAMMA - 1) + GAMMA * MACH**2 / 2
    return (
        float(solution.drag[0]),
        float(entropy[:, 0].abs().mean()),
        float((enthalpy / total - 1).abs().mean()),
    )


def test_drag_entropy_and_enthalpy_errors_vanish_with_the_mesh():
    coarse, fine = errors(120, 20), errors(240, 40)
    assert fine[0] < 5e-4  # five drag counts
    assert fine[1] < 1e-3
    assert fine[2] < 1e-4  # most of it far away, where it leaves last
    # Order two would be 4; the extrapolation of the pressure to the wall and the trailing edge cost some of it.
    assert coarse[0] / fine[0] > 2.5
    assert coarse[1] / fine[1] > 2.5
