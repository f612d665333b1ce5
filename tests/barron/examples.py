"""Functions whose derivatives, and so right-hand sides, are known."""

import math

import torch

from sciml.barron.spectral import SpectralNet


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def waves(dimension, *, gradient=False, seed=0):
    """2 d - 1 periodic waves of one and two coordinates; the root mean square of u, or of grad u, is 1."""
    one = torch.eye(dimension, dtype=torch.int64)
    two = one[:-1] + one[1:] * torch.where(torch.arange(dimension - 1) % 2 == 0, 1, -1)[:, None]
    sizes = 1 / torch.arange(1, dimension + 1, dtype=torch.float64)
    phases = torch.rand(2 * dimension - 1, generator=seeded(seed), dtype=torch.float64)
    coefficients = torch.cat([sizes, sizes[:-1] / 2]) * torch.exp(2j * math.pi * phases)
    u = SpectralNet(torch.cat([one, two]), coefficients, boundary="periodic")
    size = (u.h1() ** 2 - u.l2() ** 2).sqrt() if gradient else u.l2()
    return u * (1 / float(size))


def sines(dimension):
    """Three products of sines of norm 1."""
    vectors = torch.ones(3, dimension, dtype=torch.int64)
    vectors[1, 0] = 2
    vectors[2, -1] = 3
    u = SpectralNet(vectors, [1.0, 0.5, 0.25], boundary="dirichlet")
    return u * (1 / float(u.l2()))


def relative_error(net, solution):
    return float((net - solution).h1() / solution.h1())
