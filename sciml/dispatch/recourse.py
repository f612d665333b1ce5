"""The programs of all stages, each with its cuts, as one program: what a worker of SDDP solves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.conic import ConicProgram
from sciml.dispatch.cuts import Cuts, with_cuts
from sciml.dispatch.linear import LinearProgram
from sciml.dispatch.network import stage_form
from sciml.dispatch.program import Array, ConicForm, Outcome
from sciml.dispatch.programs import solver_for
from sciml.errors import InfeasibleError, SolverError

# What value and multipliers of an interior point may be too high at any volume, as a share of the value: at the first
# attempt, asked for 1e-10 and measured as 2e-10, and at later ones, asked for 1e-8 to 1e-6 and measured as 1e-7.
_ACCURACY, _LOOSE_ACCURACY = 1e-8, 1e-5
FAILED = "failed"


@dataclass(frozen=True)
class StageCuts:
    """Cuts of one stage: (cut,), (cut, plant), (cut,), and the volumes where the last one was made, (plant,)."""

    intercepts: Array
    slopes: Array
    columns: Array
    last_point: Array


def stage_cuts(cuts: Cuts, stage: int, most: int | None, initial_volume: Array) -> StageCuts:
    """The cuts of a stage that its program gets; see ``Cuts.selected``."""
    kept = cuts.selected(stage, most)
    last = cuts.points[stage][-1] if len(cuts.points[stage]) else initial_volume
    return StageCuts(cuts.intercepts[stage][kept], cuts.slopes[stage][kept], cuts.columns[stage][kept], last)


class RecoursePrograms:
    """The programs of all stages as one, whose first parameter is the stage.

    A stage's program is made anew when its cuts change, which takes as long as a few solves, so that what it answers
    depends on cuts and parameters alone: not on which worker it is, what it solved before, or whether training was
    interrupted in between.

    Args:
        case: The system.
        network: A convex one.
        weights: Of the columns of future cost, for every stage; see ``Cuts``.
        cuts: To begin with, of every stage.

    Attributes:
        blocks: ``stage``, and the blocks of a stage's program after it.
    """

    def __init__(self, case: HydrothermalCase, network: str, weights: Sequence[Array], cuts: Sequence[StageCuts]):
        self._begin = time.process_time()
        self._case = case
        self._weights = weights
        self._cuts = list(cuts)
        self._last = stage_form(case, network)
        self._form = stage_form(case, network, future=weights[0].tolist()) if len(weights) > 1 else self._last
        self._programs: dict[int, LinearProgram | ConicProgram] = {}
        plants = case.plants
        self._lower = np.where(plants.volume_violation_cost > 0, 0, plants.volume_min)
        blocks = {name: slice(block.start + 1, block.stop + 1) for name, block in self._form.blocks.items()}
        self.blocks: Mapping[str, slice] = {"stage": slice(0, 1), **blocks}

    def solve(self, parameters: Array) -> Outcome:
        """Value, multipliers, and the variables ``volume``, within its limits, and ``cost``, of this stage alone.

        The value is lowered by what the solver may be off, so that value and multipliers make a valid cut. Where the
        solver finds no optimum the status is ``failed``, and everything is NaN.

        Raises:
            InfeasibleError: the stage has no solution at these volumes.
        """
        stage = int(parameters[0])
        program = self._program(stage)
        try:
            found = program.solve(parameters[1:])
        except InfeasibleError as error:
            error.args = (f"stage {stage + 1}: {error}", *error.args[1:])
            raise
        except SolverError:
            nothing = np.full(len(self._lower), np.nan)
            variables = {"volume": nothing, "cost": np.full(1, np.nan)}
            return Outcome(np.nan, np.full(len(parameters), np.nan), variables, FAILED)
        future = self._weights[stage] @ found.variables["future"] if len(self._weights[stage]) else 0.0
        share = 0.0
        if isinstance(program, ConicProgram):
            share = _ACCURACY if found.attempts == 1 else _LOOSE_ACCURACY
        return Outcome(
            value=found.value - share * max(1.0, abs(found.value)),
            multipliers=np.append(0.0, found.multipliers),
            variables={
                "volume": np.clip(found.variables["volume"], self._lower, self._case.plants.volume_max),
                "cost": np.array([found.value - future]),
            },
            status=found.status,
            attempts=found.attempts,
        )

    def use(self, stage: int, cuts: StageCuts) -> None:
        """Take these cuts in place of those that the stage had."""
        self._cuts[stage] = cuts
        self._programs.pop(stage, None)

    def cpu_seconds(self) -> float:
        """CPU time of this process since it was made."""
        return time.process_time() - self._begin

    def _program(self, stage: int) -> LinearProgram | ConicProgram:
        if stage not in self._programs:
            self._programs[stage] = self._make(stage)
        return self._programs[stage]

    def _make(self, stage: int) -> LinearProgram | ConicProgram:
        cuts = self._cuts[stage]
        if not len(self._weights[stage]):
            return solver_for(self._last, typical=self._typical(stage, cuts.last_point))
        form = with_cuts(self._weighted(stage), cuts.intercepts, cuts.slopes, cuts.columns)
        return solver_for(form, typical=self._typical(stage, cuts.last_point))

    def _weighted(self, stage: int) -> ConicForm:
        cost = self._form.cost.copy()
        cost[self._form.columns["future"]] = self._weights[stage]
        return replace(self._form, cost=cost)

    def _typical(self, stage: int, volume: Array) -> Array:
        """Parameters from whose optimum all solves of a stage start."""
        case = self._case
        row = stage % len(case.inflows)
        load, reactive = case.load(stage)
        water = volume + case.volume_per_flow * (case.inflows[row] @ case.probabilities[row])
        given = {"water": water, "load": load, "reactive_load": reactive}
        return np.concatenate([given[name] for name in self._form.blocks])
