"""Elliptic variational problems on a box: minimise the integral of L(x, u, grad u) - f u."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from sciml.barron.box import Boundary, check_box, sine_axes
from sciml.barron.calculus import ConvexityConstants, convexity_constants, lowest_eigenvalue
from sciml.barron.density import Density
from sciml.barron.jet import Jet, Values, Vectors, jet_of
from sciml.errors import ConfigError, ShapeError


class Ellipticity(NamedTuple):
    """Bounds of the second derivatives of L: c <= L_uu <= c_max, lam <= L_pp <= Lam.

    Attributes:
        mean: Mean of L_uu, and of the middle of the eigenvalues of L_pp, at u: a preconditioner (alpha, beta).
        global_below: Whether c and lam were given, so that they hold for all u, rather than found on samples.
    """

    c: float
    c_max: float
    lam: float
    Lam: float
    mean: tuple[float, float]
    global_below: bool

    def constants(self, problem: EnergyProblem, *, alpha: float = 1.0, beta: float = 1.0) -> ConvexityConstants:
        """Bounds of the Hessian of E preconditioned by (alpha - beta Lap)^-1; (1, 1) is the H1 metric."""
        lowest = lowest_eigenvalue(problem.dimension, problem.boundary, box=problem.box)
        bounds = {"c": self.c, "c_max": self.c_max, "lam": self.lam, "Lam": self.Lam}
        return convexity_constants(**bounds, lowest=lowest, alpha=alpha, beta=beta)


@dataclass(frozen=True, kw_only=True)
class EnergyProblem:
    """The minimisation of E(u) = integral of L(x, u, grad u) - f u over a box.

    Its solution fulfils -div L_p + L_u = f. L is convex in (u, grad u), and strictly so in grad u; without a Dirichlet
    axis also in u. A bound of its second derivatives that is not given is found on samples, where the iterates are, as
    it must be if L is only locally smooth (u^4 has no global c_max).

    Args:
        dimension: Number of coordinates d.
        boundary: ``periodic``, ``neumann`` or ``dirichlet``, or one of the latter two for every axis; values are zero.
        density: L(x, u, p) for points (point, dimension), values (point,) and gradients (point, dimension), which
            returns (point,); or a ``Density``.
        source: The right-hand side f, a function of points (point, dimension) that returns (point,); None for 0.
        box: Sides of the box; None for the unit cube.
        c: Lower bound of L_uu for all u. 0 is enough with Dirichlet axes only.
        c_max: Upper bound of L_uu.
        lam: Lower bound of the eigenvalues of L_pp for all p, positive.
        Lam: Upper bound of the eigenvalues of L_pp.
        reaction_majorant: Of r in L_u = u + r(u): a bound of its Wiener norm by that of u, e.g. a^3 for u^3. It lets
            the theory bound the Barron norms of the iterates; None if unknown.
        flux_majorant: Of R in L_p = p + R(p): a bound by the Wiener norm of p = grad u; None if unknown.
        name: What reports call it.

    Raises:
        ShapeError: the box does not fit the dimension, or a function does not return one number for every point.
        ConfigError: the boundary is unknown, or the bounds contradict each other.

    Example:
        >>> def density(x, u, p):
        ...     return p.square().sum(1) / 2 + u**2 / 2 + u**4 / 4
        >>> problem = EnergyProblem(dimension=2, boundary="dirichlet", density=density, c=1, lam=1,
        ...                         source=lambda x: (math.pi * x).sin().prod(1))

    Reference:
        Marwah, Lipton, Lu and Risteski, arXiv:2210.12101, section 3.
    """

    dimension: int
    boundary: Boundary
    density: Density | Callable[[Vectors, Values, Vectors], Values]
    source: Callable[[Vectors], Values] | None = None
    box: Sequence[float] | None = None
    c: float | None = None
    c_max: float | None = None
    lam: float | None = None
    Lam: float | None = None
    reaction_majorant: Callable[[float], float] | None = None
    flux_majorant: Callable[[float], float] | None = None
    name: str = "custom"

    def __post_init__(self):
        sine_axes(self.boundary, self.dimension)
        object.__setattr__(self, "box", check_box(self.box, self.dimension))
        if not isinstance(self.density, Density):
            object.__setattr__(self, "density", Density(self.density))
        bounds = [(self.c, self.c_max, 0.0, "c"), (self.lam, self.Lam, math.ulp(0), "lam")]
        for low, high, least, name in bounds:
            if low is not None and (low < least or (high is not None and high < low)):
                raise ConfigError(
                    f"{name} is {low} and its upper bound {high}; 0 <= c <= c_max and 0 < lam <= Lam are expected: "
                    "bounds of the second derivatives of a convex L."
                )
        x = torch.full((2, self.dimension), 0.5, dtype=torch.float64) * torch.tensor(self.box, dtype=torch.float64)
        zero = torch.zeros(2, dtype=torch.float64)
        for name, value in (("density", self.density(x, zero, torch.zeros_like(x))), ("source", self.load(x))):
            if tuple(value.shape) != (2,):
                raise ShapeError(
                    f"the {name} maps 2 points to shape {tuple(value.shape)}; one number for every point, shape (2,), "
                    "is expected. Sums over coordinates are .sum(1)."
                )

    @property
    def volume(self) -> float:
        """Volume of the box."""
        return math.prod(check_box(self.box, self.dimension))

    def load(self, x: Vectors) -> Values:
        """Values of the right-hand side f, shape (point,), float64."""
        return torch.zeros_like(x[:, 0]) if self.source is None else self.source(x).detach().to(x.dtype)

    def flux(self, jet: Jet) -> Vectors:
        """L_p(x, u, grad u), shape (point, dimension)."""
        return self._density.flux(jet.points, jet.value, jet.gradient)

    def slope(self, jet: Jet) -> Values:
        """L_u(x, u, grad u), shape (point,)."""
        return self._density.slope(jet.points, jet.value, jet.gradient)

    def residual(self, jet: Jet, load: Values) -> Values:
        """Strong residual f + div L_p - L_u = -DE(u), shape (point,).

        Args:
            jet: Of the approximate solution.
            load: Values of f at the jet's points.
        """
        return load - self._density.operator(jet)

    def energy(self, jet: Jet, load: Values) -> float:
        """E(u), the integral estimated by the mean over the jet's points."""
        if self._density.semilinear:
            # The integral of |grad u|^2 is that of -u Lap u, without d gradients.
            flat = self._density(jet.points, jet.value, torch.zeros_like(jet.points[:, :1]))
            density = flat - jet.value * jet.laplacian / 2
        else:
            density = self._density(jet.points, jet.value, jet.gradient)
        return self.volume * float((density - load * jet.value).mean())

    def ellipticity(self, jet: Jet) -> Ellipticity:
        """Bounds of the second derivatives of L: those given, the others found on samples between 0 and u.

        Args:
            jet: Of the function around which L is looked at.

        Raises:
            ConfigError: L is not convex at a sample.
        """
        stride = max(1, len(jet.points) // self._density.samples)
        x, u = jet.points[::stride], jet.value[::stride]
        p = torch.zeros_like(x) if self._density.semilinear else jet.gradient[::stride]
        x, u, p = torch.cat([x] * 3), torch.cat([0 * u, u / 2, u]), torch.cat([0 * p, p / 2, p])
        found = self._density.curvatures(x, u, p)
        # Up to the rounding of second derivatives.
        convex = {"L_uu": found.c + 1e-10 * found.c_max.abs(), "L_pp": found.lam - 1e-10 * found.Lam.abs()}
        for name, least in convex.items():
            if float(least.min()) < 0:
                i = int(least.argmin())
                low = found.c if name == "L_uu" else found.lam
                raise ConfigError(
                    f"L is not convex: {name} has the eigenvalue {float(low[i]):.3g} at x = {_short(x[i])}, "
                    f"u = {float(u[i]):.3g}, grad u = {_short(p[i])}. A convex density is expected, strictly so in "
                    "grad u. Check its signs, or add a convex term."
                )
        last = 2 * len(x) // 3
        return Ellipticity(
            max(0.0, float(found.c.min())) if self.c is None else self.c,
            float(found.c_max.max()) if self.c_max is None else self.c_max,
            float(found.lam.min()) if self.lam is None else self.lam,
            float(found.Lam.max()) if self.Lam is None else self.Lam,
            (float(found.c[last:].mean()), float((found.lam + found.Lam)[last:].mean()) / 2),
            self.c is not None and self.lam is not None,
        )

    def with_solution(self, solution: Callable[[Vectors], Values]) -> EnergyProblem:
        """The same problem with the right-hand side that makes a given function its solution.

        Args:
            solution: A ``SpectralNet``, or any twice differentiable torch function, with the right boundary conditions.
        """
        return replace(self, source=lambda x: self._density.operator(jet_of(solution, x)))

    def lifted(self, lifting: Callable[[Vectors], Values]) -> EnergyProblem:
        """The problem for w = u - g, which has zero boundary values where u has those of g.

        Solve it for w; u = w + g solves the problem with the boundary values of g.

        Args:
            lifting: The function g of points (point, dimension), twice differentiable by torch.
        """
        slope = torch.func.grad(lambda x: lifting(x).sum())

        def density(x: Tensor, w: Tensor, p: Tensor) -> Tensor:
            return self._density(x, w + lifting(x), p + slope(x))

        return replace(self, density=density, reaction_majorant=None, flux_majorant=None)

    @property
    def _density(self) -> Density:
        assert isinstance(self.density, Density)
        return self.density


def _short(vector: Tensor) -> str:
    """The first numbers of a vector, for a message."""
    numbers = ", ".join(f"{value:.3g}" for value in vector[:4].tolist())
    return f"({numbers}{', ...' if len(vector) > 4 else ''})"
