"""How close Poseidon-T comes to what its matrix products alone cost: ``python benchmarks/scot.py``.

A limit is a number of floating-point operations over the rate of a large matrix product. Three are given:
published: FlopCounterMode on the published formulation, which also computes the scores that shifted windows mask out.
counted: FlopCounterMode on this network with stock operations (shifted windows are cut into unmasked ones).
needed: the same without what the counter books in excess: weight gradients of depthwise convolutions as if dense.

The rate, the network with stock autograd and the network as it is are timed in turns in one process. Peak memory is
the largest resident size of a fresh process. With one thread, processor time is taken, which a busy machine disturbs
less than wall time; with more, threads wait for each other, so the machine has to be quiet.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from sciml.poseidon import ScOT, ScOTConfig
from sciml.poseidon.biased_attention import stock_cosine_attention

GOALS = {"forward": 2.0, "forward+backward": 1.8}
MEMORY_GOAL = 1.7
GROUPS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm_"),
    "attention kernel, softmax": ("_scaled_dot_product", "_softmax", "softmax"),
    "norms": ("native_layer_norm", "addcmul"),
    "GELU": ("gelu",),
    "convolutions": ("mkldnn_convolution", "_convolution", "convolution_backward"),
    "copies": ("copy_", "cat", "fill_", "clone"),
    "sums, products": ("add", "mul", "sum", "div"),
}


# FLOP of a sample, of the published formulation.
PUBLISHED = {"forward": 11.3e9 / 4, "forward+backward": 39.2e9 / 4}
Limits = dict[str, dict[str, float]]


@contextmanager
def stock_operations() -> Iterator[None]:
    """The network without the package's own backward passes."""
    with (
        mock.patch("sciml.poseidon.attention.cosine_attention", stock_cosine_attention),
        mock.patch("sciml.poseidon.blocks.depthwise_conv", lambda x, conv: conv(x)),
    ):
        yield


def problem(batch: int) -> dict[str, Callable[[], None]]:
    """Poseidon-T on random fields: what is timed, by name."""
    torch.manual_seed(0)
    net = ScOT(ScOTConfig.preset("T"))
    fields, lead_time = torch.randn(batch, 4, 128, 128), torch.rand(batch)

    def forward() -> None:
        with torch.no_grad():
            net.eval()(fields, lead_time)

    def forward_backward() -> None:
        net.train().zero_grad()
        net(fields, lead_time).backward(fields)

    return {"forward": forward, "forward+backward": forward_backward}


def matmul_rate(rows: int = 2048, width: int = 1024) -> float:
    """Operations per second of a large matrix product, the best of three."""
    a, b = torch.randn(rows, width), torch.randn(width, width)
    return 2 * rows * width**2 / min(seconds(lambda: a @ b) for _ in range(3))


def seconds(function: Callable[[], object]) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    function()
    return clock() - start


def flops(batch: int) -> Limits:
    """Operations by limit and task."""
    net, fields = ScOT(ScOTConfig.preset("T")), torch.randn(batch, 4, 128, 128)
    with stock_operations(), FlopCounterMode(display=False) as forward:
        prediction = net(fields, 0.5)
    with FlopCounterMode(display=False) as backward:
        prediction.backward(fields)
    convolutions = forward.get_flop_counts()["Global"][torch.ops.aten.convolution]
    excess = backward.get_flop_counts()["Global"][torch.ops.aten.convolution_backward] - 2 * convolutions
    one, both = forward.get_total_flops(), forward.get_total_flops() + backward.get_total_flops()
    return {
        "published": {what: batch * count for what, count in PUBLISHED.items()},
        "counted": {"forward": one, "forward+backward": both},
        "needed": {"forward": one, "forward+backward": both - excess},
    }


