"""Cases that are small enough for a closed form: one plant, and two buses joined by branches."""

from dataclasses import replace

import numpy as np

from sciml.dispatch.case import Branches, Buses, HydrothermalCase, Plants, Thermals

BASE, DEFICIT, HOURS = 100.0, 1000.0, 100.0
CHEAP, DEAR = 10.0, 30.0  # $ per p.u.
LOAD = 0.8  # p.u. at the second bus


def two_buses(**changes) -> HydrothermalCase:
    """A cheap unit at the first bus, a load and a dear unit at the second, and a plant at the second.

    Args:
        **changes: Fields of the groups, by ``group__field``, say ``branches__rating=[0.5]``. The number of branches is
            that of their reactances.
    """
    branches = len(changes.get("branches__reactance", [0.1]))
    case = HydrothermalCase(
        name="two buses",
        base=BASE,
        deficit_cost=DEFICIT,
        stage_hours=HOURS,
        buses=Buses(
            names=("north", "south"),
            load=np.array([0.0, LOAD]),
            reactive_load=np.zeros(2),
            voltage_min=np.full(2, 0.9),
            voltage_max=np.full(2, 1.1),
            conductance=np.zeros(2),
            susceptance=np.zeros(2),
            reference=0,
        ),
        branches=Branches(
            names=tuple(f"line {i + 1}" for i in range(branches)),
            start=np.zeros(branches, dtype=int),
            end=np.ones(branches, dtype=int),
            resistance=np.zeros(branches),
            reactance=np.full(branches, 0.1),
            charging_start=np.zeros(branches),
            charging_end=np.zeros(branches),
            rating=np.full(branches, np.inf),
            tap=np.ones(branches),
            shift=np.zeros(branches),
            angle_min=np.full(branches, -np.pi / 3),
            angle_max=np.full(branches, np.pi / 3),
        ),
        thermals=Thermals(
            names=("coal", "oil"),
            bus=np.array([0, 1]),
            power_min=np.zeros(2),
            power_max=np.full(2, 2.0),
            reactive_min=np.full(2, -5.0),
            reactive_max=np.full(2, 5.0),
            cost=np.array([CHEAP, DEAR]),
        ),
        plants=Plants(
            names=("lake",),
            bus=np.array([1]),
            power_max=np.array([0.5]),
            reactive_min=np.zeros(1),
            reactive_max=np.zeros(1),
            cost=np.zeros(1),
            volume_min=np.zeros(1),
            volume_max=np.array([10.0]),
            initial_volume=np.array([5.0]),
            turbine_min=np.zeros(1),
            turbine_max=np.array([25.0]),
            production=np.array([2.0]),
            spill_cost=np.zeros(1),
            outflow_violation_cost=np.zeros(1),
            volume_violation_cost=np.zeros(1),
            turbine_links=(),
            spill_links=(),
        ),
        inflows=np.full((1, 1, 1), 3.0),
        probabilities=np.ones((1, 1)),
    )
    for key, values in changes.items():
        group, name = key.split("__")
        values = values if isinstance(values, tuple) else np.asarray(values)
        case = replace(case, **{group: replace(getattr(case, group), **{name: values})})
    return case


def stage_parameters(form_or_program, case, *, water, target=None, load=None, reactive_load=None, stage=0):
    """Parameters of one stage in the order of its blocks; loads as the case has them."""
    active, reactive = case.load(stage)
    given = {
        "water": water,
        "target": target,
        "load": active if load is None else load,
        "reactive_load": reactive if reactive_load is None else reactive_load,
    }
    sizes = {name: block.stop - block.start for name, block in form_or_program.blocks.items()}
    return np.concatenate([np.broadcast_to(np.asarray(given[n], dtype=float), (size,)) for n, size in sizes.items()])
