"""Reading a case from the files of HydroPowerModels.jl and DecisionRules.jl."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sciml.dispatch.case import Branches, Buses, HydrothermalCase, Plants, Thermals
from sciml.dispatch.checks import check
from sciml.dispatch.matpower import Table, read_tables
from sciml.errors import DataError, LayoutError

Array = np.ndarray

_TINY = 1e-200  # below: what was left in memory that nobody wrote to
_ANGLE = math.radians(60)  # in place of limits beyond a right angle, as PowerModels does
_FILES = ("PowerModels.json or a MATPOWER .m file", "hydro.json", "inflows.csv")


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
    missing = [name for name in ("hydro.json", "inflows.csv") if not (folder / name).is_file()]
    if missing:
        raise LayoutError(
            f"{folder} {'has no ' + ', '.join(missing) if folder.is_dir() else 'is not a folder'}; a case of "
            f"{', '.join(_FILES)} is expected, and scenarioprobability.csv and demand.csv if there are any. The public "
            "repositories HydroPowerModels.jl (testcases) and DecisionRules.jl (examples/HydroPowerModels) have some."
        )
    tables, scalars = read_tables(folder)
    hydro = json.loads((folder / "hydro.json").read_text())
    rows = hydro["Hydrogenerators"]
    base = float(scalars.get("baseMVA", 100))
    cost = deficit_cost if deficit_cost is not None else scalars.get("cost_deficit")
    if cost is None:
        raise DataError(f"{folder} gives no cost_deficit; pass deficit_cost, $ per MWh that is not served.")

    place = {int(row["bus_i"]): i for i, row in enumerate(tables["bus"].values())}
    generators = {k: row for k, row in tables["gen"].items() if row.get("gen_status", 1)}
    buses, loads = _buses(tables, place, load_scale)
    plants = _plants(rows, generators, place, initial_volume)
    of_plants = {int(row["index_grid"]) for row in rows}
    inflows = _numbers(folder / "inflows.csv")
    if inflows.shape[1] % len(rows):
        raise DataError(
            f"{folder / 'inflows.csv'} has {inflows.shape[1]} columns, which {len(rows)} plants do not divide; columns "
            "are blocks, one a plant in the order of hydro.json, of one column an opening."
        )
    inflows = inflows.reshape(len(inflows), len(rows), -1)
    case = HydrothermalCase(
        name=folder.resolve().name,
        base=base,
        deficit_cost=float(cost) * base,
        stage_hours=float(stage_hours if stage_hours is not None else hydro.get("stage_hours", 1)),
        buses=buses,
        branches=_branches(tables["branch"], place),
        thermals=_thermals({k: row for k, row in generators.items() if k not in of_plants}, place),
        plants=plants,
        inflows=inflows,
        probabilities=_probabilities(folder / "scenarioprobability.csv", inflows),
        demand=_demand(folder / "demand.csv", loads, len(place), load_scale),
    )
    check(case)
    return case


def _buses(tables: Mapping[str, Table], place: Mapping[int, int], scale: float) -> tuple[Buses, list[int]]:
    rows = list(tables["bus"].values())
    load, reactive, conductance, susceptance = np.zeros((4, len(rows)))
    loads = [row for row in tables["load"].values() if row.get("status", 1)]
    for row in loads:
        bus = _bus(place, row["load_bus"], "a load")
        load[bus] += scale * row["pd"]
        reactive[bus] += scale * row["qd"]
    for row in tables["shunt"].values():
        if row.get("status", 1):
            bus = _bus(place, row["shunt_bus"], "a shunt")
            conductance[bus] += row["gs"]
            susceptance[bus] += row["bs"]
    references = [i for i, row in enumerate(rows) if int(row["bus_type"]) == 3]
    if len(references) != 1:
        raise DataError(f"{len(references)} buses are of type 3; one, the reference of all angles, is expected.")
    buses = Buses(
        names=tuple(_name(row, f"bus {int(row['bus_i'])}") for row in rows),
        load=load,
        reactive_load=reactive,
        voltage_min=_column(rows, "vmin"),
        voltage_max=_column(rows, "vmax"),
        conductance=conductance,
        susceptance=susceptance,
        reference=references[0],
    )
    return buses, [place[int(row["load_bus"])] for row in loads]


def _branches(table: Table, place: Mapping[int, int]) -> Branches:
    rows = {k: row for k, row in table.items() if row.get("br_status", 1)}
    ends = {k: (int(row["f_bus"]), int(row["t_bus"])) for k, row in rows.items()}
    entries = list(rows.values())
    return Branches(
        names=tuple(_name(row, f"branch {k}") for k, row in rows.items()),
        start=np.array([_bus(place, ends[k][0], f"branch {k}") for k in rows]),
        end=np.array([_bus(place, ends[k][1], f"branch {k}") for k in rows]),
        resistance=_column(entries, "br_r"),
        reactance=_column(entries, "br_x"),
        charging_start=_column(entries, "b_fr", 0.0),
        charging_end=_column(entries, "b_to", 0.0),
        rating=np.array([float(row.get("rate_a") or math.inf) for row in entries]),
        tap=np.array([float(row.get("tap") or 1.0) for row in entries]),
        shift=_column(entries, "shift", 0.0),
        angle_min=np.array([_angle(row.get("angmin"), -_ANGLE) for row in entries]),
        angle_max=np.array([_angle(row.get("angmax"), _ANGLE) for row in entries]),
    )


def _thermals(units: Table, place: Mapping[int, int]) -> Thermals:
    rows = list(units.values())
    return Thermals(
        names=tuple(_name(row, f"unit {k}") for k, row in units.items()),
        bus=np.array([_bus(place, row["gen_bus"], f"unit {k}") for k, row in units.items()], dtype=int),
        power_min=_column(rows, "pmin"),
        power_max=_column(rows, "pmax"),
        reactive_min=_column(rows, "qmin"),
        reactive_max=_column(rows, "qmax"),
        cost=np.array([_linear_cost(row, _name(row, f"unit {k}")) for k, row in units.items()]),
    )


def _plants(
    rows: Sequence[dict[str, Any]], generators: Table, place: Mapping[int, int], volume: Sequence[float] | float | None
) -> Plants:
    names = tuple(_name(row, f"plant {row['index']}") for row in rows)
    position = {int(row["index"]): i for i, row in enumerate(rows)}
    units = []
    for name, row in zip(names, rows, strict=True):
        if int(row["index_grid"]) not in generators:
            raise DataError(f"plant {name} feeds generator {row['index_grid']}, which the network does not have.")
        units.append(generators[int(row["index_grid"])])

    def links(key: str) -> tuple[tuple[int, int], ...]:
        found = []
        for i, row in enumerate(rows):
            for downstream in row.get(key) or []:
                if int(downstream) not in position:
                    raise DataError(
                        f"{key} of plant {names[i]} names plant {downstream}, which hydro.json does not have; its plants "
                        f"have the indices {', '.join(map(str, position))}."
                    )
                found.append((i, position[int(downstream)]))
        return tuple(found)

    start = _column(rows, "initial_volume", 0.0)
    return Plants(
        names=names,
        bus=np.array([_bus(place, unit["gen_bus"], f"plant {n}") for n, unit in zip(names, units, strict=True)]),
        power_max=_column(units, "pmax"),
        reactive_min=_column(units, "qmin"),
        reactive_max=_column(units, "qmax"),
        cost=np.array([_linear_cost(unit, name) for name, unit in zip(names, units, strict=True)]),
        volume_min=_column(rows, "min_volume", 0.0),
        volume_max=_column(rows, "max_volume"),
        initial_volume=start if volume is None else np.broadcast_to(np.asarray(volume, dtype=float), start.shape).copy(),
        turbine_min=_column(rows, "min_turn", 0.0),
        turbine_max=_column(rows, "max_turn"),
        production=_column(rows, "production_factor"),
        spill_cost=_column(rows, "spill_cost", 0.0),
        outflow_violation_cost=_column(rows, "minimal_outflow_violation_cost", 0.0),
        volume_violation_cost=_column(rows, "minimal_volume_violation_cost", 0.0),
        turbine_links=links("downstream_turn"),
        spill_links=links("downstream_spill"),
    )


def _probabilities(path: Path, inflows: Array) -> Array:
    number, _, openings = inflows.shape
    if not path.is_file():
        return np.full((number, openings), 1 / openings)
    found = _numbers(path)
    if found.shape[1] != openings or len(found) < number:
        raise DataError(
            f"{path} has {len(found)} rows and {found.shape[1]} columns; {number} rows, one a row of inflows.csv, of "
            f"{openings} probabilities, one an opening, are expected."
        )
    return found[:number]


def _demand(path: Path, loads: Sequence[int], buses: int, scale: float) -> Array | None:
    """Active load by stage and bus, from a file with one column a load or one a bus."""
    if not path.is_file():
        return None
    found = scale * _numbers(path)
    if found.shape[1] == len(loads):
        demand = np.zeros((len(found), buses))
        np.add.at(demand, (slice(None), np.asarray(loads)), found)
        return demand
    if found.shape[1] == buses:
        return found
    raise DataError(
        f"{path} has {found.shape[1]} columns; one a load ({len(loads)}) or one a bus ({buses}) is expected, in p.u."
    )


def _numbers(path: Path) -> Array:
    """The numbers of a CSV file without header, (row, column)."""
    with path.open(newline="") as file:
        rows = [[cell for cell in row if cell.strip()] for row in csv.reader(file)]
    rows = [row for row in rows if row]
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        raise LayoutError(f"{path} has rows of {', '.join(map(str, sorted(widths))) or 'no'} columns; a table is expected.")
    try:
        return np.array([[float(cell) for cell in row] for row in rows])
    except ValueError as error:
        raise LayoutError(f"{path}: {error}. Numbers without a header are expected.") from error


def _column(rows: Sequence[Mapping[str, Any]], key: str, default: float | None = None) -> Array:
    if default is None and any(key not in row for row in rows):
        raise LayoutError(f"an entry has no {key!r}; its keys are {', '.join(next(r for r in rows if key not in r))}.")
    return np.array([_clean(row.get(key, default)) for row in rows], dtype=float)


def _clean(value: Any) -> float:
    value = float(value)
    return 0.0 if abs(value) < _TINY else value


def _name(row: Mapping[str, Any], otherwise: str) -> str:
    return str(row.get("name") or "").strip() or otherwise


def _bus(place: Mapping[int, int], number: Any, whose: str) -> int:
    if int(number) not in place:
        raise DataError(f"{whose} is at bus {int(number)}, which the network does not have.")
    return place[int(number)]


def _angle(value: float | None, otherwise: float) -> float:
    return otherwise if value is None or abs(value) >= math.pi / 2 or value == 0 else float(value)


def _linear_cost(row: Mapping[str, Any], name: str) -> float:
    """The linear coefficient, $ per p.u., of coefficients from the highest power to the constant."""
    if int(row.get("model", 2)) != 2:
        raise DataError(f"the cost of {name} is piecewise linear (model 1); a linear one (model 2) is expected.")
    coefficients = [float(c) for c in row.get("cost") or []]
    if any(coefficients[:-2]):
        raise DataError(
            f"the cost of {name} is not linear (coefficients {coefficients}); write it as several units of rising cost."
        )
    return coefficients[-2] if len(coefficients) >= 2 else 0.0
