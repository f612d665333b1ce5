"""Reading a case from the files of HydroPowerModels.jl and DecisionRules.jl."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sciml.dispatch.case import Branches, Buses, HydrothermalCase, Plants, Thermals
from sciml.dispatch.checks import check, volumes_of
from sciml.dispatch.csv_tables import clean, read_demand, read_inflows, read_probabilities
from sciml.dispatch.matpower import Table, network_files, read_json, read_tables
from sciml.errors import DataError, LayoutError

Array = np.ndarray
Row = Mapping[str, Any]

_ANGLE = math.radians(60)  # in place of no limit, or of one beyond a right angle, as PowerModels does
_REFERENCE = 3  # type of a bus
_EXPECTED = (
    "A case is a folder with PowerModels.json or one MATPOWER file (*.m), hydro.json and inflows.csv, and perhaps "
    "scenarioprobability.csv and demand.csv. The public repositories HydroPowerModels.jl (testcases) and "
    "DecisionRules.jl (examples/HydroPowerModels) have some."
)


def read_case(
    folder: str | Path,
    *,
    stage_hours: float | None = None,
    load_scale: float = 1.0,
    initial_volume: Sequence[float] | float | None = None,
    deficit_cost: float | None = None,
) -> HydrothermalCase:
    """Read and check a case; see ``HydrothermalCase.read``."""
    folder = Path(folder)
    network = _find_files(folder)
    tables, scalars = read_tables(network)
    hydro = read_json(folder / "hydro.json")
    rows = hydro.get("Hydrogenerators")
    if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
        raise LayoutError(f'{folder / "hydro.json"} has no list of plants, "Hydrogenerators". {_EXPECTED}')
    base = _number(scalars, "baseMVA", str(network), 100.0)
    if deficit_cost is None and "cost_deficit" not in scalars:
        raise DataError(f"{network} has no cost_deficit; pass deficit_cost=, $ per MWh that is not served.")
    deficit = _number(scalars, "cost_deficit", str(network)) if deficit_cost is None else deficit_cost

    place = {_whole(row, "bus_i", f"bus {k}"): i for i, (k, row) in enumerate(tables["bus"].items())}
    buses, loads = _buses(tables, place, load_scale)
    generators = _in_service(tables["gen"], "gen_status")
    plants = _plants(rows, generators, place, initial_volume)
    hydro_units = {_whole(row, "index_grid", name) for name, row in zip(plants.names, rows, strict=True)}
    inflows = read_inflows(folder / "inflows.csv", len(rows))
    demand = read_demand(folder / "demand.csv", loads, len(place))
    case = HydrothermalCase(
        name=folder.resolve().name,
        base=base,
        deficit_cost=float(deficit) * base,
        stage_hours=_number(hydro, "stage_hours", "hydro.json", 1.0) if stage_hours is None else float(stage_hours),
        buses=buses,
        branches=_branches(tables["branch"], place),
        thermals=_thermals({k: row for k, row in generators.items() if k not in hydro_units}, place),
        plants=plants,
        inflows=inflows,
        probabilities=read_probabilities(folder / "scenarioprobability.csv", len(inflows), inflows.shape[2]),
        demand=None if demand is None else load_scale * demand,
    )
    check(case)
    return case


def _find_files(folder: Path) -> Path:
    """The network's file; an error that names all that is missing."""
    if not folder.is_dir():
        raise LayoutError(f"{folder} is not a folder. {_EXPECTED}")
    networks = network_files(folder)
    missing = [name for name in ("hydro.json", "inflows.csv") if not (folder / name).is_file()]
    missing += [] if networks else ["network"]
    if missing:
        raise LayoutError(f"{folder} has no {', no '.join(missing)}. {_EXPECTED}")
    if len(networks) > 1:
        names = ", ".join(path.name for path in networks)
        raise LayoutError(f"{folder} has several networks: {names}. Keep one of them, or add PowerModels.json.")
    return networks[0]


