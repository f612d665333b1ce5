"""The program of a stage, or of all stages, with the solver that its network needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.conic import ConicProgram
from sciml.dispatch.horizon import horizon_form
from sciml.dispatch.linear import LinearProgram
from sciml.dispatch.network import CONVEX, stage_form
from sciml.dispatch.program import Array, ConicForm, ParametricProgram
from sciml.errors import ConfigError

NETWORKS = (*CONVEX, "ac")


def make_stage_program(
    case: HydrothermalCase,
    network: str = "dc",
    *,
    targets: str | None = None,
    penalty: float | None = None,
    future: Sequence[float] | None = None,
) -> ParametricProgram:
    """The program of one stage; see ``stage_form`` for its parameters and variables.

    Args:
        case: The system.
        network: ``dc`` (HiGHS), ``dc_lossy`` or ``soc`` (Clarabel), or ``ac`` (IPOPT).
        targets: None, ``strict`` or ``penalised``.
        penalty: $ per hm3 of deviation from a penalised target; None: ``default_penalty``.
        future: Weights of the columns for the cost of later stages; None: none.

    Raises:
        ConfigError: an unknown network, or its solver is not installed.
    """
    check_network(network)
    if network == "ac":
        from sciml.dispatch.nonlinear import ac_program

        return ac_program(case, targets=targets, penalty=penalty, future=future)
    form = stage_form(case, network, targets=targets, penalty=penalty, future=future)
    return solver_for(form, typical=typical_parameters(case, form, 1))


def make_horizon_program(
    case: HydrothermalCase,
    network: str = "dc",
    stages: int = 24,
    *,
    targets: str | None = None,
    penalty: float | None = None,
) -> ParametricProgram:
    """The program of all stages at once; see ``horizon_form`` for its parameters and variables.

    Args:
        case: The system.
        network: As in ``make_stage_program``.
        stages: T, their number.
        targets: None, ``strict`` or ``penalised``.
        penalty: $ per hm3 of deviation from a penalised target; None: ``default_penalty``.

    Raises:
        ConfigError: an unknown network, or its solver is not installed.
    """
    check_network(network)
    if network == "ac":
        from sciml.dispatch.nonlinear import ac_program

        return ac_program(case, stages=stages, targets=targets, penalty=penalty)
    form = horizon_form(case, network, stages, targets=targets, penalty=penalty)
    return solver_for(form, typical=typical_parameters(case, form, stages))


def solver_for(form: ConicForm, *, typical: Array | None = None) -> LinearProgram | ConicProgram:
    """The solver for a program: HiGHS without cones (see there for ``typical``), Clarabel with."""
    return ConicProgram(form) if form.cones else LinearProgram(form, typical=typical)


def typical_parameters(case: HydrothermalCase, form: ConicForm, stages: int) -> Array:
    """Parameters of a program of one or several stages: mean inflows into reservoirs that are and stay half full."""
    stage = np.arange(stages)
    rows = stage % len(case.inflows)
    water = case.volume_per_flow * np.einsum("tpo,to->tp", case.inflows[rows], case.probabilities[rows])
    half = (case.plants.volume_min + case.plants.volume_max) / 2
    water[0] += half
    active, reactive = np.array([case.load(int(t)) for t in stage]).swapaxes(0, 1)
    values = {"water": water, "target": np.tile(half, stages), "load": active, "reactive_load": reactive}
    return np.concatenate([values[name].ravel() for name in form.blocks])


def check_network(network: str) -> None:
    """Raise a ``ConfigError`` at an unknown network."""
    if network not in NETWORKS:
        raise ConfigError(f"network is {network!r}; one of {', '.join(NETWORKS)} is expected.")
