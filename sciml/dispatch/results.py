"""What was simulated, as an xarray Dataset whose variables have names and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.network import branch_flows
from sciml.dispatch.program import Array
from sciml.version import __version__

if TYPE_CHECKING:
    from xarray import Dataset

# Variables of a program: dimension, unit, description. Powers are per unit in programs, and MW or Mvar here.
QUANTITIES = {
    "thermal": ("unit", "MW", "generation of thermal units"),
    "turbine": ("plant", "m3/s", "turbined flow"),
    "spill": ("plant", "hm3", "spilled water"),
    "volume": ("plant", "hm3", "stored water at the end of the stage"),
    "deficit": ("bus", "MW", "load that is not served"),
    "thermal_reactive": ("unit", "Mvar", "reactive power of thermal units"),
    "hydro_reactive": ("plant", "Mvar", "reactive power of hydro plants"),
    "angle": ("bus", "rad", "voltage angle"),
    "voltage": ("bus", "p.u.", "voltage magnitude"),
    "voltage_squared": ("bus", "p.u.", "square of the voltage magnitude"),
    "product_real": ("branch", "p.u.", "real part of V_start V_end^*"),
    "product_imaginary": ("branch", "p.u.", "imaginary part of V_start V_end^*"),
    "flow": ("branch", "MW", "power into the branch at its start"),
    "flow_end": ("branch", "MW", "power into the branch at its end"),
    "reactive_flow": ("branch", "Mvar", "reactive power into the branch at its start"),
    "reactive_flow_end": ("branch", "Mvar", "reactive power into the branch at its end"),
}


def to_dataset(
    case: HydrothermalCase,
    *,
    name: str,
    network: str,
    inflows: Array,
    initial_volume: Array,
    variables: Mapping[str, Array],
    multipliers: Mapping[str, Array],
    statuses: Array,
    attempts: Array,
    target: Array | None = None,
    penalty: float = 0.0,
) -> Dataset:
    r"""Put the solutions of all stages together.

    Args:
        case: The system.
        name: Of the policy.
        network: That it was judged in.
        inflows: m3/s, (scenario, stage, plant).
        initial_volume: hm3, (scenario, plant).
        variables: Of the programs, by name, (stage, scenario, n).
        multipliers: dQ/dp of the blocks of parameters, (stage, scenario, n).
        statuses: (stage, scenario), what solvers said.
        attempts: (stage, scenario), how many solves it took.
        target: hm3, (stage, scenario, plant).
        penalty: $ per hm3 of deviation from targets.

    Returns:
        See ``simulate``.
    """
    import xarray as xr

    variables = {**variables, **(_ac_flows(case, variables) if network == "ac" else {})}
    content: dict[str, Any] = {}

    def put(key: str, values: Array, dims: Sequence[str], unit: str, text: str) -> None:
        content[key] = ((*dims,), values, {"units": unit, "long_name": text})

    over = ("stage", "scenario")
    for key, (dimension, unit, text) in QUANTITIES.items():
        if key in variables:
            scale = case.base if unit in ("MW", "Mvar") else 1.0
            put(key, scale * variables[key], (*over, dimension), unit, text)
    hydro = case.plants.production * variables["turbine"]
    put("hydro", hydro, (*over, "plant"), "MW", "generation of hydro plants")
    put("inflow", inflows.swapaxes(0, 1), (*over, "plant"), "m3/s", "natural inflow")
    put("initial_volume", initial_volume, ("scenario", "plant"), "hm3", "stored water before the first stage")
    active, reactive = (np.array(loads) for loads in zip(*(case.load(t) for t in range(inflows.shape[1])), strict=True))
    put("demand", case.base * active, ("stage", "bus"), "MW", "load")
    put("reactive_demand", case.base * reactive, ("stage", "bus"), "Mvar", "reactive load")
    put("cost", operating_cost(case, variables), over, "$", "operating cost, without penalties and future cost")
    deviation = np.zeros_like(variables["volume"]) if target is None else variables["volume"] - target
    if target is not None:
        put("target", target, (*over, "plant"), "hm3", "target for the stored water at the end of the stage")
    put("penalty", penalty * np.abs(deviation).sum(-1), over, "$", "penalty of missed targets")
    worth = "what one hm3 more would save in the stage" + ("" if target is None else " that ends at its targets")
    put("water_value", -multipliers["water"], (*over, "plant"), "$/hm3", worth)
    put("price", multipliers["load"] / case.base, (*over, "bus"), "$/MWh", "marginal cost of load")
    put("status", statuses, over, "", "what the solver said")
    put("attempts", attempts, over, "1", "solves that it took")
    limits = {
        "volume_min": ("plant", case.plants.volume_min, "hm3"),
        "volume_max": ("plant", case.plants.volume_max, "hm3"),
        "thermal_cost": ("unit", case.thermals.cost / case.base, "$/MWh"),
    }
    stages, scenarios = statuses.shape
    return xr.Dataset(
        content,
        coords={
            "stage": ("stage", np.arange(1, stages + 1), {"long_name": f"stage of {case.stage_hours:g} h"}),
            "scenario": np.arange(scenarios),
            "plant": list(case.plants.names),
            "unit": list(case.thermals.names),
            "bus": list(case.buses.names),
            "branch": list(case.branches.names),
            **{key: (dimension, values, {"units": unit}) for key, (dimension, values, unit) in limits.items()},
        },
        attrs={
            "title": f"{name} on {case.name}, network {network}",
            "policy": name,
            "case": case.name,
            "network": network,
            "base_mva": case.base,
            "stage_hours": case.stage_hours,
            "penalty_per_hm3": penalty,
            "deficit_cost": case.deficit_cost / case.base,
            "source": f"sciml {__version__}",
        },
    )


def operating_cost(case: HydrothermalCase, variables: Mapping[str, Array]) -> Array:
    """Cost of a stage from what is done in it, $, without penalties and future cost.

    Args:
        case: The system.
        variables: As in programs, (..., n) each.

    Returns:
        Shape (...).
    """
    plants = case.plants
    turbine, volume = variables["turbine"], variables["volume"]
    return (
        variables["thermal"] @ case.thermals.cost
        + turbine @ (plants.cost * plants.production / case.base)
        + variables["spill"] @ plants.spill_cost
        + case.deficit_cost * variables["deficit"].sum(-1)
        + np.maximum(plants.turbine_min - turbine, 0) @ plants.outflow_violation_cost
        + np.maximum(plants.volume_min - volume, 0) @ plants.volume_violation_cost
    )


def violation_share(results: Dataset) -> float:
    """Penalty of missed targets as part of penalty and operating cost; above 0.05 a cost is not to be trusted."""
    penalty, cost = float(results.penalty.sum()), float(results.cost.sum())
    return penalty / (penalty + cost) if penalty else 0.0


def _ac_flows(case: HydrothermalCase, variables: Mapping[str, Array]) -> dict[str, Array]:
    """Power into the branches, p.u., from the voltages of an AC solution."""
    voltage, angle = variables["voltage"], variables["angle"]
    start, end = case.branches.start, case.branches.end
    difference = angle[..., start] - angle[..., end]
    product = voltage[..., start] * voltage[..., end]
    real, imaginary = product * np.cos(difference), product * np.sin(difference)
    square = {"": voltage[..., start] ** 2, "_end": voltage[..., end] ** 2}
    return {
        name: squared * square["_end" if name.endswith("_end") else ""] + of_real * real + of_imaginary * imaginary
        for name, squared, of_real, of_imaginary in branch_flows(case)
    }
