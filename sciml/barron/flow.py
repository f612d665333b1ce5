"""BarronFlow: preconditioned gradient descent on the coefficients of a set of frequencies, with its theory."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from torch import Tensor

from sciml.barron.jet import LatticeJet
from sciml.barron.problem import Ellipticity
from sciml.barron.residual import LatticeSystem
from sciml.barron.spectral import SpectralNet
from sciml.barron.steps import AcceleratedStep, PlainStep
from sciml.errors import ConfigError, SolverError


@dataclass(frozen=True, kw_only=True)
class Iterate:
    """What is known of one iterate u_t.

    Attributes:
        iteration: t.
        modes: Number of frequencies.
        energy: E(u_t).
        dual_residual: H^-1 norm of the residual on the lattices of the solver.
        certificate: dual_residual / mu, a bound of the H1 error up to quadrature. Fresh lattices give a fairer one.
        wiener: Sum of |c_k|.
        barron: Sum of (1 + |w_k|) |c_k|.
        one_step_bound: Bound of ``barron`` from the norms of u_{t-1}; NaN where there is no theory.
        apriori_bound: Bound of ``barron`` from those of f alone, grown from u_0; infinite once it has blown up.
        seconds: Wall time since the flow began.
    """

    iteration: int
    modes: int
    energy: float
    dual_residual: float
    certificate: float
    wiener: float
    barron: float
    one_step_bound: float
    apriori_bound: float
    seconds: float


class BarronFlow:
    """Descent u_{t+1} = u_t - eta P DE(u_t), P = (alpha - beta Lap)^-1, on the coefficients of a set of frequencies.

    Accelerated (depth > 0): P has the mean second derivatives of L, eta = 1, and Anderson mixing in the H1 norm takes
    the last iterates into account; a handful of iterations for mild nonlinearities. Plain (depth = 0):
    P = (1 - Lap)^-1 and a fixed eta, the iteration of the theory, with its bounds of the Barron norm.

    Args:
        system: Frequencies, problem and lattices.
        coefficients: First iterate, shape (mode,); None for zero.
        depth: Iterates that Anderson mixing remembers; 0 for the plain iteration. Good values: 5 to 8.
        step: eta of the plain iteration; None for 1 / M, which needs the problem's c_max and Lam. Up to 1 / M the
            energy decreases; 2 / (mu + M) contracts fastest.

    Raises:
        ConfigError: a plain iteration has no step, and M is not known for all u.

    Reference:
        Marwah, Lipton, Lu and Risteski, arXiv:2210.12101, section 4.
    """

    def __init__(
        self, system: LatticeSystem, *, coefficients: Tensor | None = None, depth: int = 6, step: float | None = None
    ):
        self.system = system
        self.coefficients = system.zeros() if coefficients is None else coefficients
        self.looked_at = self.coefficients  # the last iterate of which the residual is known
        self.history: list[Iterate] = []
        self.residuals: list[Tensor] = []  # that residual, at the points of each lattice
        self._begin = time.perf_counter()
        self._scale = max(system.span_norm(system.project(system.collocation.loads)), math.ulp(0))
        self._step = (
            AcceleratedStep(system, depth) if depth else PlainStep(system, step or self._safe_step(), self.coefficients)
        )

    @property
    def net(self) -> SpectralNet:
        """The last iterate that was looked at."""
        return self.system.net(self.looked_at)

    def advance(self) -> float:
        """Look at the current iterate, record it in ``history``, and step to the next one.

        Returns:
            H^-1 norm of the residual within the span of the frequencies.

        Raises:
            SolverError: the iterates are no longer finite.
            ConfigError: the density is not convex at an iterate.
        """
        system = self.system
        self.looked_at = self.coefficients
        jets = system.jets(self.coefficients)
        self.residuals = system.residuals(jets)
        residual = system.project(self.residuals)
        inside = system.span_norm(residual)
        if not math.isfinite(inside):
            raise SolverError(
                f"the flow of {system.problem.name!r} left the range of numbers after {len(self.history)} iterations: "
                "the step is too large for its nonlinearity. Take a smaller step, or start from the solution for a "
                "smaller source."
            )
        ellipticity = system.problem.ellipticity(jets[0])
        self.history.append(self._record(jets, ellipticity))
        self.coefficients = self._step.next(self.coefficients, residual, inside, ellipticity)
        return inside

    def run(self, *, iterations: int = 50, tol: float = 1e-11) -> SpectralNet:
        """Advance until the residual within the span has become small.

        Args:
            iterations: Most iterations.
            tol: Relative to the norm of f.

        Returns:
            The last iterate that was looked at.
        """
        for _ in range(iterations):
            if self.advance() < tol * self._scale:
                break
        return self.net

    def _record(self, jets: list[LatticeJet], ellipticity: Ellipticity) -> Iterate:
        net, dual_residual = self.net, self.system.dual_norm(self.residuals)
        return Iterate(
            iteration=len(self.history),
            modes=len(net),
            energy=self.system.energy(jets),
            dual_residual=dual_residual,
            certificate=dual_residual / ellipticity.constants(self.system.problem).mu,
            wiener=float(net.wiener()),
            barron=float(net.barron()),
            one_step_bound=self._step.one_step,
            apriori_bound=self._step.a_priori,
            seconds=time.perf_counter() - self._begin,
        )

    def _safe_step(self) -> float:
        problem = self.system.problem
        if problem.c_max is None or problem.Lam is None:
            raise ConfigError(
                f"the plain iteration needs a step: c_max is {problem.c_max} and Lam {problem.Lam}, so M is not known "
                "for all u. Give step=1/M with M from a bound of the solution, e.g. 1 + 3 |u|_A^2 for u^3."
            )
        return 1 / problem.ellipticity(self.system.jets(self.coefficients)[0]).constants(problem).M
