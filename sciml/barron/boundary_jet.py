"""The jet of a two-layer network with exact boundary values, in closed form."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sciml.barron.jet import Jet, ProductJet, Values, Vectors
from sciml.barron.waves import blocked

if TYPE_CHECKING:
    from sciml.barron.boundary_net import BoundaryNet


def _tanh(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    t = torch.tanh(y)
    slope = 1 - t * t
    return t, slope, -2 * t * slope


def _cos(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    cos = torch.cos(y)
    return cos, -torch.sin(y), -cos


ACTIVATIONS = {"cos": _cos, "tanh": _tanh}  # with their first two derivatives


class BoundaryJet(Jet):
    """Jet of u = g(x) v(x), v = sum_j a_j s(w_j.z + b_j): every input z_n is a function of one coordinate.

    dv/dx_i = sum_n z_n' V_n and d^2 v / dx_i dx_k = sum_nm z_n' z_m' V_nm + [i = k] sum_n z_n'' V_n, over the inputs n
    of axis i and m of axis k, where V_n = sum_j a_j s'(y_j) w_jn and V_nm = sum_j a_j s''(y_j) w_jn w_jm.

    Args:
        points: Shape (point, dimension).
        net: The network, with one hidden layer.
    """

    def __init__(self, points: Vectors, net: BoundaryNet):
        super().__init__(points)
        self._weights, self._bias = net.weights[0].detach(), net.biases[0].detach()
        self._outer, self._activation = net.outer.detach(), ACTIVATIONS[net.activation]
        self._z, self._slopes, self._bends = net.inputs(points)
        self._factor = ProductJet(points, *net.factors(points))

    @cached_property
    def value(self) -> Values:
        """u, shape (point,)."""
        return self._factor.value * self._inner

    @cached_property
    def gradient(self) -> Vectors:
        """Gradient of u, shape (point, dimension)."""
        g = self._factor
        return g.gradient * self._inner[:, None] + g.value[:, None] * self._inner_gradient

    @cached_property
    def laplacian(self) -> Values:
        """Laplacian of u, shape (point,)."""
        g, w, z1 = self._factor, self._weights, self._slopes
        bent = self._sum(2, w * w) * z1 * z1 + self._linear * self._bends
        inner = bent.sum(1)
        if w.shape[1] > self.points.shape[1]:  # two inputs of every axis
            (left, right), (slopes, others) = w.chunk(2, dim=1), z1.chunk(2, dim=1)
            inner = inner + 2 * (self._sum(2, left * right) * slopes * others).sum(1)
        return g.laplacian * self._inner + 2 * (g.gradient * self._inner_gradient).sum(1) + g.value * inner

    def hessian_column(self, axis: int) -> Vectors:
        """Derivative of the gradient along an axis, shape (point, dimension)."""
        g, w, z1 = self._factor, self._weights, self._slopes
        column = torch.zeros_like(self.points)
        for n in range(axis, w.shape[1], self.points.shape[1]):
            column += z1[:, n, None] * self._by_axis(z1 * self._sum(2, w[:, n, None] * w))
            column[:, axis] += self._bends[:, n] * self._linear[:, n]
        mixed = g.gradient[:, axis, None] * self._inner_gradient + self._inner_gradient[:, axis, None] * g.gradient
        return g.hessian_column(axis) * self._inner[:, None] + mixed + g.value[:, None] * column

    @cached_property
    def _inner(self) -> Values:
        """The function v, shape (point,)."""
        return self._sum(0, torch.ones_like(self._weights[:, :1]))[:, 0]

    @cached_property
    def _linear(self) -> Tensor:
        """V_n, shape (point, input)."""
        return self._sum(1, self._weights)

    @cached_property
    def _inner_gradient(self) -> Vectors:
        """Gradient of v, shape (point, dimension)."""
        return self._by_axis(self._slopes * self._linear)

    def _sum(self, derivative: int, columns: Tensor) -> Tensor:
        """sum_j a_j s^(derivative)(y_j) c_j for columns c, shape (unit, column); returns (point, column)."""

        def block(z: Tensor) -> Tensor:
            return self._activation(z @ self._weights.T + self._bias)[derivative] @ (self._outer[:, None] * columns)

        return blocked(block, self._z, size=len(self._outer))

    def _by_axis(self, terms: Tensor) -> Vectors:
        """Sum over the inputs of each axis, shape (point, dimension)."""
        return terms.unflatten(1, (-1, self.points.shape[1])).sum(1)