def measure(batch: int, rounds: int) -> tuple[list[float], dict[tuple[str, str], list[float]]]:
    """Matmul rates, and times by (task, who), taken in turns."""
    tasks = problem(batch)
    rates, times = [], {(what, who): [] for what in tasks for who in ("stock", "sciml")}
    for round_ in range(rounds + 1):
        rates.append(matmul_rate())
        for (what, who), found in times.items():
            with stock_operations() if who == "stock" else nullcontext():
                spent = seconds(tasks[what])
            if round_:  # the first one warms up
                found.append(spent)
    return rates, times


def peak_memory(batch: int, *, stock: bool) -> float:
    """GiB of a fresh process that does one forward and backward pass."""
    command = [sys.executable, __file__, "--measure-memory", "--batch", str(batch), *(["--stock"] if stock else [])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def where_time_goes(task: Callable[[], None]) -> dict[str, float]:
    """Share of self CPU time by group of operations."""
    task()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        task()
    shares: dict[str, float] = {}
    for event in found.key_averages():
        name = event.key.removeprefix("aten::")
        group = next((g for g, starts in GROUPS.items() if name.startswith(starts)), "everything else")
        shares[group] = shares.get(group, 0.0) + event.self_cpu_time_total
    total = sum(shares.values())
    return {group: share / total for group, share in sorted(shares.items(), key=lambda item: -item[1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the numbers to this JSON file")
    parser.add_argument("--measure-memory", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--stock", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.measure_memory:
        with stock_operations() if args.stock else nullcontext():
            problem(args.batch)["forward+backward"]()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return

    limits = flops(args.batch)
    rates, times = measure(args.batch, args.rounds)
    rate = max(rates)
    memory = {who: peak_memory(8, stock=who == "stock") for who in ("stock", "sciml")}
    shares = {what: where_time_goes(task) for what, task in problem(args.batch).items()}
    console = Console()
    console.print(
        f"Poseidon-T, 128x128, batch {args.batch}, {args.threads} threads, float32, torch {torch.__version__}. "
        f"Large matrix product: {rate / 1e9:.0f} GFLOP/s at best, {statistics.median(rates) / 1e9:.0f} in the median."
    )
    console.print(times_table(times, limits, rate))
    for who, peak in memory.items():
        console.print(f"Peak memory, forward+backward at batch 8, {who}: {peak:.2f} GiB (goal: {MEMORY_GOAL} GiB)")
    console.print(shares_table(shares))
    if args.out:
        found = {f"{what}, {who}": spent for (what, who), spent in times.items()}
        numbers = {"seconds": found, "flop": limits, "rates": rates, "memory": memory, "shares": shares}
        args.out.write_text(json.dumps({"threads": args.threads, "batch": args.batch, **numbers}, indent=2) + "\n")


def times_table(times: dict[tuple[str, str], list[float]], limits: Limits, rate: float) -> Table:
    table = Table("task", "who", title="Time, and the fastest run over each limit")
    for column in ("min", "median", *limits, "goal"):
        table.add_column(column, justify="right")
    for (what, who), found in times.items():
        ratios = [f"{min(found) * rate / limit[what]:.2f}" for limit in limits.values()]
        spent = (f"{1e3 * min(found):.0f} ms", f"{1e3 * statistics.median(found):.0f} ms")
        table.add_row(what, who, *spent, *ratios, f"{GOALS[what]:.1f}")
    table.add_section()
    for what in GOALS:
        bounds = [f"{1e3 * limit[what] / rate:.0f} ms" for limit in limits.values()]
        table.add_row(what, "limit", "", "", *bounds, "")
    return table


def shares_table(shares: dict[str, dict[str, float]]) -> Table:
    table = Table("operations", title="Where the time goes (self CPU time)")
    for what in shares:
        table.add_column(what, justify="right")
    for group in shares["forward+backward"]:
        table.add_row(group, *(f"{100 * found.get(group, 0.0):.0f} %" for found in shares.values()))
    return table


if __name__ == "__main__":
    main()
