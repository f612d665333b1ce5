"""Policies: what a decision maker does at a stage, knowing its inflow and the volumes, and nothing of later stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.network import default_penalty
from sciml.dispatch.program import Array, ParametricProgram
from sciml.dispatch.programs import make_stage_program
from sciml.errors import ConfigError

if TYPE_CHECKING:
    from sciml.dispatch.cuts import Cuts


class Policy(Protocol):
    """What ``simulate`` needs; your own policies have the same.

    A stage is decided by its program, at parameters that may depend on inflow and volume.

    Attributes:
        name: In tables and figures.
        penalty: $ per hm3 of deviation from a target, 0 without targets; it is no part of the operating cost.
        stationary: Whether one program serves all stages.
        program: Makes the program of a stage, (network, stage) -> what ``make_stage_program`` gives. It goes to worker
            processes, and so is a function of a module, or ``functools.partial`` of one.
    """

    name: str
    penalty: float
    stationary: bool
    program: Callable[[str, int], ParametricProgram]

    def start(self, scenarios: int) -> None:
        """Forget; that many scenarios begin at stage 0."""
        ...

    def parameters(self, stage: int, inflow: Array, volume: Array) -> Mapping[str, Array]:
        """Blocks of parameters besides water and load.

        Args:
            stage: 0, 1, ...; every stage is asked once, in turn.
            inflow: m3/s, (scenario, plant).
            volume: At the start of the stage, hm3, (scenario, plant).
        """
        ...


class Myopic:
    """Cheapest now: stored water costs nothing and is used up. What any other policy must beat.

    Args:
        case: The system.
        name: In tables and figures.
    """

    penalty = 0.0
    stationary = True

    def __init__(self, case: HydrothermalCase, *, name: str = "myopic"):
        self.name = name
        self.program = partial(_program, case)

    def start(self, scenarios: int) -> None:
        """See ``Policy``."""

    def parameters(self, stage: int, inflow: Array, volume: Array) -> Mapping[str, Array]:
        """See ``Policy``."""
        return {}


class TargetPolicy:
    r"""Follows the targets of a decision rule; trained for one network, it can be judged in any.

    The rule sees the realised volumes. A stage may miss its target where network or limits do not allow it, at a
    penalty per hm3 that is above what any hm3 can be worth (``exact_penalty``): a target that can be met is met, to the
    solver's tolerance, and none makes a stage infeasible.

    Args:
        rule: With ``start(scenarios) -> memory`` and ``step(stage, inflow, volume, memory) -> (target, memory)`` on
            tensors (scenario, plant): a ``TargetRule``, or what you have.
        case: The system.
        penalty: $ per hm3 of deviation; None: ``exact_penalty(case)``.
        name: In tables and figures.

    Reference:
        arXiv:2405.14973.
    """

    stationary = True

    def __init__(self, rule: Any, case: HydrothermalCase, *, penalty: float | None = None, name: str = "TS-DDR"):
        self.rule, self.case, self.name = rule, case, name
        self.penalty = exact_penalty(case) if penalty is None else penalty
        self.program = partial(_program, case, targets="penalised", penalty=self.penalty)
        self._memory: Any = None

    def start(self, scenarios: int) -> None:
        """See ``Policy``."""
        self._memory = self.rule.start(scenarios)

    @torch.no_grad()
    def parameters(self, stage: int, inflow: Array, volume: Array) -> Mapping[str, Array]:
        """See ``Policy``."""
        # A solver leaves the limits by its tolerance; a rule may rely on them.
        volume = np.clip(volume, 0, self.case.plants.volume_max)
        target, self._memory = self.rule.step(stage, torch.tensor(inflow), torch.tensor(volume), self._memory)
        return {"target": target.numpy(force=True).astype(np.float64)}


class CutPolicy:
    r"""Cheapest now and later, as far as cuts know: min cost + sum_c weight_c theta_c(volume).

    Cuts of a convex network can be followed in another: in the AC network this is the usual, inconsistent SDDP.

    Args:
        cuts: Of ``SDDP``, or read from a file.
        case: The system.
        cut_selection: Cuts that a stage's program gets at most, of each column; None: all. See ``Cuts.selected``.
        name: In tables and figures.

    Raises:
        ConfigError: the cuts are of other plants.
    """

    penalty = 0.0
    stationary = False

    def __init__(self, cuts: Cuts, case: HydrothermalCase, *, cut_selection: int | None = 100, name: str = "SDDP"):
        if cuts.plants != tuple(case.plants.names):
            raise ConfigError(
                f"cuts of the plants {', '.join(cuts.plants)} came; {', '.join(case.plants.names)} is expected. Train "
                "SDDP on this case."
            )
        self.name = name
        self.program = partial(_cut_program, case, cuts, cut_selection)

    def start(self, scenarios: int) -> None:
        """See ``Policy``."""

    def parameters(self, stage: int, inflow: Array, volume: Array) -> Mapping[str, Array]:
        """See ``Policy``."""
        return {}


def exact_penalty(case: HydrothermalCase) -> float:
    r"""$ per hm3 above which missing a target never pays, where the target can be met.

    A hm3 through plant h is rho_h / (K S) of energy, worth at most the deficit cost each, and again in the plants
    downstream: the largest sum along a cascade, and spill costs, bound a target's multiplier in every network. Twice
    that, and at least the ``default_penalty``.

    Args:
        case: The system.
    """
    plants = case.plants
    worth = case.deficit_cost * plants.production / (case.base * case.volume_per_flow) + np.abs(plants.spill_cost)
    passing = worth.copy()
    for _ in plants.names:
        for up, down in (*plants.turbine_links, *plants.spill_links):
            passing[up] = max(passing[up], worth[up] + passing[down])
    return max(default_penalty(case), 2 * float(passing.max(initial=0.0)))


def _program(case: HydrothermalCase, network: str, stage: int, **settings: Any) -> ParametricProgram:
    return make_stage_program(case, network, **settings)


def _cut_program(
    case: HydrothermalCase, cuts: Cuts, cut_selection: int | None, network: str, stage: int
) -> ParametricProgram:
    if stage >= cuts.stages:
        raise ConfigError(
            f"stage {stage + 1} came; the cuts are of {cuts.stages} stages. Train SDDP with more, or simulate fewer."
        )
    weights = cuts.weights[stage]
    if not len(weights):
        return make_stage_program(case, network)
    program = make_stage_program(case, network, future=weights.tolist())
    cuts.add_to(program, stage, most=cut_selection)
    return program
