"""What is recorded of a training by cuts, and how it is shown while it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciml.dispatch.program import Array


@dataclass(frozen=True)
class Iteration:
    """What is recorded of an iteration.

    Attributes:
        iteration: 1, 2, ...
        bound: Lower bound of the optimal (risk-adjusted) cost, $.
        cost: Mean operating cost of the paths of the forward pass, $; NaN if none got to the end.
        cuts: That there are, of all stages.
        dropped: Cuts that were dropped in this iteration, since a solve failed.
        seconds: CPU time of all processes since training began.
    """

    iteration: int
    bound: float
    cost: float
    cuts: int
    dropped: int
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """Operating cost of simulated scenarios.

    Attributes:
        costs: (scenario,), $; without those whose solver failed.
        failed: Number of those.
    """

    costs: Array
    failed: int = 0

    @property
    def mean(self) -> float:
        """Mean cost, $."""
        return float(self.costs.mean())

    @property
    def half_width(self) -> float:
        """Half the width of the 95 % interval of the mean, by Student's t, $."""
        from scipy.stats import t

        number = len(self.costs)
        return float(t.ppf(0.975, number - 1) * self.costs.std(ddof=1) / np.sqrt(number))

    def __str__(self) -> str:
        return f"{self.mean:,.2f} ± {self.half_width:,.2f} (95 %, {len(self.costs)} scenarios)"


@contextmanager
def shown(progress: bool | Callable[[Iteration], Any], total: int | None) -> Iterator[Callable[[Iteration], Any]]:
    """What is called after each iteration: a bar in a terminal, lines of text elsewhere, nothing, or what came.

    Args:
        progress: Whether to show something on standard error, or what to call.
        total: Iterations that are planned, if that is known.
    """
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda record: None
    elif sys.stderr.isatty():
        with _bar(total) as update:
            yield update
    else:
        yield _print


def _text(record: Iteration) -> str:
    cuts = f"{record.cuts} cuts" + (f", {record.dropped} dropped" if record.dropped else "")
    return f"bound {record.bound:,.2f}, paths {record.cost:,.2f}, {cuts}, {record.seconds:.1f} CPU s"


def _print(record: Iteration) -> None:
    """One line at iterations 1 to 5, then ever fewer: 10, 20, 50, 100, ..."""
    leading = str(record.iteration).rstrip("0")
    if record.iteration <= 5 or (record.iteration >= 10 and leading in {"1", "2", "5"}):
        print(f"iteration {record.iteration}: {_text(record)}", file=sys.stderr, flush=True)


@contextmanager
def _bar(total: int | None) -> Iterator[Callable[[Iteration], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("SDDP", total=total)
        yield lambda record: bar.update(task, advance=1, description=_text(record))
