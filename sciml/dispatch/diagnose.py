"""Why a program has no solution, in the words of the case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.dispatch.program import Array, ConicForm

if TYPE_CHECKING:
    import highspy

_SHOWN = 8


def conflict(form: ConicForm, highs: highspy.Highs) -> str:
    """Rows and bounds that contradict each other and of which none can be left out, found by HiGHS."""
    import highspy

    highs.setOptionValue("iis_strategy", int(highspy.IisStrategy.kIisStrategyFromLp))
    _, iis = _result(highs.getIis())
    lower, upper = np.array(highs.getLp().row_lower_), np.array(highs.getLp().row_upper_)
    rows = [_row(form, int(i), lower, upper) for i in iis.row_index_]
    bounds = [_bound(form, int(i)) for i in iis.col_index_]
    return _sentence([*rows, *bounds])


def certificate(form: ConicForm, dual: Array, rows: Array) -> str:
    """The rows that weigh most in a proof that a cone program has no solution."""
    weights = np.abs(dual)
    heavy = np.argsort(-weights)[:_SHOWN]
    names = [_name(form.row_names, int(rows[i]), "row") for i in heavy if weights[i] > 1e-3 * weights.max(initial=0)]
    return _sentence(names)


def _result(found: Any) -> tuple[Any, Any]:
    return found if isinstance(found, tuple) else (None, found)


def _sentence(parts: list[str]) -> str:
    shown = "; ".join(parts[:_SHOWN]) + ("; ..." if len(parts) > _SHOWN else "")
    return (
        f"the program has no solution: these contradict each other: {shown or 'unknown constraints'}. Check limits and "
        "targets, or take penalised targets; write('program.lp') keeps the program."
    )


def _row(form: ConicForm, row: int, lower: Array, upper: Array) -> str:
    name = _name(form.row_names, row, "cut" if row >= len(form.row_lower) else "row")
    low, high = lower[row], upper[row]
    if low == high:
        return f"{name} = {low:.6g}"
    return f"{name} >= {low:.6g}" if np.isfinite(low) else f"{name} <= {high:.6g}"


def _bound(form: ConicForm, column: int) -> str:
    low, high = form.lower[column], form.upper[column]
    return f"{low:.6g} <= {_name(form.column_names, column, 'column')} <= {high:.6g}"


def _name(names: tuple[str, ...], index: int, kind: str) -> str:
    return names[index] if index < len(names) else f"{kind} {index}"
