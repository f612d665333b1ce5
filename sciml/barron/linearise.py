"""The strong residual of a problem linearised at a function, and what it makes of the features of a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from sciml.barron.jet import Jet, Values, Vectors, jet_of
from sciml.barron.problem import EnergyProblem


@dataclass(frozen=True)
class LinearisedResidual:
    """rho(u + v) = rho(u) + c v + b.grad v + A:Hess v + o(v), rho = f + div L_p - L_u, at points.

    Attributes:
        points: Shape (point, dimension).
        residual: rho(u), shape (point,).
        value: c, shape (point,).
        gradient: b, shape (point, dimension).
        hessian: A, shape (point, dimension, dimension).
    """

    points: Vectors
    residual: Values
    value: Values
    gradient: Vectors
    hessian: Float64[Tensor, "point dimension dimension"]

    def of(self, features: Callable[[Tensor], Tensor]) -> Float64[Tensor, "point unit"]:
        """The change c phi + b.grad phi + A:Hess phi by functions phi_j, by forward-mode differentiation.

        Args:
            features: Maps points (point, dimension) to values (point, unit).
        """
        x, total = self.points, self.value[:, None] * features(self.points)
        if bool(self.gradient.any()):
            total += torch.func.jvp(features, (x,), (self.gradient,))[1]
        for axis in range(x.shape[1]):
            unit = torch.zeros_like(x)
            unit[:, axis] = 1

            def slope(y: Tensor, unit: Tensor = unit) -> Tensor:
                return torch.func.jvp(features, (y,), (unit,))[1]

            total += torch.func.jvp(slope, (x,), (self.hessian[:, axis],))[1]
        return total


def linearise(
    problem: EnergyProblem, function: Callable[[Tensor], Tensor], points: Vectors, load: Values
) -> LinearisedResidual:
    """Linearise the residual of a problem at a function.

    Args:
        problem: The problem.
        function: u, of points (point, dimension), which returns (point,), twice differentiable by torch.
        points: Where to look at it.
        load: Values of f there, shape (point,).
    """
    jet = jet_of(function, points)
    columns = [jet.hessian_column(axis) for axis in range(points.shape[1])]
    state = (jet.value, jet.gradient, torch.stack(columns, dim=1))

    def total(*state: Tensor) -> tuple[Tensor, Tensor]:
        residual = problem.residual(_GivenJet(points, *state), load)
        return residual.sum(), residual

    # A residual sees its own point only: the slope of the sum holds those of all points.
    (value, gradient, hessian), residual = torch.func.grad(total, argnums=(0, 1, 2), has_aux=True)(*state)
    return LinearisedResidual(points, residual, value, gradient, hessian)


class _GivenJet(Jet):
    """A jet whose tensors are known; ``hessian`` has shape (point, dimension, dimension)."""

    def __init__(self, points: Vectors, value: Values, gradient: Vectors, hessian: Tensor):
        super().__init__(points)
        self.__dict__.update(value=value, gradient=gradient)  # where cached properties keep what they have found
        self._hessian = hessian

    def hessian_column(self, axis: int) -> Vectors:
        """Derivative of the gradient along an axis, shape (point, dimension)."""
        return self._hessian[:, axis]
