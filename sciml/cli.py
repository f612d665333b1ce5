"""The command ``sciml``: make, look into and convert data, forecast with a saved model, check the installation.

Commands import what they need when they run, so that ``sciml --help`` is instant.
"""

from __future__ import annotations

import os
import shlex
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
    trajectories: Annotated[int, typer.Option("--trajectories", "-n", help="How many, over all shards.")] = 256,
    resolution: Annotated[int, typer.Option("--resolution", "-r", help="Grid points along each axis.")] = 128,
    seed: Annotated[int, typer.Option(help="Seed of the random initial data.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; TASK.nc by default.")] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1, mps.")] = "cpu",
    workers: Annotated[int | None, typer.Option(help="Blocks computed at once; the CPU cores by default.")] = None,
    block: Annotated[int | None, typer.Option(help="Trajectories solved together; raise it on a GPU.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter of the task; repeatable."),
    ] = None,
    solver_resolution: Annotated[
        int | None, typer.Option(help="Grid points of the solver, where a task has a grid of its own for it.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Make only part I of N (I from 0), for job arrays.")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Compute on this dask.distributed cluster.")
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Draw four samples (TASK.png) and stop.")] = False,
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

    parameters = _parameters(task, param or [])
    made = make_task(task, **parameters | ({"solver_resolution": solver_resolution} if solver_resolution else {}))
    if preview:
        from sciml.pde.preview import preview as draw

        drawn = draw(made, out or f"{made.name}.png", resolution=resolution, seed=seed, device=device)
        Console().print(f"{drawn}: four samples of {made.name}", highlight=False, soft_wrap=True)
        return
    try:
        out = generate_file(
            made,
            out or f"{made.name}.nc",
            trajectories=trajectories,
            resolution=resolution,
            seed=seed,
            device=device,
            workers=workers,
            block=block,
            shard=_shard(shard),
            dask=dask,
            overwrite=overwrite,
        )
    except InterruptedGeneration as stop:
        Console(stderr=True, highlight=False).print(str(stop), markup=False, soft_wrap=True)
        sys.exit(130)
    Console().print(_table(str(out), data_file(out)))


@cli.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="File, folder or pattern, in any layout.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="File to write; for the_well also a folder of train, valid and test.")
    ],
    to: Annotated[str, typer.Option(help="Layout to write: poseidon or the_well.")],
    task: Annotated[str | None, typer.Option(help="Name of the published task, if IN does not say it.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="A channel or scalar to leave out; repeatable.")] = None,
    validation: Annotated[
        int | None, typer.Option(help="Trajectories for data/valid; as published by default.")
    ] = None,
    test: Annotated[int | None, typer.Option(help="Trajectories for data/test; as published by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file OUT.")] = False,
) -> None:
    """Write trajectories in another layout, whatever their size: a few frames are in memory at a time."""
    from rich.progress import Progress

    from sciml.data import open_trajectories
    from sciml.data.convert import convert as convert_file

    with Progress(console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task(target.name, total=None)
        made = convert_file(
            source,
            target,
            to=to,  # type: ignore[arg-type]  (checked there)
            task=task,
            drop=drop or (),
            validation=validation,
            test=test,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(line, completed=done, total=total),
        )
    with open_trajectories(made) as trajectories:
        Console().print(repr(trajectories), markup=False, highlight=False, soft_wrap=True)


@cli.command()
def inspect(
    path: Annotated[str, typer.Argument(help="File, folder or pattern such as 'data/velocity_*.nc', in any layout.")],
    task: Annotated[str | None, typer.Option(help="Name of the published task, if the file does not say it.")] = None,
) -> None:
    """Show what a file of trajectories holds, how it is stored, and what would make reading it slow."""
    from sciml.data.inspect import inspect as look_into
    from sciml.data.inspect import readable_bytes

    found = look_into(path, task=task)
    console = Console()
    console.print(_table(path, found.summary))
    channels = Table("", "channel", "mean ± std known", "range seen", "mean ± std seen", "")
    for number, row in enumerate(found.channels):
        channels.add_row(str(number), *row)
    console.print(channels)
    storage = Table("array", "shape", "type", "chunks", "filters", "size", "ratio")
    for array in found.storage:
        copies = f"{array.copies} x " if array.copies > 1 else ""
        storage.add_row(
            array.name,
            copies + str(tuple(array.shape)),
            str(array.dtype),
            str(tuple(array.chunks)) if array.chunks else "in one piece",
            array.filters or "none",
            readable_bytes(array.stored_bytes),
            f"{array.ratio:.1f}",
        )
    console.print(storage)
    for advice in found.advice:
        console.print(f"- {advice}", markup=False, highlight=False)


@cli.command()
def rollout(
    model: Annotated[str, typer.Argument(help="Folder of a model or of a run, or a hub id.")],
    file: Annotated[str, typer.Argument(help="Trajectories to start from, in any layout.")],
    steps: Annotated[
        int | None, typer.Option("--steps", "-n", help="Steps; to the file's last frame by default.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(help="Frames of the file that one step spans; as in the training by default.")
    ] = None,
    start: Annotated[int, typer.Option(help="Frame to start from.")] = 0,
    trajectory: Annotated[list[int] | None, typer.Option("--trajectory", "-t", help="Which one; repeatable.")] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Predict every time at once from the first frame.")] = False,
    scalar: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A parameter of the equation, instead of the file's; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="NetCDF file for the forecast.")] = None,
    gif: Annotated[bool, typer.Option("--gif", help="Draw the first trajectory (OUT.gif, or rollout.gif).")] = False,
    task: Annotated[str | None, typer.Option(help="Name of the published task, if the file does not say it.")] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1, mps.")] = "cpu",
) -> None:
    """Forecast with a saved model, step by step, and compare with the file as far as it goes."""
    from sciml.forecasting import forecast

    console = Console()
    with Console(stderr=True).status("forecasting"):
        made = forecast(
            model,
            file,
            steps=steps,
            stride=stride,
            start=start,
            trajectories=trajectory or (0,),
            direct=direct,
            scalars=_scalars(scalar or []),
            task=task,
            device=device,
        )
    console.print(_forecast_table(made))
    written: list[Path] = []
    if out is not None:
        way = "direct" if direct else "autoregressive"
        command = shlex.join(["sciml", *sys.argv[1:]])
        written.append(made.write(out, model=model, source=file, forecast=way, command=command))
    if gif:
        from sciml.plots import forecast_gif

        path = out.with_suffix(".gif") if out else Path("rollout.gif")
        written.append(forecast_gif(path, made.times, made.fields[0], made.truth[0], made.channels, made.spec.boundary))
    for path in written:
        console.print(str(path), markup=False, highlight=False, soft_wrap=True)


def _forecast_table(made: Any) -> Table:
    """Errors against lead time."""
    columns = {f"{method}, {group}": values for method, by in made.errors().items() for group, values in by.items()}
    table = Table("time", title=f"Relative L1 error, trajectories: {len(made.fields)}", title_justify="left")
    for name in columns:
        table.add_column(name, justify="right")
    for k in range(0 if made.spec.steady else 1, len(made.times)):
        table.add_row(f"{made.times[k]:.4g}", *("" if v[k] != v[k] else f"{v[k]:.4f}" for v in columns.values()))
    return table


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


def _scalars(assignments: list[str]) -> dict[str, float]:
    """``name=value`` texts as numbers."""
    scalars = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        try:
            scalars[name] = float(value)
        except ValueError:
            raise ConfigError(
                f"--scalar {assignment!r} is not NAME=NUMBER. Write, e.g., --scalar viscosity=0.01."
            ) from None
    return scalars


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal()):
        raise ConfigError(f"--shard {text} is not I/N. For the first of 8 parts write --shard 0/8, for the last 7/8.")
    return int(part), int(parts)


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
