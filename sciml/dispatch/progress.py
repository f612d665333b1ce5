"""How a training of cuts is shown while it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.dispatch.sddp import Iteration


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
    failures = f", {record.dropped} cuts dropped" if record.dropped else ""
    return f"bound {record.bound:,.2f}, paths {record.cost:,.2f}, {record.cuts} cuts{failures}, {record.seconds:.1f} CPU s"


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
