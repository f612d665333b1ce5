"""What every program of this package is: values of parameters in, optimal value and multipliers out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp

Array = np.ndarray
Index = slice | np.ndarray


@dataclass(frozen=True)
class Outcome:
    r"""Optimal value Q(p) of a program with parameters p, and dQ/dp.

    Attributes:
        value: Q(p), in the program's currency.
        multipliers: (parameter,), dQ/dp: the multipliers of the constraints whose right-hand sides are the parameters.
        variables: Optimal values of the variables by name.
        status: What the solver said.
        attempts: Solves that it took; 1 unless the solver had trouble.
    """

    value: float
    multipliers: Array
    variables: Mapping[str, Array]
    status: str = "optimal"
    attempts: int = 1


@runtime_checkable
class ParametricProgram(Protocol):
    r"""Q(p) = min_x f(x) subject to g(x) = p in some rows, and to whatever else does not depend on p.

    Attributes:
        blocks: Where each named group of parameters lies in p; the groups cover p without gaps.
    """

    blocks: Mapping[str, slice]

    def solve(self, parameters: Array) -> Outcome:
        """Optimum for parameters p, (parameter,).

        Raises:
            InfeasibleError: no x satisfies the constraints; the message names those that conflict.
            SolverError: the solver found no optimum, after all attempts.
        """
        ...


@dataclass(frozen=True)
class Cone:
    """Rows of a second-order cone: offset + matrix x = (s_0, s_1, ...) with |(s_1, ...)| <= s_0."""

    matrix: sp.csr_matrix
    offset: Array
    name: str = "a cone"


@dataclass(frozen=True)
class ConicForm:
    r"""A linear or second-order cone program, before a solver has seen it.

    min cost . x  subject to  row_lower <= A x <= row_upper,  lower <= x <= upper,  and cones.

    Attributes:
        matrix: A, (row, column).
        row_lower, row_upper: (row,).
        lower, upper: (column,).
        cost: (column,).
        parameter_rows: (parameter,), rows to whose two bounds the parameters are added.
        blocks: Groups of parameters in ``parameter_rows``.
        columns: Groups of columns by name.
        rows: Groups of rows by name.
        row_names, column_names: Of each row and column, for messages to people.
        cones: Second-order cones; none of them in a linear program.
    """

    matrix: sp.csc_matrix
    row_lower: Array
    row_upper: Array
    lower: Array
    upper: Array
    cost: Array
    parameter_rows: Array
    blocks: Mapping[str, slice]
    columns: Mapping[str, Index]
    rows: Mapping[str, Index]
    row_names: tuple[str, ...] = ()
    column_names: tuple[str, ...] = ()
    cones: tuple[Cone, ...] = field(default=())

    def at(self, parameters: Array) -> ConicForm:
        """The same program with the parameters in their rows."""
        lower, upper = self.row_lower.copy(), self.row_upper.copy()
        lower[self.parameter_rows] += parameters
        upper[self.parameter_rows] += parameters
        return replace(self, row_lower=lower, row_upper=upper)

    def variables(self, x: Array) -> dict[str, Array]:
        """A solution by groups of columns."""
        return {name: x[columns] for name, columns in self.columns.items()}

    def cut(self, slope: Array, column: int = 0) -> tuple[Array, Array]:
        """Columns and coefficients of future[column] - slope . volume, which a cut bounds from below."""
        places = np.arange(len(self.cost))
        columns = np.append(places[self.columns["volume"]], places[self.columns["future"]][column])
        return columns, np.append(-np.asarray(slope, dtype=float), 1.0)
