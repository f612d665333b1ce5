"""Linear programs by HiGHS: one persistent model, new right-hand sides, dual simplex from a stored basis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.dispatch.program import Array, ConicForm, Outcome
from sciml.errors import ConfigError, InfeasibleError, SolverError

if TYPE_CHECKING:
    import highspy

_DUAL_SIMPLEX = 1
# What is tried, in this order, where HiGHS does not report an optimum.
_LADDER = (
    {},
    {"presolve": "on"},
    {"solver": "ipm", "run_crossover": "on"},
    {"simplex_strategy": 4},  # primal simplex
)
_DEFAULTS = {
    "output_flag": False,
    "presolve": "off",
    "solver": "simplex",
    "simplex_strategy": _DUAL_SIMPLEX,
    "threads": 1,
    "run_crossover": "on",
}


class LinearProgram:
    r"""Q(p) = min c . x, A x in [l, u] + p, lower <= x <= upper, without cones.

    Every solve starts from the basis of the first, so that an optimum, and which of several multipliers is reported,
    depends on the parameters alone and not on what was solved before.

    Args:
        form: The program.

    Attributes:
        blocks: Groups of parameters.
        form: The program.

    Raises:
        ConfigError: HiGHS is not installed, or the program has cones.
    """

    def __init__(self, form: ConicForm):
        if form.cones:
            raise ConfigError("a program with second-order cones came to a linear solver; take ConicProgram.")
        self.form = form
        self.blocks = form.blocks
        self._highspy = import_highspy()
        self._rows = np.ascontiguousarray(form.parameter_rows, dtype=np.int32)
        self._base = form.row_lower[self._rows]
        self._volume = form.columns.get("volume")
        self._future = form.columns.get("future")
        self._cuts = 0
        self._basis: Any = None
        self._highs = self._fresh()

    def solve(self, parameters: Array) -> Outcome:
        """See ``ParametricProgram.solve``."""
        values = np.ascontiguousarray(self._base + parameters, dtype=float)
        if not np.isfinite(values).all():
            raise SolverError(f"parameters of a linear program are not finite: {_where(self.form, values)}.")
        highs = self._highs
        highs.changeRowsBounds(len(self._rows), self._rows, values, values)
        if self._basis is not None:
            highs.setBasis(self._basis)
        attempts = self._run()
        solution = highs.getSolution()
        x = np.array(solution.col_value)
        if self._basis is None:
            self._basis = highs.getBasis()
        return Outcome(
            value=highs.getObjectiveValue(),
            multipliers=np.array(solution.row_dual)[self._rows],
            variables=self.form.variables(x),
            attempts=attempts,
        )

    def add_cut(self, intercept: float, slope: Array, column: int = 0) -> None:
        """Bound a future cost: future[column] >= intercept + slope . volume."""
        future = np.arange(len(self.form.cost))[self._future][column]  # type: ignore[index]
        volume = np.arange(len(self.form.cost))[self._volume]  # type: ignore[index]
        columns = np.append(volume, future).astype(np.int32)
        row = np.append(-np.asarray(slope, dtype=float), 1.0)
        self._highs.addRow(float(intercept), self._highspy.kHighsInf, len(columns), columns, row)
        self._cuts += 1
        self._basis = None

    def remove_cuts(self, which: Array) -> None:
        """Remove cuts by their positions among those that there are."""
        rows = np.sort(np.asarray(which, dtype=np.int32)) + len(self.form.row_lower)
        self._highs.deleteRows(len(rows), rows.astype(np.int32))
        self._cuts -= len(rows)
        self._basis = None

    def write(self, path: str | Path) -> Path:
        """Write the program with its last parameters as an LP or MPS file, by the suffix."""
        self._highs.writeModel(str(path))
        return Path(path)

    def _run(self) -> int:
        highs, optimal = self._highs, self._highspy.HighsModelStatus.kOptimal
        highs.run()
        if highs.getModelStatus() == optimal:
            return 1
        for attempt, options in enumerate(_LADDER):
            for name, value in options.items():
                highs.setOptionValue(name, value)
            highs.clearSolver()
            highs.run()
            for name in options:
                highs.setOptionValue(name, _DEFAULTS[name])
            if highs.getModelStatus() == optimal:
                return attempt + 2
            if highs.getModelStatus() == self._highspy.HighsModelStatus.kInfeasible:
                from sciml.dispatch.diagnose import conflict

                raise InfeasibleError(conflict(self.form, highs))
        raise SolverError(
            f"HiGHS reports {highs.modelStatusToString(highs.getModelStatus())} after {len(_LADDER) + 1} attempts. "
            "Look at the range of the coefficients (case.summary()), and at the program: write('program.lp')."
        )

    def _fresh(self) -> highspy.Highs:
        highspy, form = self._highspy, self.form
        highs = highspy.Highs()
        for name, value in _DEFAULTS.items():
            highs.setOptionValue(name, value)
        program = highspy.HighsLp()
        program.num_row_, program.num_col_ = form.matrix.shape
        program.col_cost_, program.col_lower_, program.col_upper_ = form.cost, form.lower, form.upper
        program.row_lower_, program.row_upper_ = form.row_lower, form.row_upper
        program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        program.a_matrix_.start_ = form.matrix.indptr.astype(np.int32)
        program.a_matrix_.index_ = form.matrix.indices.astype(np.int32)
        program.a_matrix_.value_ = form.matrix.data
        highs.passModel(program)
        return highs


def import_highspy() -> Any:
    """HiGHS, or how to get it."""
    try:
        import highspy
    except ImportError as error:
        raise ConfigError("linear programs need HiGHS: pip install 'sciml-kit[dispatch]'.") from error
    return highspy


def _where(form: ConicForm, values: Array) -> str:
    rows = form.parameter_rows[~np.isfinite(values)]
    return ", ".join(form.row_names[i] if form.row_names else f"row {i}" for i in rows[:5])
