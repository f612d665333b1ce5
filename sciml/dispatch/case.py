"""A hydrothermal system: network, thermal units, hydro plants in cascade, inflows and demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

Array = np.ndarray

SECONDS_PER_HOUR = 3600
CUBIC_METRES = 1e6  # of one cubic hectometre


@dataclass(frozen=True)
class Buses:
    """Nodes of the network, per unit on the case's base.

    Attributes:
        names: (bus,).
        load, reactive_load: (bus,), p.u., already scaled.
        voltage_min, voltage_max: (bus,), p.u.
        conductance, susceptance: (bus,), shunts, p.u.
        reference: Index of the bus whose angle is 0.
    """

    names: tuple[str, ...]
    load: Array
    reactive_load: Array
    voltage_min: Array
    voltage_max: Array
    conductance: Array
    susceptance: Array
    reference: int


@dataclass(frozen=True)
class Branches:
    """Lines and transformers in service, per unit on the case's base.

    Attributes:
        names: (branch,).
        start, end: (branch,), indices of buses.
        resistance, reactance: (branch,), p.u.
        charging_start, charging_end: (branch,), susceptance to ground at the two ends, p.u.
        rating: (branch,), limit of the apparent power at either end, p.u.; inf without limit.
        tap: (branch,), ratio; 1 of a line.
        shift: (branch,), radian.
        angle_min, angle_max: (branch,), of the difference of the angles start - end, radian.
    """

    names: tuple[str, ...]
    start: Array
    end: Array
    resistance: Array
    reactance: Array
    charging_start: Array
    charging_end: Array
    rating: Array
    tap: Array
    shift: Array
    angle_min: Array
    angle_max: Array


@dataclass(frozen=True)
class Thermals:
    """Thermal units.

    Attributes:
        names: (unit,).
        bus: (unit,), index.
        power_min, power_max, reactive_min, reactive_max: (unit,), p.u.
        cost: (unit,), $ per p.u.
    """

    names: tuple[str, ...]
    bus: Array
    power_min: Array
    power_max: Array
    reactive_min: Array
    reactive_max: Array
    cost: Array


@dataclass(frozen=True)
class Plants:
    """Hydro plants, each with a reservoir (of volume 0: run of river) and one generator.

    Attributes:
        names: (plant,).
        bus: (plant,), index.
        power_max, reactive_min, reactive_max: (plant,), p.u.
        cost: (plant,), $ per p.u. of generation.
        volume_min, volume_max, initial_volume: (plant,), hm3.
        turbine_min, turbine_max: (plant,), m3/s.
        production: (plant,), MW per m3/s.
        spill_cost: (plant,), $ per hm3.
        outflow_violation_cost: (plant,), $ per m3/s below ``turbine_min``; 0: the limit is hard.
        volume_violation_cost: (plant,), $ per hm3 below ``volume_min``; 0: the limit is hard.
        turbine_links, spill_links: Pairs (upstream, downstream): turbined and spilled water of the one enters the
            other.
    """

    names: tuple[str, ...]
    bus: Array
    power_max: Array
    reactive_min: Array
    reactive_max: Array
    cost: Array
    volume_min: Array
    volume_max: Array
    initial_volume: Array
    turbine_min: Array
    turbine_max: Array
    production: Array
    spill_cost: Array
    outflow_violation_cost: Array
    volume_violation_cost: Array
    turbine_links: tuple[tuple[int, int], ...]
    spill_links: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class HydrothermalCase:
    r"""A multi-stage hydrothermal dispatch problem.

    Attributes:
        name: Of the case.
        base: MVA of one p.u.
        deficit_cost: $ per p.u. of load that is not served.
        stage_hours: Length of a stage, h; 168 is a week.
        buses, branches, thermals, plants: The system.
        inflows: (row, plant, opening), m3/s; stage t = 0, 1, ... has row t modulo their number. An opening is one joint
            draw of the inflows of all plants.
        probabilities: (row, opening), sums to 1 over the openings.
        demand: (row, bus), p.u., active load of stage t; None: ``buses.load`` at all stages. Reactive load keeps its
            ratio.
    """

    name: str
    base: float
    deficit_cost: float
    stage_hours: float
    buses: Buses
    branches: Branches
    thermals: Thermals
    plants: Plants
    inflows: Array
    probabilities: Array
    demand: Array | None = None

    @classmethod
    def read(
        cls,
        folder: str | Path,
        *,
        stage_hours: float | None = None,
        load_scale: float = 1.0,
        initial_volume: Sequence[float] | float | None = None,
        deficit_cost: float | None = None,
    ) -> HydrothermalCase:
        """Read and check a case from a folder in the layout of HydroPowerModels.jl.

        The folder holds ``PowerModels.json`` or a MATPOWER file, ``hydro.json`` (plants), ``inflows.csv`` (one row a
        stage, m3/s; blocks of columns, one a plant, of one column an opening), and perhaps ``scenarioprobability.csv``
        (row, opening) and ``demand.csv`` (stage, load), p.u.

        Args:
            folder: Where the files are.
            stage_hours: Length of a stage, h; None: what ``hydro.json`` says, or 1.
            load_scale: Factor of all loads.
            initial_volume: hm3 of every plant, or of all; None: those of ``hydro.json``.
            deficit_cost: $ per MWh that is not served; None: that of the network's file.

        Raises:
            LayoutError: a file is missing or unreadable; the message says what is expected.
            DataError: the content is wrong; the message names the plant, unit, bus or row.
        """
        from sciml.dispatch.read import read_case

        return read_case(
            folder,
            stage_hours=stage_hours,
            load_scale=load_scale,
            initial_volume=initial_volume,
            deficit_cost=deficit_cost,
        )

    @classmethod
    def cascade(
        cls,
        *,
        seed: int = 0,
        openings: int = 12,
        stage_hours: float = 168.0,
        load_scale: float = 1.0,
        initial_volume: Sequence[float] | float | None = None,
    ) -> HydrothermalCase:
        """The case that ships with the package; see ``cascade_case``."""
        from sciml.dispatch.cascade import cascade_case

        return cascade_case(
            seed=seed,
            openings=openings,
            stage_hours=stage_hours,
            load_scale=load_scale,
            initial_volume=initial_volume,
        )

    def from_stage(self, first: int) -> HydrothermalCase:
        """The same system, whose stage 0 is this one's stage ``first``: its inflows, probabilities and demand."""

        def turned(rows: Array) -> Array:
            return np.roll(rows, -first, axis=0)

        demand = None if self.demand is None else turned(self.demand)
        return replace(self, inflows=turned(self.inflows), probabilities=turned(self.probabilities), demand=demand)

    def summary(self) -> str:
        """A plain text table: capacity, demand, storage, the cascade, inflows, and the range of coefficients."""
        from sciml.dispatch.summary import summary

        return summary(self)

    @property
    def volume_per_flow(self) -> float:
        """K = 0.0036 stage_hours: hm3 that a flow of 1 m3/s brings in a stage."""
        return SECONDS_PER_HOUR * self.stage_hours / CUBIC_METRES

    @property
    def turbine_limit(self) -> Array:
        """(plant,), m3/s: flow at which turbine or generator is at its limit."""
        with np.errstate(divide="ignore"):
            return np.minimum(self.plants.turbine_max, self.plants.power_max * self.base / self.plants.production)

    def load(self, stage: int) -> tuple[Array, Array]:
        """Active and reactive load of a stage, (bus,) each, p.u."""
        if self.demand is None:
            return self.buses.load, self.buses.reactive_load
        load = self.demand[stage % len(self.demand)]
        base = self.buses.load
        ratio = np.divide(self.buses.reactive_load, base, out=np.zeros_like(base), where=base != 0)
        return load, ratio * load
