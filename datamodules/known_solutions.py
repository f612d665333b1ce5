"""Known solutions, from which the right-hand side of an elliptic problem is made, so that the true error is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sciml.barron import SpectralNet
from sciml.barron.jet import Jet, ProductJet, jet_of
from sciml.errors import ConfigError

Function = Callable[[Tensor], Tensor]


def waves(dimension: int, *, size: float = 1.0, of: str = "value", seed: int = 0) -> SpectralNet:
    """2 d - 1 periodic waves: one along every axis, one along every pair of neighbouring axes; amplitudes 1 / i.

    Args:
        dimension: Number of coordinates.
        size: Root mean square.
        of: Whose: "value" or "gradient".
        seed: Of the phases.
    """
    one = torch.eye(dimension, dtype=torch.int64)
    signs = 1 - 2 * (torch.arange(dimension - 1) % 2)
    two = one[:-1] + signs[:, None] * one[1:]
    amplitudes = 1 / torch.arange(1, dimension + 1, dtype=torch.float64)
    amplitudes = torch.cat([amplitudes, amplitudes[:-1] / 2])
    generator = torch.Generator().manual_seed(seed)
    turns = torch.rand(len(amplitudes), generator=generator, dtype=torch.float64)
    u = SpectralNet(torch.cat([one, two]), torch.polar(amplitudes, 2 * math.pi * turns), boundary="periodic")
    return _scaled(u, size, of)


def sines(dimension: int, *, size: float = 1.0, of: str = "value") -> SpectralNet:
    """Three products of sines, of all coordinates, zero on the boundary.

    Args:
        dimension: Number of coordinates.
        size: Root mean square.
        of: Whose: "value" or "gradient".
    """
    vectors = torch.ones(3, dimension, dtype=torch.int64)
    vectors[1, 0], vectors[2, -1] = 2, 3
    return _scaled(SpectralNet(vectors, [1.0, 0.5, 0.25], boundary="dirichlet"), size, of)


class Product:
    """prod_i s(x_i), with closed forms of its derivatives.

    Args:
        factor: s, s' and s'' of numbers of any shape.
    """

    def __init__(self, factor: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]):
        self.factor = factor

    def __call__(self, x: Tensor) -> Tensor:
        """Values, shape (point,)."""
        return self.factor(x)[0].prod(1)

    def jet(self, x: Tensor) -> Jet:
        """Values and derivatives at points x, shape (point, dimension)."""
        return ProductJet(x, *self.factor(x))


class Exponential:
    """exp(v) for a sum of waves v, with closed forms of its derivatives."""

    def __init__(self, exponent: SpectralNet):
        self.exponent = exponent

    def __call__(self, x: Tensor) -> Tensor:
        """Values, shape (point,)."""
        return torch.exp(self.exponent(x))

    def jet(self, x: Tensor) -> Jet:
        """Values and derivatives at points x, shape (point, dimension)."""
        return _ExponentialJet(x, jet_of(self.exponent, x))


def poisson_kernel(dimension: int, *, ratio: float = 0.3) -> Product:
    """prod_i s(x_i), s(x) = sum_k r^(k - 1) sin(pi k x): infinitely many products of sines, geometric decay.

    Args:
        dimension: Number of coordinates.
        ratio: r in (0, 1). The larger, the harder.
    """

    def factor(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # The sum is p / q with p = sin t, q = 1 - 2 r cos t + r^2, t = pi x.
        p, cos = torch.sin(math.pi * x), torch.cos(math.pi * x)
        q, q1, q2 = 1 - 2 * ratio * cos + ratio**2, 2 * ratio * p, 2 * ratio * cos
        value = p / q
        slope = (cos - value * q1) / q
        return value, math.pi * slope, math.pi**2 * (-p - 2 * slope * q1 - value * q2) / q

    return Product(factor)


def exponential(dimension: int, *, size: float = 0.5, seed: int = 0) -> Exponential:
    """exp(v), v a sum of ``waves``: all their integer combinations, with factorial decay; periodic.

    Args:
        dimension: Number of coordinates.
        size: Root mean square of v. The larger, the harder.
        seed: Of the phases of v.
    """
    return Exponential(waves(dimension, size=size, seed=seed))


SOLUTIONS: dict[str, Callable[..., Function]] = {
    "waves": waves,
    "sines": sines,
    "poisson_kernel": poisson_kernel,
    "exponential": exponential,
}


def make_solution(name: str, dimension: int, **settings: Any) -> Function:
    """A known solution by its name.

    Raises:
        ConfigError: the name is unknown.
    """
    if name not in SOLUTIONS:
        raise ConfigError(
            f"data.solution={name} came; one of {', '.join(SOLUTIONS)}, or a function of your own as module.function, "
            "is expected."
        )
    return SOLUTIONS[name](dimension, **settings)


def _scaled(u: SpectralNet, size: float, of: str) -> SpectralNet:
    if of not in ("value", "gradient"):
        raise ConfigError(f"of={of!r} came; 'value' or 'gradient' is expected: whose root mean square is {size}.")
    now = float(u.l2()) if of == "value" else math.sqrt(float(u.h1()) ** 2 - float(u.l2()) ** 2)
    return u * (size / now)


class _ExponentialJet(Jet):
    """Jet of exp(v) from that of v."""

    def __init__(self, points: Tensor, exponent: Jet):
        super().__init__(points)
        self._exponent = exponent

    @cached_property
    def value(self) -> Tensor:
        return torch.exp(self._exponent.value)

    @cached_property
    def gradient(self) -> Tensor:
        return self.value[:, None] * self._exponent.gradient

    @cached_property
    def laplacian(self) -> Tensor:
        return self.value * (self._exponent.laplacian + self._exponent.gradient.square().sum(1))

    def hessian_column(self, axis: int) -> Tensor:
        v = self._exponent
        return self.value[:, None] * (v.hessian_column(axis) + v.gradient[:, axis, None] * v.gradient)
