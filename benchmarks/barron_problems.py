"""Elliptic problems with known solutions for ``barron_vs_pinn.py``, right-hand sides in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sciml.barron import EnergyProblem, SpectralNet, make_problem
from sciml.barron.jet import jet_of

POINTS = 2**13  # at which the true error is measured


def sines(dimension: int) -> SpectralNet:
    """Three products of sines."""
    vectors = torch.ones(3, dimension, dtype=torch.int64)
    vectors[1, 0], vectors[2, -1] = 2, 3
    return _of_size_one(SpectralNet(vectors, [1.0, 0.5, 0.25], boundary="dirichlet"))


def plane_waves(dimension: int) -> SpectralNet:
    """A wave along every axis and along every pair of neighbouring axes, amplitudes 1 / i and 1 / (2 i)."""
    one = torch.eye(dimension, dtype=torch.int64)
    signs = 1 - 2 * (torch.arange(dimension - 1) % 2)
    amplitudes = 1 / torch.arange(1, dimension + 1, dtype=torch.float64)
    amplitudes = torch.cat([amplitudes, amplitudes[:-1] / 2])
    turns = torch.rand(len(amplitudes), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vectors = torch.cat([one, one[:-1] + signs[:, None] * one[1:]])
    return _of_size_one(SpectralNet(vectors, torch.polar(amplitudes, 2 * math.pi * turns), boundary="periodic"))


class PoissonKernels:
    """prod_i s(x_i) with s(x) = a sum_k r^(k - 1) sin(pi k x), r = 0.3: all products of sines."""

    boundary, ratio = "dirichlet", 0.3

    def __init__(self, dimension: int):
        self._scale = math.sqrt(2 * (1 - self.ratio**2))

    def __call__(self, x: Tensor) -> Tensor:
        return self._factor(x)[0].prod(1)

    def laplacian(self, x: Tensor) -> Tensor:
        """Sum over i of s''(x_i), times the other factors."""
        value, second = self._factor(x)
        return sum(second[:, i] * value[:, :i].prod(1) * value[:, i + 1 :].prod(1) for i in range(x.shape[1]))  # type: ignore[return-value]

    def _factor(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s and s'', s = a sin t / q with q = 1 - 2 r cos t + r^2."""
        r, sin, cos = self.ratio, torch.sin(math.pi * x), torch.cos(math.pi * x)
        q, q1, q2 = 1 - 2 * r * cos + r**2, 2 * r * sin, 2 * r * cos
        second = -sin / q - (2 * cos * q1 + sin * q2) / q**2 + 2 * sin * q1**2 / q**3
        return self._scale * sin / q, self._scale * math.pi**2 * second


class Exponential:
    """exp(v) over its root mean square, v being plane waves of root mean square 1/2: all sums of their wave vectors."""

    boundary = "periodic"

    def __init__(self, dimension: int):
        self._exponent = 0.5 * plane_waves(dimension)
        points = torch.quasirandom.SobolEngine(dimension, scramble=True, seed=1).draw(2**16, dtype=torch.float64)
        self._scale = float(torch.exp(2 * self._exponent(points)).mean().rsqrt())

    def __call__(self, x: Tensor) -> Tensor:
        return self._scale * torch.exp(self._exponent(x))

    def laplacian(self, x: Tensor) -> Tensor:
        """u (Lap v + |grad v|^2)."""
        return self(x) * (self._exponent.laplacian(x) + self._exponent.gradient(x).square().sum(1))


def _of_size_one(u: SpectralNet) -> SpectralNet:
    return u * (1 / float(u.l2()))


@dataclass(frozen=True)
class Case:
    """An equation with a known solution."""

    equation: str
    dimension: int
    spectrum: str

    @cached_property
    def solution(self) -> SpectralNet | PoissonKernels | Exponential:
        if self.spectrum == "exact":
            return sines(self.dimension)
        if self.spectrum == "sparse":
            return plane_waves(self.dimension)
        return PoissonKernels(self.dimension) if self.equation == "linear" else Exponential(self.dimension)

    @cached_property
    def problem(self) -> EnergyProblem:
        formula = "reaction_diffusion" if self.equation == "linear" else "cubic"
        return make_problem(formula, self.dimension, boundary=self.solution.boundary, source=self.source)

    def source(self, x: Tensor) -> Tensor:
        """The right-hand side, in closed form."""
        u = self.solution(x)
        return u - self.solution.laplacian(x) + (u**3 if self.equation == "cubic" else 0)

    def errors(self, network: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Relative L2 and H1 error, and the H1 norm of the error, at points that no method has seen."""
        engine = torch.quasirandom.SobolEngine(self.dimension, scramble=True, seed=10**6)
        x = engine.draw(POINTS, dtype=torch.float64)
        found, true = jet_of(network, x), jet_of(self.solution, x)
        off, size = (found.value - true.value).square().mean(), true.value.square().mean()
        steep = (found.gradient - true.gradient).square().sum(1).mean()
        whole = size + true.gradient.square().sum(1).mean()
        h1 = float((off + steep).sqrt())
        return {"L2": float((off / size).sqrt()), "H1": float(((off + steep) / whole).sqrt()), "absolute": h1}
