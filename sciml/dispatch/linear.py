"""Linear programs by HiGHS: one persistent model, new right-hand sides, dual simplex from a stored basis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sciml.dispatch.diagnose import check_parameters, conflict, trouble
from sciml.dispatch.program import Array, ConicForm, Outcome
from sciml.errors import ConfigError, InfeasibleError, SolverError

_DUAL_SIMPLEX, _PRIMAL_SIMPLEX = 1, 4
_DEVEX = 1
_DEFAULTS = {
    "output_flag": False,
    "presolve": "off",  # a presolved program forgets the basis
    "solver": "simplex",
    "simplex_strategy": _DUAL_SIMPLEX,
    # Steepest edge computes a weight for every row before the first step, which costs more than the steps.
    "simplex_dual_edge_weight_strategy": _DEVEX,
    "threads": 1,
    "run_crossover": "on",
}
# What is tried from no basis, in this order, where the first solve finds no optimum.
_LADDER = (
    {},
    {"presolve": "on"},
    {"solver": "ipm"},
    {"simplex_strategy": _PRIMAL_SIMPLEX},
)


class LinearProgram:
    r"""Q(p) = min c . x, A x in [l, u] + p, lower <= x <= upper, without cones.

    Every solve starts from the basis that is optimal at typical parameters, so that an optimum, and which of several
    multipliers is reported, depends on the parameters and cuts alone, and not on what was solved before.

    Args:
        form: The program.
        typical: Parameters, (parameter,), near those to come: the nearer, the fewer the steps of a solve. None: zeros.

    Attributes:
        blocks: Groups of parameters.
        form: The program.

    Raises:
        ConfigError: HiGHS is not installed, or the program has cones.
    """

    def __init__(self, form: ConicForm, *, typical: Array | None = None):
        if form.cones:
            raise ConfigError("a program with second-order cones came to a linear solver; take ConicProgram.")
        self.form = form
        self.blocks = form.blocks
        self._highspy = import_highspy()
        self._rows = np.ascontiguousarray(form.parameter_rows, dtype=np.int32)
        self._lower, self._upper = form.row_lower[self._rows], form.row_upper[self._rows]
        self._typical = np.zeros(len(self._rows)) if typical is None else check_parameters(form, typical)
        self._cuts = 0
        self._highs = self._load()
        self._set(self._typical)
        self._highs.run()
        self._origin = self._highs.getBasis()
        self._start: Any = self._origin

    def solve(self, parameters: Array) -> Outcome:
        """See ``ParametricProgram.solve``."""
        parameters = check_parameters(self.form, parameters)
        if self._start is None:
            self._settle()
        self._set(parameters)
        attempts = self._run()
        solution = self._highs.getSolution()
        return Outcome(
            value=self._highs.getObjectiveValue(),
            multipliers=np.array(solution.row_dual)[self._rows],
            variables=self.form.variables(np.array(solution.col_value)),
            attempts=attempts,
        )

    def add_cut(self, intercept: float, slope: Array, column: int = 0) -> None:
        """Bound a future cost: future[column] >= intercept + slope . volume."""
        columns, row = self.form.cut(slope, column)
        self._highs.addRow(float(intercept), self._highspy.kHighsInf, len(columns), columns.astype(np.int32), row)
        self._cuts += 1
        self._start = None

    def remove_cuts(self, which: Array) -> None:
        """Remove cuts by their positions among those that there are."""
        rows = np.unique(np.asarray(which, dtype=np.int32)) + len(self.form.row_lower)
        self._highs.deleteRows(len(rows), rows.astype(np.int32))
        self._cuts -= len(rows)
        self._start = None

    def write(self, path: str | Path) -> Path:
        """Write the program with its last parameters as an LP or MPS file, by the suffix."""
        # A copy, because a solver with names prints them, and they are to be without blanks in a file.
        copy = self._copy()
        for kind, names in (("Col", self.form.column_names), ("Row", self.form.row_names)):
            for i, name in enumerate(names):
                getattr(copy, f"pass{kind}Name")(i, "".join(c if c.isalnum() else "_" for c in name))
        if copy.writeModel(str(path)) == self._highspy.HighsStatus.kError:
            raise ConfigError(
                f"HiGHS cannot write {path}; a path in an existing folder, ending in .lp or .mps, is expected."
            )
        return Path(path)

    def _set(self, parameters: Array) -> None:
        lower, upper = self._lower + parameters, self._upper + parameters
        self._highs.changeRowsBounds(len(self._rows), self._rows, lower, upper)

    def _settle(self) -> None:
        """Find where solves start with the cuts that there are, from the basis without cuts: no history is in it."""
        basis = self._highspy.HighsBasis()
        basis.valid = self._origin.valid
        basis.col_status = self._origin.col_status
        basis.row_status = [*self._origin.row_status, *[self._highspy.HighsBasisStatus.kBasic] * self._cuts]
        self._set(self._typical)
        self._begin(basis)
        self._highs.run()
        self._start = self._highs.getBasis()

    def _begin(self, basis: Any) -> None:
        # Without clearing, HiGHS keeps weights and perturbations, and an optimum would depend on the solve before.
        self._highs.clearSolver()
        if basis.valid:
            self._highs.setBasis(basis)

    def _run(self) -> int:
        """Solve, and say how many attempts it took."""
        highs, statuses = self._highs, self._highspy.HighsModelStatus
        self._begin(self._start)
        highs.run()
        if highs.getModelStatus() == statuses.kOptimal:
            return 1
        for attempt, options in enumerate(_LADDER, start=2):
            for name, value in options.items():
                highs.setOptionValue(name, value)
            highs.clearSolver()
            highs.run()
            status = highs.getModelStatus()
            for name in options:
                highs.setOptionValue(name, _DEFAULTS[name])
            if status == statuses.kOptimal:
                return attempt
            if status == statuses.kInfeasible:
                raise InfeasibleError(conflict(self.form, self._copy()))
        raise SolverError(trouble("HiGHS", highs.modelStatusToString(highs.getModelStatus()), len(_LADDER) + 1))

    def _load(self) -> Any:
        highspy, form = self._highspy, self.form
        program = highspy.HighsLp()
        program.num_row_, program.num_col_ = len(form.row_lower), len(form.cost)
        program.col_cost_, program.col_lower_, program.col_upper_ = form.cost, form.lower, form.upper
        program.row_lower_, program.row_upper_ = form.row_lower, form.row_upper
        program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        program.a_matrix_.start_ = form.matrix.indptr.astype(np.int32)
        program.a_matrix_.index_ = form.matrix.indices.astype(np.int32)
        program.a_matrix_.value_ = form.matrix.data
        return self._made(program)

    def _copy(self) -> Any:
        return self._made(self._highs.getLp())

    def _made(self, program: Any) -> Any:
        highs = quiet_highs()
        for name, value in _DEFAULTS.items():
            highs.setOptionValue(name, value)
        highs.passModel(program)
        return highs


def quiet_highs() -> Any:
    """A solver that prints nothing, its banner included, which comes with the callbacks of a new one."""

    class Quiet(import_highspy().Highs):
        def enableCallbacks(self) -> None:
            self.setOptionValue("output_flag", False)
            super().enableCallbacks()

    return Quiet()


def import_highspy() -> Any:
    """HiGHS, or how to get it."""
    try:
        import highspy
    except ImportError as error:
        raise ConfigError("linear programs need HiGHS: pip install 'sciml-kit[dispatch]'.") from error
    return highspy
