"""Whether what was simulated is physically possible: balances and limits, recomputed from volumes and voltages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.program import Array
from sciml.dispatch.results import violation_share
from sciml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from xarray import Dataset

TOLERANCE = 1e-6

Quantity = tuple[str, Array, str, Sequence[str], Array | float]  # name, violation, unit, owners, values


@dataclass(frozen=True)
class Check:
    """The largest violation of an equation or limit over all stages and scenarios.

    Attributes:
        name: Of the equation or limit.
        violation: Largest absolute value of the residual, or excess over the limit; 0 if there is none.
        unit: Of the violation.
        where: Place, stage and scenario of the largest.
        scale: Size of the quantity, in the same unit, 1 or more.
    """

    name: str
    violation: float
    unit: str
    where: str
    scale: float

    @property
    def holds(self) -> bool:
        """Whether the violation is below 1e-6 of the scale."""
        return self.violation < TOLERANCE * self.scale


@dataclass(frozen=True)
class Feasibility:
    """What holds, and what does not, in simulated stages; ``print`` shows it as a table.

    Attributes:
        policy, network: Of the results.
        scenarios, stages: Their numbers.
        balances: Equations: water, power at the buses, branches.
        limits: Of volumes, flows, units, branches, voltages.
        deviation: Largest distance of a volume from its target, hm3; None without targets.
        violation_share: Penalties as part of penalties and operating cost.
        deficit_share: Energy not served as part of the load.
        deficit_stages: Part of the stages (of all scenarios) with a deficit above 0.001 % of their load.
        spill: hm3 a scenario, mean.
        statuses: Solves by what the solver said.
        retried: Solves that took more than one attempt.
    """

    policy: str
    network: str
    scenarios: int
    stages: int
    balances: tuple[Check, ...]
    limits: tuple[Check, ...]
    deviation: float | None
    violation_share: float
    deficit_share: float
    deficit_stages: float
    spill: float
    statuses: Mapping[str, int]
    retried: int

    @property
    def holds(self) -> bool:
        """Whether all equations and limits do."""
        return all(check.holds for check in (*self.balances, *self.limits))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "holds": self.holds}

    def __str__(self) -> str:
        width = max(len(check.name) for check in (*self.balances, *self.limits)) + 2
        verdict = "all equations and limits hold" if self.holds else "VIOLATED"
        lines = [
            f"{self.policy}, network {self.network}, {self.scenarios} scenarios of {self.stages} stages: {verdict}",
            f"{'largest violation':<{width}}",
        ]
        for check in (*self.balances, *self.limits):
            mark = f"  at {check.where}" if not check.holds else ""
            lines.append(f"  {check.name:<{width}}{check.violation:9.1e} {check.unit}{mark}")
        statuses = ", ".join(f"{status} {count}" for status, count in self.statuses.items())
        if self.deviation is not None:
            share = f"penalties are {self.violation_share:.2%} of all cost"
            lines.append(f"targets missed by at most {self.deviation:.1e} hm3; {share}")
        lines += [
            f"energy not served {self.deficit_share:.4%}, in {self.deficit_stages:.2%} of the stages",
            f"spill {self.spill:.4g} hm3 a scenario",
            f"solver: {statuses}; {self.retried} took more than one attempt",
        ]
        return "\n".join(lines)


def feasibility(results: Dataset, case: HydrothermalCase) -> Feasibility:
    """Check what ``simulate`` gave against the equations of the case.

    Nothing of the solver's own residuals is used: the water balance is that of volumes and flows, and the power balance
    at every bus that of the powers which voltages (AC), their products (SOC) or angles (DC) drive into the branches.

    Args:
        results: Of ``simulate`` or ``perfect_foresight``, also read back from a file.
        case: The system.

    Raises:
        DataError: the results are of another case.
    """
    plants = list(case.plants.names)
    if results.sizes["plant"] != len(plants) or results.plant.values.tolist() != plants:
        raise DataError(f"results of case {results.attrs.get('case')!r} came with case {case.name!r}; take its own.")
    network = results.attrs["network"]
    x = {str(name): variable.values for name, variable in results.data_vars.items()}
    deficit, demand = x["deficit"].clip(0).sum(-1), x["demand"].sum(-1)[:, None]
    water = ("water balance", np.abs(_water(case, x)), "hm3", plants, x["volume"])
    return Feasibility(
        policy=results.attrs["policy"],
        network=network,
        scenarios=results.sizes["scenario"],
        stages=results.sizes["stage"],
        balances=tuple(_check(*equation) for equation in (water, *_network(case, network, x))),
        limits=tuple(_check(*limit) for limit in _limits(case, network, x)),
        deviation=float(np.abs(x["volume"] - x["target"]).max()) if "target" in x else None,
        violation_share=violation_share(results),
        deficit_share=float(deficit.sum() / (demand.sum() * results.sizes["scenario"])),
        deficit_stages=float((deficit > 1e-5 * demand).mean()),
        spill=float(x["spill"].sum((0, 2)).mean()),
        statuses=dict(Counter(x["status"].ravel().tolist())),
        retried=int((x["attempts"] > 1).sum()),
    )


def _check(name: str, violation: Array, unit: str, owners: Sequence[str], values: Array | float) -> Check:
    scale = max(float(np.max(values, initial=1.0)), 1.0)
    if not violation.size:
        return Check(name, 0.0, unit, "", scale)
    stage, scenario, owner = map(int, np.unravel_index(np.argmax(violation), violation.shape))
    largest = max(0.0, float(violation[stage, scenario, owner]))
    return Check(name, largest, unit, f"{owners[owner]}, stage {stage + 1}, scenario {scenario}", scale)


def _water(case: HydrothermalCase, x: Mapping[str, Array]) -> Array:
    """Residual of what a plant stores, (stage, scenario, plant), hm3."""
    factor = case.volume_per_flow
    before = np.concatenate([x["initial_volume"][None], x["volume"][:-1]])
    residual = x["volume"] - before - factor * (x["inflow"] - x["turbine"]) + x["spill"]
    for up, down in case.plants.turbine_links:
        residual[..., down] -= factor * x["turbine"][..., up]
    for up, down in case.plants.spill_links:
        residual[..., down] -= x["spill"][..., up]
    return residual


def _network(case: HydrothermalCase, network: str, x: Mapping[str, Array]) -> Iterator[Quantity]:
    """Residuals of power at the buses, and of the flows that are variables of the program, p.u."""
    branches, base = case.branches, case.base
    if network in ("dc", "dc_lossy"):
        into, out = _dc_powers(case, network, x)
        square = np.ones_like(x["deficit"])
    elif network in ("soc", "ac"):
        into, out, square = _ac_powers(case, network, x)
    else:
        raise ConfigError(f"results of network {network!r} came; dc, dc_lossy, soc or ac is expected.")
    units, plants, starts, ends = (
        np.eye(len(case.buses.names))[at] for at in (case.thermals.bus, case.plants.bus, branches.start, branches.end)
    )
    injected = (x["deficit"] - x["demand"][:, None] + x["thermal"] @ units + x["hydro"] @ plants) / base + 0j
    reactive = "thermal_reactive" in x
    if reactive:
        power = x["thermal_reactive"] @ units + x["hydro_reactive"] @ plants - x["reactive_demand"][:, None]
        injected += 1j * power / base
    shunts = (case.buses.conductance - 1j * case.buses.susceptance) * square
    residual = injected - shunts - into @ starts - out @ ends
    buses, names = case.buses.names, branches.names
    yield "power balance", np.abs(np.real(residual)), "p.u.", buses, 1.0
    if reactive:
        yield "reactive power balance", np.abs(np.imag(residual)), "p.u.", buses, 1.0
    flows = {
        "flow": np.real(into),
        "reactive_flow": np.imag(into),
        "flow_end": np.real(out),
        "reactive_flow_end": np.imag(out),
    }
    residuals = [np.abs(x[name] / base - flow) for name, flow in flows.items() if name in x]
    yield "branch equations", np.max(residuals, axis=0), "p.u.", names, 1.0


def _dc_powers(case: HydrothermalCase, network: str, x: Mapping[str, Array]) -> tuple[Array, Array]:
    """Power into the branches at start and end, (stage, scenario, branch), p.u., from the angles."""
    branches = case.branches
    difference = x["angle"][..., branches.start] - x["angle"][..., branches.end] - branches.shift
    into = difference * branches.reactance / (branches.resistance**2 + branches.reactance**2) / branches.tap + 0j
    return into, (x["flow_end"] / case.base + 0j if network == "dc_lossy" else -into)


def _ac_powers(case: HydrothermalCase, network: str, x: Mapping[str, Array]) -> tuple[Array, Array, Array]:
    """Complex power into the branches at start and end, and squared voltages, p.u., from voltages or their products.

    With y the admittance, T = tap exp(j shift), W = |V|^2 and P = V_start V_end^*:
    S_start = (y + j b)^* W / |T|^2 - y^* P / T and S_end = (y + j b)^* W - (y P / T)^* at the end.
    """
    branches = case.branches
    start, end = branches.start, branches.end
    if network == "ac":
        voltage = x["voltage"] * np.exp(1j * x["angle"])
        square, product = x["voltage"] ** 2, voltage[..., start] * voltage[..., end].conj()
    else:
        square, product = x["voltage_squared"], x["product_real"] + 1j * x["product_imaginary"]
    y = 1 / (branches.resistance + 1j * branches.reactance)
    turn = branches.tap * np.exp(1j * branches.shift)
    into = (y + 1j * branches.charging_start).conj() * square[..., start] / branches.tap**2 - y.conj() * product / turn
    out = (y + 1j * branches.charging_end).conj() * square[..., end] - y.conj() * (product / turn).conj()
    return into, out, square


def _limits(case: HydrothermalCase, network: str, x: Mapping[str, Array]) -> Iterator[Quantity]:
    """Excess over the limits, (stage, scenario, owner), positive where there is any."""
    plants, thermals, buses, branches, base = case.plants, case.thermals, case.buses, case.branches, case.base

    def between(values: Array, lower: Array | float, upper: Array | float) -> Array:
        return np.maximum(lower - values, values - upper)

    # A minimum that may be missed at a cost is no limit.
    low_volume = np.where(plants.volume_violation_cost > 0, 0, plants.volume_min)
    low_flow = np.where(plants.outflow_violation_cost > 0, 0, plants.turbine_min)
    yield "volume", between(x["volume"], low_volume, plants.volume_max), "hm3", plants.names, x["volume"]
    yield "turbined flow", between(x["turbine"], low_flow, case.turbine_limit), "m3/s", plants.names, x["turbine"]
    yield "spill", -x["spill"], "hm3", plants.names, x["spill"]
    yield (
        "thermal power",
        between(x["thermal"] / base, thermals.power_min, thermals.power_max),
        "p.u.",
        thermals.names,
        1.0,
    )
    yield "deficit", -x["deficit"] / base, "p.u.", buses.names, 1.0
    if network in ("soc", "ac"):
        for name, group in (("thermal_reactive", thermals), ("hydro_reactive", plants)):
            excess = between(x[name] / base, group.reactive_min, group.reactive_max)
            yield name.replace("_", " ") + " power", excess, "p.u.", group.names, 1.0
        voltage = np.sqrt(x["voltage_squared"]) if network == "soc" else x["voltage"]
        yield "voltage", between(voltage, buses.voltage_min, buses.voltage_max), "p.u.", buses.names, 1.0
    into, out = x["flow"] / base, x.get("flow_end", -x["flow"]) / base
    zero = np.zeros_like(into)
    powers = (
        np.hypot(into, x.get("reactive_flow", zero) / base),
        np.hypot(out, x.get("reactive_flow_end", zero) / base),
    )
    yield "branch rating", np.maximum(*powers) - branches.rating, "p.u.", branches.names, 1.0
    if network == "soc":
        difference = np.arctan2(x["product_imaginary"], x["product_real"])
        cone = np.hypot(x["product_real"], x["product_imaginary"]) - np.sqrt(
            x["voltage_squared"][..., branches.start] * x["voltage_squared"][..., branches.end]
        )
        yield "voltage products", cone, "p.u.", branches.names, 1.0
    else:
        difference = x["angle"][..., branches.start] - x["angle"][..., branches.end]
    yield "angle difference", between(difference, branches.angle_min, branches.angle_max), "rad", branches.names, 1.0
    if network == "dc_lossy":
        yield "losses", branches.resistance * into**2 - into - out, "p.u.", branches.names, 1.0
