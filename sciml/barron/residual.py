"""The residual of a problem at the points of several lattices, and its coefficients on a set of frequencies."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor

from sciml.barron.enumeration import WaveVectors, first_missing_eigenvalue
from sciml.barron.jet import LatticeJet, Values
from sciml.barron.lattice import RankOneLattice
from sciml.barron.problem import EnergyProblem
from sciml.barron.spectral import SpectralNet
from sciml.errors import ShapeError

BLOCK = 2**16  # points at which the right-hand side is asked for at a time


class Collocation:
    """A problem's right-hand side at the points of lattices, computed once.

    Args:
        problem: What to solve.
        lattices: Where to look at it. Two lattices tell a frequency from its aliases: their aliases differ.

    Raises:
        ShapeError: there is no lattice, or one has another dimension than the problem.
    """

    def __init__(self, problem: EnergyProblem, lattices: list[RankOneLattice]):
        dimensions = {lattice.dimension for lattice in lattices}
        if dimensions != {problem.dimension}:
            raise ShapeError(
                f"lattices of dimensions {sorted(dimensions)} came for a problem of dimension {problem.dimension}; at "
                "least one of that dimension is expected: RankOneLattice.random(dimension, size, generator)."
            )
        self.problem, self.lattices = problem, lattices
        self.points = [lattice.points(problem.boundary, problem.box) for lattice in lattices]
        self.loads = [torch.cat([problem.load(block) for block in x.split(BLOCK)]) for x in self.points]

    def on(self, frequencies: WaveVectors) -> LatticeSystem:
        """The discrete system for the coefficients of these frequencies, shape (mode, dimension)."""
        return LatticeSystem(self, frequencies)


class LatticeSystem:
    """Equations for the coefficients of a set of frequencies: the strong residual vanishes on their span.

    The residual is taken pointwise and then projected, so that a solution in the span is met exactly: no aliasing
    of the nonlinearity displaces it. A frequency is read from those lattices that give it a bin of its own.

    Args:
        collocation: Problem and lattices.
        frequencies: Distinct wave vectors, one of each pair k, -k, shape (mode, dimension).
    """

    def __init__(self, collocation: Collocation, frequencies: WaveVectors):
        problem = collocation.problem
        self.problem, self.collocation, self.frequencies = problem, collocation, frequencies
        self.transforms = [
            lattice.transform(frequencies, problem.boundary, problem.box) for lattice in collocation.lattices
        ]
        self.eigenvalues = self.transforms[0].eigenvalues
        self.resolved = torch.stack([transform.resolved for transform in self.transforms])

    @cached_property
    def rest(self) -> float:
        """Smallest eigenvalue of minus the Laplacian that is not among the frequencies."""
        return first_missing_eigenvalue(self.frequencies, self.problem.boundary, self.problem.box)

    @cached_property
    def metric(self) -> Float64[Tensor, " mode"]:
        """Weight of |c_k|^2 in the squared H1 norm, shape (mode,)."""
        return self.problem.volume * self.transforms[0].mass * (1 + self.eigenvalues)

    def zeros(self) -> Tensor:
        """Coefficients of the zero function: complex if periodic, else real."""
        dtype = torch.complex128 if self.problem.boundary == "periodic" else torch.float64
        return torch.zeros(len(self.frequencies), dtype=dtype, device=self.frequencies.device)

    def net(self, coefficients: Tensor) -> SpectralNet:
        """The network with these coefficients, shape (mode,)."""
        problem = self.problem
        return SpectralNet(self.frequencies, coefficients, boundary=problem.boundary, box=problem.box)

    def jets(self, coefficients: Tensor) -> list[LatticeJet]:
        """The function and its derivatives at the points of each lattice."""
        pairs = zip(self.collocation.points, self.transforms, strict=True)
        return [LatticeJet(points, transform, coefficients) for points, transform in pairs]

    def residuals(self, jets: list[LatticeJet]) -> list[Values]:
        """Strong residual f + div L_p - L_u at the points of each lattice."""
        pairs = zip(jets, self.collocation.loads, strict=True)
        return [self.problem.residual(jet, load) for jet, load in pairs]

    def energy(self, jets: list[LatticeJet]) -> float:
        """E(u), integrals estimated by the mean over the lattices."""
        pairs = zip(jets, self.collocation.loads, strict=True)
        return sum(self.problem.energy(jet, load) for jet, load in pairs) / len(jets)

    def span_norm(self, coefficients: Tensor) -> float:
        """H^-1 norm of the function with these coefficients."""
        return float((self.metric * (coefficients.abs() / (1 + self.eigenvalues)).square()).sum().sqrt())

    def project(self, values: list[Values]) -> Tensor:
        """Coefficients of a function given on each lattice: the mean over the lattices that resolve the frequency.

        A frequency that no lattice resolves gets the mean of the sums that its bins hold; their other parts vanish as
        the residual does.
        """
        shares = torch.stack([t.project(v, confused=True) for t, v in zip(self.transforms, values, strict=True)])
        trusted = self.resolved | ~self.resolved.any(0)
        return (shares * trusted).sum(0) / trusted.sum(0)

    def dual_norm(self, values: list[Values]) -> float:
        """H^-1 norm of a function given on each lattice, the largest over the lattices."""
        pairs = zip(self.transforms, values, strict=True)
        return max(
            float((self.problem.volume * transform.dual_norm_squared(v, self.rest)).sqrt()) for transform, v in pairs
        )
