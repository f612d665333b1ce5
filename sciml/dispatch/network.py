r"""One stage of a hydrothermal system as a linear or second-order cone program.

    min  sum c_g p_g + sum c_h rho_h q_h / S + sum c^s_h s_h + c_def sum d_i   [+ penalty |v - target|] [+ future cost]

    water    v_h + K q_h + s_h - K sum_{u turbines into h} q_u - sum_{u spills into h} s_u = v_{t-1,h} + K w_h
    target   v_h (+ below_h - above_h) = target_h
    power    generation + d_i - what leaves bus i = load_i

The networks differ in what leaves a bus. With g + jb = 1/(r + jx), tap m at the start and shift:

- ``dc``: p = -b (theta_f - theta_t - shift) / m; no losses, no reactive power.
- ``dc_lossy``: the same at the start of a branch, and p_f + p_t >= r p_f^2, a cone: losses, no voltages.
- ``soc``: W = |V|^2, WR + j WI = V_f V_t^*, with WR^2 + WI^2 <= W_f W_t in place of equality: a relaxation of AC.

Reference: PowerModels.jl's formulations DCP, DCPLL and SOCWRConic (arXiv:1711.01728); arXiv:2405.14973.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from sciml.dispatch.builder import Builder
from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.program import Array, ConicForm
from sciml.errors import ConfigError

CONVEX = ("dc", "dc_lossy", "soc")
TARGETS = (None, "strict", "penalised")


def stage_form(
    case: HydrothermalCase,
    network: str = "dc",
    *,
    targets: str | None = None,
    penalty: float | None = None,
    future: Sequence[float] | None = None,
) -> ConicForm:
    """The program of one stage.

    Parameters are the blocks ``water`` (plant,), v_{t-1} + K w, hm3; ``target`` (plant,), hm3, if there are targets;
    ``load`` (bus,) and, of ``soc``, ``reactive_load`` (bus,), p.u. Variables are ``thermal``, ``turbine`` (m3/s),
    ``spill`` (hm3), ``volume`` (hm3), ``deficit`` (p.u.) and those of the network.

    Args:
        case: The system.
        network: ``dc``, ``dc_lossy`` or ``soc``.
        targets: None: none. ``strict``: the volume at the end is the target. ``penalised``: deviations cost.
        penalty: $ per hm3 of deviation from a penalised target; None: ``default_penalty``.
        future: Weights of columns ``future`` >= 0, the cost of later stages, which cuts bound from below; None: none.

    Raises:
        ConfigError: an unknown network, or an unknown kind of targets.
    """
    if network not in CONVEX:
        raise ConfigError(f"network is {network!r}; {', '.join(CONVEX)} or ac is expected.")
    if targets not in TARGETS:
        raise ConfigError(f"targets is {targets!r}; None, 'strict' or 'penalised' is expected.")
    builder = Builder()
    _columns(builder, case)
    {"dc": _dc_columns, "dc_lossy": _lossy_columns, "soc": _soc_columns}[network](builder, case)
    if targets == "penalised":
        cost = default_penalty(case) if penalty is None else penalty
        for side in ("above", "below"):
            builder.column(side, case.plants.names, lower=0, upper=np.inf, cost=cost)
    if future is not None:
        builder.column(
            "future", [f"opening {i + 1}" for i in range(len(future))], lower=0, upper=np.inf, cost=np.asarray(future)
        )
    _hydro_rows(builder, case, targets)
    {"dc": _dc_rows, "dc_lossy": _lossy_rows, "soc": _soc_rows}[network](builder, case)
    reactive = ["reactive_load"] if network == "soc" else []
    return builder.build(["water", *(["target"] if targets else []), "load", *reactive])


def default_penalty(case: HydrothermalCase) -> float:
    """The largest cost coefficient of a stage, that of a deficit as a rule, taken per hm3 of deviation.

    Short stages turn a hm3 into much power, and may need more: see ``exact_penalty`` of ``policies``.
    """
    return max(case.deficit_cost, float(np.abs(case.thermals.cost).max(initial=0)))


def incidence(rows: int, at: Array, values: Array | float = 1.0) -> sp.csr_matrix:
    """Matrix (row, thing) that sums what things have where they are."""
    number = len(at)
    return sp.csr_matrix((np.broadcast_to(values, number), (at, np.arange(number))), shape=(rows, number))


def _pick(chosen: Array, number: int) -> sp.csr_matrix:
    """Matrix (chosen, thing) that picks some of the things."""
    return sp.csr_matrix((np.ones(len(chosen)), (np.arange(len(chosen)), chosen)), shape=(len(chosen), number))


def water_terms(case: HydrothermalCase) -> dict[str, sp.spmatrix]:
    """Coefficients of turbine flow and spill in the water balance."""
    number, factor = len(case.plants.names), case.volume_per_flow

    def arrivals(links: tuple[tuple[int, int], ...]) -> sp.csr_matrix:
        up, down = np.array(links, dtype=int).reshape(-1, 2).T
        return sp.csr_matrix((np.ones(len(links)), (down, up)), shape=(number, number))

    identity = sp.identity(number, format="csr")
    return {
        "turbine": factor * (identity - arrivals(case.plants.turbine_links)),
        "spill": identity - arrivals(case.plants.spill_links),
    }


def admittance(case: HydrothermalCase) -> tuple[Array, Array]:
    """Series conductance g and susceptance b of 1 / (r + jx), (branch,) each."""
    r, x = case.branches.resistance, case.branches.reactance
    square = r**2 + x**2
    return r / square, -x / square


def _columns(builder: Builder, case: HydrothermalCase) -> None:
    plants, thermals = case.plants, case.thermals
    builder.column("thermal", thermals.names, lower=thermals.power_min, upper=thermals.power_max, cost=thermals.cost)
    soft = plants.outflow_violation_cost > 0
    builder.column(
        "turbine",
        plants.names,
        lower=np.where(soft, 0, plants.turbine_min),
        upper=case.turbine_limit,
        cost=plants.cost * plants.production / case.base,
    )
    builder.column("spill", plants.names, lower=0, upper=np.inf, cost=plants.spill_cost)
    loose = plants.volume_violation_cost > 0
    builder.column("volume", plants.names, lower=np.where(loose, 0, plants.volume_min), upper=plants.volume_max)
    builder.column("deficit", case.buses.names, lower=0, upper=np.inf, cost=case.deficit_cost)
    if soft.any():
        names = [n for n, s in zip(plants.names, soft, strict=True) if s]
        builder.column("outflow_short", names, lower=0, upper=np.inf, cost=plants.outflow_violation_cost[soft])
    if loose.any():
        names = [n for n, s in zip(plants.names, loose, strict=True) if s]
        builder.column("volume_short", names, lower=0, upper=np.inf, cost=plants.volume_violation_cost[loose])


def _hydro_rows(builder: Builder, case: HydrothermalCase, targets: str | None) -> None:
    plants = case.plants
    builder.row("water", plants.names, {"volume": 1.0, **water_terms(case)})
    if targets:
        slack = {"below": 1.0, "above": -1.0} if targets == "penalised" else {}
        builder.row("target", plants.names, {"volume": 1.0, **slack})
    for name, whole, limit, cost in (
        ("outflow_short", "turbine", plants.turbine_min, plants.outflow_violation_cost),
        ("volume_short", "volume", plants.volume_min, plants.volume_violation_cost),
    ):
        if name in builder.columns:
            soft = np.flatnonzero(cost > 0)
            pick = _pick(soft, len(limit))
            names = [plants.names[i] for i in soft]
            builder.row(f"smallest {whole}", names, {whole: pick, name: 1.0}, lower=limit[soft], upper=np.inf)


def _injections(case: HydrothermalCase) -> dict[str, sp.spmatrix | float]:
    """Active power into the buses by generation and deficit."""
    number = len(case.buses.names)
    return {
        "thermal": incidence(number, case.thermals.bus),
        "turbine": incidence(number, case.plants.bus, case.plants.production / case.base),
        "deficit": 1.0,
    }


def _ends(case: HydrothermalCase) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Incidence (bus, branch) of the two ends."""
    number = len(case.buses.names)
    return incidence(number, case.branches.start), incidence(number, case.branches.end)


