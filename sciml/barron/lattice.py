"""Rank-one lattices: point sets on which a sparse Fourier series in any dimension is a one-dimensional FFT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float64, Int8, Int64
from torch import Tensor

from sciml.barron.box import Boundary, check_box
from sciml.barron.transform import LatticeTransform, signed_copies
from sciml.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from sciml.barron.spectral import SpectralNet


@dataclass(frozen=True, eq=False)
class RankOneLattice:
    """The points x_j = {j z / M + shift}, j = 0..M-1, of the unit torus, and the series on them.

    A plane wave exp(2 pi i k.x) takes the values of a one-dimensional wave of frequency k.z mod M there, so that a
    series of N waves is a scatter into M bins and one FFT, O(N + M log M) in any dimension. Neumann and Dirichlet
    series live on the folded points 1 - |1 - 2 x_j|, where they are even or odd series of period 2.

    Args:
        size: Number of points M. Good values: odd, with small prime factors (``good_size``), at least 20 times the
            number of signed frequencies.
        generator: The integer vector z, shape (dimension,).
        shift: Shift of the points, shape (dimension,). A random shift makes every mean over the points unbiased.

    Raises:
        ShapeError: generator and shift are not vectors of the same length.

    Reference:
        Kämmerer, Potts and Volkmer, J. Complexity 31 (2015), 424-456.
    """

    size: int
    generator: Int64[Tensor, " dimension"]
    shift: Float64[Tensor, " dimension"]

    def __post_init__(self):
        if self.generator.ndim != 1 or self.generator.shape != self.shift.shape:
            raise ShapeError(
                f"generator and shift have shapes {tuple(self.generator.shape)} and {tuple(self.shift.shape)}; "
                "expected the same (dimension,). Use random_lattice(dimension, size) for a lattice with both."
            )

    @classmethod
    def random(cls, dimension: int, size: int, generator: torch.Generator, *, device: str = "cpu") -> RankOneLattice:
        """A lattice with random z and shift: two such lattices confuse different frequencies.

        Two frequencies fall into one bin with a probability of about 1 / size, whatever the dimension.

        Args:
            dimension: Number of coordinates.
            size: Least number of points; the next ``good_size`` is taken.
            generator: Source of randomness.
            device: Where the points live.
        """
        size = good_size(size)
        z = torch.randint(1, size, (dimension,), generator=generator)
        while bool((common := torch.gcd(z, torch.tensor(size)) > 1).any()):  # every coordinate takes M different values
            z = torch.where(common, torch.randint(1, size, (dimension,), generator=generator), z)
        shift = torch.rand(dimension, generator=generator, dtype=torch.float64)
        return cls(size, z.to(device), shift.to(device))

    @property
    def dimension(self) -> int:
        """Number of coordinates."""
        return len(self.generator)

    @cached_property
    def torus(self) -> Float64[Tensor, "point dimension"]:
        """The points in [0, 1)^dimension."""
        steps = torch.arange(self.size, device=self.generator.device)[:, None] * self.generator % self.size
        return (steps.double() / self.size + self.shift) % 1

    @cached_property
    def mirror(self) -> Int8[Tensor, "dimension point"]:
        """-1 where a coordinate is folded back, 1 elsewhere."""
        return torch.where(self.torus.T < 0.5, 1, -1).to(torch.int8)

    def points(self, boundary: Boundary, box: Sequence[float] | None = None) -> Float64[Tensor, "point dimension"]:
        """The points in the box; folded unless the boundary is periodic.

        Args:
            boundary: ``periodic``, ``neumann`` or ``dirichlet``, or one of the latter two for every axis.
            box: Sides of the box; None for the unit cube.
        """
        unit = self.torus if boundary == "periodic" else 1 - (1 - 2 * self.torus).abs()
        return unit * unit.new_tensor(check_box(box, self.dimension))

    def transform(
        self,
        frequencies: Int64[Tensor, "mode dimension"],
        boundary: Boundary,
        box: Sequence[float] | None = None,
    ) -> LatticeTransform:
        """The map between coefficients of these frequencies and values on the lattice, to be used many times."""
        return LatticeTransform(self, frequencies, boundary, box)

    def evaluate(self, net: SpectralNet) -> Float64[Tensor, " point"]:
        """Values of a spectral network at ``points(net.boundary, net.box)``."""
        return self.transform(net.frequencies, net.boundary, net.box).evaluate(net.coefficients)

    def project(
        self, values: Float64[Tensor, " point"], frequencies: Int64[Tensor, "mode dimension"], boundary: Boundary
    ) -> Tensor:
        """Coefficients of a function from its values on the lattice, by one FFT.

        Exact for a series of ``frequencies`` that the lattice tells apart; other frequencies of the function are
        added to one of these with a probability of about 1 / size each.

        Args:
            values: Values at ``points(boundary, box)``, shape (point,).
            frequencies: Integer wave vectors k, shape (mode, dimension).
            boundary: Which series.

        Returns:
            Coefficients, shape (mode,): complex for a periodic series, real for the others.

        Raises:
            ConfigError: the lattice maps two of the frequencies to the same bin.
        """
        transform = self.transform(frequencies, boundary)
        confused = int((~transform.resolved).sum())
        if confused:
            raise ConfigError(
                f"{confused} of {len(frequencies)} frequencies cannot be told apart on this lattice of {self.size} "
                "points. Take search_lattice(frequencies, boundary), or a larger size."
            )
        return transform.project(values)


def good_size(least: int) -> int:
    """The next odd number with prime factors of at most 7: short to transform, and free of a Nyquist frequency."""
    size = least | 1
    while True:
        rest = size
        for prime in (3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2


def search_lattice(
    frequencies: Int64[Tensor, "mode dimension"],
    boundary: Boundary,
    *,
    generator: torch.Generator,
    largest: int = 2**22,
    tries: int = 8,
) -> RankOneLattice:
    """A lattice that tells all given frequencies apart.

    Random generating vectors are tried, ``tries`` of each size, from twice the number of signed frequencies on.

    Args:
        frequencies: Integer wave vectors, one of each pair k, -k, shape (mode, dimension).
        boundary: Which series they belong to.
        generator: Source of randomness.
        largest: Largest number of points. The search needs about the square of the number of signed frequencies.
        tries: Generating vectors tried for each size.

    Raises:
        ConfigError: no lattice of up to ``largest`` points was found.
    """
    size = 2 * int(signed_copies(frequencies, boundary).sum()) + 3
    while size <= largest:
        for _ in range(tries):
            lattice = RankOneLattice.random(frequencies.shape[1], size, generator, device=str(frequencies.device))
            if bool(lattice.transform(frequencies, boundary).resolved.all()):
                return lattice
        size = size * 3 // 2
    raise ConfigError(
        f"no lattice of up to {largest} points tells these {len(frequencies)} frequencies apart. Raise largest, or use "
        "two lattices: a frequency lost on one is seen on the other."
    )
