"""From one iterate of a descent to the next: the plain step of the theory, and an accelerated one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sciml.barron.anderson import AndersonMixing
from sciml.barron.calculus import a_priori_bounds, one_step_bound
from sciml.barron.problem import Ellipticity
from sciml.barron.residual import LatticeSystem
from sciml.barron.spectral import SpectralNet


class PlainStep:
    """u + eta P r with P = (1 - Lap)^-1 and a fixed eta, and the bounds of its Barron norms.

    Args:
        system: Frequencies, problem and lattices.
        step: eta.
        coefficients: First iterate, shape (mode,).
    """

    def __init__(self, system: LatticeSystem, step: float, coefficients: Tensor):
        self._system, self.step, self._taken = system, step, 0
        self._source = system.net(system.project(system.collocation.loads)).resolvent()
        self._initial = system.net(coefficients)
        self.one_step = self.a_priori = float(self._initial.barron())

    def next(self, coefficients: Tensor, residual: Tensor, inside: float, ellipticity: Ellipticity) -> Tensor:
        """The iterate after ``coefficients``, whose residual has the coefficients ``residual``."""
        self._taken += 1
        self.one_step, self.a_priori = self._bounds(self._system.net(coefficients))
        return coefficients + self.step * residual / (1 + self._system.eigenvalues)

    def _bounds(self, net: SpectralNet) -> tuple[float, float]:
        """Bounds of the Barron norm of the next iterate: from the norms of this one, and from those of f alone."""
        reaction, flux = self._system.problem.reaction_majorant, self._system.problem.flux_majorant
        if reaction is None or flux is None or self.step > 1:
            return math.nan, math.nan
        wiener, barron = float(net.wiener()), float(net.barron())
        terms = {"reaction": reaction(wiener), "flux": flux(barron - wiener)}
        one_step = one_step_bound(barron, step=self.step, source=float(self._source.barron()), **terms)
        run = {"step": self.step, "iterations": self._taken, "initial": self._initial}
        return one_step, a_priori_bounds(self._source, reaction=reaction, flux=flux, **run).barron[-1]


class AcceleratedStep:
    """u + P r with P = (alpha - beta Lap)^-1 close to the Hessian's inverse, accelerated by Anderson mixing.

    P follows the mean curvature at the iterates. An iteration that diverges goes back to its best
    iterate and halves the step.

    Args:
        system: Frequencies, problem and lattices.
        depth: Iterates that the mixing remembers.
    """

    one_step = a_priori = math.nan

    def __init__(self, system: LatticeSystem, depth: int):
        self._system, self._depth, self.step = system, depth, 1.0
        self._preconditioner: tuple[float, float] | None = None
        self._mixing = AndersonMixing(depth, torch.empty(0))
        self._best, self._best_coefficients = math.inf, torch.empty(0)

    def next(self, coefficients: Tensor, residual: Tensor, inside: float, ellipticity: Ellipticity) -> Tensor:
        """The iterate after ``coefficients``, whose residual has the coefficients ``residual`` and norm ``inside``."""
        if inside > 10 * self._best:
            self.step, self._preconditioner, self._best = self.step / 2, None, math.inf
            return self._best_coefficients
        if inside < self._best:
            self._best, self._best_coefficients = inside, coefficients
        self._follow(ellipticity)
        assert self._preconditioner is not None
        alpha, beta = self._preconditioner
        step = self.step * residual / (alpha + beta * self._system.eigenvalues)
        if not coefficients.is_complex():
            return self._mixing.next(coefficients, step)
        mixed = self._mixing.next(*(torch.view_as_real(v).flatten() for v in (coefficients, step)))
        return torch.view_as_complex(mixed.view(-1, 2))

    def _follow(self, ellipticity: Ellipticity) -> None:
        """Take another preconditioner, whose steps do not mix with the old ones, if the curvature has changed much."""
        now = ellipticity.mean
        if self._preconditioner is None or any(
            not old / 3 <= new <= 1.5 * old for old, new in zip(self._preconditioner, now, strict=True)
        ):
            self._preconditioner = now
            weights = self._system.metric
            if self._system.problem.boundary == "periodic":
                weights = weights.repeat_interleave(2)
            self._mixing = AndersonMixing(self._depth, weights)
