"""Solve a problem to a tolerance, with a certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.barron.adapt import CONVERGED, AdaptiveFlow
from sciml.barron.certify import Certificate, certify
from sciml.barron.flow import Iterate
from sciml.barron.jet import Values, Vectors
from sciml.barron.problem import EnergyProblem

FAIR = 0.7  # part of the tolerance that the solver aims at on its own lattices, as fresh ones show a little more


@dataclass(frozen=True, kw_only=True)
class Solution:
    """An approximate solution with what is known of its error; called with points (point, dimension), it returns u.

    Attributes:
        network: The approximate solution u.
        certificate: Bound of its error, from fresh lattices.
        history: Records of the iterates.
        problem: What was solved.
        verdict: "converged", or why the tolerance was not reached.
    """

    network: Callable[[Tensor], Tensor]
    certificate: Certificate
    history: list[Iterate]
    problem: EnergyProblem
    verdict: str

    @property
    def converged(self) -> bool:
        """Whether the certificate is within the tolerance."""
        return self.verdict == CONVERGED

    def __call__(self, x: Vectors) -> Values:
        """Values u(x), shape (point,)."""
        return self.network(x)

    def __str__(self) -> str:
        """Verdict and certificate in words."""
        return f"{self.problem.name} in dimension {self.problem.dimension}: {self.verdict}. {self.certificate}"


def solve(
    problem: EnergyProblem,
    tol: float = 1e-3,
    *,
    seed: int = 0,
    max_modes: int = 20_000,
    max_points: int = 2**20,
    device: str = "cpu",
) -> Solution:
    """Solve a problem by the adaptive Barron flow until the H1 error is certified to be below a tolerance.

    Works where the spectrum of the solution is sparse or decays fast, in any dimension (Dirichlet: up to about 12).
    Rough coefficients and generic interacting spectra in high dimension are outside: the solution then comes with the
    certificate that was reached and says so.

    Args:
        problem: What to solve.
        tol: H1 error relative to the norm of the solution. Good values: 1e-2 to 1e-10.
        seed: Of the random lattices.
        max_modes: Largest number of frequencies.
        max_points: Points of the largest lattices.
        device: Where to compute.

    Returns:
        The solution; look at ``converged`` and ``certificate``.

    Raises:
        ConfigError: L is not convex, or a setting is wrong.
        SolverError: the iteration diverges.

    Example:
        >>> solution = solve(cubic(2, source=lambda x: (math.pi * x).sin().prod(1)), tol=1e-6)
        >>> solution.converged
        True
    """
    generator = torch.Generator().manual_seed(seed)
    goal = FAIR * tol
    limits = {"max_modes": max_modes, "max_points": max_points}
    flow = AdaptiveFlow(problem, generator=generator, tol=goal, device=device, **limits)
    while True:
        network = flow.run()
        certificate = certify(problem, network, generator=generator, points=flow.points)
        if certificate.relative <= tol or flow.verdict != CONVERGED:
            break
        # The lattices of the solver were too kind: aim lower, on larger ones.
        flow.refine()
    verdict = CONVERGED if certificate.relative <= tol else flow.verdict
    return Solution(network=network, certificate=certificate, history=flow.history, problem=problem, verdict=verdict)