def _buses(tables: Mapping[str, Table], place: Mapping[int, int], scale: float) -> tuple[Buses, list[int]]:
    rows = tables["bus"]
    load, reactive, conductance, susceptance = np.zeros((4, len(rows)))
    loads = {k: _bus(place, row, "load_bus", f"load {k}") for k, row in _in_service(tables["load"], "status").items()}
    for k, bus in loads.items():
        load[bus] += scale * _number(tables["load"][k], "pd", f"load {k}")
        reactive[bus] += scale * _number(tables["load"][k], "qd", f"load {k}")
    for k, row in _in_service(tables["shunt"], "status").items():
        bus = _bus(place, row, "shunt_bus", f"shunt {k}")
        conductance[bus] += _number(row, "gs", f"shunt {k}")
        susceptance[bus] += _number(row, "bs", f"shunt {k}")
    names = [_name(row, f"bus {number}") for number, row in zip(place, rows.values(), strict=True)]
    references = [i for i, row in enumerate(rows.values()) if _whole(row, "bus_type", names[i]) == _REFERENCE]
    if len(references) != 1:
        which = f" ({', '.join(names[i] for i in references)})" if references else ""
        raise DataError(
            f"{len(references)} buses{which} are of type 3, the reference of all angles; one is expected. Set bus_type "
            "of one bus to 3 and of the others to 1 or 2; islands are cases of their own."
        )
    buses = Buses(
        names=tuple(names),
        load=load,
        reactive_load=reactive,
        voltage_min=_column(rows.values(), "vmin", names),
        voltage_max=_column(rows.values(), "vmax", names),
        conductance=conductance,
        susceptance=susceptance,
        reference=references[0],
    )
    return buses, list(loads.values())


def _branches(table: Table, place: Mapping[int, int]) -> Branches:
    rows = _in_service(table, "br_status")
    names = [_name(row, f"branch {k}") for k, row in rows.items()]

    def column(key: str, default: float | None = None) -> Array:
        return _column(rows.values(), key, names, default)

    for key in ("g_fr", "g_to"):
        for name, value in zip(names, column(key, 0.0), strict=True):
            if value:
                raise DataError(f"{name} has a conductance to ground, {key}={value:g}; write it as a shunt of its bus.")
    # A rating or a tap of 0 is one that is not given.
    rating, tap = column("rate_a", 0.0), column("tap", 0.0)
    low, high = column("angmin", 0.0), column("angmax", 0.0)
    free = (low == 0) & (high == 0)
    return Branches(
        names=tuple(names),
        start=_places(rows.values(), "f_bus", names, place),
        end=_places(rows.values(), "t_bus", names, place),
        resistance=column("br_r"),
        reactance=column("br_x"),
        charging_start=column("b_fr", 0.0),
        charging_end=column("b_to", 0.0),
        rating=np.where(rating == 0, np.inf, rating),
        tap=np.where(tap == 0, 1.0, tap),
        shift=column("shift", 0.0),
        angle_min=np.where(free | (low <= -math.pi / 2), -_ANGLE, low),
        angle_max=np.where(free | (high >= math.pi / 2), _ANGLE, high),
    )


def _thermals(units: Table, place: Mapping[int, int]) -> Thermals:
    rows = units.values()
    names = [_name(row, f"unit {k}") for k, row in units.items()]
    return Thermals(
        names=tuple(names),
        bus=_places(rows, "gen_bus", names, place),
        power_min=_column(rows, "pmin", names, 0.0),
        power_max=_column(rows, "pmax", names),
        reactive_min=_column(rows, "qmin", names),
        reactive_max=_column(rows, "qmax", names),
        cost=np.array([_linear_cost(row, name) for row, name in zip(rows, names, strict=True)]),
    )


