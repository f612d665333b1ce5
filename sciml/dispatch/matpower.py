"""The network tables of a case: PowerModels JSON, or a MATPOWER file brought into the same shape."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sciml.errors import LayoutError

Table = dict[int, dict[str, Any]]

# Columns of MATPOWER's version 2 matrices that are used; those in MW or MVAr are divided by the base.
_BUS = ("bus_i", "bus_type", "pd", "qd", "gs", "bs", "area", "vm", "va", "base_kv", "zone", "vmax", "vmin")
_GEN = ("gen_bus", "pg", "qg", "qmax", "qmin", "vg", "mbase", "gen_status", "pmax", "pmin")
_BRANCH = (
    *("f_bus", "t_bus", "br_r", "br_x", "br_b", "rate_a", "rate_b", "rate_c", "tap", "shift", "br_status"),
    *("angmin", "angmax"),
)
_PER_UNIT = ("pd", "qd", "gs", "bs", "qmax", "qmin", "pmax", "pmin", "rate_a")


def read_tables(folder: Path) -> tuple[dict[str, Table], dict[str, Any]]:
    """Tables ``bus``, ``gen``, ``branch``, ``load`` and ``shunt`` by index, per unit and radian, and the scalars.

    ``PowerModels.json`` is taken if there is one, else the only ``.m`` file of the folder.

    Raises:
        LayoutError: there is neither, or it cannot be read.
    """
    path = folder / "PowerModels.json"
    if path.is_file():
        return _from_json(path)
    files = sorted(folder.glob("*.m"))
    if len(files) == 1:
        return _from_matpower(files[0])
    raise LayoutError(
        f"{folder} has no PowerModels.json and {len(files)} MATPOWER files (*.m); one of them, the network, is expected."
    )


def _from_json(path: Path) -> tuple[dict[str, Table], dict[str, Any]]:
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise LayoutError(f"{path} is not JSON ({error}). A network as PowerModels.jl writes it is expected.") from error
    tables = {name: _by_index(content.get(name) or {}) for name in ("bus", "gen", "branch", "load", "shunt")}
    return tables, {key: value for key, value in content.items() if not isinstance(value, dict | list)}


def _by_index(table: Mapping[str, dict[str, Any]] | list[dict[str, Any]]) -> Table:
    """A table by index, whether it was written as a dictionary, a list of rows, or a list of (key, row)."""
    if isinstance(table, Mapping):
        pairs = [(int(key), row) for key, row in table.items()]
    else:
        rows = [row if isinstance(row, Mapping) else row[1] for row in table]
        pairs = [(int(row.get("index", i + 1)), row) for i, row in enumerate(rows)]
    return dict(sorted(pairs, key=lambda pair: pair[0]))  # type: ignore[arg-type]


def _from_matpower(path: Path) -> tuple[dict[str, Table], dict[str, Any]]:
    text = re.sub(r"%.*", "", path.read_text())
    base = re.search(r"mpc\.baseMVA\s*=\s*([^;\s]+)", text)
    found = re.findall(r"mpc\.(\w+)\s*=\s*\[(.*?)\]", text, flags=re.S)
    matrices = {name: [row.replace(",", " ").split() for row in re.split(r"[;\n]", body)] for name, body in found}
    missing = [name for name in ("bus", "gen", "branch", "gencost") if name not in matrices]
    if missing or not base:
        what = ", ".join([*missing, *([] if base else ["baseMVA"])])
        raise LayoutError(f"{path} has no mpc.{what}; a MATPOWER case of version 2 is expected.")
    mva = float(base[1])

    def table(name: str, columns: tuple[str, ...]) -> Table:
        rows = [[float(x) for x in row] for row in matrices[name] if row]
        entries = [dict(zip(columns, row, strict=False)) for row in rows]
        scaled = [{k: v / mva if k in _PER_UNIT else v for k, v in entry.items()} for entry in entries]
        return {i + 1: {"index": i + 1, **entry} for i, entry in enumerate(scaled)}

    bus, gen, branch = table("bus", _BUS), table("gen", _GEN), table("branch", _BRANCH)
    for row in branch.values():
        row["b_fr"] = row["b_to"] = row["br_b"] / 2
        row["tap"] = row["tap"] or 1.0
        for key in ("shift", "angmin", "angmax"):
            row[key] = math.radians(row.get(key, 0.0))
    for row, cost in zip(gen.values(), (row for row in matrices["gencost"] if row), strict=False):
        kind, number = int(float(cost[0])), int(float(cost[3]))
        values = [float(x) for x in cost[4 : 4 + number]]
        # $/MW and $/MW^2 become $ per unit.
        row |= {"model": kind, "cost": [c * mva ** (number - 1 - i) for i, c in enumerate(values)]}
    loads = [row for row in bus.values() if row["pd"] or row["qd"]]
    load = {i + 1: {"load_bus": row["bus_i"], "status": 1, "pd": row["pd"], "qd": row["qd"]} for i, row in enumerate(loads)}
    shunts = [row for row in bus.values() if row["gs"] or row["bs"]]
    shunt = {i + 1: {"shunt_bus": row["bus_i"], "status": 1, "gs": row["gs"], "bs": row["bs"]} for i, row in enumerate(shunts)}
    return {"bus": bus, "gen": gen, "branch": branch, "load": load, "shunt": shunt}, {"baseMVA": mva}
