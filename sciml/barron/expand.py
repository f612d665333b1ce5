"""Expand a function that is given by its values into waves: on a tensor grid, or on rank-one lattices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.barron.box import Boundary, sine_axes
from sciml.barron.enumeration import lowest_frequencies
from sciml.barron.frequencies import canonical, distinct
from sciml.barron.lattice import RankOneLattice
from sciml.barron.spectral import SpectralNet
from sciml.barron.transform import signed_copies

Function = Callable[[Float[Tensor, "point dimension"]], Float[Tensor, " point"]]
WaveVectors = Int[Tensor, "mode dimension"]

LATTICES = 3  # the alias of a large wave is seen on one of them, and is not the median
POINTS = 2**17  # of a lattice
POINTS_PER_WAVE = 20
ROUNDS = 8
MANY, FEW = 300, 10  # sums of so many important frequencies with the most important ones are looked at next
SIGNIFICANT = 4.0  # standard deviations of what unknown waves put into a coefficient


def expand_on_grid(function: Function, cutoff: int, boundary: Boundary, box: Sequence[float]) -> SpectralNet:
    """All waves up to a cutoff, from twice as many points along every axis as they need.

    Args:
        function: Maps points (point, dimension) to values (point,).
        cutoff: Largest |k_i|.
        boundary: Which waves.
        box: Sides of the box.

    Returns:
        All these waves; coefficients that rounding cannot tell from zero are zero.
    """
    # Without the spare points, the largest waves would carry the aliases of those just above the cutoff.
    sine = sine_axes(boundary, len(box))
    if sine is None:
        n = 4 * cutoff + 1
        places = torch.arange(n).double() / n
    else:
        n = 2 * cutoff + 1
        places = (torch.arange(n).double() + 0.5) / n
    x = torch.cartesian_prod(*[places] * len(box)).reshape(-1, len(box)) * torch.tensor(box, dtype=torch.float64)
    values = function(x)
    spectrum = values.reshape([n] * len(box))
    if sine is None:
        spectrum = torch.fft.fftn(spectrum, norm="forward")
        axes = [torch.cat([torch.arange(cutoff + 1), torch.arange(-cutoff, 0)])] * len(box)
        for axis in range(len(box)):
            spectrum = spectrum.index_select(axis, axes[axis] % n)
    else:
        axes = [torch.arange(int(is_sine), cutoff + 1) for is_sine in sine.tolist()]
        for is_sine, k in zip(sine.tolist(), axes, strict=True):
            # k (2 j + 1) / 2 n, reduced exactly: the sine of a large phase has the phase's absolute error.
            phase = math.pi / (2 * n) * (k[:, None] * (2 * torch.arange(n) + 1) % (4 * n)).double()
            waves = torch.sin(phase) if is_sine else torch.cos(phase)
            scale = (2 - (k == 0).double()) / n
            spectrum = spectrum.movedim(0, -1) @ (scale[:, None] * waves).T
    frequencies = torch.cartesian_prod(*axes).reshape(-1, len(box))
    net = SpectralNet(frequencies, spectrum.reshape(-1), boundary=boundary, box=box).merge()
    coefficients = net.coefficients.where(net.coefficients.abs() > _rounding(values), 0)
    return SpectralNet(net.frequencies, coefficients, boundary=boundary, box=box)


def expand_on_lattices(
    function: Function,
    boundary: Boundary,
    box: Sequence[float],
    *,
    frequencies: WaveVectors | None = None,
    generator: torch.Generator,
) -> SpectralNet:
    """The waves that stand out on three lattices, in any dimension.

    Rounds of: what is left of the function is projected on candidates on each lattice, and the median is added where it
    stands out from the noise of unknown waves. The next candidates are sums and differences of the largest waves found.

    Args:
        function: Maps points (point, dimension) to values (point,).
        boundary: Which waves.
        box: Sides of the box.
        frequencies: The only candidates, shape (mode, dimension); None to start with the lowest frequencies and grow.
        generator: Source of the lattices.
    """
    grows = frequencies is None
    if grows:
        copies = signed_copies(lowest_frequencies(len(box), boundary, box, count=1), boundary)
        count = min(2**11, max(64, POINTS // POINTS_PER_WAVE // int(copies.max())))
        frequencies = lowest_frequencies(len(box), boundary, box, count=count)
    empty = torch.zeros(len(frequencies), dtype=torch.float64)
    net = SpectralNet(frequencies, empty, boundary=boundary, box=box).merge()
    size = max(POINTS, POINTS_PER_WAVE * int(signed_copies(net.frequencies, boundary).sum()))
    lattices = [RankOneLattice.random(len(box), size, generator) for _ in range(LATTICES)]
    values = [function(lattice.points(boundary, box)) for lattice in lattices]
    candidates, net = net.frequencies, net.prune(n=0)
    for _ in range(ROUNDS):
        rest = [v - lattice.evaluate(net) for v, lattice in zip(values, lattices, strict=True)]
        found = _median_projection(rest, lattices, candidates, boundary)
        noise = max(float(r.square().mean()) for r in rest) ** 0.5 / math.sqrt(size)
        large = found.abs() > max(SIGNIFICANT * noise, _rounding(values[0]))
        if not bool(large.any()):
            break
        net = net + SpectralNet(candidates[large], found[large], boundary=boundary, box=box)
        if grows:
            candidates = _neighbours(net)
            room = size // POINTS_PER_WAVE
            candidates = candidates[signed_copies(candidates, boundary).cumsum(0) <= room]
    return net


def _median_projection(
    values: Sequence[Tensor], lattices: Sequence[RankOneLattice], frequencies: WaveVectors, boundary: Boundary
) -> Tensor:
    """Coefficients, each part of them the median over the lattices; a lattice that does not resolve a wave says 0."""
    transforms = [lattice.transform(frequencies, boundary) for lattice in lattices]
    found = torch.stack([transform.project(v) for v, transform in zip(values, transforms, strict=True)])
    if not found.is_complex():
        return found.median(0).values
    return torch.view_as_complex(torch.view_as_real(found).median(0).values)


def _neighbours(net: SpectralNet) -> WaveVectors:
    """Known frequencies, and those that a nonlinearity or a smooth decay lets one expect next to the largest waves."""
    sine = net.sine
    known = net.frequencies[net.coefficients.abs().argsort(descending=True)]
    steps = torch.eye(net.dimension, dtype=torch.int64)
    steps = torch.cat([steps, 2 * steps])
    # A product of two sines is a sum of cosines: only with a third one it has a sine's frequency again.
    few = known[:FEW] if sine is None or not bool(sine.any()) else known[:FEW] - known[:1]
    shifts = torch.cat([few, steps])
    sums = (known[:MANY, None] + torch.stack([shifts, -shifts], dim=1).reshape(-1, net.dimension)).flatten(0, 1)
    sums = canonical(sums, torch.zeros(len(sums), dtype=net.coefficients.dtype), sine)[0]
    together = torch.cat([known, sums])
    return together[distinct(together)[0]]


def _rounding(values: Tensor) -> float:
    """Coefficients up to this size cannot be told from zero: the error of a transform is a few units of the values."""
    return 8 * torch.finfo(torch.float64).eps * float(values.abs().max())
