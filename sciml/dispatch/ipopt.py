"""Nonlinear programs by CasADi and IPOPT, always from the same start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciml.dispatch.program import Array, Outcome
from sciml.errors import ConfigError, InfeasibleError, SolverError

_OPTIONS = {
    "print_time": False,
    "error_on_fail": False,
    "ipopt.print_level": 0,
    "ipopt.sb": "yes",
    "ipopt.linear_solver": "mumps",
    "ipopt.tol": 1e-8,
    "ipopt.bound_relax_factor": 1e-9,  # at 0, programs without an interior fail
    "ipopt.max_iter": 500,  # several times what an optimum takes
}
# What is tried, in this order, where IPOPT does not report an optimum: another rule for the barrier; another start;
# from there with a large barrier; the program unscaled.
_LADDER: tuple[tuple[str, dict[str, Any]], ...] = (
    ("start", {}),
    ("start", {"ipopt.mu_strategy": "adaptive"}),
    ("zero", {"ipopt.mu_strategy": "adaptive"}),
    ("zero", {"ipopt.mu_init": 1e3}),
    ("start", {"ipopt.nlp_scaling_method": "none", "ipopt.mu_strategy": "adaptive"}),
)
_INFEASIBLE = "Infeasible_Problem_Detected"
_SHOWN = 5  # rows that an error names
_VIOLATED = 1e-6


@dataclass(frozen=True)
class NonlinearForm:
    r"""A smooth program, before a solver has seen it.

    min f(x, p)  subject to  row_lower <= g(x, p) <= row_upper,  lower <= x <= upper.

    Attributes:
        x, parameters: CasADi symbols (SX or MX), columns of x and p.
        objective, constraints: CasADi expressions f and g of them.
        lower, upper, start: (column,).
        row_lower, row_upper: (row,).
        blocks: Groups of parameters by name.
        variables: What a solution reports, by name: expressions of x and p.
        row_names: Of each row, for messages to people.
    """

    x: Any
    parameters: Any
    objective: Any
    constraints: Any
    lower: Array
    upper: Array
    start: Array
    row_lower: Array
    row_upper: Array
    blocks: Mapping[str, slice]
    variables: Mapping[str, Any]
    row_names: Sequence[str]


class NonlinearProgram:
    r"""Q(p) = min_x f(x, p), row_lower <= g(x, p) <= row_upper, lower <= x <= upper, of a local solution.

    Multipliers are dL/dp = df/dp + y . dg/dp at the solution, L the Lagrangian and y the multipliers of the rows, so
    that parameters may be anywhere. Every solve starts from ``form.start``: from an earlier solution, with the active
    bounds of other parameters, an interior-point method takes more steps, not fewer.

    Args:
        form: The program.

    Attributes:
        blocks: Groups of parameters.
        form: The program.
        iterations: Of the last solve.

    Raises:
        ConfigError: CasADi is not installed.
    """

    def __init__(self, form: NonlinearForm):
        self._casadi = import_casadi()
        self.form = form
        self.blocks = form.blocks
        self.iterations = 0
        self._solvers: dict[int, Any] = {}
        reported = [form.objective, *form.variables.values()]
        self._report = self._casadi.Function("solution", [form.x, form.parameters], reported)

    def solve(self, parameters: Array) -> Outcome:
        """See ``ParametricProgram.solve``."""
        if not np.isfinite(parameters).all():
            raise SolverError(f"parameters of a nonlinear program are not finite: block {self._block(parameters)}.")
        form = self.form
        starts = {"start": form.start, "zero": np.clip(0.0, form.lower, form.upper)}
        bounds = {"lbx": form.lower, "ubx": form.upper, "lbg": form.row_lower, "ubg": form.row_upper}
        rows: dict[str, Array] = {}
        for attempt, (start, _) in enumerate(_LADDER):
            solver = self._solver(attempt)
            found = solver(x0=starts[start], p=parameters, **bounds)
            stats = solver.stats()
            self.iterations = stats["iter_count"]
            if stats["success"]:
                # IPOPT has widened the bounds; what is reported keeps them.
                x = np.clip(found["x"].full().ravel(), form.lower, form.upper)
                value, *values = self._report.call([x, parameters])
                return Outcome(
                    value=float(value),
                    multipliers=-found["lam_p"].full().ravel(),
                    variables={n: v.full().ravel("F") for n, v in zip(form.variables, values, strict=True)},
                    attempts=attempt + 1,
                )
            rows[stats["return_status"]] = found["g"].full().ravel()
        raise self._failure(rows)

    def _failure(self, rows: dict[str, Array]) -> SolverError:
        """The error for the values of the rows where the attempts ended, by what IPOPT said."""
        status = _INFEASIBLE if _INFEASIBLE in rows else list(rows)[-1]
        short = np.maximum(self.form.row_lower - rows[status], rows[status] - self.form.row_upper)
        worst = [i for i in np.argsort(-short)[:_SHOWN] if short[i] > _VIOLATED]
        violated = "; ".join(f"{self.form.row_names[i]} by {short[i]:.3g}" for i in worst) or "nothing"
        if status == _INFEASIBLE:
            return InfeasibleError(
                "no solution is near the start. Where constraints are violated least, these are violated "
                f"most: {violated}. Look at limits and parameters there, or let a "
                "variable that costs take up what is missing."
            )
        return SolverError(
            f"IPOPT reports {', '.join(rows)} in {len(_LADDER)} attempts. Violated most at the end: {violated}. Look "
            "at limits and parameters, at the range of the coefficients, and whether the objective is bounded."
        )

    def _solver(self, attempt: int) -> Any:
        if attempt not in self._solvers:
            form = self.form
            program = {"x": form.x, "f": form.objective, "g": form.constraints, "p": form.parameters}
            options = {**_OPTIONS, **_LADDER[attempt][1]}
            self._solvers[attempt] = self._casadi.nlpsol("program", "ipopt", program, options)
        return self._solvers[attempt]

    def _block(self, parameters: Array) -> str:
        return ", ".join(n for n, block in self.blocks.items() if not np.isfinite(parameters[block]).all())


def import_casadi() -> Any:
    """CasADi, or how to get it."""
    try:
        import casadi
    except ImportError as error:
        raise ConfigError("nonlinear programs need CasADi: pip install 'sciml-kit[dispatch]'.") from error
    return casadi
