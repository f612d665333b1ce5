"""Functions with infinitely many waves, and the right-hand sides that they solve."""

import math
from dataclasses import dataclass

import torch

from sciml.barron.problems import cubic, reaction_diffusion
from sciml.barron.spectral import SpectralNet
from tests.barron.examples import waves


@dataclass
class PoissonProduct:
    """prod_i s(x_i), s(x) = sum_k r^(k - 1) sin(pi k x) = sin(pi x) / (1 - 2 r cos(pi x) + r^2): geometric decay."""

    dimension: int
    ratio: float = 0.3

    def factors(self, x):
        """s and s'' at points away from the boundary."""
        r, sin, cos = self.ratio, torch.sin(math.pi * x), torch.cos(math.pi * x)
        below = 1 - 2 * r * cos + r * r
        slope, bend = 2 * r * math.pi * sin, 2 * r * math.pi**2 * cos
        s = sin / below
        return s, (
            -(math.pi**2) * sin - 2 * math.pi * cos * slope / below - s * bend + 2 * s * slope**2 / below
        ) / below

    def __call__(self, x):
        return self.factors(x)[0].prod(1)

    def source(self, x):
        s, bend = self.factors(x)
        u = s.prod(1)
        return u - u * (bend / s).sum(1)

    def problem(self):
        return reaction_diffusion(self.dimension, source=self.source)


class ExponentialOfWaves:
    """exp(v) for a sum v of 2 d - 1 waves: all its integer combinations, with factorial decay."""

    def __init__(self, dimension):
        self.dimension = dimension
        v = waves(dimension) * 0.5
        self.exponent = SpectralNet(v.frequencies, v.coefficients.detach(), boundary="periodic").requires_grad_(False)

    def __call__(self, x):
        return torch.exp(self.exponent(x))

    def source(self, x):
        u, v = self(x), self.exponent
        return u + u**3 - u * (v.laplacian(x) + v.gradient(x).square().sum(1))

    def problem(self):
        return cubic(self.dimension, boundary="periodic", source=self.source)


def h1_error(net, function):
    """H1 error and norm of a function, by 4096 points that no lattice has."""
    x = torch.quasirandom.SobolEngine(function.dimension, scramble=True, seed=1).draw(4096, dtype=torch.float64)
    slope = torch.func.grad(lambda y: function(y).sum())(x)
    error = (net(x) - function(x)).square() + (net.gradient(x) - slope).square().sum(1)
    norm = function(x).square() + slope.square().sum(1)
    return float(error.mean().sqrt()), float(norm.mean().sqrt())
