"""Random networks for the tests of this folder."""

import torch

from sciml.barron.spectral import SpectralNet

BOUNDARIES = ["periodic", "neumann", "dirichlet", ("dirichlet", "neumann", "dirichlet")]


def random_net(boundary, *, dimension=3, modes=6, top=3, seed=0, box=None) -> SpectralNet:
    """A few waves of any sign, some of them repeated."""
    generator = torch.Generator().manual_seed(seed)
    frequencies = torch.randint(-top, top + 1, (modes, dimension), generator=generator)
    frequencies[-1] = -frequencies[0]
    kind = torch.complex128 if boundary == "periodic" else torch.float64
    coefficients = torch.randn(modes, dtype=kind, generator=generator)
    return SpectralNet(frequencies, coefficients, boundary=boundary, box=box)


def random_points(n, dimension=3, *, seed=1, box=None) -> torch.Tensor:
    points = torch.rand(n, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return points if box is None else points * torch.tensor(box, dtype=torch.float64)


def grid(n, dimension, *, box=None) -> torch.Tensor:
    """Points of a midpoint rule with n^dimension nodes, exact for waves of frequency below n (pi k / L) or n / 2."""
    axis = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    points = torch.cartesian_prod(*[axis] * dimension).reshape(-1, dimension)
    return points if box is None else points * torch.tensor(box, dtype=torch.float64)


def assert_same(actual, expected, *, rounding=1e-13):
    """The same numbers up to rounding errors of the largest: a few hundred units in the last place."""
    actual, expected = torch.as_tensor(actual).detach(), torch.as_tensor(expected).detach()
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected, rtol=0, atol=rounding * float(expected.abs().max()))
