"""S4D, S4-PTD and S4: kernels, and kernels with their convolution, against the published formulas written plainly.

Everything runs in one process, forward plus backward, in turns; ratios are medians over the rounds, times those of the
fastest one. One thread is measured by processor time, which a busy machine disturbs less than wall time; two by wall
time, and the load of the machine is told with them. The plain implementations are vectorised over batch, feature and
time. For the kernel: a Vandermonde product (S4D) or a Cauchy sum over the roots of unity (S4), term by term as
published, and as a matrix product; for the convolution: one zero-padded FFT of the whole batch.

    python benchmarks/ssm_siso.py --threads 1 2 --lengths 1024 4096 16384
"""

from __future__ import annotations

import argparse
import json
import math
import operator
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sciml.ssm.chunked import run_chunked
from sciml.ssm.convolution import fft_convolution
from sciml.ssm.kernels import diagonal_kernel
from sciml.ssm.low_rank import as_column, as_row, discretize_low_rank, low_rank_kernel, squares, squares_needed
from sciml.ssm.s4 import S4
from sciml.ssm.s4d import S4D, S4PTD

Run = Callable[[], object]
GOALS = {("plain", 1024): 5.0, ("plain", 4096): 10.0, ("plain FFT", 4096): 2.0, ("plain FFT", 16384): 2.0}
LARGEST_PLAIN_KERNEL = 2**31  # bytes of the Vandermonde matrix; beyond, the plain kernel is left out


def plain_kernel(coefficients: Tensor, exponent: Tensor, length: int) -> Tensor:
    powers = torch.exp(exponent[..., None] * torch.arange(length))
    return torch.einsum("hn,hnl->hl", coefficients, powers).real


def plain_convolution(u: Tensor, kernel: Tensor, skip: Tensor) -> Tensor:
    size = 2 * u.shape[1]
    spectrum = torch.fft.rfft(u.mT, n=size) * torch.fft.rfft(kernel, n=size)
    return torch.fft.irfft(spectrum, n=size)[..., : u.shape[1]].mT + skip * u


