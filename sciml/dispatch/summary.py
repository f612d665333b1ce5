"""A case at a glance: what there is of load, power and water, and how far apart its coefficients are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized

import numpy as np

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.network import stage_form

Array = np.ndarray

_WEEK = 168.0  # h
_ARROWS = {"-t>": "(-t>: turbined water only)", "-s>": "(-s>: spilled water only)"}
_WIDE = 1e8  # ratio of coefficients from which on solvers lose digits


def summary(case: HydrothermalCase) -> str:
    """A plain text table of a case; see ``HydrothermalCase.summary``."""
    return "\n\n".join((_overview(case), _plants(case), _thermals(case), _coefficients(case))) + "\n"


def _overview(case: HydrothermalCase) -> str:
    thermals, plants = case.thermals, case.plants
    demand = case.base * (case.buses.load[None] if case.demand is None else case.demand).sum(1)
    hydro = case.turbine_limit * plants.production
    cost = thermals.cost / case.base
    rows = np.einsum("rpo,ro->r", case.inflows, case.probabilities)
    size = f"{_count(case.buses.names, 'bus', 'buses')}, {_count(case.branches.names, 'branch', 'branches')}"
    prices = f", {_span(cost)} $/MWh" if len(cost) else ""
    mean = f", mean {demand.mean():.1f} MW" if np.ptp(demand) else ""
    openings = f"{_count(rows, 'row')} of {_count(case.inflows[0, 0], 'opening')}"
    extremes = f"driest row {rows.argmin() + 1}, wettest row {rows.argmax() + 1}"
    lines = [
        ("case", f"{case.name}: {size}, stages of {case.stage_hours:g} h, base {case.base:g} MVA"),
        ("demand", f"{_span(demand)} MW{mean}"),
        ("thermal", f"{case.base * thermals.power_max.sum():.1f} MW in {_count(thermals.names, 'unit')}{prices}"),
        ("hydro", f"{hydro.sum():.1f} MW in {_count(plants.names, 'plant')}"),
        ("deficit", f"{case.deficit_cost / case.base:g} $/MWh"),
        ("storage", f"{plants.volume_max.sum():.2f} hm3, at the start {plants.initial_volume.sum():.2f} hm3"),
        ("inflow", f"mean {rows.mean():.1f} m3/s; {openings}, {extremes}"),
        *(("cascade" if i == 0 else "", path) for i, path in enumerate(_cascade(case))),
    ]
    return _table(lines)


def _plants(case: HydrothermalCase) -> str:
    plants = case.plants
    store = plants.volume_max - plants.volume_min
    # hm3 that the turbine passes in a week.
    week = case.turbine_limit * case.volume_per_flow * _WEEK / case.stage_hours
    columns = {
        "plant": plants.names,
        "bus": [case.buses.names[i] for i in plants.bus],
        "MW": _fixed(case.turbine_limit * plants.production),
        "turbine m3/s": _fixed(case.turbine_limit),
        "MW per m3/s": _fixed(plants.production, 2),
        "storage hm3": _fixed(store, 2),
        "weeks of use": _fixed(np.divide(store, week, out=np.zeros_like(week), where=week > 0), 2),
        "start hm3": _fixed(plants.initial_volume, 2),
        "inflow m3/s": _fixed(np.einsum("rpo,ro->p", case.inflows, case.probabilities) / len(case.inflows), 2),
    }
    return _table([tuple(columns), *zip(*columns.values(), strict=True)])


def _thermals(case: HydrothermalCase) -> str:
    thermals = case.thermals
    order = np.argsort(thermals.cost, kind="stable")
    columns = {
        "unit": [thermals.names[i] for i in order],
        "bus": [case.buses.names[thermals.bus[i]] for i in order],
        "MW": _fixed(case.base * thermals.power_max[order]),
        "$/MWh": _fixed(thermals.cost[order] / case.base),
    }
    return _table([tuple(columns), *zip(*columns.values(), strict=True)])


def _coefficients(case: HydrothermalCase) -> str:
    """Ranges of what is not 0 in a stage's program (DC): what a solver has to cope with."""
    form = stage_form(case, "dc")
    water = case.volume_per_flow * case.inflows
    loads = case.buses.load if case.demand is None else case.demand
    groups = {
        "matrix": form.matrix.data,
        "bounds": np.concatenate([form.lower, form.upper]),
        "costs": form.cost,
        "right-hand sides": np.concatenate([water.ravel(), case.plants.initial_volume, loads.ravel()]),
    }
    rows = []
    for name, values in groups.items():
        sizes = np.abs(values[np.isfinite(values) & (values != 0)])
        if len(sizes):
            far = "  far apart: change units, or drop what is negligible" if sizes.max() > _WIDE * sizes.min() else ""
            rows.append((name, f"{sizes.min():.1e} to {sizes.max():.1e}{far}"))
    return _table([("coefficients", "smallest and largest, not 0"), *rows])


def _cascade(case: HydrothermalCase) -> list[str]:
    """Ways of the water from the springs on: ``A -> B -> C``."""
    plants = case.plants
    turbined, spilled = set(plants.turbine_links), set(plants.spill_links)
    links = sorted(turbined | spilled)

    def arrow(link: tuple[int, int]) -> str:
        return "->" if link in turbined and link in spilled else "-t>" if link in turbined else "-s>"

    drawn: set[tuple[int, int]] = set()

    def way(plant: int) -> str:
        """From a plant to the sea; water that joins a way already drawn ends there."""
        found = [link for link in links if link[0] == plant and link not in drawn]
        if not found:
            return plants.names[plant]
        drawn.add(found[0])
        return f"{plants.names[plant]} {arrow(found[0])} {way(found[0][1])}"

    springs = [i for i in range(len(plants.names)) if not any(down == i for _, down in links)]
    ways = [way(i) for i in springs]
    ways += [way(up) for up, down in links if (up, down) not in drawn]
    alone = [w for w in ways if ">" not in w]
    legend = [text for sign, text in _ARROWS.items() if any(sign in w for w in ways)]
    return [w for w in ways if ">" in w] + ([", ".join(alone)] if alone else []) + legend


def _count(things: Sized, one: str, many: str | None = None) -> str:
    return f"{len(things)} {one if len(things) == 1 else many or one + 's'}"


def _span(values: Array) -> str:
    low, high = f"{values.min():.1f}", f"{values.max():.1f}"
    return low if low == high else f"{low} to {high}"


def _fixed(values: Array, digits: int = 1) -> list[str]:
    return [f"{value:.{digits}f}" for value in values]


def _table(rows: Iterable[Sequence[str]]) -> str:
    """Columns of equal width: text to the left, numbers to the right."""
    rows = [tuple(map(str, row)) for row in rows]
    columns = list(zip(*rows, strict=True))
    numeric = [all(_is_number(cell) for cell in column[1:]) for column in columns]
    widths = [max(map(len, column)) for column in columns]
    lines = (
        "  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "", 1).isdigit()
