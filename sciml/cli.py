"""The command ``sciml``: ``sciml generate`` makes data, ``sciml doctor`` checks the installation.

Commands import what they need when they run, so that ``sciml --help`` is instant.
"""

from __future__ import annotations

import os
import sys
from inspect import getdoc
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

import typer
from rich.console import Console
from rich.table import Table

from sciml.errors import ConfigError, SciMLError

cli = typer.Typer(
    name="sciml",
    help="Scientific machine learning: PDE data and the models trained on them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def app() -> None:
    """Run the command line; an error of ours is one red line, without its stack of frames unless SCIML_DEBUG=1."""
    try:
        cli()
    except SciMLError as error:
        if os.environ.get("SCIML_DEBUG", "0") not in ("", "0"):
            raise
        Console(stderr=True, highlight=False).print(
            "error:", str(error), style="bold red", markup=False, soft_wrap=True
        )
        sys.exit(1)


@cli.callback()
def main() -> None:
    """Scientific machine learning: PDE data and the models trained on them."""


@cli.command()
def generate(
    task: Annotated[str | None, typer.Argument(help="Name of the task, e.g. NS-PwC; --list shows all.")] = None,
    trajectories: Annotated[int, typer.Option("--trajectories", "-n", help="How many trajectories.")] = 256,
    resolution: Annotated[int, typer.Option("--resolution", "-r", help="Grid points along each axis.")] = 128,
    seed: Annotated[int, typer.Option(help="Seed of the random initial data.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; TASK.nc by default.")] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1, mps.")] = "cpu",
    block: Annotated[int | None, typer.Option(help="Trajectories solved together; raise it on a GPU.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter of the task; repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file made with other parameters.")] = False,
    list_tasks: Annotated[
        bool, typer.Option("--list", help="Show all tasks, or the parameters of TASK, and stop.")
    ] = False,
) -> None:
    """Solve a PDE for many random initial data and write a file of trajectories.

    A run that was stopped goes on where it stopped when the same command is given again.
    """
    if list_tasks:
        _show_task(task) if task else _show_tasks()
        return
    if task is None:
        raise ConfigError(
            "no task is named. Give one, e.g. `sciml generate NS-PwC`; `sciml generate --list` shows all."
        )
    from sciml.doctor import data_file
    from sciml.pde.generate import InterruptedGeneration
    from sciml.pde.generate import generate as generate_file
    from sciml.pde.tasks import make_task

    made = make_task(task, **_parameters(task, param or []))
    out = out or Path(f"{made.name}.nc")
    try:
        generate_file(
            made,
            out,
            trajectories=trajectories,
            resolution=resolution,
            seed=seed,
            device=device,
            block=block,
            overwrite=overwrite,
        )
    except InterruptedGeneration as stop:
        Console(stderr=True, highlight=False).print(str(stop), markup=False, soft_wrap=True)
        sys.exit(130)
    Console().print(_table(str(out), data_file(out)))


@cli.command()
def doctor(
    data: Annotated[Path | None, typer.Option(help="A file of trajectories to try to read.")] = None,
    model: Annotated[str | None, typer.Option(help="A model folder, or a hub id, to try to load.")] = None,
) -> None:
    """Show versions, devices, threads and solvers, and whether a file and a model can be read."""
    from sciml import doctor as examine

    console = Console()
    console.print(_table("sciml", examine.environment()))
    failures = []
    for title, given, check in (("data", data, examine.data_file), ("model", model, examine.model_folder)):
        if given is None:
            continue
        try:
            console.print(_table(f"{title}: {given}", check(given)))
        except SciMLError as error:
            failures.append(f"{title} {given}: {error}")
    if failures:
        raise SciMLError("\n".join(failures))


def _parameters(task: str, assignments: list[str]) -> dict[str, Any]:
    """``name=value`` texts, converted to the types that the task declares."""
    from dataclasses import fields

    from sciml.pde.tasks import find_task

    kind = find_task(task)
    hints = get_type_hints(kind)
    declared = {field.name: hints[field.name] for field in fields(kind)}
    parameters = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--param {assignment!r} has no '='. Write --param NAME=VALUE, e.g. --param amplitude=5.")
        # A name that the task does not have goes through as text; the task then says which names it has.
        parameters[name] = _convert(name, value, declared[name]) if name in declared else value
    return parameters


def _convert(name: str, text: str, kind: Any) -> Any:
    words = {"true": True, "false": False, "none": None}
    choices = get_args(kind) or (kind,)
    for choice in choices:
        if choice in (bool, NoneType) and isinstance(words.get(text.lower(), ""), choice):
            return words[text.lower()]
        if choice in (int, float):
            try:
                return choice(text)
            except ValueError:
                continue
        if choice == text:
            return text
    expected = " or ".join(choice.__name__ if isinstance(choice, type) else str(choice) for choice in choices)
    raise ConfigError(f"--param {name}={text}: {text!r} is not {expected}.")


def _show_tasks() -> None:
    from sciml.pde.tasks import TASKS

    table = Table("task", "equation", "initial data", "channels", "frames", title="Tasks of sciml generate")
    for name, kind in TASKS.items():
        task = kind()
        table.add_row(name, kind.equation, kind.initial_data, ", ".join(task.channels), str(len(task.times)))
    Console().print(table, "`sciml generate TASK --list` explains the parameters of a task.")


def _show_task(name: str) -> None:
    from dataclasses import fields, is_dataclass

    from sciml.pde.tasks import find_task

    kind = find_task(name)
    for ancestor in kind.__mro__:
        if is_dataclass(ancestor):
            Console().print(getdoc(ancestor), markup=False, highlight=False, soft_wrap=True, end="\n\n")
    task = kind()
    defaults = [(field.name, str(getattr(task, field.name))) for field in fields(kind)]
    Console().print(_table(f"Defaults of {kind.name}", defaults))


def _table(title: str, rows: list[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
