"""CPU seconds per trajectory of every task on one core, at 128 x 128 saved points, with what is known of the error.

    python benchmarks/generators.py                          all tasks
    python benchmarks/generators.py NS-PwC ACE --count 4     some of them
    python benchmarks/generators.py --resolution 64

Every task makes a block of trajectories with its default parameters, after a first one that is not counted, since it
pays for imports and compilation. The error is not measured here: it is what the tests of ``make validate`` hold that
stand beside it.
"""

from __future__ import annotations

import argparse
import time

import torch
from rich.console import Console
from rich.table import Table

from sciml.pde import make_task
from sciml.pde.tasks import TASKS

FLOW = ("2e-9 from exponax in float64, order 4 in time", "navier_stokes_exponax, temporal_order")
GAS = ("order 2 where smooth; Sod and Lax, L1 of density below 5e-3 on 100 cells", "euler_order, euler_shock_tubes")
WAVE = ("order 4; 3e-5 of a pulse's energy comes back", "wave_order, wave_absorption")
ERRORS = {
    "NS": FLOW,
    "FNS": FLOW,
    "CE": GAS,
    "GCE": ("the same; hydrostatic state kept to 1e-12", "euler_hydrostatic"),
    "Wave": WAVE,
    "ACE": ("speed of a front within 1e-4, order 2 in time", "allen_cahn_front, allen_cahn_order"),
    "Poisson": ("order 4 on manufactured solutions", "poisson_manufactured"),
    "Helmholtz": ("order 4 on manufactured solutions", "helmholtz_manufactured"),
    "SE": ("lift within 0.5 % of potential flow at M = 0.2", "airfoil_potential, airfoil_transonic"),
}


def seconds(name: str, *, resolution: int, count: int) -> float:
    """CPU seconds per trajectory."""
    task = make_task(name)
    task.simulate([0], resolution=resolution, seed=0)
    start = time.process_time()
    task.simulate(range(1, 1 + count), resolution=resolution, seed=0)
    return (time.process_time() - start) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=tuple(TASKS), metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--count", type=int, default=1, help="trajectories in the block")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    table = Table(title=f"{options.resolution} x {options.resolution} saved points, one core")
    for column in ("task", "CPU s / trajectory", "error", "tests/validation/test_*"):
        table.add_column(column, overflow="fold")
    for name in options.names:
        with console.status(name):
            spent = seconds(name, resolution=options.resolution, count=options.count)
        table.add_row(name, f"{spent:.3g}", *ERRORS[name.split("-")[0]])
    console.print(table)


if __name__ == "__main__":
    main()
