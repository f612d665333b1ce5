"""Rolling simulation: stage after stage, each decided at the volumes that the one before has left."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.policies import Policy
from sciml.dispatch.pool import ProgramPool
from sciml.dispatch.program import Array, Outcome, ParametricProgram
from sciml.dispatch.programs import check_network
from sciml.dispatch.results import to_dataset, violation_share
from sciml.errors import DataError, ShapeError, SolverError

if TYPE_CHECKING:
    from xarray import Dataset

TRUSTED = 0.05  # largest violation share


def simulate(
    policy: Policy,
    inflows: Float[np.ndarray | Tensor, "scenario stage plant"],
    *,
    case: HydrothermalCase,
    network: str = "dc",
    workers: int = 0,
    initial_volume: Sequence[float] | Array | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> Dataset:
    """Run a policy along scenarios of inflows.

    A policy can be judged in another network than it was trained for. All scenarios of a stage are one batch; results
    do not depend on the number of workers.

    Args:
        policy: ``TargetPolicy``, ``CutPolicy``, ``Myopic``, or your own.
        inflows: m3/s, shape (scenario, stage, plant), from the first stage on.
        case: The system.
        network: "dc", "dc_lossy", "soc" or "ac".
        workers: Processes that solve; 0: this one.
        initial_volume: hm3, (plant,) or (scenario, plant); None: the case's.
        progress: Called with the stages that are done, and their number.

    Returns:
        Dataset with dimensions stage, scenario, plant, unit, bus and branch: ``thermal``, ``hydro``, ``deficit``,
        ``demand`` and ``flow`` (MW), ``turbine`` and ``inflow`` (m3/s), ``volume``, ``target`` and ``spill`` (hm3),
        operating ``cost`` and ``penalty`` of missed targets ($), ``water_value`` ($/hm3), ``price`` ($/MWh), ``status``
        and ``attempts`` of the solver, and the variables of the network. ``results.to_netcdf(path, engine="h5netcdf")``
        writes it.

    Raises:
        ShapeError: inflows or volumes have another shape.
        DataError: inflows are negative or not finite.
        InfeasibleError, SolverError: a stage has no solution, or none was found; the message names stage and scenario.

    Warns:
        UserWarning: penalties are more than 5 % of all cost, so that the operating cost is not to be trusted.
    """
    check_network(network)
    inflows = check_inflows(inflows, case)
    scenarios, stages, _ = inflows.shape
    volume = first = check_volume(initial_volume, case, scenarios)
    policy.start(scenarios)
    found, targets = [], []
    factory = partial(StagePrograms, partial(policy.program, network), policy.stationary)
    with ProgramPool(factory, workers) as pool:
        for stage in range(stages):
            given = {
                "stage": np.full((scenarios, 1), float(stage)),
                "water": volume + case.volume_per_flow * inflows[:, stage],
                **loads(case, [stage], scenarios),
                **policy.parameters(stage, inflows[:, stage], volume),
            }
            try:
                found.append(pool.solutions(pack(pool.blocks, given)))
            except SolverError as error:
                error.args = (f"{policy.name}, stage {stage + 1}, {error}", *error.args[1:])
                raise
            targets.append(given.get("target"))
            volume = found[-1].variables["volume"]
            if progress:
                progress(stage + 1, stages)
        blocks = pool.blocks
    # What only programs of some stages have, columns for the future cost, is not part of the results.
    common = set.intersection(*(set(solutions.variables) for solutions in found))
    results = to_dataset(
        case,
        name=policy.name,
        network=network,
        inflows=inflows,
        initial_volume=first,
        variables={name: np.stack([s.variables[name] for s in found]) for name in common},
        multipliers={name: np.stack([s.multipliers[:, block] for s in found]) for name, block in blocks.items()},
        statuses=np.array([s.statuses for s in found]),
        attempts=np.stack([s.attempts for s in found]),
        target=None if targets[0] is None else np.stack(targets),
        penalty=policy.penalty,
    )
    share = violation_share(results)
    if share > TRUSTED:
        warnings.warn(
            f"{policy.name} misses its targets in network {network}: penalties are {share:.1%} of all cost, above "
            f"{TRUSTED:.0%}, and its operating cost is not to be trusted. Train it with reachable targets, or in this "
            "network.",
            stacklevel=2,
        )
    return results


class StagePrograms:
    """The programs of all stages as one, whose first parameter is the stage: one pool serves them all.

    Args:
        make: The program of a stage.
        stationary: Whether one program serves all stages.

    Attributes:
        blocks: ``stage``, and the blocks of a stage's program after it.
    """

    def __init__(self, make: Callable[[int], ParametricProgram], stationary: bool):
        self._make, self._stationary = make, stationary
        self._programs = {0: make(0)}
        shifted = {n: slice(b.start + 1, b.stop + 1) for n, b in self._programs[0].blocks.items()}
        self.blocks: Mapping[str, slice] = {"stage": slice(0, 1), **shifted}

    def solve(self, parameters: Array) -> Outcome:
        """See ``ParametricProgram``; the multiplier of the stage is 0."""
        stage = 0 if self._stationary else int(parameters[0])
        if stage not in self._programs:
            self._programs[stage] = self._make(stage)
        found = self._programs[stage].solve(parameters[1:])
        multipliers = np.concatenate([[0.0], found.multipliers])
        return Outcome(found.value, multipliers, found.variables, found.status, found.attempts)


def pack(blocks: Mapping[str, slice], given: Mapping[str, Array]) -> Array:
    """Parameters (batch, parameter) from blocks (batch, n) by name; what a program does not have is left out."""
    return np.concatenate([given[name] for name in sorted(blocks, key=lambda name: blocks[name].start)], axis=1)


def loads(case: HydrothermalCase, stages: Sequence[int], scenarios: int) -> dict[str, Array]:
    """The blocks of parameters ``load`` and ``reactive_load`` of some stages, the same in all scenarios."""
    both = zip(*(case.load(stage) for stage in stages), strict=True)
    values = (np.tile(np.concatenate(parts), (scenarios, 1)) for parts in both)
    return dict(zip(("load", "reactive_load"), values, strict=True))


def check_inflows(inflows: Any, case: HydrothermalCase) -> Array:
    """Inflows as float64, (scenario, stage, plant)."""
    inflows = np.asarray(inflows, dtype=np.float64)
    plants = case.plants.names
    if inflows.ndim != 3 or inflows.shape[2] != len(plants) or not inflows.size:
        raise ShapeError(
            f"inflows of shape {inflows.shape} came; (scenario, stage, plant) with {len(plants)} plants is expected."
        )
    bad = ~(np.isfinite(inflows) & (inflows >= 0))
    if bad.any():
        scenario, stage, plant = np.argwhere(bad)[0]
        raise DataError(
            f"the inflow of {plants[plant]} is {inflows[scenario, stage, plant]:g} m3/s in scenario {scenario}, stage "
            f"{stage + 1}; finite and not negative is expected. Look at where the inflows come from."
        )
    return inflows


def check_volume(volume: Any, case: HydrothermalCase, scenarios: int) -> Array:
    """Volumes before the first stage, (scenario, plant)."""
    volume = np.asarray(case.plants.initial_volume if volume is None else volume, dtype=np.float64)
    plants = len(case.plants.names)
    if volume.shape not in {(plants,), (scenarios, plants)}:
        raise ShapeError(
            f"initial volumes of shape {volume.shape} came; (plant,) = ({plants},) or (scenario, plant) = "
            f"({scenarios}, {plants}) is expected."
        )
    return np.broadcast_to(volume, (scenarios, plants)).copy()
