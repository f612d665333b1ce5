r"""The AC network: the cone program whose cones hold with equality, because voltages stand behind them.

``stage_form(case, "soc")`` is linear in W = |V|^2 and in the real and imaginary part of V_f V_t^*. Here voltages V and
angles theta are the variables, and

    W = V^2,   Re V_f V_t^* = V_f V_t cos(theta_f - theta_t),   Im V_f V_t^* = V_f V_t sin(theta_f - theta_t).

Not convex: optimum and multipliers are those of the local solution found from flat voltages, and ``soc`` bounds the
optimum from below.

Reference: PowerModels.jl's formulation ACP (arXiv:1711.01728).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.ipopt import NonlinearForm, NonlinearProgram, import_casadi
from sciml.dispatch.network import branch_flows, incidence, stage_form
from sciml.dispatch.program import Array, ConicForm, Index, Outcome
from sciml.errors import ConfigError, InfeasibleError

_REACTIVE_FREE = 10.0  # p.u.; limits of hundreds of p.u. put nothing but a bad scale into the program
_PRODUCTS = ("voltage_squared", "product_real", "product_imaginary")
_DEARER = 3.0  # exact penalty of a missed strict target, over the most that water is worth
_MISSED = 1e-6  # hm3
_FLOWS = ("flow", "reactive_flow", "flow_end", "reactive_flow_end")


def ac_program(
    case: HydrothermalCase,
    *,
    stages: int = 1,
    targets: str | None = None,
    penalty: float | None = None,
    future: Sequence[float] | None = None,
) -> AcProgram:
    """The AC program of one stage, or of several with the water that each leaves to the next.

    Args:
        case: The system.
        stages: Their number.
        targets: None, ``strict`` or ``penalised``.
        penalty: $ per hm3 of deviation from a penalised target; None: ``default_penalty``.
        future: Weights of the columns for the cost of later stages, of one stage only; None: none.

    Raises:
        ConfigError: CasADi is not installed, the targets are of an unknown kind, or a future cost came with stages > 1.
    """
    if future is not None and stages > 1:
        raise ConfigError(f"future costs came to a program of {stages} stages; only that of one stage takes them.")
    return AcProgram(case, stages, targets, penalty, future)


class AcProgram:
    """A ``ParametricProgram`` of the AC network, solved by IPOPT; ``ac_program`` makes it.

    Parameters and variables are those of ``stage_form(case, "soc")`` and ``horizon_form``, with ``voltage`` (bus,),
    p.u., and ``angle`` (bus,), radian, in place of its products of voltages.

    At the very ends of what is reachable a strict target leaves no freedom, its multiplier no bound, and an
    interior-point method no interior. So the solver gets a price of missing it that nothing is worth, an exact penalty
    that bounds the multiplier, and a target that is missed all the same is an error.

    Attributes:
        blocks: Groups of parameters: ``water``, ``target`` if there are targets, ``load`` and ``reactive_load``.
    """

    def __init__(
        self,
        case: HydrothermalCase,
        stages: int,
        targets: str | None,
        penalty: float | None,
        future: Sequence[float] | None,
    ):
        self._case, self._stages, self._strict = case, stages, targets == "strict"
        if self._strict:
            targets, penalty = "penalised", _DEARER * _worth_of_water(case)
        self._relaxation = stage_form(case, "soc", targets=targets, penalty=penalty, future=future)
        self._cuts: list[tuple[float, Array, int]] = []
        self._program: NonlinearProgram | None = NonlinearProgram(ac_form(case, self._relaxation, stages))
        self.blocks = self._program.blocks

    @property
    def iterations(self) -> int:
        """Of IPOPT, in the last solve."""
        return self._made().iterations

    def solve(self, parameters: Array) -> Outcome:
        """See ``ParametricProgram.solve``."""
        outcome = self._made().solve(parameters)
        return self._met(outcome) if self._strict else outcome

    def add_cut(self, intercept: float, slope: Array, column: int = 0) -> None:
        """Bound a future cost: future[column] >= intercept + slope . volume."""
        if "future" not in self._relaxation.columns:
            raise ConfigError("a cut came to a program without future costs; make it with future=[1.0].")
        self._cuts.append((float(intercept), np.asarray(slope, dtype=float), column))
        self._program = None

    def remove_cuts(self, which: Array) -> None:
        """Remove cuts by their positions among those that there are."""
        gone = set(np.asarray(which).tolist())
        self._cuts = [cut for i, cut in enumerate(self._cuts) if i not in gone]
        self._program = None

    def _made(self) -> NonlinearProgram:
        # Building anew takes as long as two or three solves, so that cuts are constants and every row is a cut.
        if self._program is None:
            relaxation = _with_cuts(self._relaxation, self._cuts, self._case.deficit_cost)
            self._program = NonlinearProgram(ac_form(self._case, relaxation, self._stages))
        return self._program

    def _met(self, outcome: Outcome) -> Outcome:
        variables = dict(outcome.variables)
        excess = variables.pop("above") - variables.pop("below")
        missed = np.flatnonzero(np.abs(excess) > _MISSED)
        if not len(missed):
            return replace(outcome, variables=variables)
        plants = self._case.plants.names
        at = _stage_names(self._stages)
        parts = [f"{plants[i % len(plants)]}{at[i // len(plants)]}, by {excess[i]:+.3g} hm3" for i in missed]
        raise InfeasibleError(
            f"strict targets cannot be met: the volume misses that of {'; '.join(parts)}. Give targets between what "
            "water and limits allow, as rules with reachable targets do, or take targets='penalised'."
        )


@dataclass(frozen=True)
class _Column:
    """Bounds and start of a group of columns, and the unit that it is counted in within the solver."""

    lower: Array
    upper: Array
    start: Array
    unit: float = 1.0


def ac_form(case: HydrothermalCase, relaxation: ConicForm, stages: int = 1) -> NonlinearForm:
    """The AC program as expressions, of all stages at once: a stage is a column of every matrix.

    Args:
        case: The system.
        relaxation: Its ``stage_form`` for ``soc``.
        stages: Their number.
    """
    casadi = import_casadi()
    columns = _columns(case, relaxation)
    symbols = {name: casadi.SX.sym(name, len(c.lower), stages) for name, c in columns.items()}
    values = {name: columns[name].unit * symbol for name, symbol in symbols.items()}
    products = _products(casadi, case, values["voltage"], values["angle"])
    flows = _flows(casadi, case, products)

    # Rows of the relaxation: A y - (water that the stage before leaves) - p, y its columns. Those with products define
    # flows, which are expressions here, or limit angles.
    products_at = np.concatenate([_of(relaxation.columns, name) for name in _PRODUCTS[1:]])
    kept = np.flatnonzero(np.diff(relaxation.matrix.tocsr()[:, products_at].indptr) == 0)
    y = casadi.vertcat(*((values | products | flows)[name] for name in relaxation.columns))
    water, volume = _of(relaxation.rows, "water"), _of(relaxation.columns, "volume")
    carried = sp.csr_matrix((np.ones(len(water)), (water, volume)), shape=relaxation.matrix.shape)
    before = casadi.horzcat(casadi.SX(y.shape[0], 1), y[:, :-1])
    given = {n: casadi.SX.sym(n, block.stop - block.start, stages) for n, block in relaxation.blocks.items()}
    at = incidence(len(relaxation.row_lower), relaxation.parameter_rows)
    linear = (
        _times(casadi, relaxation.matrix.tocsr()[kept], y)
        - _times(casadi, carried[kept], before)
        - _times(casadi, at[kept], casadi.vertcat(*given.values()))
    )

    branches = case.branches
    rated = np.flatnonzero(np.isfinite(branches.rating))
    power = [flows[f"flow{end}"] ** 2 + flows[f"reactive_flow{end}"] ** 2 for end in ("", "_end")]
    difference = _times(casadi, _difference(case).T, values["angle"])
    limit, ratings = branches.rating[rated] ** 2, [f"rating of {branches.names[i]}" for i in rated]
    rows = [
        (linear, relaxation.row_lower[kept], relaxation.row_upper[kept], [relaxation.row_names[i] for i in kept]),
        (difference, branches.angle_min, branches.angle_max, [f"angle of {n}" for n in branches.names]),
        *((p[rated.tolist(), :], np.full(len(rated), -np.inf), limit, ratings) for p in power),
    ]
    expressions, lower, upper, names = zip(*rows, strict=True)

    def every(parts: Iterable[Array]) -> Array:
        return np.tile(np.concatenate(list(parts)), stages)

    blocks, start = {}, 0
    for name, symbol in given.items():
        blocks[name] = slice(start, start + symbol.numel())
        start += symbol.numel()
    return NonlinearForm(
        x=casadi.vec(casadi.vertcat(*symbols.values())),
        parameters=casadi.vertcat(*(casadi.vec(symbol) for symbol in given.values())),
        objective=casadi.sum2(casadi.mtimes(casadi.DM(relaxation.cost).T, y)),
        constraints=casadi.vec(casadi.vertcat(*expressions)),
        lower=every(c.lower / c.unit for c in columns.values()),
        upper=every(c.upper / c.unit for c in columns.values()),
        start=every(c.start / c.unit for c in columns.values()),
        row_lower=every(lower),
        row_upper=every(upper),
        blocks=blocks,
        variables={name: casadi.vec(value) for name, value in (values | flows).items()},
        row_names=[name + at for at in _stage_names(stages) for part in names for name in part],
    )


def _columns(case: HydrothermalCase, relaxation: ConicForm) -> dict[str, _Column]:
    """Columns of the relaxation that are no products and no flows, then voltages and angles."""
    columns = {}
    units = {"future": case.deficit_cost}
    for name in relaxation.columns:
        if name in (*_PRODUCTS, *_FLOWS):
            continue
        lower, upper = (bound[_of(relaxation.columns, name)] for bound in (relaxation.lower, relaxation.upper))
        if name.endswith("_reactive"):
            lower, upper = (np.clip(bound, -_REACTIVE_FREE, _REACTIVE_FREE) for bound in (lower, upper))
        middle = np.where(np.isfinite(upper), (lower + upper) / 2, lower)
        columns[name] = _Column(lower, upper, middle, units.get(name, 1.0))
    buses = case.buses
    ones = np.ones(len(buses.names))
    free = np.where(np.arange(len(ones)) == buses.reference, 0, np.inf)
    columns["voltage"] = _Column(buses.voltage_min, buses.voltage_max, ones)
    columns["angle"] = _Column(-free, free, 0 * ones)
    return columns


def _products(casadi: Any, case: HydrothermalCase, voltage: Any, angle: Any) -> dict[str, Any]:
    start, end = (_times(casadi, _at(case, buses).T, voltage) for buses in (case.branches.start, case.branches.end))
    difference = _times(casadi, _difference(case).T, angle)
    product = start * end
    return dict(
        zip(_PRODUCTS, (voltage**2, product * casadi.cos(difference), product * casadi.sin(difference)), strict=True)
    )


def _flows(casadi: Any, case: HydrothermalCase, products: dict[str, Any]) -> dict[str, Any]:
    """Active and reactive power that leaves the buses at the two ends of the branches."""
    ends = {"": case.branches.start, "_end": case.branches.end}
    squared, real, imaginary = (products[name] for name in _PRODUCTS)
    flows = {}
    for name, *coefficients in branch_flows(case):
        own = _at(case, ends["_end" if name.endswith("_end") else ""])
        parts = zip(coefficients, (_times(casadi, own.T, squared), real, imaginary), strict=True)
        flows[name] = sum(_times(casadi, sp.diags(c), part) for c, part in parts)
    return flows


def _with_cuts(form: ConicForm, cuts: Sequence[tuple[float, Array, int]], unit: float) -> ConicForm:
    """The form with rows (future[column] - slope . volume) / unit >= intercept / unit, all of order one."""
    if not cuts:
        return form
    rows = sp.lil_matrix((len(cuts), len(form.cost)))
    for i, (_, slope, column) in enumerate(cuts):
        rows[i, _of(form.columns, "volume")] = -slope / unit
        rows[i, _of(form.columns, "future")[column]] = 1 / unit
    return replace(
        form,
        matrix=sp.vstack([form.matrix, rows], format="csc"),
        row_lower=np.append(form.row_lower, [intercept / unit for intercept, _, _ in cuts]),
        row_upper=np.append(form.row_upper, np.full(len(cuts), np.inf)),
        row_names=(*form.row_names, *(f"cut {i + 1}" for i in range(len(cuts)))),
    )


def _worth_of_water(case: HydrothermalCase) -> float:
    """$ that a hm3 saves at most: it runs through all plants while load is shed."""
    plants = case.plants
    power = plants.production.sum() / (case.base * case.volume_per_flow)  # p.u. over the stage, per hm3
    return case.deficit_cost * power + plants.spill_cost.sum() + plants.outflow_violation_cost.sum()


def _of(groups: Mapping[str, Index], name: str) -> Array:
    """Indices of a group of rows or columns."""
    index = groups[name]
    return np.arange(index.start, index.stop) if isinstance(index, slice) else index


def _at(case: HydrothermalCase, buses: Array) -> sp.csr_matrix:
    return incidence(len(case.buses.names), buses)


def _difference(case: HydrothermalCase) -> sp.csr_matrix:
    """Matrix (bus, branch) of start minus end."""
    return _at(case, case.branches.start) - _at(case, case.branches.end)


def _times(casadi: Any, matrix: sp.spmatrix, expression: Any) -> Any:
    return casadi.mtimes(casadi.DM(sp.csc_matrix(matrix)), expression)


def _stage_names(stages: int) -> list[str]:
    return [f", stage {t + 1}" for t in range(stages)] if stages > 1 else [""]
