"""Airfoil contours: RAE 2822, NACA four-digit thickness, and Hicks-Henne bumps on top of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.interpolate import CubicSpline

from sciml.errors import ConfigError

# Ordinates at x = (1 - cos(pi k / 64)) / 2, k = 0..64, from the leading to the trailing edge.
_RAE2822_UPPER = """
0 .003165 .006306 .009416 .012480 .015489 .018441 .021348 .024219 .027062 .029874 .032644 .035360 .038011 .040585
.043071 .045457 .047729 .049874 .051885 .053753 .055470 .057026 .058414 .059629 .060660 .061497 .062133 .062562 .062779
.062774 .062530 .062029 .061254 .060194 .058845 .057218 .055344 .053258 .050993 .048575 .046029 .043377 .040641 .037847
.035017 .032176 .029347 .026554 .023817 .021153 .018580 .016113 .013769 .011562 .009508 .007622 .005915 .004401 .003092
.002001 .001137 .000510 .000128 0"""
_RAE2822_LOWER = """
0 -.003160 -.006308 -.009443 -.012559 -.015649 -.018707 -.021722 -.024685 -.027586 -.030416 -.033170 -.035843 -.038431
-.040929 -.043326 -.045610 -.047773 -.049805 -.051694 -.053427 -.054994 -.056376 -.057547 -.058459 -.059046 -.059236
-.058974 -.058224 -.056979 -.055257 -.053099 -.050563 -.047719 -.044642 -.041397 -.038043 -.034631 -.031207 -.027814
-.024495 -.021289 -.018232 -.015357 -.012690 -.010244 -.008027 -.006048 -.004314 -.002829 -.001592 -.000600 .000157
.000694 .001033 .001197 .001212 .001112 .000935 .000719 .000497 .000296 .000137 .000035 0"""


@dataclass(frozen=True, eq=False)
class Contour:
    """A closed contour of chord 1 from (0, 0) to (1, 0), run through from the trailing edge over the upper surface.

        x(s) = (1 + cos s) / 2,  y(s),  s in [0, 2 pi];  upper surface s < pi, leading edge s = pi

    Args:
        spline: y as a function of s.
        wedge: Angle between the surfaces at the trailing edge, rad, in [0, pi]; pi for a smooth contour.
    """

    spline: CubicSpline
    wedge: float

    def points(self, s: Float64[np.ndarray, " point"]) -> np.ndarray:
        """The points x + i y at the parameters s, complex, shape (point,)."""
        return (1 + np.cos(s)) / 2 + 1j * self.spline(s)

    def surfaces(self, x: Float64[np.ndarray, "*shape"]) -> tuple[np.ndarray, np.ndarray]:
        """Height of the lower and of the upper surface at x in [0, 1], in chords, each of the shape of x."""
        s = np.arccos(np.clip(2 * x - 1, -1, 1))
        return self.spline(2 * math.pi - s), self.spline(s)

    def contains(self, x: Float64[np.ndarray, "*shape"], y: Float64[np.ndarray, "*shape"]) -> np.ndarray:
        """Whether the points (x, y) lie inside the airfoil or on it, boolean, of the shape of x."""
        lower, upper = self.surfaces(x)
        return (x >= 0) & (x <= 1) & (y >= lower) & (y <= upper)

    def thinnest(self) -> float:
        """Smallest thickness over that of a wedge sqrt(x) (1 - x), as a multiple; at most 0 if the surfaces touch."""
        x = (1 - np.cos(np.pi * np.arange(1, 128) / 128)) / 2
        lower, upper = self.surfaces(x)
        return float(np.min((upper - lower) / (np.sqrt(x) * (1 - x))))


def contour(upper: Float64[np.ndarray, " point"], lower: Float64[np.ndarray, " point"]) -> Contour:
    """The contour through ordinates given at x = (1 - cos(pi k / n)) / 2, k = 0..n, leading to trailing edge.

    In this parameter a rounded leading edge is smooth, and a trailing edge of finite slope has y'(s) = 0.

    Args:
        upper: Ordinates of the upper surface in chords, shape (point,), 0 at both ends.
        lower: The same for the lower surface.
    """
    heights = np.concatenate([upper[::-1], lower[1:]])
    spline = CubicSpline(np.linspace(0, 2 * math.pi, len(heights)), heights, bc_type="clamped")
    # Near the trailing edge 1 - x = s^2 / 4, so that the slope dy / d(1 - x) is 2 y''.
    slopes = 2 * spline([0.0, 2 * math.pi], 2)
    return Contour(spline, float(math.atan(slopes[0]) - math.atan(slopes[1])))


def rae2822() -> Contour:
    """The RAE 2822 airfoil, 12.1 % thick, with a sharp trailing edge.

    Reference:
        P. H. Cook, M. A. McDonald, M. C. P. Firmin, AGARD AR-138, case A6 (1979): the design ordinates.
    """
    return contour(*_rae2822())


def naca00(thickness: float = 0.12) -> Contour:
    """A symmetric NACA four-digit airfoil with the last coefficient changed to close the trailing edge at x = 1.

        y = 5 t (0.2969 sqrt(x) - 0.1260 x - 0.3516 x^2 + 0.2843 x^3 - 0.1036 x^4)

    Args:
        thickness: t, in chords.
    """
    x = _stations(256)
    half = 5 * thickness * (0.2969 * np.sqrt(x) + x * (-0.1260 + x * (-0.3516 + x * (0.2843 - 0.1036 * x))))
    half[-1] = 0
    return contour(half, -half)


def circle() -> Contour:
    """The circle of diameter 1 round (1/2, 0): no airfoil, but the flow past it is known exactly."""
    s = np.linspace(0, 2 * math.pi, 1025)
    return Contour(CubicSpline(s, np.sin(s) / 2, bc_type="periodic"), math.pi)


def hicks_henne(
    upper: Float64[np.ndarray, " bump"], lower: Float64[np.ndarray, " bump"], *, spacing: int | None = None
) -> Contour:
    """The RAE 2822 airfoil with bumps on both surfaces.

        y = y_ref + sum_i a_i sin^3(pi x^q_i),  q_i = log 2 / (log m - log i)

    so that bump i, i = 1..n, is highest at x = i / m; the edges stay where they are.

    Args:
        upper: Heights a_i on the upper surface in chords, shape (bump,); positive is upwards.
        lower: The same for the lower surface.
        spacing: m; n + 4 by default.

    Reference:
        R. M. Hicks, P. A. Henne, Journal of Aircraft 15 (1978) 407.
    """
    bumps = len(upper)
    m = bumps + 4 if spacing is None else spacing
    if m <= bumps:
        raise ConfigError(
            f"{bumps} bumps at x = i / {m} reach the trailing edge; the spacing must be {bumps + 1} or more."
        )
    above, below = _rae2822()
    x = _stations(len(above) - 1)
    power = math.log(2) / (math.log(m) - np.log(np.arange(1, bumps + 1)))
    shapes = np.sin(np.pi * x[:, None] ** power) ** 3
    return contour(above + shapes @ upper, below + shapes @ lower)


def _rae2822() -> tuple[np.ndarray, np.ndarray]:
    upper, lower = (np.array(text.split(), dtype=np.float64) for text in (_RAE2822_UPPER, _RAE2822_LOWER))
    return upper, lower


def _stations(intervals: int) -> Float64[np.ndarray, " point"]:
    return (1 - np.cos(np.pi * np.arange(intervals + 1) / intervals)) / 2
