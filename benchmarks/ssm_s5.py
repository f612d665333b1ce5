"""S5 against s5-pytorch and against its matrix products alone: ``python benchmarks/ssm_s5.py``.

A layer of 128 features and 64 complex states on a batch of 8. s5-pytorch gets the same parameters, and has to give the
same outputs. The limit is the two real matrix products of the forward pass, and the six of both, on interleaved real
and imaginary parts, by the same library and in turns with the others.

With one thread, processor time is taken, which a busy machine disturbs less than wall time; with more, wall time, and
the load of the machine is told. Runs take turns, and ratios are medians over the rounds. Memory is the largest resident
size of a fresh process that runs forward and backward once, less that of the inputs, in units of the states; the output
and its gradient and that of the input, which no layer can do without, are one unit each at 128 features.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sciml.ssm import S5

FEATURES, STATES = 128, 64
TASKS = ("forward", "forward+backward")
GOALS = {"s5-pytorch": 2.5, "limit": 1.7}
WHO = ("s5-pytorch", "limit", "sciml")

Run = Callable[[], Tensor]


def layers() -> tuple[S5, torch.nn.Module]:
    """Ours with all eigenvalues, as s5-pytorch keeps them, and theirs with the same parameters."""
    import s5

    torch.manual_seed(0)
    theirs = s5.S5(FEATURES, STATES, bcInit="dense")
    ours = S5(FEATURES, state=STATES, conjugate=False)
    found = {name.removeprefix("seq."): tensor for name, tensor in theirs.state_dict().items()}
    ours.load_state_dict(
        {
            "eigenvalues": torch.view_as_real(found["Lambda"]),
            "log_step": found["log_step"],
            "input": found["B"],
            "output": torch.view_as_real(found["C"].resolve_conj()),
            "skip": found["D"],
        }
    )
    return ours, theirs


def runs(who: str, batch: int, length: int, *, irregular: bool) -> dict[str, Run]:
    """What is timed, by task."""
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(batch, length, FEATURES, generator=generator)
    gradient, scale = torch.randn(u.shape, generator=generator), torch.rand(batch, length, generator=generator) + 0.5
    if who == "limit":
        return matrix_products(u, gradient)
    ours, theirs = layers()
    u.requires_grad_()
    if who == "sciml":
        layer, call = ours, lambda: ours(u, step_scale=scale if irregular else None)[0]
    else:
        layer, call = theirs, lambda: theirs(u, step_scale=scale if irregular else 1.0)

    def forward() -> Tensor:
        with torch.no_grad():
            return call()

    def forward_backward() -> Tensor:
        y = call()
        torch.autograd.grad(y, [u, *layer.parameters()], gradient)
        return y

    return {"forward": forward, "forward+backward": forward_backward}


def matrix_products(u: Tensor, gradient: Tensor) -> dict[str, Run]:
    """The products with real and imaginary parts that no S5 layer can do without."""
    rows, grad_rows = u.flatten(0, 1), gradient.flatten(0, 1)
    W_in, W_out = torch.randn(FEATURES, 2 * STATES), torch.randn(2 * STATES, FEATURES)

    def forward() -> Tensor:
        return rows @ W_in @ W_out

    def forward_backward() -> Tensor:
        x = rows @ W_in
        y = x @ W_out
        grad_x = grad_rows @ W_out.T
        _ = grad_x @ W_in.T, rows.T @ grad_x, x.T @ grad_rows
        return y

    return {"forward": forward, "forward+backward": forward_backward}


def seconds(function: Callable[[], object]) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    function()
    return clock() - start


def measure(names: tuple[str, ...], batch: int, length: int, rounds: int, *, irregular: bool = False):
    """Times by (task, who), taken in turns; the outputs have to agree."""
    problems = {who: runs(who, batch, length, irregular=irregular) for who in names}
    outputs = {who: problems[who]["forward"]() for who in names if who != "limit"}
    # Rounding of float32 in recurrences of thousands of steps, the order of which differs.
    atol = 1e-4 * outputs["sciml"].abs().max().item()
    torch.testing.assert_close(outputs["s5-pytorch"], outputs["sciml"], rtol=0, atol=atol)
    times = {(what, who): [] for what in TASKS for who in names}
    for round_ in range(rounds + 1):
        for (what, who), found in times.items():
            spent = seconds(problems[who][what])
            if round_:
                found.append(spent)
    return times


def table(title: str, times) -> Table:
    """Fastest and median run; how often it fits into theirs, and how often the limit fits into it, as medians."""
    found = Table("task", "who", title=title)
    for column in ("min", "median", "speed", "goal", "limit", "goal"):
        found.add_column(column, justify="right")
    for (what, who), spent in times.items():
        theirs, limit = times[what, "s5-pytorch"], times.get((what, "limit"))
        faster = f"{median_ratio(theirs, spent):.2f}" if who == "sciml" else ""
        over = f"{median_ratio(spent, limit):.2f}" if limit and who != "limit" else ""
        goals = [f"{goal}" if who == "sciml" else "" for goal in GOALS.values()]
        found.add_row(
            what, who, f"{1e3 * min(spent):.1f} ms", f"{1e3 * statistics.median(spent):.1f} ms",
            faster, goals[0], over, goals[1] if limit else "",
        )  # fmt: skip
    return found


def median_ratio(one: list[float], other: list[float]) -> float:
    """Median over the rounds of how often the other fits into the one."""
    return statistics.median(map(operator.truediv, one, other))


def memory_of(who: str, batch: int, length: int) -> float:
    """GiB by which the peak of this process rises in one forward and backward pass."""
    runs(who, 1, 64, irregular=False)["forward+backward"]()  # libraries are loaded
    task = runs(who, batch, length, irregular=False)["forward+backward"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    task()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20


def peak_memory(who: str, batch: int, length: int) -> float:
    """``memory_of`` in a fresh process, in units of the states."""
    command = [sys.executable, __file__, "--memory-of", who, "--batch", str(batch), "--lengths", str(length)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(found.split()[-1]) * 2**30 / (8 * batch * length * STATES)


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lengths", nargs="+", type=int, default=[1024, 4096, 16384])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--memory-length", type=int, default=16384)
    parser.add_argument("--out", type=Path, help="also write the numbers to this JSON file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads[0])
    if args.memory_of:
        print(memory_of(args.memory_of, args.batch, args.lengths[0]))
        return

    console, report = Console(), []
    console.print(
        f"{FEATURES} features, {STATES} complex states, batch {args.batch}, float32, torch {torch.__version__}"
    )
    # First of all: a child process starts with the peak of its parent.
    for who in ("s5-pytorch", "sciml"):
        peak = peak_memory(who, args.batch, args.memory_length)
        console.print(f"Peak memory of {who} at length {args.memory_length}: {peak:.1f} times the states")
        report.append({"who": who, "length": args.memory_length, "memory in units of the states": peak})
    for threads in args.threads:
        torch.set_num_threads(threads)
        for length in args.lengths:
            times = measure(WHO, args.batch, length, args.rounds)
            load = os.getloadavg()[0]
            console.print(table(f"length {length}, {threads} threads, load of the machine {load:.1f}", times))
            found = {f"{what}, {who}": spent for (what, who), spent in times.items()}
            report.append({"threads": threads, "length": length, "seconds": found, "load": load})
    # Their matrices of every step take gigabytes at the full batch.
    times = measure(("s5-pytorch", "sciml"), 1, 1024, args.rounds, irregular=True)
    console.print(table("length 1024, batch 1, a time step for every step", times))
    report.append({"irregular": {f"{what}, {who}": spent for (what, who), spent in times.items()}})
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