def _susceptance(case: HydrothermalCase) -> Array:
    return -admittance(case)[1] / case.branches.tap


def _dc_columns(builder: Builder, case: HydrothermalCase) -> None:
    branches = case.branches
    slope = _susceptance(case)
    # A limit of the angle is a limit of the flow, and a bound of a column is cheaper than a row.
    ends = slope * (np.stack([branches.angle_min, branches.angle_max]) - branches.shift)
    lower, upper = np.maximum(-branches.rating, ends.min(0)), np.minimum(branches.rating, ends.max(0))
    builder.column("flow", branches.names, lower=lower, upper=upper)
    free = np.full(len(case.buses.names), np.inf)
    free[case.buses.reference] = 0
    builder.column("angle", case.buses.names, lower=-free, upper=free)


def _angle_rows(builder: Builder, case: HydrothermalCase) -> None:
    start, end = _ends(case)
    slope = _susceptance(case)
    difference = sp.diags(slope) @ (start - end).T
    builder.row(
        "flow law", case.branches.names, {"flow": 1.0, "angle": -difference}, lower=-slope * case.branches.shift
    )


def _dc_rows(builder: Builder, case: HydrothermalCase) -> None:
    start, end = _ends(case)
    _angle_rows(builder, case)
    builder.row("load", case.buses.names, {**_injections(case), "flow": end - start}, lower=case.buses.conductance)


def _lossy_columns(builder: Builder, case: HydrothermalCase) -> None:
    _dc_columns(builder, case)
    rating = case.branches.rating
    builder.column("flow_end", case.branches.names, lower=-rating, upper=rating)


