r"""The AC network in polar coordinates, as a nonlinear program for IPOPT.

As ``network.py``, with voltages V and angles theta: what leaves bus i by a branch has the coefficients of
``branch_flows`` on V_f^2, V_f V_t cos(theta_f - theta_t) and V_f V_t sin(theta_f - theta_t). Not convex: optimum and
multipliers are those of the local solution found from flat voltages, and the relaxation ``soc`` bounds it from below.

Reference: PowerModels.jl's formulation ACP (arXiv:1711.01728).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.network import TARGETS, branch_flows, default_penalty, incidence, water_terms
from sciml.dispatch.program import Array, Outcome
from sciml.errors import ConfigError, InfeasibleError, SolverError

# IPOPT from a warm start takes more iterations than from flat voltages, so every solve is a cold one.
_OPTIONS = {
    "print_time": False,
    "ipopt.print_level": 0,
    "ipopt.sb": "yes",
    "ipopt.tol": 1e-8,
    "ipopt.linear_solver": "mumps",
    "ipopt.mumps_mem_percent": 100,
    "ipopt.fixed_variable_treatment": "make_parameter",
    "error_on_fail": False,
    "calc_lam_p": False,
}
# What is tried, in this order, where IPOPT does not report an optimum.
_LADDER: tuple[dict[str, Any], ...] = (
    {},
    {"ipopt.mu_strategy": "adaptive"},
    {"ipopt.mu_init": 1.0, "ipopt.bound_push": 0.1, "ipopt.max_iter": 6000},
    {"ipopt.nlp_scaling_method": "none", "ipopt.mu_strategy": "adaptive", "ipopt.max_iter": 6000},
)
_REACTIVE_FREE = 10.0  # p.u.; limits of hundreds of p.u. only spoil the scaling
_CUTS_FIRST = 8  # rows for cuts of a program that gets its first one; doubled when they are full


def ac_program(
    case: HydrothermalCase,
    *,
    stages: int = 1,
    targets: str | None = None,
    penalty: float | None = None,
    future: Sequence[float] | None = None,
) -> NonlinearProgram:
    """The AC program of one stage, or of several with the water that each leaves to the next.

    Args:
        case: The system.
        stages: Their number.
        targets: None, ``strict`` or ``penalised``.
        penalty: $ per hm3 of deviation from a penalised target; None: more than any saving.
        future: Weights of the columns for the cost of later stages, of one stage only; None: none.

    Raises:
        ConfigError: CasADi is not installed, or the targets are of an unknown kind.
    """
    if targets not in TARGETS:
        raise ConfigError(f"targets is {targets!r}; None, 'strict' or 'penalised' is expected.")
    return NonlinearProgram(case, stages=stages, targets=targets, penalty=penalty, future=future)


class NonlinearProgram:
    """A ``ParametricProgram`` of the AC network, solved by IPOPT; ``ac_program`` makes it.

    Attributes:
        blocks: Groups of parameters: ``water``, ``target`` if there are targets, ``load`` and ``reactive_load``.
        iterations: Of the last solve.
    """

    def __init__(
        self,
        case: HydrothermalCase,
        *,
        stages: int,
        targets: str | None,
        penalty: float | None,
        future: Sequence[float] | None,
    ):
        self._casadi = import_casadi()
        self.case, self.stages, self.targets = case, stages, targets
        self.penalty = default_penalty(case) if penalty is None else penalty
        self.future = None if future is None else np.asarray(future, dtype=float)
        self.iterations = 0
        self._cuts: list[tuple[float, Array, int]] = []
        self._room = 0
        plants, buses = len(case.plants.names), len(case.buses.names)
        self.blocks: dict[str, slice] = {}
        names = {"water": plants, **({"target": plants} if targets else {}), "load": buses, "reactive_load": buses}
        start = 0
        for name, width in names.items():
            self.blocks[name] = slice(start, start + stages * width)
            start += stages * width
        self._build()

    def solve(self, parameters: Array) -> Outcome:
        """See ``ParametricProgram.solve``."""
        if not np.isfinite(parameters).all():
            raise SolverError("parameters of an AC program are not finite.")
        p = np.concatenate([parameters, self._cut_parameters()])
        status = ""
        for attempt, options in enumerate(_LADDER):
            solver = self._solver(tuple(options.items()))
            found = solver(x0=self._start, lbx=self._lower, ubx=self._upper, lbg=self._row_lower, ubg=self._row_upper, p=p)
            stats = solver.stats()
            self.iterations, status = stats["iter_count"], stats["return_status"]
            if stats["success"]:
                multipliers = -np.array(found["lam_g"]).ravel()[self._parameter_rows]
                x = np.array(found["x"]).ravel()
                variables = {name: x[index] for name, index in self._columns.items()}
                return Outcome(float(found["f"]), multipliers, variables, attempts=attempt + 1)
        residual = np.array(found["g"]).ravel()
        short = np.maximum(self._row_lower - residual, residual - self._row_upper)
        worst = np.argsort(-short)[:5]
        names = "; ".join(f"{self._row_names[i]} by {short[i]:.3g}" for i in worst if short[i] > 1e-6)
        text = f"IPOPT reports {status} after {len(_LADDER)} attempts; violated most: {names or 'nothing'}."
        if status == "Infeasible_Problem_Detected":
            raise InfeasibleError(f"the AC program has no solution nearby. {text} Take penalised targets, or look at limits.")
        raise SolverError(f"{text} Look at voltage limits, ratings and reactive power of the case.")

    def add_cut(self, intercept: float, slope: Array, column: int = 0) -> None:
        """Bound a future cost: future[column] >= intercept + slope . volume."""
        if self.future is None:
            raise ConfigError("a cut came to a program without future costs; make it with future=[1.0].")
        self._cuts.append((float(intercept), np.asarray(slope, dtype=float), column))
        if len(self._cuts) > self._room:
            self._room = max(_CUTS_FIRST, 2 * self._room)
            self._build()

    def remove_cuts(self, which: Array) -> None:
        """Remove cuts by their positions among those that there are."""
        gone = set(np.asarray(which).tolist())
        self._cuts = [cut for i, cut in enumerate(self._cuts) if i not in gone]

    def _cut_parameters(self) -> Array:
        """Cuts as parameters, in the order of ``_build``; rows that are free bind nothing."""
        if not self._room:
            return np.zeros(0)
        plants, futures = len(self.case.plants.names), len(self.future)  # type: ignore[arg-type]
        intercepts, slopes, picks = np.full(self._room, -1.0), np.zeros((plants, self._room)), np.zeros((futures, self._room))
        for i, (intercept, slope, column) in enumerate(self._cuts):
            intercepts[i], slopes[:, i], picks[column, i] = intercept, slope, 1.0
        return np.concatenate([intercepts, slopes.ravel("F"), picks.ravel("F")])

    def _build(self) -> None:
        casadi = self._casadi
        stage = _Stage(casadi, self.case, self.targets, self.penalty, self.future)
        sizes = {name: (block.stop - block.start) // self.stages for name, block in self.blocks.items()}
        given = {name: casadi.SX.sym(name, size, self.stages) for name, size in sizes.items()}
        cut = {}
        if self._room:
            cut = {
                "intercept": casadi.SX.sym("intercept", self._room),
                "slope": casadi.SX.sym("slope", len(self.case.plants.names), self._room),
                "pick": casadi.SX.sym("pick", len(self.future), self._room),  # type: ignore[arg-type]
            }
        columns, rows, objective, carried = [], [], 0, 0
        for t in range(self.stages):
            x = casadi.SX.sym(f"x{t}", stage.width)
            columns.append(x)
            rows.append(stage.rows(x, {name: value[:, t] for name, value in given.items()}, carried, cut))
            objective = objective + casadi.dot(stage.cost, x)
            carried = x[stage.columns["volume"]]
        self._program = {
            "x": casadi.vertcat(*columns),
            "f": objective,
            "g": casadi.vertcat(*rows),
            "p": casadi.vertcat(*(casadi.vec(v) for v in (*given.values(), *cut.values()))),
        }
        self._solvers: dict[tuple[tuple[str, Any], ...], Callable[..., Any]] = {}
        height = rows[0].shape[0]
        at = np.arange(self.stages)[:, None]
        self._parameter_rows = np.concatenate([(at * height + stage.row_index[name]).ravel() for name in self.blocks])
        self._columns = {n: (at * stage.width + np.arange(s.start, s.stop)).ravel() for n, s in stage.columns.items()}
        self._lower, self._upper, self._start = (np.tile(v, self.stages) for v in (stage.lower, stage.upper, stage.start))
        self._row_lower, self._row_upper = np.tile(stage.row_lower, self.stages), np.tile(stage.row_upper, self.stages)
        self._row_names = [f"{name}, stage {t + 1}" for t in range(self.stages) for name in stage.row_names]

    def _solver(self, options: tuple[tuple[str, Any], ...]) -> Any:
        if options not in self._solvers:
            self._solvers[options] = self._casadi.nlpsol("ac", "ipopt", self._program, {**_OPTIONS, **dict(options)})
        return self._solvers[options]


class _Stage:
    """Columns, bounds, cost and rows of one stage."""

    def __init__(
        self, casadi: Any, case: HydrothermalCase, targets: str | None, penalty: float, future: Array | None
    ):
        self._casadi, self._case, self._targets = casadi, case, targets
        buses, branches, thermals, plants = case.buses, case.branches, case.thermals, case.plants
        self.columns: dict[str, slice] = {}
        lower, upper, cost, start = [], [], [], []

        def column(name: str, low: Any, high: Any, price: Any, size: int, guess: Any = None) -> None:
            first = sum(len(v) for v in lower)
            self.columns[name] = slice(first, first + size)
            low, high, price = (np.broadcast_to(np.asarray(v, dtype=float), (size,)) for v in (low, high, price))
            middle = np.where(np.isfinite(high), (np.maximum(low, -1e6) + np.minimum(high, 1e6)) / 2, low + 0.1)
            for found, values in ((lower, low), (upper, high), (cost, price)):
                found.append(values)
            start.append(np.broadcast_to(middle if guess is None else np.asarray(guess, dtype=float), (size,)))

        soft, loose = plants.outflow_violation_cost > 0, plants.volume_violation_cost > 0
        number, units, points = len(plants.names), len(thermals.names), len(buses.names)
        column("thermal", thermals.power_min, thermals.power_max, thermals.cost, units)
        price = plants.cost * plants.production / case.base
        column("turbine", np.where(soft, 0, plants.turbine_min), case.turbine_limit, price, number)
        column("spill", 0, np.inf, plants.spill_cost, number)
        column("volume", np.where(loose, 0, plants.volume_min), plants.volume_max, 0, number)
        column("deficit", 0, np.inf, case.deficit_cost, points)
        column("outflow_short", 0, np.where(soft, np.inf, 0), plants.outflow_violation_cost, number)
        column("volume_short", 0, np.where(loose, np.inf, 0), plants.volume_violation_cost, number)
        for name, group, size in (("thermal_reactive", thermals, units), ("hydro_reactive", plants, number)):
            limits = (np.clip(v, -_REACTIVE_FREE, _REACTIVE_FREE) for v in (group.reactive_min, group.reactive_max))
            column(name, *limits, 0, size, guess=0)
        column("voltage", buses.voltage_min, buses.voltage_max, 0, points, guess=1)
        free = np.full(points, np.inf)
        free[buses.reference] = 0
        column("angle", -free, free, 0, points, guess=0)
        if targets == "penalised":
            column("above", 0, np.inf, penalty, number)
            column("below", 0, np.inf, penalty, number)
        if future is not None:
            column("future", 0, np.inf, future, len(future))
        self.lower, self.upper, self.cost, self.start = (np.concatenate(v) for v in (lower, upper, cost, start))
        self.width = len(self.cost)
        self.row_index: dict[str, Array] = {}
        self.row_lower = self.row_upper = np.zeros(0)
        self.row_names: list[str] = []
        self._rated = np.flatnonzero(np.isfinite(branches.rating))

    def rows(self, x: Any, given: dict[str, Any], carried: Any, cut: dict[str, Any]) -> Any:
        """Constraints of a stage, with the volume that the stage before leaves; equalities are 0 at the parameters."""
        casadi, case = self._casadi, self._case
        branches, plants = case.branches, case.plants
        v = {name: x[columns] for name, columns in self.columns.items()}
        buses = len(case.buses.names)
        start, end = (incidence(buses, at) for at in (branches.start, branches.end))

        def times(matrix: sp.spmatrix, vector: Any) -> Any:
            return casadi.mtimes(casadi.DM(sp.csc_matrix(matrix)), vector)

        voltage = {"": times(start.T, v["voltage"]), "_end": times(end.T, v["voltage"])}
        difference = times((start - end).T, v["angle"])
        product = voltage[""] * voltage["_end"]
        real, imaginary = product * casadi.cos(difference), product * casadi.sin(difference)
        flows = {}
        for name, squared, of_real, of_imaginary in branch_flows(case):
            own = voltage["_end" if name.endswith("_end") else ""] ** 2
            flows[name] = squared * own + of_real * real + of_imaginary * imaginary
        square = v["voltage"] ** 2
        active = (
            times(incidence(buses, case.thermals.bus), v["thermal"])
            + times(incidence(buses, plants.bus, plants.production / case.base), v["turbine"])
            + v["deficit"]
            - times(start, flows["flow"])
            - times(end, flows["flow_end"])
            - case.buses.conductance * square
        )
        reactive = (
            times(incidence(buses, case.thermals.bus), v["thermal_reactive"])
            + times(incidence(buses, plants.bus), v["hydro_reactive"])
            - times(start, flows["reactive_flow"])
            - times(end, flows["reactive_flow_end"])
            + case.buses.susceptance * square
        )
        water = v["volume"] - carried
        for name, matrix in water_terms(case).items():
            water = water + times(matrix, v[name])
        blocks = [("water", plants.names, water - given["water"], 0, 0)]
        if self._targets:
            slack = v["below"] - v["above"] if self._targets == "penalised" else 0
            blocks.append(("target", plants.names, v["volume"] + slack - given["target"], 0, 0))
        blocks.append(("load", case.buses.names, active - given["load"], 0, 0))
        blocks.append(("reactive_load", case.buses.names, reactive - given["reactive_load"], 0, 0))
        blocks.append(("angle", branches.names, difference, branches.angle_min, branches.angle_max))
        names, limit = [branches.names[i] for i in self._rated], branches.rating[self._rated] ** 2
        for suffix in ("", "_end"):
            power = flows[f"flow{suffix}"] ** 2 + flows[f"reactive_flow{suffix}"] ** 2
            blocks.append((f"rating{suffix}", names, power[self._rated.tolist()], -np.inf, limit))
        for name, whole, low in (
            ("outflow_short", "turbine", plants.turbine_min),
            ("volume_short", "volume", plants.volume_min),
        ):
            if (self.upper[self.columns[name]] > 0).any():
                blocks.append((f"smallest {whole}", plants.names, v[whole] + v[name], low, np.inf))
        if cut:
            value = casadi.mtimes(cut["pick"].T, v["future"]) - casadi.mtimes(cut["slope"].T, v["volume"])
            size = cut["intercept"].shape[0]
            # In units of the largest cost, like the other rows of order one.
            scale = 1 / case.deficit_cost
            blocks.append(("cut", [str(i + 1) for i in range(size)], scale * (value - cut["intercept"]), 0, np.inf))
        self._note(blocks)
        return casadi.vertcat(*(expression for _, _, expression, _, _ in blocks))

    def _note(self, blocks: list[tuple[str, Sequence[str], Any, Any, Any]]) -> None:
        """Keep where each block of rows is, and its bounds."""
        lower, upper, first = [], [], 0
        self.row_names = []
        for name, owners, _, low, high in blocks:
            size = len(owners)
            self.row_index[name] = np.arange(first, first + size)
            self.row_names += [f"{name} of {owner}" for owner in owners]
            lower.append(np.broadcast_to(np.asarray(low, dtype=float), (size,)))
            upper.append(np.broadcast_to(np.asarray(high, dtype=float), (size,)))
            first += size
        self.row_lower, self.row_upper = np.concatenate(lower), np.concatenate(upper)


def import_casadi() -> Any:
    """CasADi, or how to get it."""
    try:
        import casadi
    except ImportError as error:
        raise ConfigError("AC programs need CasADi: pip install 'sciml-kit[dispatch]'.") from error
    return casadi
