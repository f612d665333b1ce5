"""Second-order cone programs by Clarabel: one persistent model, new right-hand sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from sciml.dispatch.program import Array, ConicForm, Outcome
from sciml.errors import ConfigError, InfeasibleError, SolverError

_TOLERANCE = 1e-9
# What is tried, in this order: full accuracy; without scaling of the data; and what still gives four digits of a dual.
_LADDER: tuple[dict[str, Any], ...] = (
    {},
    {"equilibrate_enable": False},
    {"static_regularization_constant": 1e-7, "iterative_refinement_max_iter": 50},
    {"tol_gap_abs": 1e-6, "tol_gap_rel": 1e-6, "tol_feas": 1e-7},
)


class ConicProgram:
    r"""Q(p) = min c . x, A x in [l, u] + p, lower <= x <= upper, x in second-order cones.

    An interior-point method starts from nothing, so that a solve does not depend on earlier ones.

    Args:
        form: The program.

    Attributes:
        blocks: Groups of parameters.
        form: The program.

    Raises:
        ConfigError: Clarabel is not installed.
    """

    def __init__(self, form: ConicForm):
        try:
            import clarabel
        except ImportError as error:
            raise ConfigError("cone programs need Clarabel: pip install 'sciml-kit[dispatch]'.") from error
        self._clarabel = clarabel
        self.form = form
        self.blocks = form.blocks
        self._cuts: list[tuple[float, Array, int]] = []
        self._last: Array | None = None
        self._build()

    def solve(self, parameters: Array) -> Outcome:
        """See ``ParametricProgram.solve``."""
        right = self._right.copy()
        right[self._at] += parameters
        if not np.isfinite(right).all():
            raise SolverError("parameters of a cone program are not finite.")
        self._last = parameters
        for attempt, options in enumerate(_LADDER):
            solver = self._solver if not options else self._make(right, options)
            if not options:
                solver.update(b=right)
            found = solver.solve()
            if str(found.status) == "Solved":
                dual = -np.array(found.z)
                return Outcome(
                    value=float(found.obj_val),
                    multipliers=dual[self._at],
                    variables=self.form.variables(np.array(found.x)),
                    attempts=attempt + 1,
                )
            if str(found.status) == "PrimalInfeasible":
                from sciml.dispatch.diagnose import certificate

                raise InfeasibleError(certificate(self.form, np.array(found.z)[: self._equalities], self._equality_rows))
        raise SolverError(
            f"Clarabel reports {found.status} after {len(_LADDER)} attempts. Look at the range of the coefficients "
            "(case.summary()), and at the program: write('program.json')."
        )

    def add_cut(self, intercept: float, slope: Array, column: int = 0) -> None:
        """Bound a future cost: future[column] >= intercept + slope . volume."""
        self._cuts.append((float(intercept), np.asarray(slope, dtype=float), column))
        self._solver = None

    def remove_cuts(self, which: Array) -> None:
        """Remove cuts by their positions among those that there are."""
        gone = set(np.asarray(which).tolist())
        self._cuts = [cut for i, cut in enumerate(self._cuts) if i not in gone]
        self._solver = None

    def write(self, path: str | Path) -> Path:
        """Write min c . x, A x + s = b, s in the cones in turn, with the last parameters, as JSON."""
        right = self._right.copy()
        if self._last is not None:
            right[self._at] += self._last
        matrix = self._matrix.tocoo()
        content = {
            "c": self.form.cost.tolist(),
            "A": {"row": matrix.row.tolist(), "column": matrix.col.tolist(), "value": matrix.data.tolist()},
            "b": right.tolist(),
            "cones": self._sizes,
        }
        Path(path).write_text(json.dumps(content))
        return Path(path)

    @property
    def _solver(self) -> Any:
        if self._made is None:
            self._build()
        return self._made

    @_solver.setter
    def _solver(self, solver: Any) -> None:
        self._made = solver

    def _build(self) -> None:
        """A x + s = b with s in zero, nonnegative and second-order cones."""
        form = self.form
        A = form.matrix.tocsr()
        identity = sp.identity(A.shape[1], format="csr")
        equal = form.row_lower == form.row_upper
        fixed = form.lower == form.upper
        zero = [(A[equal], form.row_lower[equal]), (identity[fixed], form.lower[fixed])]
        bounded = [
            (A, form.row_upper, ~equal & np.isfinite(form.row_upper), 1.0),
            (A, form.row_lower, ~equal & np.isfinite(form.row_lower), -1.0),
            (identity, form.upper, ~fixed & np.isfinite(form.upper), 1.0),
            (identity, form.lower, ~fixed & np.isfinite(form.lower), -1.0),
        ]
        blocks = zero + [(sign * matrix[which], sign * limit[which]) for matrix, limit, which, sign in bounded]
        blocks += [self._cut_rows()]
        cones = [(-cone.matrix, cone.offset) for cone in form.cones]
        self._matrix = sp.vstack([matrix for matrix, _ in blocks + cones], format="csc")
        self._right = np.concatenate([right for _, right in blocks + cones])
        self._equality_rows = np.flatnonzero(equal)
        self._equalities = len(self._equality_rows)
        place = np.full(len(equal), -1)
        place[self._equality_rows] = np.arange(self._equalities)
        self._at = place[form.parameter_rows]
        zeros, all_linear = sum(len(right) for _, right in zero), sum(len(right) for _, right in blocks)
        self._sizes = [["zero", zeros], ["nonnegative", all_linear - zeros], *(["second-order", len(r)] for _, r in cones)]
        self._made = self._make(self._right, {})

    def _cut_rows(self) -> tuple[sp.csr_matrix, Array]:
        width = len(self.form.cost)
        if not self._cuts:
            return sp.csr_matrix((0, width)), np.zeros(0)
        volume = np.arange(width)[self.form.columns["volume"]]
        future = np.arange(width)[self.form.columns["future"]]
        rows = np.zeros((len(self._cuts), width))
        for i, (_, slope, column) in enumerate(self._cuts):
            rows[i, volume] = slope
            rows[i, future[column]] = -1
        return sp.csr_matrix(rows), -np.array([intercept for intercept, _, _ in self._cuts])

    def _make(self, right: Array, options: dict[str, Any]) -> Any:
        clarabel = self._clarabel
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.max_threads = 1
        settings.presolve_enable = False  # a presolved program takes no new right-hand side
        settings.chordal_decomposition_enable = False
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = _TOLERANCE
        for name, value in options.items():
            setattr(settings, name, value)
        kinds = {
            "zero": clarabel.ZeroConeT,
            "nonnegative": clarabel.NonnegativeConeT,
            "second-order": clarabel.SecondOrderConeT,
        }
        cones = [kinds[kind](size) for kind, size in self._sizes]
        width = len(self.form.cost)
        return clarabel.DefaultSolver(sp.csc_matrix((width, width)), self.form.cost, self._matrix, right, cones, settings)
