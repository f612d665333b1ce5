"""What a whole sequence model costs: ``python benchmarks/ssm_model.py``.

Six blocks of 128 features, real states of size 64, outputs at every step; beside them an LSTM of six layers and 128
features, what a user would pick instead. Three questions: how many sequences a second are trained on (forward, backward
and a step of AdamW), how many steps a second a batch advances in recurrent mode, as it is and within ``frozen``, how
memory grows with the length.

The models take turns in one process. With one thread, processor time is taken, which a busy machine disturbs less than
wall time; with more, wall time, and the load of the machine is told. Rates are those of the fastest round, the gain of
``frozen`` is the median over the rounds. Memory is the largest resident size of a fresh process that trains on one
sequence, less what the process had before.
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
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from sciml.ssm.config import SequenceConfig
from sciml.ssm.frozen import frozen
from sciml.ssm.network import SequenceModel

LAYERS, FEATURES, STATE, INPUTS, OUTPUTS = 6, 128, 64, 3, 10
STEPS, BATCHES = 50, (1, 8)  # of the recurrent mode
WHO = ("lstm", "s4d", "s4_ptd", "s4", "s5", "s5_ptd")


class Rival(nn.Module):
    """An LSTM with the model's interface."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(INPUTS, FEATURES, num_layers=LAYERS, batch_first=True)
        self.head = nn.Linear(FEATURES, OUTPUTS)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.lstm(inputs)[0])

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(LAYERS, batch, FEATURES), torch.zeros(LAYERS, batch, FEATURES)

    def step(self, inputs: Tensor, state):
        x, state = self.lstm(inputs[:, None], state)
        return self.head(x[:, 0]), state


def make(who: str) -> nn.Module:
    torch.manual_seed(0)
    if who == "lstm":
        return Rival()
    settings = {"layers": LAYERS, "features": FEATURES, "inputs": INPUTS, "outputs": OUTPUTS, "pooling": "none"}
    return SequenceModel(SequenceConfig(layer=who, layer_options={"state": STATE}, **settings))


class Training:
    """One step of training, again and again on the same batch."""

    def __init__(self, who: str, batch: int, length: int):
        self.model = make(who).train()
        self.inputs, self.target = torch.randn(batch, length, INPUTS), torch.randn(batch, length, OUTPUTS)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        nn.functional.mse_loss(self.model(self.inputs), self.target).backward()
        self.optimizer.step()


class Recurrence:
    """Some steps of a batch in recurrent mode."""

    def __init__(self, who: str, batch: int, *, freeze: bool):
        self.model, self.batch = make(who).eval(), batch
        self.context = frozen if freeze else nullcontext

    @torch.no_grad()
    def __call__(self) -> None:
        state, inputs = self.model.initial_state(self.batch), torch.randn(STEPS, self.batch, INPUTS)  # type: ignore[operator]
        with self.context(self.model):
            for u in inputs:
                _, state = self.model.step(u, state)  # type: ignore[operator]


def measure(tasks: dict[Any, Callable[[], None]], rounds: int) -> dict[Any, list[float]]:
    """Seconds of each task in each round, taken in turns, the first round left out."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    found = {name: [] for name in tasks}
    for round_ in range(rounds + 1):
        for name, task in tasks.items():
            start = clock()
            task()
            if round_:
                found[name].append(clock() - start)
    return found


def memory_of(who: str, length: int) -> float:
    """MiB by which the peak of this process rises when it trains on one sequence."""
    Training(who, 1, 64)()  # libraries and the state of the optimiser are there
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Training(who, 1, length)()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10


def peak_memory(who: str, length: int) -> float:
    """``memory_of`` in a fresh process."""
    command = [sys.executable, __file__, "--memory-of", who, "--memory-lengths", str(length)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", nargs="+", default=list(WHO), choices=WHO)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--memory-lengths", nargs="*", type=int, default=[4096, 16384, 65536])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the numbers to this JSON file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory_of:
        print(memory_of(args.memory_of, args.memory_lengths[0]))
        return

    console = Console()
    # First of all: a child process starts with the peak of its parent.
    memory = {who: [peak_memory(who, length) for length in args.memory_lengths] for who in args.layers}
    training = measure({who: Training(who, args.batch, args.length) for who in args.layers}, args.rounds)
    modes = product(args.layers, BATCHES, (False, True))
    recurrent = measure({(who, n, freeze): Recurrence(who, n, freeze=freeze) for who, n, freeze in modes}, args.rounds)
    load = os.getloadavg()[0]

    title = f"length {args.length}, batch {args.batch}, {args.threads} threads, load of the machine {load:.1f}"
    table = Table("model", title=title)
    for column in (
        "trained, 1/s",
        *(f"batch {batch}, {mode}" for batch in BATCHES for mode in ("steps, 1/s", "frozen", "gain")),
        *(f"MiB at {length}" for length in args.memory_lengths),
    ):
        table.add_column(column, justify="right")
    report = {}
    for who in args.layers:
        steps = []
        for batch in BATCHES:
            anew, kept = recurrent[who, batch, False], recurrent[who, batch, True]
            gain = statistics.median(map(operator.truediv, anew, kept))
            steps.append({"steps a second": STEPS / min(anew), "frozen": STEPS / min(kept), "gain": gain})
        report[who] = {
            "sequences a second in training": args.batch / min(training[who]),
            "recurrent, by batch": dict(zip(BATCHES, steps, strict=True)),
            "MiB by length": dict(zip(args.memory_lengths, memory[who], strict=True)),
        }
        rates = [f"{value:.{1 if key == 'gain' else 0}f}" for found in steps for key, value in found.items()]
        trained = report[who]["sequences a second in training"]
        table.add_row(who, f"{trained:.1f}", *rates, *(f"{mib:.0f}" for mib in memory[who]))
    console.print(table)
    if args.out:
        args.out.write_text(json.dumps({"threads": args.threads, "load": load, "models": report}, indent=2) + "\n")


if __name__ == "__main__":
    main()
