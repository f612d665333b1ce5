"""Named problems, each a convex density whose constants are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from sciml.barron.box import Boundary
from sciml.barron.density import IsotropicDensity
from sciml.barron.jet import Values, Vectors
from sciml.barron.problem import EnergyProblem
from sciml.errors import ConfigError


def _nothing(norm: float) -> float:
    """The majorant of a term that is not there."""
    return 0.0


def reaction_diffusion(
    dimension: int, *, boundary: Boundary = "dirichlet", rate: float = 1.0, **more: Any
) -> EnergyProblem:
    """-Lap u + rate u = f.

    Args:
        dimension: Number of coordinates.
        boundary: Boundary condition.
        rate: Nonnegative; positive unless the boundary is Dirichlet.
        more: ``source``, ``box``.
    """
    return EnergyProblem(
        dimension=dimension,
        boundary=boundary,
        density=IsotropicDensity(lambda x, u: rate * u**2 / 2),
        **{"c": rate, "c_max": rate, "lam": 1.0, "Lam": 1.0, "name": "reaction-diffusion", **more},
        reaction_majorant=lambda a: abs(rate - 1) * a,
        flux_majorant=_nothing,
    )


def cubic(dimension: int, *, boundary: Boundary = "dirichlet", **more: Any) -> EnergyProblem:
    """-Lap u + u + u^3 = f.

    Args:
        dimension: Number of coordinates.
        boundary: Boundary condition.
        more: ``source``, ``box``.
    """
    return EnergyProblem(
        dimension=dimension,
        boundary=boundary,
        density=IsotropicDensity(lambda x, u: u**2 / 2 + u**4 / 4),
        **{"c": 1.0, "lam": 1.0, "Lam": 1.0, "name": "cubic", **more},
        reaction_majorant=lambda a: a**3,
        flux_majorant=_nothing,
    )


def sine(dimension: int, *, boundary: Boundary = "dirichlet", strength: float = 0.5, **more: Any) -> EnergyProblem:
    """-Lap u + u + strength sin u = f, convex for strength in [0, 1).

    Args:
        dimension: Number of coordinates.
        boundary: Boundary condition.
        strength: In [0, 1).
        more: ``source``, ``box``.
    """
    return EnergyProblem(
        dimension=dimension,
        boundary=boundary,
        density=IsotropicDensity(lambda x, u: u**2 / 2 + strength * (1 - torch.cos(u))),
        **{"c": 1 - strength, "c_max": 1 + strength, "lam": 1.0, "Lam": 1.0, "name": "sine", **more},
        reaction_majorant=lambda a: strength * math.sinh(a),
        flux_majorant=_nothing,
    )


def quartic_gradient(dimension: int, *, boundary: Boundary = "dirichlet", **more: Any) -> EnergyProblem:
    """-div((1 + |grad u|^2) grad u) + u = f.

    Args:
        dimension: Number of coordinates.
        boundary: Boundary condition.
        more: ``source``, ``box``.
    """
    return EnergyProblem(
        dimension=dimension,
        boundary=boundary,
        density=IsotropicDensity(lambda x, u: u**2 / 2, profile=lambda q: q / 2 + q**2 / 4),
        **{"c": 1.0, "c_max": 1.0, "lam": 1.0, "name": "quartic gradient", **more},
        reaction_majorant=_nothing,
        flux_majorant=lambda g: g**3,
    )


def minimal_surface(dimension: int, *, boundary: Boundary = "dirichlet", **more: Any) -> EnergyProblem:
    """-div(grad u / sqrt(1 + |grad u|^2)) + u = f.

    Its lam = (1 + |grad u|^2)^(-3/2) has no positive lower bound for all u: certificates are estimates.

    Args:
        dimension: Number of coordinates.
        boundary: Boundary condition.
        more: ``source``, ``box``.
    """

    def flux(g: float) -> float:
        # The power series of (1 + q)^(-1/2) - 1 with positive signs, which converges for q < 1.
        return g * ((1 - g * g) ** -0.5 - 1) if g < 1 else math.inf

    return EnergyProblem(
        dimension=dimension,
        boundary=boundary,
        density=IsotropicDensity(lambda x, u: u**2 / 2, profile=lambda q: torch.sqrt(1 + q) - 1),
        **{"c": 1.0, "c_max": 1.0, "Lam": 1.0, "name": "minimal surface", **more},
        reaction_majorant=_nothing,
        flux_majorant=flux,
    )


def variable_coefficient(
    dimension: int,
    coefficient: Callable[[Vectors], Values],
    *,
    lowest: float,
    highest: float,
    boundary: Boundary = "dirichlet",
    **more: Any,
) -> EnergyProblem:
    """-div(a(x) grad u) + u = f.

    Args:
        dimension: Number of coordinates.
        coefficient: a of points (point, dimension), which returns (point,), differentiable by torch. On Neumann and
            periodic boxes its even or periodic extension should be smooth.
        lowest: Lower bound of a, positive.
        highest: Upper bound of a.
        boundary: Boundary condition.
        more: ``source``, ``box``.
    """
    return EnergyProblem(
        dimension=dimension,
        boundary=boundary,
        density=IsotropicDensity(lambda x, u: u**2 / 2, weight=coefficient),
        **{"c": 1.0, "c_max": 1.0, "lam": lowest, "Lam": highest, "name": "variable coefficient", **more},
    )


PROBLEMS: dict[str, Callable[..., EnergyProblem]] = {
    "reaction_diffusion": reaction_diffusion,
    "cubic": cubic,
    "sine": sine,
    "quartic_gradient": quartic_gradient,
    "minimal_surface": minimal_surface,
    "variable_coefficient": variable_coefficient,
}


def make_problem(name: str, dimension: int, **settings: Any) -> EnergyProblem:
    """A named problem.

    Args:
        name: One of ``PROBLEMS``.
        dimension: Number of coordinates.
        settings: Its settings, and ``source``, ``box``, ``boundary``.

    Raises:
        ConfigError: the name is unknown.
    """
    if name not in PROBLEMS:
        raise ConfigError(f"problem {name!r} came; one of {', '.join(PROBLEMS)} is expected.")
    return PROBLEMS[name](dimension, **settings)