def _lossy_rows(builder: Builder, case: HydrothermalCase) -> None:
    start, end = _ends(case)
    _angle_rows(builder, case)
    builder.row(
        "load", case.buses.names, {**_injections(case), "flow": -start, "flow_end": -end}, lower=case.buses.conductance
    )
    loss: dict[str, sp.spmatrix | float] = {"flow": 1.0, "flow_end": 1.0}
    # A negative resistance, as of the middle of a three-winding transformer, has no convex losses: none are taken.
    root = sp.diags(2 * np.sqrt(np.maximum(case.branches.resistance, 0)))
    builder.cone("losses", case.branches.names, [(loss, 1.0), ({"flow": root}, 0.0), (loss, -1.0)])


def _soc_columns(builder: Builder, case: HydrothermalCase) -> None:
    buses, branches, thermals, plants = case.buses, case.branches, case.thermals, case.plants
    for name, group in (("thermal_reactive", thermals), ("hydro_reactive", plants)):
        builder.column(name, group.names, lower=group.reactive_min, upper=group.reactive_max)
    builder.column("voltage_squared", buses.names, lower=buses.voltage_min**2, upper=buses.voltage_max**2)
    for name in ("product_real", "product_imaginary"):
        builder.column(name, branches.names, lower=-np.inf, upper=np.inf)
    for name in ("flow", "reactive_flow", "flow_end", "reactive_flow_end"):
        builder.column(name, branches.names, lower=-np.inf, upper=np.inf)


def _soc_rows(builder: Builder, case: HydrothermalCase) -> None:
    buses, branches = case.buses, case.branches
    start, end = _ends(case)
    names, number = branches.names, len(branches.names)
    for name, squared, real, imaginary in branch_flows(case):
        at = start if not name.endswith("_end") else end
        builder.row(
            f"{name} law",
            names,
            {
                name: 1.0,
                "voltage_squared": -sp.diags(squared) @ at.T,
                "product_real": -sp.diags(real),
                "product_imaginary": -sp.diags(imaginary),
            },
        )
    for side, limit, sign in (("largest", branches.angle_max, 1.0), ("smallest", branches.angle_min, -1.0)):
        # Of the products, a limit is a line through the origin; beyond a right angle it would cut off what it allows.
        limited = np.flatnonzero(np.abs(limit) < np.pi / 2)
        pick = _pick(limited, number)
        terms = {"product_imaginary": sign * pick, "product_real": -sign * sp.diags(np.tan(limit[limited])) @ pick}
        builder.row(f"{side} angle", [names[i] for i in limited], terms, lower=-np.inf, upper=0.0)
    bus = len(buses.names)
    builder.row(
        "load",
        buses.names,
        {
            **_injections(case),
            "flow": -start,
            "flow_end": -end,
            "voltage_squared": -sp.diags(buses.conductance),
        },
    )
    builder.row(
        "reactive_load",
        buses.names,
        {
            "thermal_reactive": incidence(bus, case.thermals.bus),
            "hydro_reactive": incidence(bus, case.plants.bus),
            "reactive_flow": -start,
            "reactive_flow_end": -end,
            "voltage_squared": sp.diags(buses.susceptance),
        },
    )
    both = {"voltage_squared": (start + end).T}
    apart = {"voltage_squared": (start - end).T}
    products = [({"product_real": 2.0}, 0.0), ({"product_imaginary": 2.0}, 0.0)]
    builder.cone("voltage products", names, [(both, 0.0), *products, (apart, 0.0)])
    rated = np.flatnonzero(np.isfinite(branches.rating))
    pick = _pick(rated, number)
    for suffix in ("", "_end"):
        power = [({f"{kind}{suffix}": pick}, 0.0) for kind in ("flow", "reactive_flow")]
        builder.cone(
            f"rating{' at the end' if suffix else ''}",
            [names[i] for i in rated],
            [({}, branches.rating[rated]), *power],
        )


def branch_flows(case: HydrothermalCase) -> list[tuple[str, Array, Array, Array]]:
    """Coefficients of active and reactive power at the two ends of the branches.

    Returns:
        Of each of ``flow``, ``reactive_flow``, ``flow_end``, ``reactive_flow_end``: its name, and what |V|^2 at its own
        end, Re(V_f V_t^*) and Im(V_f V_t^*) are multiplied by, (branch,) each.
    """
    g, b = admittance(case)
    branches = case.branches
    square = branches.tap**2
    real, imaginary = branches.tap * np.cos(branches.shift), branches.tap * np.sin(branches.shift)
    return [
        ("flow", g / square, (-g * real + b * imaginary) / square, (-b * real - g * imaginary) / square),
        (
            "reactive_flow",
            -(b + branches.charging_start) / square,
            (b * real + g * imaginary) / square,
            (-g * real + b * imaginary) / square,
        ),
        ("flow_end", g, (-g * real - b * imaginary) / square, (b * real - g * imaginary) / square),
        (
            "reactive_flow_end",
            -(b + branches.charging_end),
            (b * real - g * imaginary) / square,
            (g * real + b * imaginary) / square,
        ),
    ]
