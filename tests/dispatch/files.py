"""A small case as files, to be read, and to be spoilt."""

import copy
import json
from pathlib import Path

import numpy as np

# Two thermal units, two plants in cascade, of which the first has no name; three buses in a ring; per unit on 100 MVA.
NETWORK = {
    "name": "small",
    "baseMVA": 100,
    "per_unit": True,
    "cost_deficit": 600,
    "bus": {
        "1": {"bus_i": 10, "bus_type": 3, "vmin": 0.9, "vmax": 1.1, "name": "NORTH   "},
        "2": {"bus_i": 20, "bus_type": 1, "vmin": 0.9, "vmax": 1.1},
        "3": {"bus_i": 30, "bus_type": 2, "vmin": 0.95, "vmax": 1.05},
    },
    "gen": {
        "1": {"gen_bus": 20, "pmin": 0, "pmax": 1.0, "qmin": -1, "qmax": 1, "ncost": 2, "cost": [2000.0, 0.0]},
        "2": {"gen_bus": 30, "pmin": 0.1, "pmax": 0.5, "qmin": -1, "qmax": 1, "ncost": 3, "cost": [0, 5000.0, 7.0]},
        "3": {"gen_bus": 10, "pmin": 0, "pmax": 0.8, "qmin": -1, "qmax": 1, "ncost": 0, "cost": []},
        "4": {"gen_bus": 30, "pmin": 0, "pmax": 0.6, "qmin": -1, "qmax": 1, "ncost": 2, "cost": [10.0, 0.0]},
    },
    "branch": {
        "1": {"f_bus": 10, "t_bus": 20, "br_r": 0.01, "br_x": 0.1, "b_fr": 0.02, "b_to": 0.02, "rate_a": 1.5},
        "2": {"f_bus": 20, "t_bus": 30, "br_r": 0.02, "br_x": 0.2, "rate_a": 0, "tap": 1.02, "shift": 0.01},
        "3": {"f_bus": 10, "t_bus": 30, "br_r": 0.02, "br_x": 0.2, "rate_a": 0.5, "angmin": 0.0, "angmax": 0.5},
    },
    "load": {
        "1": {"load_bus": 20, "pd": 0.9, "qd": 0.3, "status": 1},
        "2": {"load_bus": 30, "pd": 0.6, "qd": 0.1, "status": 1},
    },
    "shunt": {"1": {"shunt_bus": 30, "gs": 0.01, "bs": 0.05, "status": 1}},
}
HYDRO = {
    "stage_hours": 168,
    "Hydrogenerators": [
        {
            "index": 1,
            "index_grid": 3,
            "max_volume": 50.0,
            "initial_volume": 20.0,
            "max_turn": 40.0,
            "production_factor": 2.0,
            "spill_cost": 6e-316,
            "downstream_turn": [2],
            "downstream_spill": [2],
        },
        {
            "index": 2,
            "index_grid": 4,
            "name": "LOWER       ",
            "min_volume": 1.0,
            "max_volume": 5.0,
            "initial_volume": 2.0,
            "min_turn": 3.0,
            "max_turn": 60.0,
            "production_factor": 1.0,
            "downstream_turn": [],
            "downstream_spill": [],
        },
    ],
}
# Three rows, two plants of two openings each.
INFLOWS = [[20.0, 30.0, 5.0, 6.0], [10.0, 15.0, 3.0, 2.0], [5.0, 6.0, 1.0, 0.0]]
PROBABILITIES = [[0.25, 0.75]] * 3
DEMAND = [[0.9, 0.6], [1.0, 0.7]]


class Files:
    """The contents of a case's files, to be changed before they are written."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.network, self.hydro = copy.deepcopy(NETWORK), copy.deepcopy(HYDRO)
        self.inflows, self.probabilities = np.array(INFLOWS), np.array(PROBABILITIES)
        self.demand = np.array(DEMAND)

    def plant(self, number: int) -> dict:
        return self.hydro["Hydrogenerators"][number - 1]

    def write(self) -> Path:
        (self.folder / "PowerModels.json").write_text(json.dumps(self.network))
        (self.folder / "hydro.json").write_text(json.dumps(self.hydro))
        for name, table in (
            ("inflows", self.inflows),
            ("scenarioprobability", self.probabilities),
            ("demand", self.demand),
        ):
            np.savetxt(self.folder / f"{name}.csv", table, delimiter=",", fmt="%.17g")
        return self.folder


MATPOWER = """function mpc = small
mpc.version = '2';
mpc.baseMVA = 100;
mpc.cost_deficit = 600;  % $/MWh
%% bus_i type Pd Qd Gs Bs area Vm Va baseKV zone Vmax Vmin
mpc.bus = [
\t10 3 0 0 0 0 1 1 0 1 1 1.1 0.9;
\t20 1 90 30 0 0 1 1 0 1 1 1.1 0.9; % a load
\t30, 2, 60, 10, 1, 5, 1, 1, 0, 1, 1, 1.05, 0.95
];
mpc.gen = [
\t20 0 0 100 -100 1 100 1 100 0 0 0;
\t30 0 0 100 -100 1 100 1 50 10 0 0;
\t10 0 0 100 -100 1 100 1 80 0 0 0;
\t30 0 0 100 -100 1 100 1 60 0 0 0;
\t20 0 0 100 -100 1 100 0 999 0 0 0;
];
mpc.branch = [
\t10 20 0.01 0.1 0.04 150 0 0 0 0 1 -360 360;
\t20 30 0.02 0.2 0 0 0 0 1.02 0.57295779513082321 1 -360 360;
\t10 30 0.02 0.2 0 50 0 0 0 0 1 ...
\t0 28.647889756541160;
];
mpc.gencost = [
\t2 0 0 2 20 0 0;
\t2 0 0 3 0 50 7;
\t2 0 0 0 0 0 0;
\t2 0 0 2 0.1 0 0;
\t2 0 0 2 1 0 0;
];
"""
