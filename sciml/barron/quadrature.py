"""Quadrature: points and weights for integrals over a box, drawn afresh as often as one likes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from sciml.barron.box import check_box
from sciml.barron.lattice import RankOneLattice
from sciml.barron.problem import EnergyProblem
from sciml.errors import ConfigError

RULES = ("lattice", "sobol", "gauss")
TRIES = 16  # generating vectors of which the best is taken; more hardly improve it


@dataclass(frozen=True)
class PointSet:
    """Points x_j with weights w_j: the integral of g over the box is about sum_j w_j g(x_j).

    Args:
        points: Shape (point, dimension).
        weights: Positive, their sum is the volume of the box, shape (point,).
    """

    points: Float64[Tensor, "point dimension"]
    weights: Float64[Tensor, " point"]

    def __len__(self) -> int:
        """Number of points."""
        return len(self.weights)


class Quadrature:
    """A source of point sets for the integrals of a problem.

    - "lattice": a rank-one lattice, folded unless the problem is periodic, with another random shift at each draw;
      unbiased, and the most accurate for smooth functions in moderate dimension.
    - "sobol": a Sobol sequence with another scrambling at each draw; unbiased. Good sizes are powers of 2.
    - "gauss": the tensor product of Gauss-Legendre rules, in at most three dimensions; the same at each draw.

    Args:
        problem: Gives dimension, boundary and box.
        rule: "lattice", "sobol" or "gauss".
        size: Least number of points of a draw. Good values: 2^10 to 2^14.
        generator: Source of shifts and scramblings.
        device: Where the points live.

    Raises:
        ConfigError: the rule is unknown, the size is not positive, or Gauss points are asked for in high dimension.

    Reference:
        Dick, Kuo and Sloan, Acta Numerica 22 (2013), 133-288 (lattices); Hickernell, "Obtaining O(N^-2) convergence for
        lattice quadrature rules", MCQMC 2000 (folding).
    """

    def __init__(
        self,
        problem: EnergyProblem,
        *,
        rule: str = "lattice",
        size: int = 2**12,
        generator: torch.Generator,
        device: str | torch.device = "cpu",
    ):
        if rule not in RULES:
            raise ConfigError(f"quadrature rule {rule!r} came; one of {', '.join(RULES)} is expected.")
        if size < 1:
            raise ConfigError(f"a quadrature rule with size={size} came; at least one point is expected.")
        if rule == "gauss" and problem.dimension > 3:
            raise ConfigError(
                f"Gauss points came in dimension {problem.dimension}, where their number grows like a power of it; at "
                "most 3 is expected. Take rule='lattice' or 'sobol'."
            )
        self.problem, self.rule, self.size = problem, rule, size
        self._generator, self._device = generator, device
        self._lattice = _best_lattice(problem.dimension, size, generator) if rule == "lattice" else None
        self._gauss = _gauss(problem.dimension, size) if rule == "gauss" else None

    def draw(self) -> PointSet:
        """The next point set."""
        problem, volume = self.problem, self.problem.volume
        sides = torch.tensor(check_box(problem.box, problem.dimension), dtype=torch.float64)
        if self._gauss is not None:
            points, weights = self._gauss[0] * sides, self._gauss[1] * volume
        elif self._lattice is not None:
            shift = torch.rand(problem.dimension, generator=self._generator, dtype=torch.float64)
            folding = "periodic" if problem.boundary == "periodic" else "neumann"
            points, weights = replace(self._lattice, shift=shift).points(folding, problem.box), None
        else:
            seed = int(torch.randint(2**31, (), generator=self._generator))
            sobol = torch.quasirandom.SobolEngine(problem.dimension, scramble=True, seed=seed)
            points, weights = sobol.draw(self.size, dtype=torch.float64) * sides, None
        if weights is None:
            weights = torch.full((len(points),), volume / len(points), dtype=torch.float64)
        return PointSet(points.to(self._device), weights.to(self._device))


def _best_lattice(dimension: int, size: int, generator: torch.Generator) -> RankOneLattice:
    """The lattice among some random ones with the smallest error for functions with second mixed derivatives."""
    lattices = [RankOneLattice.random(dimension, size, generator) for _ in range(TRIES)]
    return min(lattices, key=_worst_error)


def _worst_error(lattice: RankOneLattice) -> float:
    """Squared worst-case error P_2 of a lattice, up to the share of the point 0, which all lattices have."""
    x = replace(lattice, shift=torch.zeros_like(lattice.shift)).torus[1:]
    return float((1 + 2 * math.pi**2 * (x * x - x + 1 / 6)).prod(1).sum())


def _gauss(dimension: int, size: int) -> tuple[Tensor, Tensor]:
    """Points and weights on the unit cube, at least ``size`` of them."""
    count = math.ceil(size ** (1 / dimension) - 1e-9)  # the root of 3^3 is rounded up
    nodes, weights = (torch.from_numpy(numbers) / 2 for numbers in np.polynomial.legendre.leggauss(count))
    points = torch.cartesian_prod(*[nodes + 0.5] * dimension).reshape(-1, dimension)
    return points, torch.cartesian_prod(*[weights] * dimension).reshape(-1, dimension).prod(1)
