"""Energy densities L(x, u, p), p = grad u: their Euler-Lagrange operator in strong form and their ellipticity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from sciml.barron.jet import Jet, Values, Vectors

BLOCK = 2**13  # points differentiated at a time


class Curvatures(NamedTuple):
    """Extreme eigenvalues of the second derivatives of L at points; every tensor has shape (point,).

    c <= L_uu <= c_max and lam <= L_pp <= Lam; with mixed derivatives, all four are of the whole matrix.
    """

    c: Values
    c_max: Values
    lam: Values
    Lam: Values


@dataclass(frozen=True)
class Density:
    """An energy density given as a torch function; its derivatives are taken by ``torch.func``.

    The strong form needs d passes of forward-mode differentiation. A density with a closed form is a subclass that
    overrides ``operator``.

    Args:
        function: L(x, u, p) for points (point, dimension), values (point,) and gradients (point, dimension), which
            returns (point,); an output depends on its own point only.
    """

    function: Callable[[Vectors, Values, Vectors], Values]
    samples: ClassVar[int] = 256  # points at which second derivatives are looked at

    @property
    def semilinear(self) -> bool:
        """Whether L = |p|^2 / 2 + W(x, u), so that no gradient needs to be computed."""
        return False

    def __call__(self, x: Vectors, u: Values, p: Vectors) -> Values:
        """Values L(x, u, p), shape (point,)."""
        return self.function(x, u, p)

    def flux(self, x: Vectors, u: Values, p: Vectors) -> Vectors:
        """dL/dp, shape (point, dimension)."""
        return torch.func.grad(lambda p: self(x, u, p).sum())(p)

    def slope(self, x: Vectors, u: Values, p: Vectors) -> Values:
        """dL/du, shape (point,)."""
        return torch.func.grad(lambda u: self(x, u, p).sum())(u)

    def operator(self, jet: Jet) -> Values:
        """Euler-Lagrange operator -div dL/dp + dL/du, the divergence expanded by the chain rule, shape (point,)."""
        x, u, p = jet.points, jet.value, jet.gradient
        result = torch.cat([self.slope(*block) for block in zip(*(t.split(BLOCK) for t in (x, u, p)), strict=True)])
        for axis in range(x.shape[1]):
            direction = torch.zeros_like(x)
            direction[:, axis] = 1
            inputs, tangents = (x, u, p), (direction, p[:, axis], jet.hessian_column(axis))
            blocks = zip(*(t.split(BLOCK) for t in (*inputs, *tangents)), strict=True)
            result -= torch.cat([torch.func.jvp(self.flux, b[:3], b[3:])[1][:, axis] for b in blocks])
        return result

    def curvatures(self, x: Vectors, u: Values, p: Vectors) -> Curvatures:
        """Eigenvalues of the second derivatives of L in (u, p)."""

        def at_one_point(state: Tensor, x: Tensor) -> Tensor:
            return self(x[None], state[:1], state[None, 1:])[0]

        hessians = torch.func.vmap(torch.func.hessian(at_one_point))(torch.cat([u[:, None], p], dim=1), x)
        if bool((hessians[:, 0, 1:] != 0).any()):
            least, *_, largest = torch.linalg.eigvalsh(hessians).unbind(1)
            return Curvatures(least, largest, least, largest)
        eigenvalues = torch.linalg.eigvalsh(hessians[:, 1:, 1:])
        return Curvatures(hessians[:, 0, 0], hessians[:, 0, 0], eigenvalues[:, 0], eigenvalues[:, -1])


@dataclass(frozen=True)
class IsotropicDensity(Density):
    """L = a(x) phi(|p|^2) + W(x, u), in closed form up to one-dimensional derivatives.

    -div L_p = -a (2 phi' Lap u + 4 phi'' p.H p) - 2 phi' grad a.p with phi' and phi'' at |p|^2 and the Hessian H of u.

    Args:
        function: The potential W(x, u), which returns (point,).
        profile: phi, elementwise; None for phi(q) = q / 2, which makes the equation semilinear: no Hessian is needed.
        weight: a(x) of points (point, dimension), which returns (point,); None for 1.
    """

    function: Callable[..., Values]
    profile: Callable[[Values], Values] | None = None
    weight: Callable[[Vectors], Values] | None = None
    samples: ClassVar[int] = 2**14

    @property
    def semilinear(self) -> bool:
        """Whether L = |p|^2 / 2 + W(x, u), so that no gradient needs to be computed."""
        return self.profile is None and self.weight is None

    def __call__(self, x: Vectors, u: Values, p: Vectors) -> Values:
        """Values L(x, u, p), shape (point,)."""
        q = p.square().sum(1)
        profile = q / 2 if self.profile is None else self.profile(q)
        return (1.0 if self.weight is None else self.weight(x)) * profile + self.function(x, u)

    def slope(self, x: Vectors, u: Values, p: Vectors) -> Values:
        """dL/du = dW/du, shape (point,)."""
        return torch.func.grad(lambda u: self.function(x, u).sum())(u)

    def operator(self, jet: Jet) -> Values:
        """Euler-Lagrange operator -div dL/dp + dL/du, shape (point,)."""
        if self.profile is None:
            slope, divergence = torch.ones_like(jet.value), jet.laplacian
        else:
            slope, bend = self._profile_derivatives(jet.gradient)
            divergence = slope * jet.laplacian + bend * jet.curvature_along_gradient()
        if self.weight is not None:
            weight = self.weight
            weight_slope = torch.func.grad(lambda x: weight(x).sum())(jet.points)
            divergence = weight(jet.points) * divergence + slope * (weight_slope * jet.gradient).sum(1)
        return self.slope(jet.points, jet.value, torch.empty(0)) - divergence

    def curvatures(self, x: Vectors, u: Values, p: Vectors) -> Curvatures:
        """Eigenvalues of the second derivatives of L in (u, p); L_pp = 2 a phi' + 4 a phi'' p p^T."""
        potential = torch.func.jvp(lambda u: self.slope(x, u, p), (u,), (torch.ones_like(u),))[1]
        weight = torch.ones_like(u) if self.weight is None else self.weight(x)
        slope, bend = (torch.ones_like(u), torch.zeros_like(u))
        if self.profile is not None:
            slope, bend = self._profile_derivatives(p)
        across, along = weight * slope, weight * (slope + bend * p.square().sum(1))
        if p.shape[1] == 1:
            return Curvatures(potential, potential, along, along)
        return Curvatures(potential, potential, torch.minimum(across, along), torch.maximum(across, along))

    def _profile_derivatives(self, p: Vectors) -> tuple[Values, Values]:
        """2 phi' and 4 phi'' at |p|^2."""
        assert self.profile is not None
        profile = self.profile
        slope = torch.func.grad(lambda q: profile(q).sum())
        q = p.square().sum(1)
        return 2 * slope(q), 4 * torch.func.grad(lambda q: slope(q).sum())(q)
