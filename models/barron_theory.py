"""The descent of the theory as a flow that can be watched: predicted against observed rate, energy and norms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sciml.barron.calculus import ConvexityConstants, convexity_constants, lowest_eigenvalue
from sciml.barron.flow import BarronFlow, Iterate
from sciml.barron.lattice import RankOneLattice
from sciml.barron.problem import EnergyProblem
from sciml.barron.residual import Collocation
from sciml.barron.spectral import SpectralNet
from sciml.errors import ConfigError


class PlainDescent:
    """u <- u + eta (1 - Lap)^-1 rho(u) on the frequencies of a known solution, eta = 1 / M.

    Attributes:
        constants: mu and M on the ball of functions with at most the norms of the solution.
        verdict: "": the descent has no end of its own.
        points: Points of each lattice.

    Args:
        problem: What to solve.
        solution: Its solution, whose frequencies are used and whose norms bound the second derivatives of L.
        generator: Source of the lattices.
        lattices: Number of lattices.
        points: Points of each, at least.
        device: Where to compute.

    Raises:
        ConfigError: the solution is not a sum of waves, or nothing bounds the second derivatives.
    """

    verdict = ""

    def __init__(
        self,
        problem: EnergyProblem,
        solution: Callable[[Tensor], Tensor] | None,
        *,
        generator: torch.Generator,
        lattices: int,
        points: int,
        device: str,
    ):
        if not isinstance(solution, SpectralNet):
            raise ConfigError(
                "model.theory=true compares with a solution that is a sum of waves; set data.solution=waves or sines, "
                "or model.theory=false."
            )
        self.constants = constants_around(problem, solution)
        drawn = [RankOneLattice.random(problem.dimension, points, generator, device=device) for _ in range(lattices)]
        self.points = drawn[0].size
        system = Collocation(problem, drawn).on(solution.frequencies.to(device))
        self._flow = BarronFlow(system, depth=0, step=1 / self.constants.M)

    @property
    def history(self) -> list[Iterate]:
        """Records of all iterates."""
        return self._flow.history

    @property
    def net(self) -> SpectralNet:
        """The last iterate that was looked at."""
        return self._flow.net

    def advance(self) -> Iterate:
        """One step."""
        self._flow.advance()
        return self._flow.history[-1]


def constants_around(problem: EnergyProblem, solution: SpectralNet) -> ConvexityConstants:
    """Constants mu and M for functions with at most the Wiener norms A of a solution and G of its gradient.

    Where c_max or Lam is not given for all u, they are at most 1 + r'(A) and 1 + R'(G), r and R the majorants of the
    problem: 1 + 3 A^2 for u + u^3.

    Raises:
        ConfigError: neither constant nor majorant is given.
    """
    wiener = float(solution.wiener())
    steep = float(solution.barron()) - wiener
    found = {"c": problem.c, "lam": problem.lam}
    for name, given, majorant, norm in (
        ("c_max", problem.c_max, problem.reaction_majorant, wiener),
        ("Lam", problem.Lam, problem.flux_majorant, steep),
    ):
        found[name] = given if given is not None else majorant and 1 + _slope(majorant, norm)
    unknown = [name for name, value in found.items() if value is None]
    if unknown:
        raise ConfigError(
            f"{', '.join(unknown)} of the problem {problem.name!r} is not known, so that theory predicts nothing; "
            "give it to the EnergyProblem, or set model.theory=false."
        )
    lowest = lowest_eigenvalue(problem.dimension, problem.boundary, box=problem.box)
    return convexity_constants(**found, lowest=lowest)  # type: ignore[arg-type]


def _slope(function: Callable[[float], float], at: float) -> float:
    """Derivative, by a central difference."""
    h = 1e-5 * max(1.0, at)
    return (function(at + h) - function(at - h)) / (2 * h)
