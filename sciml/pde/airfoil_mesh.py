"""Body-fitted O-meshes by conformal mapping: orthogonal, smooth, and invertible point by point.

The outside of an airfoil is mapped onto the outside of the unit circle in two steps. The Karman-Trefftz map takes the
corner at the trailing edge out and leaves a contour that is nearly a circle; Wegmann's method maps that onto a circle.
Circles and rays in the plane of the unit circle are the mesh lines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex128, Float64
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from sciml.errors import SolverError
from sciml.pde.airfoil_shape import Contour

MODES = 256
"""Coefficients of the map; those of an airfoil fall to 1e-8 or so before."""
_NEWTON_STEPS = 12
_RELAXATION = 0.3  # full steps converge quadratically, but not from everywhere
_INNERMOST = 0.99  # the series still converges a little inside the unit circle


@dataclass(frozen=True, eq=False)
class ConformalMap:
    """The map z(Z) from the outside of the unit circle onto that of an airfoil, with the trailing edge at Z = 1.

        log((zeta - c) / Z) = sum_k g_k Z^-k,
        (z - z_T) / (z - z_L) = ((zeta - zeta_T) / (zeta - zeta_L))^kappa,  kappa = 2 - wedge / pi

    Args:
        series: g_k, complex, shape (mode,).
        centre: c.
        trailing: The trailing edge z_T.
        leading: z_L, a point within the nose.
        power: kappa.

    Reference:
        J. Vassberg, A. Jameson, Journal of Aircraft 47 (2010) 1152, for meshes of this kind.
    """

    series: Complex128[np.ndarray, " mode"]
    centre: complex
    trailing: complex
    leading: complex
    power: float

    @property
    def scale(self) -> float:
        """|dz / dZ| at infinity, in chords: a circle |Z| = R far away is one of radius scale R."""
        return math.exp(self.series[0].real)

    def __call__(self, Z: Complex128[np.ndarray, "*shape"]) -> Complex128[np.ndarray, "*shape"]:
        """The points z, in chords, at the points Z, |Z| >= 1."""
        zeta_t, zeta_l = self._foci
        zeta = self.centre + Z * np.exp(self._series(1 / Z))
        ratio = ((zeta - zeta_t) / (zeta - zeta_l)) ** self.power
        return (self.trailing - self.leading * ratio) / (1 - ratio)

    def inverse(self, z: Complex128[np.ndarray, "*shape"]) -> Complex128[np.ndarray, "*shape"]:
        """The points Z at the points z, in chords, outside the airfoil; NaN where there is none."""
        root = ((z - self.trailing) / (z - self.leading)) ** (1 / self.power)
        Z = self._outside(root)
        # The root is cut along the chord. Where the airfoil leaves the chord outside, the points between
        # have got the root that belongs inside the circle: they take the other one.
        inside = ~(np.abs(Z) >= 1)
        other = self._outside(root[inside] * np.exp(-2j * math.pi / self.power * np.sign(np.angle(root[inside]))))
        Z[inside] = np.where(np.abs(other) > np.nan_to_num(np.abs(Z[inside])), other, Z[inside])
        return Z

    def _outside(self, root: np.ndarray) -> np.ndarray:
        """The Z of (zeta - zeta_T) / (zeta - zeta_L), by Newton's method; NaN if that ends inside the circle."""
        zeta_t, zeta_l = self._foci
        zeta = (zeta_t - zeta_l * root) / (1 - root)
        Z = (zeta - self.centre) * np.exp(-self.series[0])
        step = np.zeros_like(Z)
        with np.errstate(all="ignore"):
            for _ in range(_NEWTON_STEPS):
                Z = np.where(np.abs(Z) < _INNERMOST, _INNERMOST * Z / np.abs(Z), Z)
                series, slope = self._series_and_slope(1 / Z)
                image = np.exp(series)
                step = (self.centre + Z * image - zeta) / (image * (1 - slope / Z))
                Z = Z - step
        return np.where(np.abs(step) < 1e-8 * np.abs(Z), Z, np.nan)

    @property
    def _foci(self) -> tuple[complex, complex]:
        return _foci(self.trailing, self.leading, self.power)

    def _series(self, inverse: np.ndarray) -> np.ndarray:
        return self._series_and_slope(inverse)[0]

    def _series_and_slope(self, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """sum_k g_k t^k and its derivative by t, by Horner's rule."""
        value, slope = np.zeros_like(inverse), np.zeros_like(inverse)
        for coefficient in self.series[::-1]:
            slope = slope * inverse + value
            value = value * inverse + coefficient
        return value, slope


def _foci(trailing: complex, leading: complex, power: float) -> tuple[complex, complex]:
    """zeta_T and zeta_L such that zeta / z -> 1 at infinity."""
    half = (trailing - leading) / (2 * power)
    middle = (trailing + leading) / 2
    return middle + half, middle - half


def conformal_map(contour: Contour, *, tolerance: float = 1e-9) -> ConformalMap:
    """Find the conformal map onto the outside of an airfoil.

    Newton's method of Wegmann, with short steps. A linear Riemann-Hilbert problem is solved in each step.

    Args:
        contour: The airfoil.
        tolerance: Of the angles, rad.

    Raises:
        SolverError: the contour is too far from an airfoil: its image is not nearly a circle.

    Reference:
        R. Wegmann, Numerische Mathematik 44 (1984) 435.
    """
    s = np.linspace(0, 2 * math.pi, 16 * MODES + 1)
    z = contour.points(s)
    power = 2 - contour.wedge / math.pi
    trailing, leading = complex(1, 0), _nose_focus(contour)
    zeta_t, zeta_l = _foci(trailing, leading, power)
    # log of (z - z_T) / (z - z_L), followed along the contour from the trailing edge, where it is -infinity.
    inner = z[1:-1]
    angle = np.unwrap(np.angle(inner - trailing)) - np.unwrap(np.angle(inner - leading))
    ratio = np.abs((inner - trailing) / (inner - leading)) ** (1 / power) * np.exp(1j * angle / power)
    zeta = np.concatenate([[zeta_t], (zeta_t - zeta_l * ratio) / (1 - ratio), [zeta_t]])
    centre = _centroid(zeta)

    argument = np.unwrap(np.angle(zeta - centre))
    if not np.all(np.diff(argument) > 0):
        raise SolverError(
            "the airfoil cannot be mapped onto a circle: its image is too far from one. Use smaller bumps."
        )
    argument[-1] = argument[0] + 2 * math.pi
    log_radius = np.log(np.abs(zeta - centre))
    log_radius[-1] = log_radius[0]
    radius = CubicSpline(argument, log_radius, bc_type="periodic")

    theta = 2 * math.pi * np.arange(4 * MODES) / (4 * MODES)
    shift = np.full_like(theta, argument[0])  # argument - theta, and the imaginary part of log((zeta - c) / Z)
    for _ in range(150):
        # Linearised, log = f + i shift + (f' + i) change. Divided by a function exp(h) that is analytic outside and has
        # the angle of f' + i, the last term is real: the imaginary part is known, and with it the function.
        f, slope = radius(theta + shift), radius(theta + shift, 1)
        h = 1j * _analytic(np.angle(slope + 1j))
        known = (f + 1j * shift) * np.exp(-h)
        weight = np.abs(slope + 1j) * np.exp(-h.real)
        change = ((1j * _analytic(known.imag)).real - known.real) / weight
        change += (argument[0] - shift[0] - change[0]) * weight[0] / weight
        # Of the shortest waves the method knows no more than their sampled values: they would drift.
        modes = np.fft.rfft(change)
        modes[len(theta) // 4 :] = 0
        change = np.fft.irfft(modes)
        shift = shift + _RELAXATION * change
        if np.abs(change).max() < tolerance:
            series = _coefficients(radius(theta + shift))
            series[0] += 1j * np.mean(shift)
            return ConformalMap(series[:MODES], centre, trailing, leading, power)
    raise SolverError("the airfoil cannot be mapped onto a circle: the iteration diverges. Use smaller bumps.")


def o_mesh(
    mapping: ConformalMap, around: int, outwards: int, *, radius: float
) -> tuple[Complex128[np.ndarray, "around outwards_plus_1"], Float64[np.ndarray, " outwards_plus_1"]]:
    """Nodes of an O-mesh whose cells are square at the wall and grow geometrically towards a circle far away.

    Args:
        mapping: The conformal map of the airfoil.
        around: Cells around the airfoil. Good values: 96 to 384.
        outwards: Cells from the wall to the far field. Good values: around / 6 to around / 4.
        radius: Distance of the far field in chords. Good values: 20 to 100.

    Returns:
        The nodes x + i y, in chords, shape (around, outwards + 1); node (0, 0) is the trailing edge. And log |Z| of the
        circles, shape (outwards + 1,).
    """
    first, total = 2 * math.pi / around, math.log(radius / mapping.scale)

    def excess(growth: float) -> float:
        return first * sum(growth**k for k in range(outwards)) - total

    growth: float = brentq(excess, 0.1, 100.0)  # pyright: ignore[reportAssignmentType]
    level = np.concatenate([[0.0], np.cumsum(first * growth ** np.arange(outwards))])
    theta = 2 * math.pi * np.arange(around) / around
    return mapping(np.exp(level + 1j * theta[:, None])), level


def _nose_focus(contour: Contour) -> complex:
    """The point half a radius of curvature behind the leading edge, in the middle between the surfaces.

    At the leading edge y = y'(s) (s - pi) and x = (s - pi)^2 / 4: the radius of curvature is 2 y'^2.
    """
    x = float(contour.spline(math.pi, 1)) ** 2
    lower, upper = contour.surfaces(np.array([x]))
    return complex(x, float(lower[0] + upper[0]) / 2)


def _coefficients(real: Float64[np.ndarray, " point"]) -> Complex128[np.ndarray, " mode"]:
    """c_k of the function sum_k c_k Z^-k, k = 0..n/2 - 1, with the given real part on the unit circle and real c_0."""
    modes = np.fft.fft(real)[: len(real) // 2] / len(real)
    return np.concatenate([modes[:1], 2 * np.conj(modes[1:])])


def _analytic(real: Float64[np.ndarray, " point"]) -> Complex128[np.ndarray, " point"]:
    """Its values on the circle."""
    return np.fft.fft(_coefficients(real), len(real))


def _centroid(curve: np.ndarray) -> complex:
    cross = np.imag(np.conj(curve[:-1]) * curve[1:])
    return complex(np.sum((curve[:-1] + curve[1:]) * cross) / (3 * np.sum(cross)))
