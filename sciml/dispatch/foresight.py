"""The cost with all inflows known in advance: what no policy can beat."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from torch import Tensor

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.pool import ProgramPool
from sciml.dispatch.program import Array
from sciml.dispatch.programs import make_horizon_program
from sciml.dispatch.results import to_dataset
from sciml.dispatch.simulate import check_inflows, check_volume, loads, pack

if TYPE_CHECKING:
    from xarray import Dataset


def perfect_foresight(
    inflows: Float[np.ndarray | Tensor, "scenario stage plant"],
    *,
    case: HydrothermalCase,
    network: str = "dc",
    workers: int = 0,
    initial_volume: Sequence[float] | Array | None = None,
    name: str = "perfect foresight",
) -> Dataset:
    """Plan every scenario with all its inflows known: one program of all stages a scenario, without targets.

    Its cost is a lower bound, scenario by scenario, of every policy's in the same network (in the AC network: as far as
    the local optimum that is found is the global one). Its mean is below SDDP's bound, too: the difference is what
    knowing the future is worth.

    Args:
        inflows: m3/s, shape (scenario, stage, plant).
        case: The system.
        network: "dc", "dc_lossy", "soc" or "ac".
        workers: Processes that solve; 0: this one.
        initial_volume: hm3, (plant,) or (scenario, plant); None: the case's.
        name: In tables and figures.

    Returns:
        Dataset as ``simulate`` gives; ``results.cost.sum("stage")`` is the bound of every scenario.

    Raises:
        ShapeError, DataError: bad inflows or volumes.
        InfeasibleError, SolverError: a scenario has no solution, or none was found.
    """
    inflows = check_inflows(inflows, case)
    scenarios, stages, _ = inflows.shape
    first = check_volume(initial_volume, case, scenarios)
    water = case.volume_per_flow * inflows
    water[:, 0] += first
    given = {"water": water.reshape(scenarios, -1), **loads(case, range(stages), scenarios)}
    with ProgramPool(partial(make_horizon_program, case, network, stages), workers) as pool:
        found = pool.solutions(pack(pool.blocks, given))
        blocks = pool.blocks

    def by_stage(values: Array) -> Array:
        return values.reshape(scenarios, stages, -1).swapaxes(0, 1)

    return to_dataset(
        case,
        name=name,
        network=network,
        inflows=inflows,
        initial_volume=first,
        variables={name: by_stage(values) for name, values in found.variables.items()},
        multipliers={name: by_stage(found.multipliers[:, block]) for name, block in blocks.items()},
        statuses=np.tile(found.statuses, (stages, 1)),
        attempts=np.tile(found.attempts, (stages, 1)),
    )
