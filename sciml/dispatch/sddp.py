r"""Stochastic dual dynamic programming: the dispatch of a convex hydrothermal system by cuts.

    Q_t(v, w) = min c . x + rho_{t+1}[Q_{t+1}(v', w')]    with water v + K w in stage t, and v' left at its end

An iteration simulates paths with the cuts that there are (forward), and then, from the last stage to the first, solves
a stage for all openings w at the volumes v of the paths, whose values and multipliers make a new cut of rho_t[Q_t](v)
(backward). Openings of different stages are independent.

Reference: Pereira, Pinto, Mathematical Programming 52 (1991); Shapiro, European Journal of Operational Research 209
(2011); Dowson, Kapelevich, SDDP.jl, INFORMS Journal on Computing 33 (2021).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.convergence import Estimate, Iteration, shown
from sciml.dispatch.cuts import Cuts, read_cuts
from sciml.dispatch.inflow_models import openings_to_inflows, sample_openings
from sciml.dispatch.network import CONVEX
from sciml.dispatch.pool import ProgramPool, Solutions
from sciml.dispatch.program import Array
from sciml.dispatch.recourse import RecoursePrograms, StageCuts, stage_cuts
from sciml.dispatch.risk import CVaR, Expectation, RiskMeasure
from sciml.dispatch.simulate import loads, pack
from sciml.errors import CheckpointError, ConfigError, ShapeError

_NEWS = 1e-9  # a cut that is not higher than the others at its own point, by this share, is no news


class SDDP:
    """Cuts of the future cost of every stage, and a lower bound of the optimal cost.

    Results depend on the case and these arguments, and not on the number of workers.

    Args:
        case: The system.
        network: ``dc``, ``dc_lossy`` or ``soc``: a convex one.
        stages: T; nothing has value after the last.
        multi_cut: One cut for each opening of the next stage in place of their mean: fewer iterations, larger programs.
        risk: What is minimised in place of the mean: ``CVaR``, or your own ``RiskMeasure``.
        paths: Paths of a forward pass. Good values: 1; with workers, 2 or 4 each.
        workers: Processes that solve; 0: this one. They pay where a solve takes milliseconds, as with cones, or there
            are several paths; a linear stage of some tens of buses takes less than the way to another process.
        cut_selection: Cuts that a stage's program gets at most, of each column; None: all. Good values: 50 to 200. See
            ``Cuts.selected``.
        seed: Of the sampler.

    Attributes:
        cuts: ``Cuts``.
        history: One ``Iteration`` each.
        verdict: How the last training ended.

    Raises:
        ConfigError: the network is not convex, costs are negative, or settings do not go together.

    Example:
        >>> sddp = SDDP(HydrothermalCase.cascade(), "dc", 26)
        >>> sddp.train(50).bound, sddp.estimate(200).mean
    """

    def __init__(
        self,
        case: HydrothermalCase,
        network: str = "dc",
        stages: int = 24,
        *,
        multi_cut: bool = False,
        risk: RiskMeasure | None = None,
        paths: int = 1,
        workers: int = 0,
        cut_selection: int | None = 100,
        seed: int = 0,
    ):
        _check(case, network, stages, multi_cut, risk, paths)
        self.case, self.network, self.stages = case, network, stages
        self.multi_cut, self.risk, self.paths = multi_cut, risk or Expectation(), paths
        self.workers, self.cut_selection = workers, cut_selection
        after = [self._probabilities(t + 1) if multi_cut else np.ones(1) for t in range(stages - 1)]
        self.cuts = Cuts(case.plants.names, [*after, np.zeros(0)])
        self.history: list[Iteration] = []
        self.verdict = "untrained"
        self._rng = np.random.default_rng(seed)
        self._pool: ProgramPool | None = None

    @property
    def bound(self) -> float:
        """The highest lower bound so far, $; each holds, as every cut does."""
        return max((record.bound for record in self.history if np.isfinite(record.bound)), default=0.0)

    def train(
        self,
        iterations: int | None = 100,
        *,
        seconds: float | None = None,
        stall: float | None = None,
        patience: int = 20,
        confident: int | None = None,
        progress: bool | Callable[[Iteration], Any] = True,
    ) -> SDDP:
        """Add cuts until one of the stops holds; call it again to go on.

        Ctrl-C ends training after the last whole iteration.

        Args:
            iterations: Stop after so many more.
            seconds: Stop after so much more CPU time, of all processes.
            stall: Stop when the bound rose by less than this share in ``patience`` iterations. Good values: 1e-5 to
                1e-4.
            patience: Iterations between two looks at ``stall`` and ``confident``.
            confident: Stop when the bound is within the 95 % interval of the cost of so many simulated scenarios.
            progress: Whether to show bound and cost on standard error, or what is called after each iteration.

        Returns:
            Itself; ``verdict`` says which stop it was.

        Raises:
            ConfigError: no stop is given, or ``confident`` with a risk measure, whose bound is not one of the mean.
            InfeasibleError: a stage has no solution at volumes that the stages before can lead to.
        """
        if iterations is None and seconds is None and stall is None and confident is None:
            raise ConfigError("training without an end: give iterations, seconds, stall or confident.")
        if confident is not None and not isinstance(self.risk, Expectation):
            raise ConfigError(
                "confident= compares the bound with a mean cost, but with risk= it bounds a risk-adjusted one. Give "
                "stall, iterations or seconds."
            )
        first = len(self.history)
        begin = self.history[-1].seconds if first else 0.0
        started = self._cpu_seconds() - begin
        self.verdict = ""
        try:
            with shown(progress, iterations) as show:
                while not self.verdict:
                    record = self._iterate(self._sampled, started)
                    show(record)
                    done = len(self.history) - first
                    if iterations is not None and done >= iterations:
                        self.verdict = f"{done} iterations"
                    elif seconds is not None and record.seconds - begin >= seconds:
                        self.verdict = f"{record.seconds - begin:.1f} CPU seconds"
                    elif done % patience == 0:
                        self.verdict = self._stalled(stall, patience) or self._confident(confident)
        except KeyboardInterrupt:
            self.verdict = "interrupted"
        return self

    def sweep(self, volumes: Array) -> SDDP:
        """Add cuts at volumes of your choice to every stage, from the last to the first, without sampling.

        With one or two reservoirs a grid of volumes is close to optimal in one sweep, where sampled paths keep to a few
        volumes and the bound of many stages rises slowly.

        Args:
            volumes: hm3, (point, plant).

        Returns:
            Itself, with one more record, whose ``cost`` is NaN.

        Raises:
            ShapeError: the volumes are not (point, plant).
        """
        volumes, plants = np.asarray(volumes, dtype=float), len(self.case.plants.names)
        if volumes.ndim != 2 or volumes.shape[1] != plants:
            raise ShapeError(f"volumes of shape {volumes.shape} came; (point, plant) = (n, {plants}) is expected.")
        begin = self.history[-1].seconds if self.history else 0.0
        self._iterate(lambda: (np.full(1, np.nan), [volumes] * self.stages), self._cpu_seconds() - begin)
        return self

    def estimate(self, scenarios: int = 500, *, seed: int = 1) -> Estimate:
        """Operating cost of the policy that the cuts are, on freshly sampled scenarios.

        Without a risk measure its mean is, up to sampling error, an upper bound of the optimal cost.

        Args:
            scenarios: Their number. Good values: 200 to 1000.
            seed: Of the scenarios, which are not those of training.
        """
        rng = np.random.default_rng(seed)
        costs, _ = self._forward(sample_openings(self.case, scenarios, self.stages, rng))
        finished = np.isfinite(costs)
        return Estimate(costs[finished], int((~finished).sum()))

    def save(self, path: str | Path) -> Path:
        """Write cuts, history and the state of the sampler; a reader never sees half a file.

        Training that goes on after ``SDDP.load`` gives the numbers that it would have given without a break.

        Args:
            path: Of the file, ``.npz``.
        """
        own = "mean" if isinstance(self.risk, Expectation) else "own"
        risk = asdict(self.risk) if isinstance(self.risk, CVaR) else own
        training = {
            "case": _fingerprint(self.case),
            "network": self.network,
            "multi_cut": self.multi_cut,
            "risk": risk,
            "paths": self.paths,
            "cut_selection": self.cut_selection,
            "history": [asdict(record) for record in self.history],
            "sampler": self._rng.bit_generator.state,
        }
        return self.cuts.save(path, extra={"training": training})

    @classmethod
    def load(
        cls, path: str | Path, case: HydrothermalCase, *, workers: int = 0, risk: RiskMeasure | None = None
    ) -> SDDP:
        """Read what ``save`` wrote, to train on or to use.

        Args:
            path: Of the file.
            case: The case that the cuts were made for.
            workers: Processes that solve; 0: this one.
            risk: Your own measure, if it was trained with one; others are in the file.

        Raises:
            CheckpointError: the file is damaged, holds cuts alone, or was made for another case.
        """
        cuts, about = read_cuts(path)
        training = about.get("training")
        if training is None:
            raise CheckpointError(f"{path} holds cuts but no training to go on with; read them by Cuts.load.")
        if training["case"] != _fingerprint(case):
            raise CheckpointError(
                f"{path} was made for another case than {case.name} is, of other data, stage_hours, load_scale or "
                "initial_volume, whose costs its cuts do not bound. Read the case as it was then."
            )
        if training["risk"] == "own" and risk is None:
            raise CheckpointError(f"{path} was trained with a risk measure of your own; give it as risk=.")
        if isinstance(training["risk"], dict):
            risk = CVaR(**training["risk"])
        settings = {name: training[name] for name in ("multi_cut", "paths", "cut_selection")}
        sddp = cls(case, training["network"], cuts.stages, risk=risk, workers=workers, **settings)
        sddp.cuts = cuts
        sddp.history = [Iteration(**record) for record in training["history"]]
        sddp._rng.bit_generator.state = training["sampler"]
        sddp.verdict = "loaded"
        return sddp

    def close(self) -> None:
        """End the worker processes; training on starts new ones."""
        if self._pool:
            self._pool.close()
        self._pool = None

    def _sampled(self) -> tuple[Array, list[Array]]:
        return self._forward(sample_openings(self.case, self.paths, self.stages, self._rng))

    def _iterate(self, forward: Callable[[], tuple[Array, list[Array]]], started: float) -> Iteration:
        """One iteration, whole or not at all."""
        sampler, counts = self._rng.bit_generator.state, self.cuts.counts
        try:
            costs, volumes = forward()
            dropped = sum(self._add_cuts(stage, volumes[stage]) for stage in reversed(range(self.stages - 1)))
            record = Iteration(
                iteration=len(self.history) + 1,
                bound=self._bound(),
                cost=float(costs[np.isfinite(costs)].mean()) if np.isfinite(costs).any() else float("nan"),
                cuts=len(self.cuts),
                dropped=dropped,
                seconds=self._cpu_seconds() - started,
            )
        except BaseException:
            self._rng.bit_generator.state = sampler
            self.cuts.truncate(counts)
            self.close()
            raise
        self.history.append(record)
        return record

    def _forward(self, openings: Array) -> tuple[Array, list[Array]]:
        """Costs (path,), and the volumes (path, plant) at the end of each stage; NaN from a failed solve on."""
        inflows = openings_to_inflows(self.case, openings)
        volume = np.tile(self.case.plants.initial_volume, (len(openings), 1))
        costs, volumes = np.zeros(len(openings)), []
        for stage in range(self.stages):
            going = np.isfinite(costs)
            volume = np.where(going[:, None], volume, np.nan)
            if going.any():
                variables = self._solve(stage, volume[going], inflows[going, stage]).variables
                volume[going], costs[going] = variables["volume"], costs[going] + variables["cost"][:, 0]
            volumes.append(volume)
        return costs, volumes

    def _add_cuts(self, stage: int, volumes: Array) -> int:
        """Bound what comes after a stage, at these volumes (path, plant) at its end; how many cuts were dropped."""
        points = np.unique(volumes[np.isfinite(volumes).all(1)], axis=0)
        if not len(points):
            return 0
        values, slopes = self._openings(stage + 1, points)
        if self.multi_cut:
            columns = np.tile(np.arange(values.shape[1]), len(points))
        else:
            p = self._probabilities(stage + 1)
            weights = np.stack([self.risk.weights(costs, p) for costs in values])
            values, slopes = (weights * values).sum(1, keepdims=True), np.einsum("po,poh->ph", weights, slopes)[:, None]
            columns = np.zeros(len(points), dtype=int)
        before = self.cuts.columns_value(stage, points).ravel()
        points = np.repeat(points, values.shape[1], axis=0)
        values, slopes = values.ravel(), slopes.reshape(points.shape)
        dropped = int(np.isnan(values).sum())
        kept = values > before + _NEWS * np.maximum(1, np.abs(before))  # NaN, of a failed solve, is not
        if kept.any():
            values, slopes, points = values[kept], slopes[kept], points[kept]
            self.cuts.append(stage, values - (slopes * points).sum(1), slopes, columns[kept], points)
            self._programs().call("use", stage, self._stage_cuts(stage))
        return dropped

    def _openings(self, stage: int, volumes: Array) -> tuple[Array, Array]:
        """Values (point, opening) and their slopes (point, opening, plant) at volumes (point, plant)."""
        inflows = self.case.inflows[stage % len(self.case.inflows)].T
        points, openings = len(volumes), len(inflows)
        found = self._solve(stage, np.repeat(volumes, openings, axis=0), np.tile(inflows, (points, 1)))
        slopes = found.multipliers[:, self._programs().blocks["water"]]
        return found.values.reshape(points, openings), slopes.reshape(points, openings, -1)

    def _bound(self) -> float:
        values, _ = self._openings(0, self.case.plants.initial_volume[None])
        return float(self.risk.weights(values[0], self._probabilities(0)) @ values[0])

    def _solve(self, stage: int, volumes: Array, inflows: Array) -> Solutions:
        """The stage's program at volumes (batch, plant) and inflows (batch, plant)."""
        pool = self._programs()
        given = {
            "stage": np.full((len(volumes), 1), float(stage)),
            "water": volumes + self.case.volume_per_flow * inflows,
            **loads(self.case, [stage], len(volumes)),
        }
        return pool.solutions(pack(pool.blocks, given))

    def _programs(self) -> ProgramPool:
        if self._pool is None:
            cuts = [self._stage_cuts(stage) for stage in range(self.stages)]
            make = partial(RecoursePrograms, self.case, self.network, self.cuts.weights, cuts)
            self._pool = ProgramPool(make, self.workers)
            _ = self._pool.blocks  # made now: later cuts are sent to it
        return self._pool

    def _stage_cuts(self, stage: int) -> StageCuts:
        return stage_cuts(self.cuts, stage, self.cut_selection, self.case.plants.initial_volume)

    def _probabilities(self, stage: int) -> Array:
        return self.case.probabilities[stage % len(self.case.probabilities)]

    def _cpu_seconds(self) -> float:
        workers = sum(self._programs().call("cpu_seconds")) if self.workers else 0.0
        return time.process_time() + workers

    def _stalled(self, share: float | None, patience: int) -> str:
        if share is None or len(self.history) <= patience:
            return ""
        now, before = self.history[-1].bound, self.history[-1 - patience].bound
        return f"the bound has stalled at {now:,.2f}" if now - before < share * abs(now) else ""

    def _confident(self, scenarios: int | None) -> str:
        if scenarios is None:
            return ""
        cost = self.estimate(scenarios, seed=len(self.history))
        within = self.bound >= cost.mean - cost.half_width
        return f"the bound is within the interval of the cost, {cost}" if within else ""


def _check(
    case: HydrothermalCase, network: str, stages: int, multi_cut: bool, risk: RiskMeasure | None, paths: int
) -> None:
    if network not in CONVEX:
        raise ConfigError(
            f"network={network!r} came to SDDP; one of {', '.join(CONVEX)} is expected. Cuts of a nonconvex program "
            "bound nothing: train on 'soc', and judge on 'ac' by simulate."
        )
    if stages < 1 or paths < 1:
        raise ConfigError(f"stages={stages} and paths={paths} came; 1 or more is expected.")
    if multi_cut and risk is not None:
        raise ConfigError("multi_cut=True and risk= came; a risk measure is for the single cut: leave out multi_cut.")
    if (case.thermals.cost < 0).any() or (case.plants.cost < 0).any() or (case.plants.spill_cost < 0).any():
        raise ConfigError("a negative cost came; SDDP takes 0 as the first bound of future costs. Shift the costs.")


def _fingerprint(case: HydrothermalCase) -> str:
    content = json.dumps(asdict(case), default=lambda value: value.tolist(), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