def _plants(
    rows: Sequence[Row], generators: Table, place: Mapping[int, int], volume: Sequence[float] | float | None
) -> Plants:
    numbers = [_whole(row, "index", f"entry {i} of hydro.json") for i, row in enumerate(rows, 1)]
    names = [_name(row, f"plant {number}") for row, number in zip(rows, numbers, strict=True)]
    units: dict[int, Row] = {}
    for name, row in zip(names, rows, strict=True):
        unit = _whole(row, "index_grid", name)
        if unit not in generators:
            raise DataError(
                f"{name} feeds generator {unit}, which the network does not have in service; see its index_grid."
            )
        if unit in units:
            raise DataError(f"{name} feeds generator {unit}, as another plant does; one generator a plant is expected.")
        units[unit] = generators[unit]
    if len(set(numbers)) < len(numbers):
        raise DataError(f"hydro.json gives plants the same index: {', '.join(map(str, numbers))} came.")

    def links(key: str) -> tuple[tuple[int, int], ...]:
        found = []
        for i, row in enumerate(rows):
            for downstream in row.get(key) or []:
                if downstream not in numbers:
                    raise DataError(
                        f"{key} of {names[i]} names plant {downstream}, which hydro.json does not have; its plants "
                        f"have the indices {', '.join(map(str, numbers))}."
                    )
                found.append((i, numbers.index(downstream)))
        return tuple(found)

    def column(key: str, default: float | None = None) -> Array:
        return _column(rows, key, names, default)

    generator = {key: _column(units.values(), key, names) for key in ("pmax", "qmin", "qmax")}
    return Plants(
        names=tuple(names),
        bus=_places(units.values(), "gen_bus", names, place),
        power_max=generator["pmax"],
        reactive_min=generator["qmin"],
        reactive_max=generator["qmax"],
        cost=np.array([_linear_cost(unit, name) for unit, name in zip(units.values(), names, strict=True)]),
        volume_min=column("min_volume", 0.0),
        volume_max=column("max_volume"),
        initial_volume=volumes_of(volume, column("initial_volume", 0.0)),
        turbine_min=column("min_turn", 0.0),
        turbine_max=column("max_turn"),
        production=column("production_factor"),
        spill_cost=column("spill_cost", 0.0),
        outflow_violation_cost=column("minimal_outflow_violation_cost", 0.0),
        volume_violation_cost=column("minimal_volume_violation_cost", 0.0),
        turbine_links=links("downstream_turn"),
        spill_links=links("downstream_spill"),
    )


def _linear_cost(row: Row, name: str) -> float:
    """The linear coefficient, $ per p.u., of coefficients from the highest power to the constant."""
    if int(row.get("model") or 2) != 2:
        raise DataError(f"the cost of {name} is piecewise linear (model 1); write it as several units of rising cost.")
    coefficients = [clean(float(c)) for c in row.get("cost") or []]
    if any(coefficients[:-2]):
        raise DataError(
            f"the cost of {name} is not linear (coefficients {coefficients}); write it as several units of rising cost."
        )
    return coefficients[-2] if len(coefficients) >= 2 else 0.0


def _in_service(table: Table, key: str) -> Table:
    return {k: row for k, row in table.items() if row.get(key, 1)}


def _name(row: Row, otherwise: str) -> str:
    return str(row.get("name") or "").strip() or otherwise


def _column(rows: Iterable[Row], key: str, names: Sequence[str], default: float | None = None) -> Array:
    return np.array([_number(row, key, name, default) for row, name in zip(rows, names, strict=True)], dtype=float)


def _places(rows: Iterable[Row], key: str, names: Sequence[str], place: Mapping[int, int]) -> Array:
    return np.array([_bus(place, row, key, name) for row, name in zip(rows, names, strict=True)], dtype=int)


def _number(row: Row, key: str, whose: str, default: float | None = None) -> float:
    value = row.get(key, default)
    if value is None:
        raise LayoutError(f"{whose} has no {key!r}; it has {', '.join(row)}.")
    try:
        return clean(float(value))
    except (TypeError, ValueError):
        raise LayoutError(f"{key} of {whose} is {value!r}; a number is expected.") from None


def _whole(row: Row, key: str, whose: str) -> int:
    return int(_number(row, key, whose))


def _bus(place: Mapping[int, int], row: Row, key: str, whose: str) -> int:
    number = _whole(row, key, whose)
    if number not in place:
        raise DataError(f"{whose} is at bus {number} ({key}), which the network does not have.")
    return place[number]
