"""The network tables of a case: PowerModels JSON, or a MATPOWER file brought into the same shape."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sciml.errors import DataError, LayoutError

Table = dict[int, dict[str, Any]]

# Columns of MATPOWER's version 2 matrices that are used; those in MW or MVAr are divided by the base.
_BUS = ("bus_i", "bus_type", "pd", "qd", "gs", "bs", "area", "vm", "va", "base_kv", "zone", "vmax", "vmin")
_GEN = ("gen_bus", "pg", "qg", "qmax", "qmin", "vg", "mbase", "gen_status", "pmax", "pmin")
_BRANCH = ("f_bus", "t_bus", "br_r", "br_x", "br_b", "rate_a", "rate_b", "rate_c", "tap", "shift", "br_status")
_ANGLES = ("angmin", "angmax")  # which older files leave out
_PER_UNIT = ("pd", "qd", "gs", "bs", "qmax", "qmin", "pmax", "pmin", "rate_a")
_POLYNOMIAL = 2  # kind of a cost

_TABLES = ("bus", "gen", "branch", "load", "shunt")
# Tables of PowerModels that a case has no place for.
_FOREIGN = ("dcline", "storage", "switch")


def network_files(folder: Path) -> list[Path]:
    """What a network may be read from: PowerModels.json, else the MATPOWER files of the folder."""
    path = folder / "PowerModels.json"
    return [path] if path.is_file() else sorted(folder.glob("*.m"))


def read_tables(path: Path) -> tuple[dict[str, Table], dict[str, Any]]:
    """Tables ``bus``, ``gen``, ``branch``, ``load`` and ``shunt`` by index, per unit and radian, and the scalars.

    Args:
        path: JSON as PowerModels.jl writes it, or a MATPOWER case of version 2 (``.m``).

    Raises:
        LayoutError: the file is none of the two.
        DataError: it has what a case has no place for, such as direct-current lines.
    """
    return _from_matpower(path) if path.suffix == ".m" else _from_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        LayoutError: there is none.
    """
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise LayoutError(
            f"{path} is not JSON ({error}). Take the file as it was published, or write it again."
        ) from error
    if not isinstance(content, dict):
        raise LayoutError(f"{path} holds a {type(content).__name__}; an object with named entries is expected.")
    return content


def _from_json(path: Path) -> tuple[dict[str, Table], dict[str, Any]]:
    content = read_json(path)
    if content.get("per_unit") is False:
        raise LayoutError(f"{path} is in mixed units; write it per unit (PowerModels.make_per_unit!).")
    for name in _FOREIGN:
        if content.get(name):
            raise DataError(
                f"{path} has {len(content[name])} entries in {name!r}, which a hydrothermal case has no place for. "
                "Take them out, or put branches, units and loads in their place."
            )
    tables = {
        name: _by_index(path, name, content.get(name) or {}) for name in ("bus", "gen", "branch", "load", "shunt")
    }
    return tables, {key: value for key, value in content.items() if not isinstance(value, dict | list)}


def _by_index(path: Path, name: str, table: Any) -> Table:
    """A table by index, whether it was written as a dictionary, a list of rows, or a list of (key, row)."""
    try:
        if isinstance(table, Mapping):
            pairs = [(int(key), dict(row)) for key, row in table.items()]
        else:
            rows = [dict(row if isinstance(row, Mapping) else row[1]) for row in table]
            pairs = [(int(row.get("index", i + 1)), row) for i, row in enumerate(rows)]
    except (TypeError, ValueError, IndexError) as error:
        raise LayoutError(
            f"the table {name!r} of {path} cannot be read ({error}); entries by their numbers, or a list of entries, "
            "are expected."
        ) from error
    return dict(sorted(pairs, key=lambda pair: pair[0]))


def _from_matpower(path: Path) -> tuple[dict[str, Table], dict[str, Any]]:
    text = re.sub(r"\.\.\.[^\n]*\n", " ", re.sub(r"%.*", "", path.read_text()))
    found = dict(re.findall(r"mpc\.(\w+)\s*=\s*\[(.*?)\]", text, flags=re.S))
    scalars = {key: float(value) for key, value in re.findall(r"mpc\.(\w+)\s*=\s*([-+.\deE]+)\s*[;\n]", text)}
    missing = [name for name in ("bus", "gen", "branch", "gencost") if name not in found]
    missing += [] if "baseMVA" in scalars else ["baseMVA"]
    if missing:
        raise LayoutError(
            f"{path} has no {', '.join(f'mpc.{m}' for m in missing)}; a MATPOWER case of version 2 is expected."
        )
    base = scalars["baseMVA"]
    rows = {name: _matrix(path, name, found[name]) for name in ("bus", "gen", "branch", "gencost")}

    def table(name: str, columns: tuple[str, ...], optional: tuple[str, ...] = ()) -> Table:
        entries = {}
        for i, row in enumerate(rows[name], 1):
            if len(row) < len(columns):
                raise LayoutError(
                    f"row {i} of mpc.{name} in {path} has {len(row)} columns; at least {len(columns)} are expected."
                )
            entry = dict(zip((*columns, *optional), row, strict=False))
            entries[i] = {"index": i} | {k: v / base if k in _PER_UNIT else v for k, v in entry.items()}
        return entries

    bus, gen, branch = table("bus", _BUS), table("gen", _GEN), table("branch", _BRANCH, _ANGLES)
    for row in branch.values():
        row["b_fr"] = row["b_to"] = row["br_b"] / 2
        for key in ("shift", *_ANGLES):
            row[key] = math.radians(row.get(key, 0.0))
    # Costs of reactive power may follow those of active power.
    if len(rows["gencost"]) < len(gen):
        raise LayoutError(
            f"mpc.gencost in {path} has {len(rows['gencost'])} rows; one a unit, {len(gen)}, is expected."
        )
    for row, cost in zip(gen.values(), rows["gencost"], strict=False):
        row |= {"model": int(cost[0]), "cost": _per_unit_cost(cost, base)}
    return {"bus": bus, "gen": gen, "branch": branch, **_loads_and_shunts(bus)}, scalars


def _matrix(path: Path, name: str, body: str) -> list[list[float]]:
    rows = [row.replace(",", " ").split() for row in re.split(r"[;\n]", body)]
    try:
        return [[float(x) for x in row] for row in rows if row]
    except ValueError as error:
        raise LayoutError(f"mpc.{name} in {path}: {error}. Numbers are expected.") from error


def _per_unit_cost(row: list[float], base: float) -> list[float]:
    """Coefficients for $ per unit from those for $ per MW, highest power first; a piecewise cost as it is."""
    number = int(row[3])
    if int(row[0]) != _POLYNOMIAL:
        return row[4:]
    return [value * base ** (number - 1 - i) for i, value in enumerate(row[4 : 4 + number])]


def _loads_and_shunts(bus: Table) -> dict[str, Table]:
    """What MATPOWER writes with the buses, as tables of their own."""
    tables = {}
    for name, active, reactive in (("load", "pd", "qd"), ("shunt", "gs", "bs")):
        rows = [row for row in bus.values() if row[active] or row[reactive]]
        tables[name] = {
            i: {f"{name}_bus": row["bus_i"], active: row[active], reactive: row[reactive]}
            for i, row in enumerate(rows, 1)
        }
    return tables
