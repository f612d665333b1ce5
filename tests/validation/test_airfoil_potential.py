"""Slow flow past the RAE 2822 has the lift and the pressure of potential flow, known from the conformal map."""

import math

import numpy as np
import pytest

from sciml.pde.airfoil import steady_flow
from sciml.pde.airfoil_level import FreeStream
from sciml.pde.airfoil_mesh import conformal_map
from sciml.pde.airfoil_shape import rae2822

pytestmark = pytest.mark.validation
MACH, ANGLE = 0.2, 2.31


def potential_flow(around):
    """Lift coefficient, and pressure coefficient at the wall faces, without compressibility."""
    mapping = conformal_map(rae2822())
    alpha = math.radians(ANGLE) - mapping.series[0].imag  # the plane of the circle is turned
    Z = np.exp(2j * math.pi * (np.arange(around) + 0.5) / around)
    velocity = np.exp(-1j * alpha) - np.exp(1j * alpha) / Z**2 + 2j * math.sin(alpha) / Z  # Kutta: 0 at Z = 1
    slope = (mapping(Z * (1 + 1e-5)) - mapping(Z)) / (Z * 1e-5)
    speed = mapping.scale * np.abs(velocity / slope)
    return 8 * math.pi * mapping.scale * math.sin(alpha), 1 - speed**2


def test_lift_and_pressure_are_those_of_potential_flow():
    beta = math.sqrt(1 - MACH**2)
    found = {}
    for around, outwards in ((128, 20), (256, 40)):
        solution = steady_flow(
            [rae2822()],
            FreeStream(mach=MACH, angle=ANGLE),
            around=around,
            outwards=outwards,
            radius=50.0,
            tolerance=1e-6,
        )
        lift, pressure = potential_flow(around)
        karman_tsien = pressure / (beta + MACH**2 / (1 + beta) * pressure / 2)
        x, cp = (values[0].numpy() for values in solution.pressure_coefficient())
        away = (x > 0.05) & (x < 0.95)
        found[around] = abs(float(solution.lift[0]) * beta / lift - 1), np.abs(cp - karman_tsien)[away].max()
    # Prandtl-Glauert and Karman-Tsien are themselves right to a fraction of M^2 = 0.04.
    assert found[256][0] < 0.005
    assert found[256][1] < 0.01
    assert found[128][0] > 2.5 * found[256][0]
