"""Jets: a function with its derivatives up to second order at points, from FFTs, closed forms or autograd."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from sciml.barron.spectral import SpectralNet
from sciml.barron.transform import LatticeTransform
from sciml.errors import ShapeError

Values = Float64[Tensor, " point"]
Vectors = Float64[Tensor, "point dimension"]

BLOCK = 2**13  # points differentiated by autograd at a time


class Jet:
    """Value, gradient and parts of the Hessian of a function at points; what is not asked for is not computed.

    Args:
        points: Shape (point, dimension).
    """

    def __init__(self, points: Vectors):
        self.points = points

    @cached_property
    def value(self) -> Values:
        """u, shape (point,)."""
        raise NotImplementedError

    @cached_property
    def gradient(self) -> Vectors:
        """Gradient of u, shape (point, dimension)."""
        raise NotImplementedError

    def hessian_column(self, axis: int) -> Vectors:
        """Derivative of the gradient along an axis, shape (point, dimension)."""
        raise NotImplementedError

    @cached_property
    def laplacian(self) -> Values:
        """Laplacian of u, shape (point,)."""
        return torch.stack([self.hessian_column(i)[:, i] for i in range(self.points.shape[1])]).sum(0)

    def curvature_along_gradient(self) -> Values:
        """g.H g with the gradient g and the Hessian H of u, shape (point,)."""
        g = self.gradient
        return torch.stack([g[:, i] * (self.hessian_column(i) * g).sum(1) for i in range(g.shape[1])]).sum(0)


class LatticeJet(Jet):
    """Jet of a series at the points of a lattice: one FFT for each derivative.

    Args:
        points: The lattice's points in the box.
        transform: Transform of the series' frequencies.
        coefficients: Its coefficients, shape (mode,).
    """

    def __init__(self, points: Vectors, transform: LatticeTransform, coefficients: Tensor):
        super().__init__(points)
        self._transform, self._coefficients = transform, coefficients

    @cached_property
    def value(self) -> Values:
        """u, shape (point,)."""
        return self._transform.evaluate(self._coefficients)

    @cached_property
    def gradient(self) -> Vectors:
        """Gradient of u, shape (point, dimension)."""
        return self._transform.gradient(self._coefficients)

    @cached_property
    def laplacian(self) -> Values:
        """Laplacian of u, shape (point,)."""
        return self._transform.laplacian(self._coefficients)

    def hessian_column(self, axis: int) -> Vectors:
        """Derivative of the gradient along an axis, shape (point, dimension)."""
        columns = [self._transform.evaluate(self._coefficients, (axis, j)) for j in range(self.points.shape[1])]
        return torch.stack(columns, dim=1)

    def curvature_along_gradient(self) -> Values:
        """g.H g with the gradient g and the Hessian H of u, shape (point,)."""
        g, total = self.gradient, torch.zeros_like(self.value)
        for i in range(g.shape[1]):
            for j in range(i + 1):
                entry = self._transform.evaluate(self._coefficients, (i, j))
                total += (1 if i == j else 2) * g[:, i] * g[:, j] * entry
        return total


class SpectralJet(Jet):
    """Jet of a spectral network at any points, in closed form."""

    def __init__(self, points: Vectors, net: SpectralNet):
        super().__init__(points)
        self._net = net

    @cached_property
    def value(self) -> Values:
        """u, shape (point,)."""
        return self._net(self.points)

    @cached_property
    def gradient(self) -> Vectors:
        """Gradient of u, shape (point, dimension)."""
        return self._net.gradient(self.points)

    @cached_property
    def laplacian(self) -> Values:
        """Laplacian of u, shape (point,)."""
        return self._net.laplacian(self.points)

    def hessian_column(self, axis: int) -> Vectors:
        """Derivative of the gradient along an axis, shape (point, dimension)."""
        return self._net.derivative(axis).gradient(self.points)

    def curvature_along_gradient(self) -> Values:
        """g.H g with the gradient g and the Hessian H of u, shape (point,)."""
        return self._net.second_derivatives(self.points, self.gradient)


class ProductJet(Jet):
    """Jet of prod_i s_i(x_i).

    Args:
        points: Shape (point, dimension).
        factors: s_i(x_i), shape (point, dimension).
        slopes: s_i'(x_i).
        bends: s_i''(x_i).
    """

    def __init__(self, points: Vectors, factors: Vectors, slopes: Vectors, bends: Vectors):
        super().__init__(points)
        self._factors, self._slopes, self._bends = factors, slopes, bends

    @cached_property
    def value(self) -> Values:
        """u, shape (point,)."""
        return self._factors.prod(1)

    @cached_property
    def gradient(self) -> Vectors:
        """Gradient of u, shape (point, dimension)."""
        return self._slopes * _others(self._factors)

    @cached_property
    def laplacian(self) -> Values:
        """Laplacian of u, shape (point,)."""
        return (self._bends * _others(self._factors)).sum(1)

    def hessian_column(self, axis: int) -> Vectors:
        """Derivative of the gradient along an axis, shape (point, dimension)."""
        # The gradient of the product in which s' stands for s on this axis.
        factors, slopes = self._factors.clone(), self._slopes.clone()
        factors[:, axis], slopes[:, axis] = self._slopes[:, axis], self._bends[:, axis]
        return slopes * _others(factors)


class AutogradJet(Jet):
    """Jet of any differentiable function (point, dimension) -> (point,), an output of which sees its own point only."""

    def __init__(self, points: Vectors, function: Callable[[Tensor], Tensor]):
        super().__init__(points)
        self._function = function
        self._slope = torch.func.grad(lambda x: function(x).sum())

    @cached_property
    def value(self) -> Values:
        """u, shape (point,)."""
        return self._blocked(self._function)

    @cached_property
    def gradient(self) -> Vectors:
        """Gradient of u, shape (point, dimension)."""
        return self._blocked(self._slope)

    def hessian_column(self, axis: int) -> Vectors:
        """Derivative of the gradient along an axis, shape (point, dimension)."""
        direction = torch.eye(self.points.shape[1], dtype=self.points.dtype, device=self.points.device)[axis]
        return self._blocked(lambda x: torch.func.jvp(self._slope, (x,), (direction.expand_as(x),))[1])

    def _blocked(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.cat([function(block).detach() for block in self.points.split(BLOCK)])


def jet_of(function: Callable[[Tensor], Tensor], points: Vectors) -> Jet:
    """The jet of a network or function at points: in closed form if there is one, else by autograd.

    Args:
        function: Maps points (point, dimension) to values (point,). Closed forms are those of a ``SpectralNet``, and of
            a function with a method ``jet`` of its own, which returns a ``Jet`` for points.
        points: Shape (point, dimension).

    Raises:
        ShapeError: the function does not return one number for every point.
    """
    if isinstance(function, SpectralNet):
        return SpectralJet(points, function)
    if isinstance(function, nn.Module):
        function = copy.deepcopy(function).to(points)  # float64: a certificate in float32 would end at 1e-4
    if hasattr(function, "jet"):
        return function.jet(points)  # type: ignore[attr-defined]
    shape = tuple(function(points[:2]).shape)
    if shape != (2,):
        raise ShapeError(
            f"the function maps 2 points to shape {shape}; one number for every point, shape (2,), is expected. A "
            "network with one output channel: lambda x: net(x)[:, 0]."
        )
    return AutogradJet(points, function)


def _others(factors: Vectors) -> Vectors:
    """Product of all factors but one, for each of them, without a division: a factor may be zero."""
    one = torch.ones_like(factors[:, :1])
    before = torch.cat([one, factors[:, :-1]], dim=1).cumprod(1)
    after = torch.cat([one, factors[:, 1:].flip(1)], dim=1).cumprod(1).flip(1)
    return before * after
