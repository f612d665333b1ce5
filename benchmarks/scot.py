"""How close Poseidon comes to what its matrix products alone cost: ``python benchmarks/scot.py``.

A limit is a number of floating-point operations over the rate of a large matrix product. Three are given:
published: FlopCounterMode on the published formulation, which also computes the scores that shifted windows mask out.
counted: the same on this network, which cuts shifted windows into smaller ones without a mask.
needed: the same without what the counter books in excess: weight gradients of depthwise convolutions as if dense.

Timed in turns in one process: the rate, the network with stock autograd, the network as it is, and with
``--reference PATH`` the original code, checked out there with what it needs installed, with the same weights; its
prediction has to be the same. Peak memory is the largest resident size of a fresh process.

With one thread, processor time is taken, which a busy machine disturbs less than wall time; with more, threads wait
for each other, so the machine has to be quiet.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from sciml.poseidon import ScOT, ScOTConfig
from sciml.poseidon.biased_attention import stock_cosine_attention

TASKS = ("forward", "forward+backward")
GOALS = {"forward": 2.0, "forward+backward": 1.8}  # times the published limit
REFERENCE_GOALS = {"forward": 2.2, "forward+backward": 1.5}  # times as fast as the original, at batch 4 and 8
MEMORY_GOALS = {"GiB, Poseidon-T at batch 8": 1.7, "of the original": 0.7}
OWN_SETTINGS = ("initial_norm_scale", "resolution", "periodic_windows")  # unknown to the original
GROUPS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm_"),
    "attention kernel, softmax": ("_scaled_dot_product", "_softmax", "softmax"),
    "norms": ("native_layer_norm", "addcmul"),
    "GELU": ("gelu",),
    "convolutions": ("mkldnn_convolution", "_convolution", "convolution_backward"),
    "copies": ("copy_", "cat", "fill_", "clone"),
    "sums, products": ("add", "mul", "sum", "div"),
}

Limits = dict[str, dict[str, float]]
Times = dict[tuple[str, str], list[float]]
Run = Callable[[], Tensor]


@contextmanager
def stock_operations() -> Iterator[None]:
    """The network without the package's own backward passes."""
    with (
        mock.patch("sciml.poseidon.attention.cosine_attention", stock_cosine_attention),
        mock.patch("sciml.poseidon.blocks.depthwise_conv", lambda x, conv: conv(x)),
    ):
        yield


def whole_windows() -> AbstractContextManager:
    """Shifted windows are as many and as large as the others, as published; what to mask does not change the cost."""
    return mock.patch("sciml.poseidon.attention.bands", lambda size, window, shift: [(size, window)])


def original_network(checkout: Path, net: ScOT) -> torch.nn.Module:
    """The network of the original code with the weights of ``net``."""
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    original = importlib.import_module("scOT.model")
    settings = {k: v for k, v in dataclasses.asdict(net.config).items() if k not in OWN_SETTINGS}
    reference = original.ScOT(original.ScOTConfig(**settings))
    reference.load_state_dict(net.state_dict())
    return reference


def problem(size: str, batch: int, who: str, checkout: Path | None = None) -> dict[str, Run]:
    """A published size on random fields: what is timed, by name."""
    torch.manual_seed(0)
    ours = ScOT(ScOTConfig.preset(size, initial_norm_scale=1.0))
    fields, lead_time = torch.randn(batch, 4, 128, 128), torch.rand(batch)
    net, call = ours, lambda: net(fields, lead_time)
    if who == "original" and checkout is not None:
        net, call = original_network(checkout, ours), lambda: net(pixel_values=fields, time=lead_time).output
    operations = stock_operations if who == "stock" else nullcontext

    def forward() -> Tensor:
        if net.training:
            net.eval()
        with torch.no_grad(), operations():
            return call()

    def forward_backward() -> Tensor:
        net.train().zero_grad()
        with operations():
            prediction = call()
            prediction.backward(fields)
        return prediction

    return {"forward": forward, "forward+backward": forward_backward}


def competitors(checkout: Path | None) -> tuple[str, ...]:
    """Who is measured, the package last."""
    return ("original", "stock", "sciml") if checkout else ("stock", "sciml")


def matmul_rate(rows: int = 2048, width: int = 1024) -> float:
    """Operations per second of a large matrix product, the best of three."""
    a, b = torch.randn(rows, width), torch.randn(width, width)
    return 2 * rows * width**2 / min(seconds(lambda: a @ b) for _ in range(3))


def seconds(function: Callable[[], object]) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    function()
    return clock() - start


def flops(size: str) -> Limits:
    """Operations for one sample, by limit and task."""
    limits: Limits = {}
    for limit, windows in {"published": whole_windows, "counted": nullcontext}.items():
        net, fields = ScOT(ScOTConfig.preset(size)), torch.randn(1, 4, 128, 128)
        with stock_operations(), windows(), FlopCounterMode(display=False) as forward:
            prediction = net(fields, 0.5)
        with FlopCounterMode(display=False) as backward:
            prediction.backward(fields)
        one, both = forward.get_total_flops(), forward.get_total_flops() + backward.get_total_flops()
        convolutions = forward.get_flop_counts()["Global"][torch.ops.aten.convolution]
        excess = backward.get_flop_counts()["Global"][torch.ops.aten.convolution_backward] - 2 * convolutions
        limits[limit] = {"forward": one, "forward+backward": both}
        limits["needed"] = {"forward": one, "forward+backward": both - excess}
    return limits


