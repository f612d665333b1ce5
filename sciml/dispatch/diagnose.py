"""Why a program has no solution, or cannot be solved, in the words of the case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sciml.dispatch.program import Array, ConicForm
from sciml.errors import ShapeError, SolverError

if TYPE_CHECKING:
    import highspy

_SHOWN = 8
_WEIGHT = 0.02  # of the heaviest part of a proof of infeasibility, from which on a part is named
_UNITS = {
    "water": "hm3",
    "target": "hm3",
    "volume": "hm3",
    "spill": "hm3",
    "above": "hm3",
    "below": "hm3",
    "volume_short": "hm3",
    "turbine": "m3/s",
    "outflow_short": "m3/s",
    "thermal": "p.u.",
    "deficit": "p.u.",
    "load": "p.u.",
    "reactive_load": "p.u.",
    "flow": "p.u.",
    "flow_end": "p.u.",
    "angle": "rad",
    "future": "$",
}


def check_parameters(form: ConicForm, parameters: Array) -> Array:
    """The parameters as an array of floats.

    Raises:
        ShapeError: the program has another number of them.
        SolverError: some are not finite; the message names their rows.
    """
    parameters = np.asarray(parameters, dtype=float)
    if parameters.shape != form.parameter_rows.shape:
        sizes = ", ".join(f"{name} {block.stop - block.start}" for name, block in form.blocks.items())
        raise ShapeError(
            f"parameters of shape {parameters.shape} came; {form.parameter_rows.shape} is expected, in blocks: {sizes}."
        )
    wrong = ~np.isfinite(parameters)
    if wrong.any():
        names = ", ".join(_name(form.row_names, i, "row") for i in form.parameter_rows[wrong][:_SHOWN])
        raise SolverError(f"parameters are not finite: {names}. Look at the inflows, targets and loads that made them.")
    return parameters


def conflict(form: ConicForm, highs: highspy.Highs) -> str:
    """Rows and bounds that contradict each other, of which none can be left out, as HiGHS finds them.

    Args:
        form: Names the rows and columns.
        highs: Holds the infeasible program; its options are changed.
    """
    import highspy

    strategy, side = highspy.IisStrategy, highspy.IisBoundStatus
    highs.setOptionValue("iis_strategy", int(strategy.kIisStrategyFromLp) | int(strategy.kIisStrategyIrreducible))
    _, iis = highs.getIis()
    program = highs.getLp()
    below = {int(side.kIisBoundStatusLower), int(side.kIisBoundStatusBoxed)}
    above = {int(side.kIisBoundStatusUpper), int(side.kIisBoundStatusBoxed)}
    parts = []
    for found, sides, names, kind, lower, upper in (
        (iis.row_index_, iis.row_bound_, form.row_names, "row", program.row_lower_, program.row_upper_),
        (iis.col_index_, iis.col_bound_, form.column_names, "column", program.col_lower_, program.col_upper_),
    ):
        for i, at in zip(found, sides, strict=True):
            name = _name(names, i, kind)
            if lower[i] == upper[i]:
                parts.append(_limit(name, "", lower[i]))
            elif at in below:
                parts.append(_limit(name, "at least ", lower[i]))
            elif at in above:
                parts.append(_limit(name, "at most ", upper[i]))
    return _contradiction(parts)


def certificate(form: ConicForm, weights: Array) -> str:
    """The rows, bounds and cones that weigh most in a proof that a cone program has no solution.

    Args:
        form: Names them.
        weights: (row + column + cone,), what each brings to the proof.
    """
    names = [_name(form.row_names, i, "row") for i in range(len(form.row_lower))]
    names += [f"limit of {_name(form.column_names, i, 'column')}" for i in range(len(form.lower))]
    names += [cone.name for cone in form.cones]
    heavy = [i for i in np.argsort(-weights) if weights[i] > _WEIGHT * weights.max()]
    return _contradiction([names[i] for i in heavy])


def trouble(solver: str, status: str, attempts: int) -> str:
    """What to say where a solver finds no optimum."""
    return (
        f"{solver} reports {status} after {attempts} attempts. Look at the range of the coefficients (case.summary()), "
        "and at the program, which its write(path) puts into a file."
    )


def _contradiction(parts: list[str]) -> str:
    shown = "; ".join(parts[:_SHOWN]) + (f"; and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else "")
    return (
        f"the program has no solution, for these contradict each other: {shown or 'constraints that were not found'}. "
        "Check limits and targets, or take targets='penalised'; the program's write(path) puts it into a file."
    )


def _limit(name: str, relation: str, value: float) -> str:
    unit = _UNITS.get(name.split(" of ")[0].removeprefix("smallest "), "")
    if not unit and not relation and value == 0:
        return name  # a law, such as that of the flow on a branch
    return f"{name}{',' if ',' in name else ''} is {relation}{value:.6g} {unit}".rstrip()


def _name(names: tuple[str, ...], index: int, kind: str) -> str:
    return (
        names[index] if index < len(names) else f"{'cut' if names and kind == 'row' else kind} {index - len(names) + 1}"
    )
