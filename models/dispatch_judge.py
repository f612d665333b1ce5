"""The test of dispatch policies: all of them, SDDP and perfect foresight on the same scenarios, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.dispatch import (
    SDDP,
    Comparison,
    CutPolicy,
    Feasibility,
    HydrothermalCase,
    Myopic,
    Policy,
    TargetPolicy,
    compare,
    feasibility,
    perfect_foresight,
    simulate,
)
from sciml.dispatch.simulate import loads, pack

if TYPE_CHECKING:
    from xarray import Dataset

    from models.dispatch import DispatchLearning

_DECISIONS = 50  # by which the time of one is measured


@dataclass(frozen=True)
class Verdict:
    """What the test found.

    Attributes:
        results: What was simulated, by policy.
        comparison: All policies against SDDP, or against the trained one where there is no SDDP.
        feasible: Balances and limits of the trained policy.
        foresight: Mean cost with all inflows known, $; None: not asked for.
        sddp: The trained SDDP, with its bound; None: not asked for.
        decision_seconds: CPU time of one decision, by policy.
    """

    results: dict[str, Dataset]
    comparison: Comparison
    feasible: Feasibility
    foresight: float | None
    sddp: SDDP | None
    decision_seconds: dict[str, float]

    @property
    def means(self) -> dict[str, float]:
        """Mean operating cost by policy, $."""
        return {row.name: row.cost for row in self.comparison.rows}


def judge(module: DispatchLearning, inflows: np.ndarray, *, folder: Path) -> Verdict:
    """Simulate all policies in ``module.judge`` and write what came out to ``folder/simulation``.

    Args:
        module: The trained rules, and what to judge them beside.
        inflows: m3/s, (scenario, stage, plant).
        folder: Of the run.
    """
    case, network, workers = module.case, module.judge, module.workers
    policies: dict[str, Policy] = {}
    for name, rule in module.policies.items():
        policies[name] = TargetPolicy(rule.eval(), case, penalty=module.penalty, name=name)
    sddp = train_sddp(module, **module.sddp) if module.sddp else None
    if sddp:
        policies["SDDP"] = CutPolicy(sddp.cuts, case, name="SDDP")
    policies["myopic"] = Myopic(case)
    target = folder / "simulation"
    target.mkdir(parents=True, exist_ok=True)
    results, decisions = {}, {}
    for name, policy in policies.items():
        with _progress(f"{name}, {len(inflows)} scenarios, {network}") as show:
            results[name] = simulate(policy, inflows, case=case, network=network, workers=workers, progress=show)
        results[name].to_netcdf(target / f"{name}.nc", engine="h5netcdf")
        if name != "myopic":
            decisions[name] = decision_seconds(policy, case, inflows[0, 0], network=network)
    foresight = None
    if module.foresight:
        with _progress(f"perfect foresight, {network}"):
            known = perfect_foresight(inflows, case=case, network=network, workers=workers)
        foresight = float(known.cost.sum("stage").mean())
    first = next(iter(results))
    return Verdict(
        results=results,
        comparison=compare(results, "SDDP" if sddp else first),
        feasible=feasibility(results[first], case),
        foresight=foresight,
        sddp=sddp,
        decision_seconds=decisions,
    )


def train_sddp(
    module: DispatchLearning,
    *,
    network: str = "dc",
    iterations: int = 60,
    seconds: float | None = None,
    **settings: Any,
) -> SDDP:
    """SDDP of the run's case and horizon.

    Args:
        module: Has the case, and the seed of the sampler.
        network: A convex one.
        iterations: At most.
        seconds: CPU seconds, at most; None: no limit.
        settings: Further ones of ``SDDP``: multi_cut, risk, paths, cut_selection.
    """
    sddp = SDDP(module.case, network, module.data.stages, workers=module.workers, **settings)
    try:
        return sddp.train(iterations, seconds=seconds)
    finally:
        sddp.close()


def decision_seconds(policy: Policy, case: HydrothermalCase, inflow: np.ndarray, *, network: str) -> float:
    """CPU time of one decision: the target of a rule, or the optimum of a stage's program with its cuts.

    Args:
        policy: Whose.
        case: The system.
        inflow: m3/s of the first stage, (plant,).
        network: Of the programs.
    """
    volume = case.plants.initial_volume[None]
    if isinstance(policy, TargetPolicy):

        def decide() -> None:
            policy.start(1)
            policy.parameters(0, inflow[None], volume)
    else:
        program = policy.program(network, 0)
        given = {"water": volume + case.volume_per_flow * inflow, **loads(case, [0], 1)}
        parameters = pack(program.blocks, given)[0]

        def decide() -> None:
            program.solve(parameters)

    decide()
    started = time.process_time()
    for _ in range(_DECISIONS):
        decide()
    return (time.process_time() - started) / _DECISIONS


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while something is simulated."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"Simulating {what}", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
