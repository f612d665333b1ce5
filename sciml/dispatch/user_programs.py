"""Programs of your own, written in CVXPY or CasADi, as ``ParametricProgram``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.dispatch.cvxpy_form import standard_form
from sciml.dispatch.ipopt import NonlinearForm, NonlinearProgram, import_casadi
from sciml.dispatch.program import Array, Outcome, ParametricProgram
from sciml.dispatch.programs import solver_for
from sciml.errors import ShapeError

if TYPE_CHECKING:
    import cvxpy


def from_casadi(
    x: Mapping[str, Any],
    objective: Any,
    constraints: Any,
    parameters: Mapping[str, Any],
    *,
    lower: Array | float = -np.inf,
    upper: Array | float = np.inf,
    row_lower: Array | float = 0.0,
    row_upper: Array | float = 0.0,
    start: Array | float | None = None,
    row_names: Sequence[str] | None = None,
) -> NonlinearProgram:
    r"""A nonlinear program min_x f(x, p), row_lower <= g(x, p) <= row_upper, lower <= x <= upper, solved by IPOPT.

    Parameters may be anywhere, in the objective too: multipliers are dL/dp, L the Lagrangian at the solution. Of a
    program that is not convex they belong to the local solution that is found from the start.

    Args:
        x: Variables by name: CasADi symbols, SX or MX.
        objective: f, a scalar expression.
        constraints: g, a column, or a list of columns.
        parameters: p by name, CasADi symbols; their entries in this order, column after column, are the parameters.
        lower: Bound of x from below, (column,) in the order of ``x``, or of all.
        upper: From above.
        row_lower: Bound of g from below, (row,), or of all.
        row_upper: From above; equal to ``row_lower``: an equation.
        start: (column,); None: the middle of the bounds, or 0 moved into them.
        row_names: Of the rows of g, for messages; None: their numbers.

    Raises:
        ConfigError: CasADi is not installed.
        ShapeError: bounds, start or names have another length than what they belong to.
    """
    casadi = import_casadi()
    columns = casadi.vertcat(*(casadi.vec(symbol) for symbol in x.values()))
    rows = casadi.vertcat(*(constraints if isinstance(constraints, list | tuple) else [constraints]))
    width, height = columns.numel(), rows.numel()
    low, high = _full("lower", lower, width), _full("upper", upper, width)
    bounded = np.isfinite(low) & np.isfinite(high)
    middle = np.where(bounded, np.add(low, high, where=bounded, out=np.zeros(width)) / 2, np.clip(0.0, low, high))
    names = [f"row {i + 1}" for i in range(height)] if row_names is None else list(row_names)
    if len(names) != height:
        raise ShapeError(f"{len(names)} row_names came for {height} rows of constraints.")
    blocks, first = {}, 0
    for name, symbol in parameters.items():
        blocks[name] = slice(first, first + symbol.numel())
        first = blocks[name].stop
    return NonlinearProgram(
        NonlinearForm(
            x=columns,
            parameters=casadi.vertcat(*(casadi.vec(symbol) for symbol in parameters.values())),
            objective=objective,
            constraints=rows,
            lower=low,
            upper=high,
            start=middle if start is None else _full("start", start, width),
            row_lower=_full("row_lower", row_lower, height),
            row_upper=_full("row_upper", row_upper, height),
            blocks=blocks,
            variables={name: casadi.vec(symbol) for name, symbol in x.items()},
            row_names=names,
        )
    )


def from_cvxpy(problem: cvxpy.Problem, parameters: Sequence[cvxpy.Parameter]) -> CvxpyProgram:
    r"""A linear, quadratic or second-order cone program that is written in CVXPY, with parameters in right-hand sides.

    It is brought into standard form once; a solve changes right-hand sides only (HiGHS; Clarabel if there are cones).
    A parameter may be wherever it ends up beside the variables and not in front of them: ``x + y <= p`` and
    ``cp.norm(x - p)``, not ``p * x``. Other parameters of the problem are constants, with the values they have now.

    Args:
        problem: The problem, to be minimised or maximised.
        parameters: In the order that the program has them, each row after row, as ``flatten`` gives it. The blocks bear
            their names. Values that they have, if any, are where HiGHS finds the basis that all solves start from.

    Raises:
        ConfigError: CVXPY is not installed, the problem is not convex or has cones of other kinds, a parameter is no
            right-hand side, or another one has no value.

    Example:
        >>> demand, make, stock = cp.Parameter(12, name="demand"), cp.Variable(12), cp.Variable(12)
        >>> constraints = [cp.cumsum(make - demand) == stock, stock >= 0, make >= 0, make <= 10]
        >>> program = from_cvxpy(cp.Problem(cp.Minimize(cp.sum(make**2) + cp.sum(stock)), constraints), [demand])
        >>> program.solve(np.full(12, 5.0)).multipliers                 # what one more unit of demand costs
    """
    return CvxpyProgram(problem, parameters)


class CvxpyProgram:
    """A ``ParametricProgram`` in standard form, whose right-hand sides are affine in p; ``from_cvxpy`` makes it.

    Attributes:
        blocks: Groups of parameters, by their names.
    """

    def __init__(self, problem: cvxpy.Problem, parameters: Sequence[cvxpy.Parameter]):
        self._standard = standard = standard_form(problem, parameters)
        self.blocks: dict[str, slice] = {}
        first = 0
        for parameter in parameters:
            self.blocks[parameter.name()] = slice(first, first + parameter.size)
            first += parameter.size
        self._sign = -1.0 if problem.objective.NAME == "maximize" else 1.0
        values = [np.zeros(p.size) if p.value is None else np.ravel(p.value) for p in parameters]
        self._program: ParametricProgram = solver_for(standard.form, typical=standard.moving @ np.concatenate(values))

    def solve(self, parameters: Array) -> Outcome:
        """See ``ParametricProgram.solve``."""
        standard = self._standard
        found = self._program.solve(standard.moving @ parameters)
        x = found.variables["x"]
        return replace(
            found,
            value=self._sign * (found.value + standard.offset + standard.price @ parameters),
            multipliers=self._sign * (standard.moving.T @ found.multipliers + standard.price),
            variables={n: x[i : i + np.prod(s, dtype=int)].reshape(s, order="F") for n, i, s in standard.variables},
        )


def _full(name: str, values: Array | float, size: int) -> Array:
    values = np.asarray(values, dtype=float)
    if values.shape not in ((), (size,)):
        raise ShapeError(f"{name} of shape {values.shape} came; a number or ({size},) is expected.")
    return np.broadcast_to(values, (size,))
