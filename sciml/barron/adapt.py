"""The flow on a growing set of frequencies: those on which the residual is largest, as two lattices agree."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import torch
from torch import Tensor

from sciml.barron.box import Boundary, sine_axes
from sciml.barron.enumeration import WaveVectors, lowest_frequencies
from sciml.barron.flow import BarronFlow, Iterate
from sciml.barron.frequencies import canonical, distinct, signed_waves
from sciml.barron.lattice import RankOneLattice
from sciml.barron.problem import EnergyProblem
from sciml.barron.residual import Collocation, LatticeSystem
from sciml.barron.spectral import SpectralNet
from sciml.barron.transform import signed_copies
from sciml.errors import ConfigError

CONVERGED = "converged"
PATIENCE = 4  # growths without a smaller error after which the lattices are taken to be too small
ROUND = 25  # most iterations between two growths
POINTS_PER_WAVE = 20  # below, aliases of large modes win over small modes
# Candidates are the sums of the MANY most important frequencies with the FEW most important ones, and of the FEW with
# the sums of any two of the first TRIPLE: products of two and three waves.
MANY, FEW, TRIPLE = 1600, 40, 8
NEGLIGIBLE = 0.1  # part of the tolerance that the iteration may leave, and that may be pruned from the solution
AGREEMENT = 0.5  # relative difference of a coefficient on two lattices above which it is taken for an alias


class AdaptiveFlow:
    """BarronFlow on a set of frequencies that grows where the residual is: a greedy method in the H1 metric.

    A round runs the flow until the residual within the span is small against that outside. Then candidates, sums and
    differences of important frequencies (periodic, Neumann) or their neighbours (Dirichlet) and the lowest frequencies,
    are scored by |r_k| / sqrt(1 + |w_k|^2). A score counts only where all lattices agree: on one lattice alone the
    alias of a large mode looks like a small mode. The set at most doubles in a round; the lattices grow with it.

    Args:
        problem: What to solve.
        generator: Source of the random lattices.
        tol: H1 error, relative to the norm of the solution, at which to stop.
        points: Points of the first lattices, at least; more if the lowest frequencies need them.
        max_points: Points of the largest lattices.
        max_modes: Largest number of frequencies.
        lattices: Number of lattices. 1 is faster, and wrong on all but the easiest problems.
        device: Where to compute.

    Attributes:
        history: Records of all iterates.
        verdict: Why the flow ended: "" while it runs, else "converged" or a sentence.

    Raises:
        ConfigError: a setting is not positive.
    """

    def __init__(
        self,
        problem: EnergyProblem,
        *,
        generator: torch.Generator,
        tol: float = 1e-3,
        points: int = 2**12,
        max_points: int = 2**20,
        max_modes: int = 20_000,
        lattices: int = 2,
        device: str = "cpu",
    ):
        for name, value in {"tol": tol, "max_points": max_points, "max_modes": max_modes, "lattices": lattices}.items():
            if not value > 0:
                raise ConfigError(f"{name} is {value}; a positive number is expected.")
        self.problem, self.tol = problem, tol
        self.max_points, self.max_modes = max_points, max_modes
        self._generator, self._lattices, self._device = generator, lattices, device
        self.history: list[Iterate] = []
        self.verdict = ""
        self._inside = math.inf  # residual within the span at the last iterate
        self._start = time.perf_counter()
        self._begin(points)

    @property
    def net(self) -> SpectralNet:
        """The last iterate that was looked at."""
        return self._flow.system.net(self._flow.looked_at)

    @property
    def compact(self) -> SpectralNet:
        """The last iterate without the waves that all together are less than a tenth of the tolerance.

        Where the set has outgrown the solution, what the other waves hold is the error of the iteration.
        """
        return self.net.prune(tol=NEGLIGIBLE * self.tol * float(self.net.h1()))

    def advance(self) -> Iterate:
        """One iteration of the flow, and a larger set of frequencies if the present one is exhausted."""
        inside = self._flow.advance()
        # Each round has a flow of its own, which counts from its own beginning.
        seconds = time.perf_counter() - self._start
        record = replace(self._flow.history[-1], iteration=len(self.history), seconds=seconds)
        self.history.append(record)
        norm = float(self.net.h1())
        # What is left within the span is the error of the iteration, which goes away for little.
        settled = inside * record.certificate <= NEGLIGIBLE * self.tol * norm * record.dual_residual
        stalled, self._inside = inside > 0.5 * self._inside, inside
        if record.certificate <= self.tol * norm:
            self.verdict = CONVERGED if settled or stalled else ""
        elif inside <= 0.1 * record.dual_residual or len(self._flow.history) >= ROUND:
            self._grow(norm)
        return record

    def run(self) -> SpectralNet:
        """Advance until there is a verdict; returns the compact network."""
        while not self.verdict:
            self.advance()
        return self.compact

    @property
    def points(self) -> int:
        """Points of the present lattices."""
        return self._collocation.lattices[0].size

    def refine(self) -> None:
        """Take up again with half the tolerance on new lattices, because fresh ones have shown a larger error."""
        flow = self._flow
        self.tol /= 2
        if self.points >= self.max_points:
            self.verdict = f"fresh lattices show a larger error than those of {self.points} points, the most allowed"
            return
        self.verdict = ""
        self._draw_lattices(2 * self.points)
        self._flow = BarronFlow(self._collocation.on(flow.system.frequencies), coefficients=flow.looked_at)

    def _begin(self, points: int) -> None:
        """Start from those of the lowest frequencies that f has."""
        problem, d = self.problem, self.problem.dimension
        lowest = lowest_frequencies(d, problem.boundary, problem.box, count=max(64, 1 + d + d * d)).to(self._device)
        self._draw_lattices(max(points, 8 * int(signed_copies(lowest, problem.boundary).sum())))
        system = self._collocation.on(self._affordable(lowest))
        scores = self._scores(system, self._collocation.loads)
        kept = scores > 1e-2 * scores.max() / math.sqrt(len(scores))
        kept[0] = True
        self._flow = BarronFlow(self._collocation.on(system.frequencies[kept]))

    def _grow(self, norm: float) -> None:
        """Add the frequencies with the largest scores, on larger lattices if these have become too small."""
        flow, problem = self._flow, self.problem
        old = flow.system.frequencies
        known = torch.cat([old, self._candidates(flow.system, flow.looked_at)])
        first, _ = distinct(known)
        system = self._collocation.on(self._affordable(known[first]))
        ellipticity = problem.ellipticity(flow.system.jets(flow.looked_at)[0])
        estimate = system.dual_norm(flow.residuals) / ellipticity.constants(problem).mu
        if estimate <= self.tol * norm:
            self.verdict = CONVERGED
            return
        scores = self._scores(system, flow.residuals)
        scores[: len(old)] = 0
        new = scores.argsort(descending=True)[: max(16, len(old))]
        floor = max(0.03 * float(scores.max()) / math.sqrt(len(new)), 0.03 * self.tol * norm / math.sqrt(len(scores)))
        new = new[scores[new] > floor][: self.max_modes - len(old)]
        contributions = flow.system.metric.sqrt() * flow.looked_at.abs()
        kept = contributions > 1e-2 * self.tol * norm / math.sqrt(len(old))
        frequencies = torch.cat([old[kept], system.frequencies[new]])
        coefficients = torch.cat([flow.looked_at[kept], flow.system.zeros().new_zeros(len(new))])
        needed, size = points_needed(frequencies, problem.boundary), self.points
        stuck = len(new) == 0 or self._stagnates(estimate)
        if len(old) >= self.max_modes or needed > self.max_points or (stuck and size >= self.max_points):
            return self._give_up(needed, len(old))
        if stuck or needed > size:
            self._draw_lattices(max(needed, (4 if stuck else 2) * size))
        self._flow = BarronFlow(self._collocation.on(frequencies), coefficients=coefficients)

    def _stagnates(self, estimate: float) -> bool:
        """Whether the last growths on these lattices have not lowered the error."""
        self._estimates.append(estimate)
        recent, before = self._estimates[-PATIENCE:], self._estimates[:-PATIENCE]
        return bool(before) and min(recent) > 0.9 * min(before)

    def _give_up(self, needed: int, modes: int) -> None:
        if modes >= self.max_modes:
            why = f"{modes} frequencies were found and more are needed; {self.max_modes} are allowed"
        elif needed > self.max_points:
            why = f"more than {modes} frequencies would need lattices of {needed} points; {self.max_points} are allowed"
        else:
            why = f"beyond {modes} frequencies the lattices of {self.points} points no longer agree on any"
        self.verdict = f"{why}: the spectrum of the solution decays too slowly for this tolerance"

    def _draw_lattices(self, points: int) -> None:
        points = min(points, self.max_points)
        self._estimates: list[float] = []
        lattices = [
            RankOneLattice.random(self.problem.dimension, points, self._generator, device=self._device)
            for _ in range(self._lattices)
        ]
        self._collocation = Collocation(self.problem, lattices)

    def _affordable(self, frequencies: WaveVectors) -> WaveVectors:
        """The first frequencies, as many as the lattices can tell apart on the whole."""
        boundary = self.problem.boundary
        crowd = waves_a_point(boundary, self.problem.dimension) * self.points
        return frequencies[signed_copies(frequencies, boundary).cumsum(0) <= crowd]

    def _candidates(self, system: LatticeSystem, coefficients: Tensor) -> WaveVectors:
        """Frequencies that the nonlinearity, or a smooth decay, lets one expect next to the important ones."""
        frequencies = system.frequencies[(system.metric.sqrt() * coefficients.abs()).argsort(descending=True)]
        problem, d = self.problem, self.problem.dimension
        sine = sine_axes(problem.boundary, d)
        found = [lowest_frequencies(d, problem.boundary, problem.box, count=max(64, 1 + d + d * d)).to(frequencies)]
        if sine is None or not bool(sine.any()):
            few = signed_waves(frequencies[:FEW], periodic=sine is None)[0]
            triples = _sums(frequencies[:FEW], _sums(few[:TRIPLE], few[:TRIPLE]))
            found += [_sums(frequencies[:MANY], few[: 4 * FEW]), triples]
        if sine is not None:
            steps = torch.eye(d, dtype=torch.int64, device=frequencies.device)
            found += [(frequencies[:, None, None] + torch.stack([steps, 2 * steps])).reshape(-1, d)]
        vectors = torch.cat(found)
        return canonical(vectors, coefficients.new_zeros(len(vectors)), sine)[0]

    def _scores(self, system: LatticeSystem, residuals: list[Tensor]) -> Tensor:
        """|r_k| in the H^-1 norm, 0 where the lattices do not agree, shape (mode,).

        Frequencies that share a bin all get what is in it. Only the right one gets it again on the other lattice.
        """
        pairs = zip(system.transforms, residuals, strict=True)
        shares = torch.stack([transform.project(values, confused=True) for transform, values in pairs])
        mean = shares.mean(0)
        agreed = (shares - mean).abs().amax(0) <= AGREEMENT * mean.abs()
        return torch.where(agreed, mean.abs() * system.metric.sqrt() / (1 + system.eigenvalues), 0)


def _sums(some: WaveVectors, others: WaveVectors) -> WaveVectors:
    """All k + m and k - m."""
    return torch.stack([some[:, None] + others, some[:, None] - others], dim=2).reshape(-1, some.shape[1])


def points_needed(frequencies: WaveVectors, boundary: Boundary) -> int:
    """Points of a lattice on which aliases do not disturb a set of frequencies, shape (mode, dimension)."""
    waves = int(signed_copies(frequencies, boundary).sum())
    crowd = waves_a_point(boundary, frequencies.shape[1])
    # Many waves stand for one mode of a Neumann or Dirichlet series, whose mean is less disturbed.
    return max(2 * POINTS_PER_WAVE * len(frequencies), math.ceil(waves / crowd))


def waves_a_point(boundary: Boundary, dimension: int) -> float:
    """Waves that a lattice may hold for each of its points: a few of those of every mode need bins of their own.

    A wave has one with the probability exp(-2 waves / points), and a mode has at least 2^(sines - 1) waves.
    """
    sine = sine_axes(boundary, dimension)
    fewest = 1 if sine is None else 2.0 ** (int(sine.sum()) - 1)
    return min(1.0, max(0.25, fewest / 64))