def plain_low_rank_kernel(
    lam: Tensor, p: Tensor, B: Tensor, C: Tensor, step: Tensor, length: int, *, product: bool = False
) -> Tensor:
    """Algorithm 1 of arXiv:2111.00396, for a C that already holds the factor 1 - A^length, which costs more on top."""
    z = torch.exp(-2j * math.pi * torch.arange(length // 2 + 1, dtype=torch.float64) / length).to(lam.dtype)
    s = 2 * (1 - z) / (1 + z)
    both = [torch.cat([t, t.conj()], dim=-1) for t in (lam, p, B, C)]
    lam, p, B, C = both
    weights = step * torch.stack([C * B, C * p, p.conj() * B, p.conj() * p])
    poles = (step * lam)[..., None]
    if product:
        cauchy = torch.einsum("khn,hnl->khl", weights, 1 / (s - poles))
    else:
        cauchy = (weights[..., None] / (s - poles)).sum(-2)
    spectrum = 2 / (1 + z) * (cauchy[0] - cauchy[1] * cauchy[2] / (1 + cauchy[3]))
    return torch.fft.irfft(spectrum, n=length)


def leaves(*tensors: Tensor) -> list[Tensor]:
    return [t.detach().clone().requires_grad_() for t in tensors]


def backward(run: Callable[..., Tensor], inputs: list[Tensor], weight: Tensor) -> Run:
    return lambda: torch.autograd.grad(run(*inputs), inputs, weight)


def operators(length: int, batch: int, features: int, state: int) -> dict[str, Run]:
    """Kernel and convolution of S4-PTD, from the discrete parameters on; the goals are stated for these."""
    exponent, B, C = S4PTD(features, state=state)._discrete(torch.float32)
    inputs = leaves(torch.randn(batch, length, features), exponent, B, C[0], torch.randn(features))
    weight = torch.randn(batch, length, features)

    def chunked(u: Tensor, e: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return run_chunked(u, e, b, c, d)[0]

    def fft(u: Tensor, e: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return fft_convolution(u, diagonal_kernel(b * c, e, length)) + d * u

    def plain_fft(u: Tensor, e: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return plain_convolution(u, diagonal_kernel(b * c, e, length), d)

    def plain(u: Tensor, e: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return plain_convolution(u, plain_kernel(b * c, e, length), d)

    runs = {"chunked": chunked, "fft": fft, "plain FFT": plain_fft, "plain": plain}
    if 4 * features * state * length > LARGEST_PLAIN_KERNEL:
        del runs["plain"]
    reference = plain_fft(*inputs)
    for name, run in runs.items():
        worst = ((run(*inputs) - reference).abs().max() / reference.abs().max()).item()
        if worst > 1e-4:
            raise RuntimeError(f"{name} differs by {worst:.1e}: there is nothing to compare")
    return {name: backward(run, inputs, weight) for name, run in runs.items()}


def low_rank_kernels(length: int, features: int, state: int) -> dict[str, Run]:
    """Kernel of S4, from the continuous parameters on."""
    net = S4(features, state=state)
    lam, B, C, step = net._continuous()
    inputs, weight = leaves(lam, torch.view_as_complex(net.low_rank), B, C[:, 0], step), torch.randn(features, length)

    def ours(lam: Tensor, p: Tensor, B: Tensor, C: Tensor, step: Tensor) -> Tensor:
        transition = discretize_low_rank(lam, p, B, step)
        powers = squares(transition, squares_needed(length - 1))
        return low_rank_kernel(powers, as_column(transition.input), as_row(2 * C), length)[:, 0, 0]

    def plain(*inputs: Tensor) -> Tensor:
        return plain_low_rank_kernel(*inputs, length=length)

    def product(*inputs: Tensor) -> Tensor:
        return plain_low_rank_kernel(*inputs, length=length, product=True)

    runs = {"ours": ours, "plain Cauchy": plain, "plain Cauchy, as a product": product}
    if 16 * features * state * length > LARGEST_PLAIN_KERNEL:
        del runs["plain Cauchy"]
    return {name: backward(run, inputs, weight) for name, run in runs.items()}


def layers(length: int, batch: int, features: int, state: int) -> dict[str, Run]:
    """Whole layers, discretisation and last state included, as a training step uses them."""
    u, weight = torch.randn(batch, length, features, requires_grad=True), torch.randn(batch, length, features)
    nets = {
        "S4D fft": S4D(features, state=state, method="fft"),
        "S4D chunked": S4D(features, state=state, method="chunked"),
        "S4D both ways": S4D(features, state=state, bidirectional=True),
        "S4": S4(features, state=state),
    }

    def run(net: torch.nn.Module) -> Run:
        return lambda: torch.autograd.grad(net(u)[0], [u, *net.parameters()], weight)

    return {name: run(net) for name, net in nets.items()}


def measure(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run in each round, taken in turns: back and forth, so that a drift of the load cancels."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(rounds):
        for name in list(runs)[:: -1 if round_ % 2 else 1]:
            start = clock()
            runs[name]()
            times[name].append(clock() - start)
    return times


def median_ratio(base: list[float], spent: list[float]) -> float:
    """Median over the rounds of how often one fits into the other."""
    return statistics.median(map(operator.truediv, base, spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lengths", nargs="+", type=int, default=[1024, 4096, 16384])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--state", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="also write the numbers to this JSON file")
    args = parser.parse_args()
    console, report, size = Console(), [], (args.features, args.state)
    console.print(
        f"{args.features} features, {args.state} states, batch {args.batch}, float32, torch {torch.__version__}"
    )
    for threads in args.threads:
        torch.set_num_threads(threads)
        clock = "processor time" if threads == 1 else "wall time"
        table = Table("length", "what", "who", title=f"{threads} threads: forward and backward, {clock}")
        for column in ("ms", "x plain", "goal", "x plain FFT", "goal"):
            table.add_column(column, justify="right")
        for length in args.lengths:
            parts = {
                "operator": operators(length, args.batch, *size),
                "S4 kernel": low_rank_kernels(length, *size),
                "layer": layers(length, args.batch, *size),
            }
            for what, runs in parts.items():
                found = measure(runs, args.rounds)
                load = os.getloadavg()[0]
                report.append({"threads": threads, "length": length, "what": what, "seconds": found, "load": load})
                for who, spent in found.items():
                    row = [f"{1e3 * min(spent):.1f}"]
                    for peer in ("plain", "plain FFT"):
                        base = found.get(peer, found.get("plain Cauchy") if peer == "plain" else None)
                        if base is None or who.startswith("plain"):
                            row += ["", ""]
                            continue
                        goal = 5.0 if what == "S4 kernel" else GOALS.get((peer, length))
                        row += [f"{median_ratio(base, spent):.1f}", f"{goal:.0f}" if goal else ""]
                    table.add_row(str(length), what, who, *row)
        console.print(table, f"load of the machine over the last minute: {os.getloadavg()[0]:.1f}")
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
