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
}
# What is tried, in this order, where IPOPT does not report an optimum: another rule for the barrier; a start far from
# all bounds with a large barrier; the program as it is, unscaled.
_LADDER: tuple[dict[str, Any], ...] = (
    {},
    {"ipopt.mu_strategy": "adaptive"},
    {"ipopt.mu_init": 1.0, "ipopt.bound_push": 0.1, "ipopt.bound_frac": 0.1},
    {"ipopt.nlp_scaling_method": "none", "ipopt.mu_strategy": "adaptive"},
)
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

    Multipliers are dL/dp = df/dp + y . dg/dp at the solution, L the Lagrangian and y the multipliers of the rows, so that
    parameters may be anywhere. Every solve starts from ``form.start``: from an earlier solution, whose multipliers and
    active bounds are those of other parameters, an interior-point method takes more steps, not fewer.

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
        self._report = self._casadi.Function("variables", [form.x, form.parameters], list(form.variables.values()))

    def solve(self, parameters: Array) -> Outcome:
        """See ``ParametricProgram.solve``."""
        if not np.isfinite(parameters).all():
            raise SolverError(f"parameters of a nonlinear program are not finite: block {self._block(parameters)}.")
        form = self.form
        bounds = {"lbx": form.lower, "ubx": form.upper, "lbg": form.row_lower, "ubg": form.row_upper}
        statuses = []
        for attempt in range(len(_LADDER)):
            solver = self._solver(attempt)
            found = solver(x0=form.start, p=parameters, **bounds)
            stats = solver.stats()
            self.iterations = stats["iter_count"]
            if stats["success"]:
                values = self._report.call([found["x"], parameters])
                return Outcome(
                    value=float(found["f"]),
                    multipliers=-found["lam_p"].full().ravel(),
                    variables={n: v.full().ravel("F") for n, v in zip(form.variables, values, strict=True)},
                    attempts=attempt + 1,
                )
            statuses.append(stats["return_status"])
        raise self._failure(statuses, found["g"].full().ravel())

    def _failure(self, statuses: list[str], rows: Array) -> SolverError:
        short = np.maximum(self.form.row_lower - rows, rows - self.form.row_upper)
        worst = [i for i in np.argsort(-short)[:_SHOWN] if short[i] > _VIOLATED]
        violated = "; ".join(f"{self.form.row_names[i]} by {short[i]:.3g}" for i in worst) or "nothing"
        if statuses[-1] == "Infeasible_Problem_Detected":
            return InfeasibleError(
                f"the program has no solution near its start. Violated most where constraints are violated least: "
                f"{violated}. Look at the limits and parameters in these, or make a constraint soft by a variable that "
                "costs (targets: penalised)."
            )
        return SolverError(
            f"IPOPT reports {', '.join(statuses)} in {len(statuses)} attempts. Violated most at the end of the last: "
            f"{violated}. Look at the limits and parameters in these, and at the ranges of the coefficients."
        )

    def _solver(self, attempt: int) -> Any:
        if attempt not in self._solvers:
            form = self.form
            program = {"x": form.x, "f": form.objective, "g": form.constraints, "p": form.parameters}
            options = {**_OPTIONS, **_LADDER[attempt]}
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