def measure(size: str, batch: int, rounds: int, checkout: Path | None) -> tuple[list[float], Times]:
    """Matmul rates, and times by (task, who), taken in turns."""
    names = competitors(checkout)
    problems = {who: problem(size, batch, who, checkout) for who in names}
    predictions = {who: tasks["forward"]() for who, tasks in problems.items()}
    for who in names[:-1]:  # rounding of float32, which differs between them, through some hundred layers
        atol = 1e-3 * predictions["sciml"].abs().max().item()
        torch.testing.assert_close(predictions[who], predictions["sciml"], rtol=0, atol=atol)
    rates, times = [], {(what, who): [] for what in TASKS for who in names}
    for round_ in range(rounds + 1):
        rates.append(matmul_rate())
        for (what, who), found in times.items():
            problems[who][what]()  # comes back to its mode, its memory and the cache
            spent = seconds(problems[who][what])
            if round_:
                found.append(spent)
    return rates, times


def peak_memory(size: str, batch: int, who: str, checkout: Path | None) -> float:
    """GiB of a fresh process that does one forward and backward pass."""
    command = [sys.executable, __file__, "--memory-of", who, "--sizes", size, "--batches", str(batch)]
    command += ["--reference", str(checkout)] if checkout else []
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def where_time_goes(task: Run) -> dict[str, float]:
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


def times_table(size: str, batch: int, times: Times, limits: Limits, rate: float) -> Table:
    """Fastest and median run, and how often the limits, or the original, fit into the fastest."""
    table = Table("task", "who", title=f"Poseidon-{size}, batch {batch}: the fastest run over each limit")
    for column in ("min", "median", *limits, "goal", "x original", "goal"):
        table.add_column(column, justify="right")
    for (what, who), found in times.items():
        ratios = [f"{min(found) * rate / (batch * limit[what]):.2f}" for limit in limits.values()]
        original = times.get((what, "original"))
        faster = (f"{min(original) / min(found):.2f}", f"{REFERENCE_GOALS[what]:.1f}") if original else ("", "")
        spent = (f"{1e3 * min(found):.0f} ms", f"{1e3 * statistics.median(found):.0f} ms")
        table.add_row(what, who, *spent, *ratios, f"{GOALS[what]:.1f}", *faster)
    return table


def shares_table(shares: dict[str, dict[str, float]]) -> Table:
    """Groups of operations, the largest first."""
    table = Table("operations", title="Where the time goes, Poseidon-T at batch 4 (self CPU time)")
    for what in shares:
        table.add_column(what, justify="right")
    for group in shares["forward+backward"]:
        table.add_row(group, *(f"{100 * found.get(group, 0.0):.0f} %" for found in shares.values()))
    return table


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["T", "B"], help="published sizes")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reference", type=Path, metavar="PATH", help="a checkout of the original code")
    parser.add_argument("--out", type=Path, help="also write the numbers to this JSON file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory_of:
        problem(args.sizes[0], args.batches[0], args.memory_of, args.reference)["forward+backward"]()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return

    console, report, most = Console(), [], max(args.batches)
    console.print(f"128x128, {args.threads} threads, float32, torch {torch.__version__}")
    # First of all: a child process starts with the peak of its parent.
    for size in args.sizes:
        memory = {who: peak_memory(size, most, who, args.reference) for who in competitors(args.reference)}
        for who, peak in memory.items():
            ratio = f", {peak / memory['original']:.2f} of the original" if args.reference else ""
            console.print(f"Peak memory of Poseidon-{size}, batch {most}, {who}: {peak:.2f} GiB{ratio}")
        report.append({"size": size, "batch": most, "memory": memory})
    console.print(f"Goals: {', '.join(f'{goal} {of}' for of, goal in MEMORY_GOALS.items())}")

    for size in args.sizes:
        limits = flops(size)
        for batch in args.batches:
            rates, times = measure(size, batch, args.rounds, args.reference)
            console.print(times_table(size, batch, times, limits, max(rates)))
            slow = statistics.median(rates) / 1e9
            console.print(f"Large matrix product: {max(rates) / 1e9:.0f} GFLOP/s at best, {slow:.0f} in the median.")
            found = {f"{what}, {who}": spent for (what, who), spent in times.items()}
            report.append({"size": size, "batch": batch, "seconds": found, "flop": limits, "rates": rates})
    shares = {what: where_time_goes(task) for what, task in problem("T", 4, "sciml").items()}
    console.print(shares_table(shares))
    if args.out:
        numbers = {"threads": args.threads, "runs": report, "shares": shares}
        args.out.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
