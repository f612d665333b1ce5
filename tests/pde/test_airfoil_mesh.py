import math

import numpy as np
import pytest

from sciml.errors import SolverError
from sciml.pde.airfoil_mesh import conformal_map, o_mesh
from sciml.pde.airfoil_shape import circle, contour, hicks_henne, naca00, rae2822


def ring(points, radius=1.0):
    return radius * np.exp(2j * math.pi * np.arange(points) / points)


def test_the_map_of_a_circle_is_linear():
    Z = np.concatenate([ring(17, radius) for radius in (1.0, 1.7, 40.0)])
    np.testing.assert_allclose(conformal_map(circle())(Z), 0.5 + 0.5 * Z, atol=1e-9)


@pytest.mark.parametrize("airfoil", [rae2822(), naca00()], ids=["rae2822", "naca0012"])
def test_the_unit_circle_is_mapped_onto_the_airfoil(airfoil):
    mapping = conformal_map(airfoil)
    z = mapping(ring(777))
    lower, upper = airfoil.surfaces(z.real)
    # Heights at a given x: at the nose an error of the angle of 1e-8 along the surface counts a hundredfold or more.
    assert np.minimum(np.abs(z.imag - lower), np.abs(z.imag - upper)).max() < 1e-5
    assert mapping(np.array([1 + 0j]))[0] == pytest.approx(1, abs=1e-12)
    assert z.real.min() == pytest.approx(0, abs=1e-4)


def test_a_karman_trefftz_airfoil_is_found_to_be_a_circle():
    # A circle through zeta = 1 / kappa round a centre left of the origin; symmetric, so that it has a chord along x.
    power, centre = 1.95, -0.06
    zeta = centre + (1 / power - centre) * np.exp(1j * np.linspace(0, math.pi, 4001))
    ratio = ((zeta - 1 / power) / (zeta + 1 / power)) ** power
    z = (1 + ratio) / (1 - ratio)
    chord = 1 - z[-1].real
    x, y = 1 - (1 - z.real) / chord, z.imag / chord
    stations = (1 - np.cos(np.pi * np.arange(257) / 256)) / 2
    heights = np.interp(stations, x[::-1], y[::-1])
    heights[[0, -1]] = 0
    mapping = conformal_map(contour(heights, -heights))
    # zeta = 1 is where z = 1, so that |dz / dzeta| = 1 at infinity, and 1 / chord after scaling.
    assert mapping.scale == pytest.approx((1 / power - centre) / chord, rel=1e-4)  # linear interpolation of the contour


def hollow():
    """An airfoil whose upper surface sinks below the straight line from the nose to the trailing edge."""
    heights = np.zeros((2, 15))
    heights[:, 11:14] = -0.02
    return hicks_henne(*heights)


@pytest.mark.parametrize("airfoil", [rae2822(), hollow()], ids=["cambered", "hollow"])
def test_the_inverse_gives_back_the_points_also_where_the_chord_leaves_the_airfoil(airfoil):
    mapping = conformal_map(airfoil)
    Z = np.concatenate([ring(240, radius) for radius in (1.0003, 1.02, 1.5, 30.0)])
    np.testing.assert_allclose(mapping.inverse(mapping(Z)), Z, rtol=1e-7)


def test_the_chord_leaves_these_airfoils_below_and_above():
    x = np.linspace(0.7, 0.98, 50)
    assert rae2822().surfaces(x)[0].max() > 1e-3
    assert hollow().surfaces(x)[1].min() < -1e-3
    assert hollow().thinnest() > 0.1


def test_mesh_lines_are_orthogonal_and_cells_are_square_at_the_wall():
    nodes, level = o_mesh(conformal_map(rae2822()), 240, 40, radius=25.0)
    assert nodes.shape == (240, 41)
    assert level[0] == 0
    along = np.roll(nodes, -1, 0)[:, :2] - np.roll(nodes, 1, 0)[:, :2]
    out = nodes[:, 1] - nodes[:, 0]
    away = np.arange(8, 233)  # from the corner at the trailing edge
    # Orthogonal in the limit; over a cell the lines bend by its angle, 2 pi / 240, and more at the nose.
    cosine = (along[:, 0].conj() * out).real / np.abs(along[:, 0]) / np.abs(out)
    assert np.abs(cosine[away]).max() < 0.1
    aspect = np.abs(out) / (np.abs(along[:, 0]) / 2)
    assert np.median(aspect) == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(np.abs(nodes[:, -1]), 25.0, rtol=0.03)  # a circle, up to the place of its centre


def test_a_shape_that_is_no_airfoil_cannot_be_mapped():
    x = (1 - np.cos(np.pi * np.arange(65) / 64)) / 2
    wave = 0.1 * np.sin(4 * np.pi * x)
    with pytest.raises(SolverError, match="Use smaller bumps"):
        conformal_map(contour(wave, wave - 0.01 * np.sqrt(x) * (1 - x)))
