"""What must hold of a case before a program is made of it; errors name the plant, unit, branch or bus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sciml.dispatch.case import HydrothermalCase
from sciml.errors import DataError

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
            raise DataError(f"water flows in a circle among the plants {names}; see downstream_turn and downstream_spill.")
        levels.append(level)
        left -= set(level)
    return levels


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
        ("turbine flow", plants.names, plants.turbine_min, plants.turbine_max),
        ("volume", plants.names, plants.volume_min, plants.volume_max),
        ("voltage", buses.names, buses.voltage_min, buses.voltage_max),
        ("angle", case.branches.names, case.branches.angle_min, case.branches.angle_max),
    ):
        if (low > high).any():
            raise DataError(f"the smallest {what} of {_first(names, low > high)} is above its largest.")
    for what, values in (
        ("smallest volume", plants.volume_min),
        ("initial volume", plants.initial_volume),
        ("smallest turbine flow", plants.turbine_min),
        ("cost of spilling", plants.spill_cost),
    ):
        if (values < 0).any():
            raise DataError(f"the {what} of {_first(plants.names, values < 0)} is negative.")
    if (plants.production <= 0).any():
        name = _first(plants.names, plants.production <= 0)
        raise DataError(f"the production factor of {name} is not positive; MW per m3/s are expected.")
    for what, wrong in (
        ("above its largest", plants.initial_volume > plants.volume_max + _ROUNDING),
        ("below its smallest", (plants.initial_volume < plants.volume_min - _ROUNDING) & (plants.volume_violation_cost == 0)),
    ):
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"the initial volume of {plants.names[i]}, {plants.initial_volume[i]:g} hm3, is {what} volume, "
                f"{(plants.volume_max if 'above' in what else plants.volume_min)[i]:g} hm3."
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
                f"({inflows[row, plant, opening]:g} m3/s)."
            )
    shape = (inflows.shape[0], inflows.shape[2])
    if case.probabilities.shape != shape:
        raise DataError(f"probabilities have the shape {case.probabilities.shape}; {shape}, (row, opening), is expected.")
    sums = case.probabilities.sum(1)
    wrong = (np.abs(sums - 1) > 1e-6) | (case.probabilities < 0).any(1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(f"the probabilities of row {row + 1} sum to {sums[row]:g} or are negative; 1 is expected.")


def _check_network(case: HydrothermalCase) -> None:
    buses, branches = case.buses, case.branches
    number = len(buses.names)
    if (np.hypot(branches.resistance, branches.reactance) == 0).any():
        name = _first(branches.names, np.hypot(branches.resistance, branches.reactance) == 0)
        raise DataError(f"{name} has no impedance; join its buses, or give it a small reactance.")
    if case.demand is not None and case.demand.shape[1] != number:
        raise DataError(f"demand has {case.demand.shape[1]} columns; one a bus, {number}, is expected.")
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
            f"the smallest turbine flow of {plants.names[i]}, {plants.turbine_min[i]:g} m3/s, is above what its turbine "
            f"and generator take, {case.turbine_limit[i]:g} m3/s. Lower min_turn, or make it soft by "
            "minimal_outflow_violation_cost."
        )
    driest = case.inflows[0].min(1)
    upstream = {down for _, down in (*plants.turbine_links, *plants.spill_links)}
    water = plants.initial_volume - plants.volume_min + case.volume_per_flow * driest
    short = (case.volume_per_flow * plants.turbine_min > water + _ROUNDING) & (plants.outflow_violation_cost == 0)
    for i in np.flatnonzero(short):
        if i not in upstream:
            raise DataError(
                f"{plants.names[i]} cannot release its smallest turbine flow, {plants.turbine_min[i]:g} m3/s, at the first "
                f"stage: the driest opening and its initial volume give {water[i] / case.volume_per_flow:g} m3/s. Lower "
                "min_turn, raise initial_volume, or make the limit soft by minimal_outflow_violation_cost."
            )


def _first(names: Iterable[str], wrong: np.ndarray) -> str:
    return list(names)[int(np.flatnonzero(wrong)[0])]
