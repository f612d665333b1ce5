"""CPU seconds per trajectory of the compressible tasks on one core, eager and compiled, at 128 x 128 saved cells.

    python benchmarks/euler.py                    all tasks
    python benchmarks/euler.py CE-RP --cells 128  some, with another solver grid (default: 256)

Both ways take the same steps, in turns in one process, and the fastest of several rounds counts. The seconds of a
trajectory are those of a step times the number of steps, which is counted on a solution of a quarter of the resolution:
the number of cells that a wave crosses grows with the resolution. The last column is the largest difference of the two
results after the timed steps, relative to the largest value of the field.
"""

from __future__ import annotations

import argparse
import time

import torch
from rich.console import Console
from rich.table import Table

from sciml.pde import make_task
from sciml.pde.finite_volume import Euler
from sciml.pde.tasks import euler, gravity

STEPS, ROUNDS = 8, 4
NAMES = tuple(kind.name for kind in (*euler.TASKS, *gravity.TASKS))


def cpu_seconds(call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


class Steps:
    """A few time steps of a task, from its initial state."""

    def __init__(self, name: str, cells: int, *, compile: bool):
        self.task = make_task(name, compile=compile)
        self.state = self.task.initial(0, resolution=cells, seed=0)[None]
        setting = {"gamma": self.task.gamma, "compile": compile}
        if name == "GCE-RT":
            self.state, potential = self.state[:, :5], self.state[:, 5]
            setting |= {"edges": self.task.boundary, "potential": potential}
        self.solver = Euler((cells, cells), **setting)
        rho, u, v, p = self.state[0, :4]
        sound = (self.task.gamma * p / rho).sqrt()
        # A frame for each step, so close that it takes exactly one.
        self.interval = 0.4 / (cells * float((u.abs() + v.abs() + 2 * sound).max()))

    def __call__(self) -> torch.Tensor:
        times = [i * self.interval for i in range(STEPS + 1)]
        return self.solver.solve(self.state, times, cfl=0.8, coarsen=self.state.shape[-1])[:, -1]

    def fields(self) -> torch.Tensor:
        return self.solver.solve(self.state, [0, STEPS * self.interval])[:, -1]


def steps_of(name: str, cells: int) -> int:
    """Time steps of a whole trajectory."""
    count = 0
    step = Euler._step

    def counted(self, *args):
        nonlocal count
        count += 1
        return step(self, *args)

    Euler._step = counted
    try:
        make_task(name, compile=False, solver_resolution=cells // 4).simulate([0], resolution=cells // 4, seed=0)
    finally:
        Euler._step = step
    return 4 * count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="TASK", help=", ".join(NAMES))
    parser.add_argument("--cells", type=int, default=256, help="cells of the solver along each axis")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    columns = ("task", "steps", "eager s", "compiled s", "faster by", "compile s", "differ by")
    table = Table(*columns, title=f"CPU s / trajectory, solver {options.cells} x {options.cells}, float32, one thread")
    for name in options.names:
        with console.status(name):
            eager, fast = (Steps(name, options.cells, compile=compile) for compile in (False, True))
            eager()
            compilation = cpu_seconds(fast)
            rounds = [(cpu_seconds(eager), cpu_seconds(fast)) for _ in range(ROUNDS)]
            slow, quick = (min(column) / STEPS for column in zip(*rounds, strict=True))
            steps = steps_of(name, options.cells)
            one, other = eager.fields(), fast.fields()
            difference = ((one - other).abs().amax((-2, -1)) / one.abs().amax((-2, -1)).clamp(min=1e-3)).max()
        table.add_row(
            name,
            str(steps),
            f"{steps * slow:.1f}",
            f"{steps * quick:.1f}",
            f"{slow / quick:.1f}x",
            f"{compilation:.0f}",
            f"{float(difference):.0e}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
