"""What must hold of a case before a program is made of it; errors name the plant, unit, branch or bus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sciml.dispatch.case import HydrothermalCase
from sciml.errors import ConfigError, DataError

_ROUNDING = 1e-9


def check(case: HydrothermalCase) -> None:
    """Raise a ``DataError`` that says what is wrong with a case, if anything is."""
    _check_numbers(case)
    _check_limits(case)
    cascade_order(case)
    _check_inflows(case)
    _check_network(case)
    _check_minimum_flow(case)


def cascade_order(case: HydrothermalCase) -> list[list[int]]:
    """Plants by levels: all that flows into a plant comes from earlier levels.

    Raises:
        DataError: water flows in a circle.
    """
    links = {*case.plants.turbine_links, *case.plants.spill_links}
    left, levels = set(range(len(case.plants.names))), []
    while left:
        level = sorted(i for i in left if not any(down == i and up in left for up, down in links))
        if not level:
            names = ", ".join(case.plants.names[i] for i in sorted(left))
            raise DataError(
                f"water flows in a circle among the plants {names}, or to one from itself. Take a link out of "
                "downstream_turn or downstream_spill."
            )
        levels.append(level)
        left -= set(level)
    return levels


def volumes_of(given: Sequence[float] | float | None, own: np.ndarray) -> np.ndarray:
    """The volumes at the start, hm3: those given, one for all plants, or those of the case.

    Raises:
        ConfigError: another number of volumes than of plants.
    """
    values = own if given is None else np.asarray(given, dtype=float)
    if values.shape not in ((), own.shape):
        raise ConfigError(
            f"initial_volume has {values.size} values; one, or one a plant ({own.size}), is expected, in hm3."
        )
    return np.broadcast_to(values, own.shape).copy()


def _check_numbers(case: HydrothermalCase) -> None:
    for group in (case.buses, case.branches, case.thermals, case.plants):
        kind = type(group).__name__.lower()
        for field in fields(group):
            values: Any = getattr(group, field.name)
            if isinstance(values, np.ndarray) and values.dtype.kind == "f" and np.isnan(values).any():
                raise DataError(f"{field.name} of {_first(group.names, np.isnan(values))} ({kind}) is not a number.")
    if not case.stage_hours > 0:
        raise DataError(f"stage_hours is {case.stage_hours}; a positive number of hours is expected.")
    if not case.deficit_cost > 0:
        raise DataError(f"the cost of a deficit is {case.deficit_cost}; a positive number is expected.")


def _check_limits(case: HydrothermalCase) -> None:
    plants, thermals, buses = case.plants, case.thermals, case.buses
    for what, names, low, high in (
        ("power", thermals.names, thermals.power_min, thermals.power_max),
        ("reactive power", thermals.names, thermals.reactive_min, thermals.reactive_max),
        ("reactive power", plants.names, plants.reactive_min, plants.reactive_max),
        ("volume", plants.names, plants.volume_min, plants.volume_max),
        ("voltage", buses.names, buses.voltage_min, buses.voltage_max),
        ("angle", case.branches.names, case.branches.angle_min, case.branches.angle_max),
    ):
        if (low > high).any():
            i = int(np.flatnonzero(low > high)[0])
            raise DataError(f"the smallest {what} of {names[i]}, {low[i]:g}, is above its largest, {high[i]:g}.")
    for what, names, values in (
        ("smallest volume", plants.names, plants.volume_min),
        ("initial volume", plants.names, plants.initial_volume),
        ("smallest turbine flow", plants.names, plants.turbine_min),
        ("cost of spilling", plants.names, plants.spill_cost),
        ("smallest voltage", buses.names, buses.voltage_min),
        ("rating", case.branches.names, case.branches.rating),
    ):
        if (values < 0).any():
            raise DataError(
                f"the {what} of {_first(names, values < 0)}, {values.min():g}, is negative; 0 or more is expected."
            )
    if (plants.production <= 0).any():
        name = _first(plants.names, plants.production <= 0)
        raise DataError(f"the production factor of {name} is not positive; MW per m3/s are expected.")
    start, hard = plants.initial_volume, plants.volume_violation_cost == 0
    for what, limit, wrong in (
        ("above its largest", plants.volume_max, start > plants.volume_max + _ROUNDING),
        ("below its smallest", plants.volume_min, hard & (start < plants.volume_min - _ROUNDING)),
    ):
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"the initial volume of {plants.names[i]}, {start[i]:g} hm3, is {what} volume, {limit[i]:g} hm3. "
                "Change it in hydro.json, or pass initial_volume=."
            )


def _check_inflows(case: HydrothermalCase) -> None:
    inflows, names = case.inflows, case.plants.names
    if inflows.ndim != 3 or inflows.shape[1] != len(names):
        raise DataError(f"inflows have the shape {inflows.shape}; (row, {len(names)} plants, opening) is expected.")
    for what, wrong in (("not a number", ~np.isfinite(inflows)), ("negative", inflows < 0)):
        if wrong.any():
            row, plant, opening = np.argwhere(wrong)[0]
            raise DataError(
                f"the inflow of {names[plant]} in row {row + 1}, opening {opening + 1}, is {what} "
                f"({inflows[row, plant, opening]:g} m3/s); 0 or more is expected. Fill gaps from the weeks beside them."
            )
    shape = (inflows.shape[0], inflows.shape[2])
    if case.probabilities.shape != shape:
        raise DataError(
            f"probabilities have the shape {case.probabilities.shape}; {shape}, (row, opening), is expected."
        )
    sums = case.probabilities.sum(1)
    wrong = (np.abs(sums - 1) > 1e-6) | (case.probabilities < 0).any(1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        what = f"sum to {sums[row]:g}" if case.probabilities[row].min() >= 0 else "are negative in part"
        raise DataError(f"the probabilities of row {row + 1} {what}; openings of each row sum to 1, none is negative.")


def _check_network(case: HydrothermalCase) -> None:
    buses, branches = case.buses, case.branches
    number = len(buses.names)
    if (np.hypot(branches.resistance, branches.reactance) == 0).any():
        name = _first(branches.names, np.hypot(branches.resistance, branches.reactance) == 0)
        raise DataError(f"{name} has no impedance; join its buses, or give it a small reactance.")
    if case.demand is not None and (case.demand.ndim != 2 or case.demand.shape[1] != number):
        raise DataError(f"demand has the shape {case.demand.shape}; (row, {number} buses) is expected.")
    if case.demand is not None and not np.isfinite(case.demand).all():
        row, bus = np.argwhere(~np.isfinite(case.demand))[0]
        raise DataError(f"the demand of {buses.names[bus]} in row {row + 1} is not a number.")
    graph = sp.coo_matrix((np.ones(len(branches.names)), (branches.start, branches.end)), shape=(number, number))
    _, island = connected_components(graph, directed=False)
    apart = island != island[buses.reference]
    if apart.any():
        raise DataError(
            f"{_first(buses.names, apart)} is not connected with the reference, {buses.names[buses.reference]}; "
            "islands are expected as cases of their own."
        )


def _check_minimum_flow(case: HydrothermalCase) -> None:
    """A minimum flow that turbine or generator cannot take is infeasible at every stage."""
    plants = case.plants
    wrong = (plants.turbine_min > case.turbine_limit + _ROUNDING) & (plants.outflow_violation_cost == 0)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"the smallest turbine flow of {plants.names[i]}, {plants.turbine_min[i]:g} m3/s, is above what its "
            f"turbine and generator take, {case.turbine_limit[i]:g} m3/s. Lower min_turn, or make it soft by "
            "minimal_outflow_violation_cost."
        )
    # The most water that the first stage can bring, (plant, opening): the store, the inflow, and all from upstream.
    certain = case.inflows[0][:, case.probabilities[0] > 0]
    floor = np.where(plants.volume_violation_cost == 0, plants.volume_min, 0)
    water = (plants.initial_volume - floor)[:, None] + case.volume_per_flow * certain
    through = case.volume_per_flow * case.turbine_limit
    for level in cascade_order(case):
        for up, down in {*plants.turbine_links, *plants.spill_links}:
            if down in level:
                spills = (up, down) in plants.spill_links
                water[down] += water[up] if spills else np.minimum(water[up], through[up])
    flow = water.min(1) / case.volume_per_flow
    short = (plants.turbine_min > flow + _ROUNDING) & (plants.outflow_violation_cost == 0)
    if short.any():
        i = int(np.flatnonzero(short)[0])
        raise DataError(
            f"{plants.names[i]} cannot release its smallest turbine flow, {plants.turbine_min[i]:g} m3/s, at the first "
            f"stage: the initial volume and the driest opening give {flow[i]:g} m3/s. Lower min_turn, raise "
            "initial_volume, or make the limit soft by minimal_outflow_violation_cost."
        )


def _first(names: Iterable[str], wrong: np.ndarray) -> str:
    return list(names)[int(np.flatnonzero(wrong)[0])]
