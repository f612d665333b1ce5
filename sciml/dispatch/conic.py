"""Second-order cone programs by Clarabel: one persistent model, new right-hand sides."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from sciml.dispatch.diagnose import certificate, check_parameters, trouble
from sciml.dispatch.linear import LinearProgram
from sciml.dispatch.program import Array, ConicForm, Outcome
from sciml.errors import ConfigError, InfeasibleError, SciMLError, SolverError

# A multiplier is off by about the root of the gap: 1e-10 gives it five digits and takes a step more than 1e-8.
_TOLERANCE, _USUAL, _COARSE = 1e-10, 1e-8, 1e-6


def _accuracy(tolerance: float) -> dict[str, Any]:
    return {"tol_gap_abs": tolerance, "tol_gap_rel": tolerance, "tol_feas": min(tolerance, _USUAL)}


# What is tried, in this order: full accuracy; the usual one; that without scaling of the data, or with more regular
# linear systems; and one that leaves a multiplier three digits, whose outcome says so.
_LADDER: tuple[tuple[str, dict[str, Any]], ...] = (
    ("optimal", {}),
    ("optimal", _accuracy(_USUAL)),
    ("optimal", {**_accuracy(_USUAL), "equilibrate_enable": False}),
    ("optimal", {**_accuracy(_USUAL), "static_regularization_constant": 1e-7, "iterative_refinement_max_iter": 50}),
    (f"optimal to {_COARSE:.0e}", _accuracy(_COARSE)),
)
_INFEASIBILITY = 1e-12
_PROOFS = 2  # attempts that must find no solution before it is believed
_SOLVED, _INFEASIBLE = "Solved", "PrimalInfeasible"


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
        self._clarabel = import_clarabel()
        self.form = form
        self.blocks = form.blocks
        self._cuts: list[tuple[float, Array, Array]] = []
        self._parameters = np.zeros(len(form.parameter_rows))
        self._fixed = _standard(form)
        self._matrix: Any = None  # with the cuts that there are
        self._solver: Any = None

    def solve(self, parameters: Array) -> Outcome:
        """See ``ParametricProgram.solve``."""
        self._parameters = parameters = check_parameters(self.form, parameters)
        right = self._right_at(parameters)
        found: Any = None
        proofs = 0
        for attempt, (status, options) in enumerate(_LADDER, start=1):
            found = (self._make(right, options) if options else self._updated(right)).solve()
            if str(found.status) == _SOLVED:
                return Outcome(
                    value=float(found.obj_val),
                    multipliers=-(self._fixed.spread.T @ np.array(found.z)[: len(self._fixed.right)]),
                    variables=self.form.variables(np.array(found.x)),
                    status=status,
                    attempts=attempt,
                )
            proofs += str(found.status) == _INFEASIBLE
            if proofs == _PROOFS:
                break
        contradiction = self._contradiction(parameters, np.array(found.z) * right if proofs == _PROOFS else None)
        raise contradiction or SolverError(trouble("Clarabel", str(found.status), len(_LADDER)))

    def add_cut(self, intercept: float, slope: Array, column: int = 0) -> None:
        """Bound a future cost: future[column] >= intercept + slope . volume."""
        self._cuts.append((float(intercept), *self.form.cut(slope, column)))
        self._matrix = self._solver = None

    def remove_cuts(self, which: Array) -> None:
        """Remove cuts by their positions among those that there are."""
        gone = set(np.asarray(which).tolist())
        self._cuts = [cut for i, cut in enumerate(self._cuts) if i not in gone]
        self._matrix = self._solver = None

    def write(self, path: str | Path) -> Path:
        """Write min c . x, A x + s = b, s in the cones in turn, with the last parameters, as JSON."""
        right, matrix = self._right_at(self._parameters), self._matrix.tocoo()
        content = {
            "c": self.form.cost.tolist(),
            "A": {"row": matrix.row.tolist(), "column": matrix.col.tolist(), "value": matrix.data.tolist()},
            "b": right.tolist(),
            "cones": self._sizes,
            "columns": list(self.form.column_names),
            "rows": list(self.form.row_names),
        }
        Path(path).write_text(json.dumps(content))
        return Path(path)

    def _updated(self, right: Array) -> Any:
        """The persistent solver, with new right-hand sides."""
        if self._solver is None:
            # Made without these, so that the first solve is updated like the others: the last digits tell them apart.
            self._solver = self._make(self._right, {})
        self._solver.update(b=right)
        return self._solver

    def _right_at(self, parameters: Array) -> Array:
        if self._matrix is None:
            self._stack()
        right = self._right.copy()
        right[: len(self._fixed.right)] += self._fixed.spread @ parameters
        return right

    def _stack(self) -> None:
        """Put the cuts below the rows that stay."""
        fixed = self._fixed
        self._matrix, self._right, self._sizes = fixed.matrix, fixed.right, fixed.sizes
        if self._cuts:
            rows = np.zeros((len(self._cuts), len(self.form.cost)))
            for row, (_, columns, factors) in zip(rows, self._cuts, strict=True):
                row[columns] = -factors
            self._matrix = sp.vstack([fixed.matrix, rows], format="csc")
            self._right = np.append(fixed.right, [-intercept for intercept, _, _ in self._cuts])
            self._sizes = [*fixed.sizes, ("nonnegative", len(self._cuts))]

    def _make(self, right: Array, options: dict[str, Any]) -> Any:
        clarabel = self._clarabel
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.max_threads = 1
        settings.presolve_enable = False  # a presolved program takes no new right-hand side
        settings.chordal_decomposition_enable = False
        # Cuts put numbers of 1e4 beside those of a network: at the usual 1e-8, solvable programs passed for infeasible.
        settings.tol_infeas_abs = settings.tol_infeas_rel = _INFEASIBILITY
        for name, value in {**_accuracy(_TOLERANCE), **options}.items():
            setattr(settings, name, value)
        kinds = {
            "zero": clarabel.ZeroConeT,
            "nonnegative": clarabel.NonnegativeConeT,
            "second-order": clarabel.SecondOrderConeT,
        }
        cones = [kinds[kind](size) for kind, size in self._sizes]
        width = len(self.form.cost)
        return clarabel.DefaultSolver(
            sp.csc_matrix((width, width)), self.form.cost, self._matrix, right, cones, settings
        )

    def _contradiction(self, parameters: Array, proof: Array | None) -> InfeasibleError | None:
        """The error that names what conflicts: exactly where the linear part alone has no solution.

        Args:
            parameters: That have no solution.
            proof: What each conic row brings to a proof of that, if there is one.
        """
        nothing = np.zeros(0, dtype=int)
        linear = replace(self.form.at(parameters), cones=(), parameter_rows=nothing, blocks={})
        try:
            LinearProgram(linear).solve(np.zeros(0))
        except InfeasibleError as error:
            return error
        except SciMLError:
            pass  # no HiGHS, or a linear part that it cannot solve either: what Clarabel says remains
        if proof is None:
            return None
        fixed, form = self._fixed, self.form
        places = len(form.row_lower) + len(form.lower) + len(form.cones)
        shares = np.bincount(fixed.owner, proof[: len(fixed.owner)], places)
        return InfeasibleError(certificate(form, np.abs(shares)))


@dataclass(frozen=True)
class _Standard:
    """A form as matrix x + s = right, s in cones in turn.

    Attributes:
        matrix: (conic row, column).
        right: (conic row,), without parameters.
        sizes: Kind and size of each cone.
        owner: Of each conic row: the number of its row, column or cone, which count on in this order.
        spread: (conic row, parameter), what a parameter adds to the right-hand sides.
    """

    matrix: Any
    right: Array
    sizes: list[tuple[str, int]]
    owner: Array
    spread: sp.csr_matrix


def _standard(form: ConicForm) -> _Standard:
    A = form.matrix.tocsr()
    height, width = len(form.row_lower), len(form.cost)
    identity = sp.identity(width, format="csr")
    equal, fixed = form.row_lower == form.row_upper, form.lower == form.upper
    blocks = [
        (A, form.row_lower, equal, 1.0, 0),
        (identity, form.lower, fixed, 1.0, height),
        (A, form.row_upper, ~equal & np.isfinite(form.row_upper), 1.0, 0),
        (A, form.row_lower, ~equal & np.isfinite(form.row_lower), -1.0, 0),
        (identity, form.upper, ~fixed & np.isfinite(form.upper), 1.0, height),
        (identity, form.lower, ~fixed & np.isfinite(form.lower), -1.0, height),
    ]
    owner = np.concatenate([first + np.flatnonzero(which) for _, _, which, _, first in blocks])
    sign = np.concatenate([np.full(which.sum(), sign) for _, _, which, sign, _ in blocks])
    zeros = int(equal.sum() + fixed.sum())
    linear = [("zero", zeros), ("nonnegative", len(owner) - zeros)]
    matrices = [sign * matrix[which] for matrix, _, which, sign, _ in blocks] + [-cone.matrix for cone in form.cones]
    rights = [sign * limit[which] for _, limit, which, sign, _ in blocks] + [cone.offset for cone in form.cones]
    right = np.concatenate(rights)
    cone_sizes = [len(cone.offset) for cone in form.cones]
    owner = np.append(owner, np.repeat(height + width + np.arange(len(cone_sizes)), cone_sizes))
    parameter = np.full(height + width + len(cone_sizes), -1)
    parameter[form.parameter_rows] = np.arange(len(form.parameter_rows))
    moved = np.flatnonzero(parameter[owner] >= 0)
    shape = (len(right), len(form.parameter_rows))
    return _Standard(
        matrix=sp.vstack(matrices, format="csc"),
        right=right,
        sizes=[*linear, *(("second-order", size) for size in cone_sizes)],
        owner=owner,
        spread=sp.csr_matrix((sign[moved], (moved, parameter[owner[moved]])), shape=shape),
    )


def import_clarabel() -> Any:
    """Clarabel, or how to get it."""
    try:
        import clarabel
    except ImportError as error:
        raise ConfigError("cone programs need Clarabel: pip install 'sciml-kit[dispatch]'.") from error
    return clarabel
