import math

import numpy as np
import pytest

from sciml.errors import ConfigError
from sciml.pde.airfoil_shape import circle, hicks_henne, naca00, rae2822


def test_the_rae2822_has_its_published_thickness_nose_and_closed_edges():
    airfoil = rae2822()
    x = np.linspace(0, 1, 1001)
    lower, upper = airfoil.surfaces(x)
    assert lower[[0, -1]] == pytest.approx(0, abs=1e-12)
    assert upper[[0, -1]] == pytest.approx(0, abs=1e-12)
    thickness = upper - lower
    assert thickness.max() == pytest.approx(0.121, abs=5e-4)  # published: 12.1 %
    assert x[thickness.argmax()] == pytest.approx(0.379, abs=0.01)  # published: at 37.9 % of the chord
    assert 2 * float(airfoil.spline(math.pi, 1)) ** 2 == pytest.approx(
        0.00827, rel=0.01
    )  # published nose radius; 6 digits at the first station, squared


def test_surfaces_pass_through_the_ordinates():
    lower, upper = rae2822().surfaces(np.array([0.5, (1 - math.cos(math.pi * 3 / 64)) / 2]))
    np.testing.assert_allclose(upper, [0.062029, 0.009416], atol=1e-12)
    np.testing.assert_allclose(lower, [-0.050563, -0.009443], atol=1e-12)


def test_the_naca_section_is_its_formula_between_the_spline_points_too():
    x = np.linspace(0.013, 0.987, 57)
    exact = 0.6 * (0.2969 * np.sqrt(x) - 0.1260 * x - 0.3516 * x**2 + 0.2843 * x**3 - 0.1036 * x**4)
    lower, upper = naca00(0.12).surfaces(x)
    np.testing.assert_allclose(upper, exact, atol=1e-8)  # cubic splines through 257 points: h^4 = 2e-8
    np.testing.assert_allclose(lower, -exact, atol=1e-8)
    slope = 0.6 * (0.2969 / 2 - 0.1260 - 2 * 0.3516 + 3 * 0.2843 - 4 * 0.1036)
    assert naca00(0.12).wedge == pytest.approx(2 * math.atan(-slope), abs=1e-4)


def test_without_height_bumps_leave_the_reference():
    s = np.linspace(0, 2 * math.pi, 99)
    np.testing.assert_allclose(hicks_henne(np.zeros(15), np.zeros(15)).points(s), rae2822().points(s), atol=1e-15)


def test_a_bump_is_highest_at_its_place_and_keeps_the_edges():
    heights = np.zeros(15)
    heights[6] = 0.01  # i = 7 of 15: x = 7 / 19
    x = np.linspace(0, 1, 20001)
    bump = hicks_henne(heights, np.zeros(15)).surfaces(x)[1] - rae2822().surfaces(x)[1]
    assert x[bump.argmax()] == pytest.approx(7 / 19, abs=2e-3)  # the spline rounds the flat top by its h^2 = 2e-3
    assert bump.max() == pytest.approx(0.01, rel=1e-3)
    assert bump[[0, -1]] == pytest.approx(0, abs=1e-12)
    assert hicks_henne(heights, np.zeros(15)).wedge == pytest.approx(rae2822().wedge, abs=1e-3)


def test_points_are_inside_between_the_surfaces():
    airfoil = rae2822()
    lower, upper = airfoil.surfaces(np.array([0.3]))
    y = np.array([lower[0] - 1e-6, lower[0] + 1e-6, upper[0] - 1e-6, upper[0] + 1e-6])
    assert airfoil.contains(np.full(4, 0.3), y).tolist() == [False, True, True, False]
    assert not airfoil.contains(np.array([-0.1, 1.1]), np.zeros(2)).any()


def test_surfaces_that_cross_have_no_thickness():
    assert rae2822().thinnest() > 0.1
    assert hicks_henne(np.full(15, -0.03), np.zeros(15)).thinnest() < 0


def test_the_circle_has_no_corner():
    assert circle().wedge == math.pi
    s = np.linspace(0, 2 * math.pi, 50)
    np.testing.assert_allclose(np.abs(circle().points(s) - 0.5), 0.5, atol=1e-9)


def test_bumps_beyond_the_trailing_edge_are_refused():
    with pytest.raises(ConfigError, match="16 or more"):
        hicks_henne(np.zeros(15), np.zeros(15), spacing=15)
