"""How close Poseidon-T comes to what its matrix products alone cost: ``python benchmarks/scot.py``.

The limit is the number of floating-point operations, counted by ``FlopCounterMode`` on stock operations, over the rate
of a large matrix product. Rate, stock attention and the package's own are timed in turns in one process, so that the
ratios hold on a busy machine too. The counter books the weight gradient of a depthwise convolution as if it were
dense; ``without that`` is the stricter limit. Peak memory is the largest resident size of a fresh process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from sciml.poseidon import ScOT, ScOTConfig
from sciml.poseidon.biased_attention import stock_cosine_attention

GOALS = {"forward": 2.0, "forward+backward": 1.8, "memory": 1.7}
GROUPS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm_", "mv"),
    "attention": ("_scaled_dot_product", "_softmax", "softmax", "_TiledCosineAttention"),
    "norms": ("native_layer_norm", "addcmul", "sqrt_", "clamp_min_"),
    "GELU": ("gelu",),
    "convolutions": ("mkldnn_convolution", "_convolution", "convolution_backward", "_slow_conv2d"),
    "copies": ("copy_", "cat", "fill_", "clone"),
    "sums, products": ("add", "mul", "sum", "div"),
}


def stock_attention():
    return mock.patch("sciml.poseidon.attention.cosine_attention", stock_cosine_attention)


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
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def flops(batch: int) -> dict[str, float]:
    """Operations of the network with stock attention, whose products the counter sees."""
    convolution = torch.ops.aten.convolution_backward
    with stock_attention(), FlopCounterMode(display=False) as total:
        problem(batch)["forward+backward"]()
    counts = total.get_flop_counts()["Global"]
    backward_of_dense = 2 * counts[torch.ops.aten.convolution]
    excess = counts[convolution] - backward_of_dense
    with FlopCounterMode(display=False) as counter, stock_attention(), torch.enable_grad():
        net = ScOT(ScOTConfig.preset("T"))
        net(torch.randn(batch, 4, 128, 128), 0.5)
    return {"forward": counter.get_total_flops(), "forward+backward": total.get_total_flops(), "excess": excess}


def measure(batch: int, rounds: int) -> tuple[list[float], dict[tuple[str, str], list[float]]]:
    """Matmul rates, and times by (who, what), taken in turns."""
    tasks = problem(batch)
    rates, times = [], {(who, what): [] for who in ("stock attention", "sciml") for what in tasks}
    for round_ in range(rounds + 1):
        rates.append(matmul_rate())
        for (who, what), found in times.items():
            if who == "sciml":
                spent = seconds(tasks[what])
            else:
                with stock_attention():
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
        with stock_attention() if args.stock else mock.patch.dict({}):
            problem(args.batch)["forward+backward"]()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return

    counted = flops(args.batch)
    rates, times = measure(args.batch, args.rounds)
    rate = max(rates)
    result: dict[str, object] = {"threads": args.threads, "batch": args.batch, "gflops": rate / 1e9, "flop": counted}
    table = Table(title=f"Poseidon-T, 128x128, batch {args.batch}, {args.threads} threads, float32")
    for column in ("", "who", "min", "median", "limit", "min / limit", "without that", "goal"):
        table.add_column(column, justify="left" if column in ("", "who") else "right")
    for (who, what), found in sorted(times.items(), key=lambda item: item[0][1]):
        limit = counted[what] / rate
        strict = (counted[what] - (counted["excess"] if what != "forward" else 0)) / rate
        result[f"{what}, {who}"] = {"seconds": found, "limit": limit, "strict limit": strict}
        table.add_row(
            what, who, f"{min(found):.3f} s", f"{statistics.median(found):.3f} s", f"{limit:.3f} s",
            f"{min(found) / limit:.2f}", f"{min(found) / strict:.2f}", f"{GOALS[what]:.1f}",
        )  # fmt: skip
    for who, stock in (("stock attention", True), ("sciml", False)):
        memory = peak_memory(2 * args.batch, stock=stock)
        result[f"memory, {who}"] = memory
        row = (f"peak memory, batch {2 * args.batch}", who, f"{memory:.2f} GiB", "", "", "", "", f"{GOALS['memory']} GiB")
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(
        f"Matrix product: {rate / 1e9:.0f} GFLOP/s at best, {statistics.median(rates) / 1e9:.0f} in the median; "
        f"{counted['forward'] / 1e9:.1f} GFLOP forward, {counted['forward+backward'] / 1e9:.1f} with backward, of which "
        f"{counted['excess'] / 1e9:.1f} are booked for depthwise convolutions in excess."
    )
    shares = Table(title="Where the time goes")
    shares.add_column("")
    tasks = problem(args.batch)
    found = {what: where_time_goes(task) for what, task in tasks.items()}
    result["shares"] = found
    for what in found:
        shares.add_column(what, justify="right")
    for group in found["forward+backward"]:
        shares.add_row(group, *(f"{100 * found[what].get(group, 0.0):.0f} %" for what in found))
    console.print(shares)
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
