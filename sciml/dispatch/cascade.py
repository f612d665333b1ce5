"""The case that ships with the package: eight buses, four reservoirs in a cascade, five thermal units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sciml.dispatch.case import Branches, Buses, HydrothermalCase, Plants, Thermals
from sciml.dispatch.checks import check, volumes_of
from sciml.errors import ConfigError

Array = np.ndarray

ROWS = 52  # weeks of a year
_BASE = 100.0  # MVA
_DEFICIT = 500.0  # $ per MWh

# The hydro plants lie in the north, the load and the thermal units in the south.
_BUSES = ("Headwater", "Gorge", "Tributary", "Lowland", "Mill", "City", "Port", "Mine")
_LOAD = {"Mill": 50.0, "City": 146.0, "Port": 88.0, "Mine": 40.0, "Lowland": 6.0}  # MW, mean of the year
_REACTIVE_SHARE = 0.3  # of the active load; a power factor of 0.96
# Start, end, r, x, charging, rating: p.u.
_BRANCHES = (
    ("Headwater", "Gorge", 0.012, 0.060, 0.030, 1.20),
    ("Gorge", "Lowland", 0.014, 0.070, 0.030, 1.50),
    ("Tributary", "Lowland", 0.020, 0.090, 0.020, 0.80),
    ("Gorge", "Mine", 0.026, 0.120, 0.040, 0.80),
    ("Lowland", "Mill", 0.012, 0.060, 0.030, 1.05),
    ("Lowland", "City", 0.016, 0.080, 0.040, 0.95),
    ("Mill", "City", 0.010, 0.050, 0.020, 1.20),
    ("Mill", "Port", 0.020, 0.090, 0.030, 0.80),
    ("City", "Port", 0.012, 0.060, 0.020, 1.00),
    ("Port", "Mine", 0.024, 0.110, 0.030, 0.80),
)
# Bus, MW, $ per MWh.
_THERMALS = (
    ("City", 70.0, 22.0),
    ("Port", 60.0, 34.0),
    ("Mill", 50.0, 51.0),
    ("City", 40.0, 78.0),
    ("Mine", 40.0, 125.0),
)
# hm3 of storage and at the start, m3/s through the turbine, MW per m3/s, m3/s of mean natural inflow.
_PLANTS = {
    "Headwater": (560.0, 280.0, 75.0, 1.15, 40.0),
    "Gorge": (24.0, 12.0, 85.0, 0.95, 9.0),
    "Tributary": (55.0, 25.0, 42.0, 1.25, 20.0),
    "Lowland": (3.0, 1.5, 125.0, 0.60, 7.0),
}
_LINKS = ((0, 1), (1, 3), (2, 3))

# Natural inflow: log w_t = log of the season + deviation z_t, z_t of lag-1 correlation _PERSISTENCE.
_WET_WEEK = 1  # row of the height of the wet season
_SEASON = 1.05  # log of the amplitude: the wet season has exp(2 x 1.05) = 8 times the inflow of the dry one
_DEVIATION = (0.34, 0.40, 0.46, 0.42)  # standard deviation of log w by plant
_PERSISTENCE = 0.72
_CORRELATION = np.array([[1, 0.8, 0.6, 0.65], [0.8, 1, 0.65, 0.75], [0.6, 0.65, 1, 0.75], [0.65, 0.75, 0.75, 1]])
_WARM_UP = 26  # weeks until a year has forgotten where it began
_PEAK_WEEK, _PEAK = 27, 0.10  # demand is highest in the dry season, 10 % above its mean


def cascade_case(
    *,
    seed: int = 0,
    openings: int = 12,
    stage_hours: float = 168.0,
    load_scale: float = 1.0,
    initial_volume: Sequence[float] | float | None = None,
) -> HydrothermalCase:
    r"""A small hydrothermal system with all that makes dispatch hard, made by code from a seed.

    Water: Headwater, a seasonal store of 560 hm3, feeds Gorge (24 hm3); Gorge and Tributary (55 hm3) feed Lowland
    (3 hm3, run of river but for a few hours). Turbined and spilled water of the one plant reaches the other in the same
    stage. A cubic metre from Headwater passes three turbines and gives 2.7 MJ.

    Power: 295 MW of hydro plants in the north, 260 MW of thermal units from 22 to 125 $/MWh and 330 MW of mean load
    (+-10 %, most in the dry season) in the south. Three lines join the two, and two of them reach their limits when
    much water is turbined. Load that is not served costs 500 $/MWh.

    Inflow: 52 weekly rows; an opening is a year of the periodic autoregressive process

        log w_t = log season_t + sigma z_t,    z_t = phi z_{t-1} + sqrt(1 - phi^2) e_t,    phi = 0.72,

    with e_t correlated between the plants (0.6 to 0.8). Around row 1 is the height of the wet season, around row 27
    that of the dry one, with an eighth of its inflow. Water is worth 35 to 80 $/MWh: who looks ahead fills the stores
    by row 12, spills what does not fit, and serves all load; who does not is short of power in the dry season.

    Args:
        seed: Of the inflows.
        openings: Their number a stage, equally probable. Good values: 8 to 30.
        stage_hours: Length of a stage, h.
        load_scale: Factor of all loads. From 1.2 on, dry years leave load unserved.
        initial_volume: hm3 of every plant, or of all; None: half of each store.

    Raises:
        ConfigError: fewer than one opening, or another number of volumes than of plants.
        DataError: an initial volume is outside its limits.
    """
    if openings < 1:
        raise ConfigError(f"openings is {openings}; at least 1 is expected.")
    at = {name: i for i, name in enumerate(_BUSES)}
    load = np.array([load_scale * _LOAD.get(name, 0.0) for name in _BUSES]) / _BASE
    capacity, start, turbine, production, inflow = np.array(list(_PLANTS.values())).T
    season = 1 + _PEAK * np.cos(2 * np.pi * (np.arange(ROWS) - _PEAK_WEEK) / ROWS)
    case = HydrothermalCase(
        name="cascade",
        base=_BASE,
        deficit_cost=_DEFICIT * _BASE,
        stage_hours=float(stage_hours),
        buses=Buses(
            names=_BUSES,
            load=load,
            reactive_load=_REACTIVE_SHARE * load,
            voltage_min=np.full(len(_BUSES), 0.95),
            voltage_max=np.full(len(_BUSES), 1.05),
            conductance=np.zeros(len(_BUSES)),
            susceptance=np.zeros(len(_BUSES)),
            reference=at["City"],
        ),
        branches=_branches(at),
        thermals=_thermals(at),
        plants=Plants(
            names=tuple(_PLANTS),
            bus=np.array([at[name] for name in _PLANTS]),
            power_max=production * turbine / _BASE,
            reactive_min=-0.5 * production * turbine / _BASE,
            reactive_max=0.5 * production * turbine / _BASE,
            cost=np.zeros(len(_PLANTS)),
            volume_min=np.zeros(len(_PLANTS)),
            volume_max=capacity,
            initial_volume=volumes_of(initial_volume, start),
            turbine_min=np.zeros(len(_PLANTS)),
            turbine_max=turbine,
            production=production,
            spill_cost=np.zeros(len(_PLANTS)),
            outflow_violation_cost=np.zeros(len(_PLANTS)),
            volume_violation_cost=np.zeros(len(_PLANTS)),
            turbine_links=_LINKS,
            spill_links=_LINKS,
        ),
        inflows=_inflows(inflow, openings, np.random.default_rng(seed)),
        probabilities=np.full((ROWS, openings), 1 / openings),
        demand=season[:, None] * load,
    )
    check(case)
    return case


def _inflows(mean: Array, openings: int, rng: np.random.Generator) -> Array:
    """Years of the process, (row, plant, opening), m3/s, rounded as a gauge would be."""
    season = np.exp(_SEASON * np.cos(2 * np.pi * (np.arange(ROWS) - _WET_WEEK) / ROWS))
    factor = np.linalg.cholesky(_CORRELATION)
    noise = factor @ rng.standard_normal((_WARM_UP + ROWS, len(mean), openings))
    deviation, rows = noise[0], []
    for shock in noise[1:]:
        deviation = _PERSISTENCE * deviation + np.sqrt(1 - _PERSISTENCE**2) * shock
        rows.append(deviation)
    sigma = np.array(_DEVIATION)
    # A lognormal variable of median 1 has the mean exp(sigma^2 / 2).
    level = np.outer(season / season.mean(), mean * np.exp(-(sigma**2) / 2))
    return np.round(level[:, :, None] * np.exp(sigma[:, None] * np.stack(rows[-ROWS:])), 2)


def _branches(at: dict[str, int]) -> Branches:
    resistance, reactance, charging, rating = np.array([numbers for _, _, *numbers in _BRANCHES], dtype=float).T
    number = len(_BRANCHES)
    return Branches(
        names=tuple(f"{start}-{end}" for start, end, *_ in _BRANCHES),
        start=np.array([at[start] for start, *_ in _BRANCHES]),
        end=np.array([at[end] for _, end, *_ in _BRANCHES]),
        resistance=resistance,
        reactance=reactance,
        charging_start=charging / 2,
        charging_end=charging / 2,
        rating=rating,
        tap=np.ones(number),
        shift=np.zeros(number),
        angle_min=np.full(number, -np.pi / 6),
        angle_max=np.full(number, np.pi / 6),
    )


def _thermals(at: dict[str, int]) -> Thermals:
    limit, cost = np.array([numbers for _, *numbers in _THERMALS]).T * [[1 / _BASE], [_BASE]]
    return Thermals(
        names=tuple(f"{name} {price:.0f}" for name, _, price in _THERMALS),
        bus=np.array([at[name] for name, *_ in _THERMALS]),
        power_min=np.zeros(len(limit)),
        power_max=limit,
        reactive_min=-0.6 * limit,
        reactive_max=0.6 * limit,
        cost=cost,
    )
