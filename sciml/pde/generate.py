"""From a task to a file of trajectories: in parallel, block by block, resumable."""

from __future__ import annotations

import json
import warnings
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float32
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Task as ProgressTask
from rich.text import Text

from sciml.data.write import TrajectoryWriter
from sciml.errors import ConfigError, LayoutError
from sciml.pde.pool import cluster, cores, threads
from sciml.pde.retry import simulate
from sciml.pde.tasks import Task, make_task
from sciml.version import __version__

POINTS_IN_A_BLOCK = 2**17
"""Grid points solved at once by default: the working set of a step then stays in the cache of a CPU core."""


class InterruptedGeneration(KeyboardInterrupt):
    """Ctrl-C stopped ``generate``; the message says what is kept and how to go on."""


def generate(
    task: str | Task,
    out: str | Path,
    *,
    trajectories: int,
    resolution: int = 128,
    seed: int = 0,
    device: torch.device | str = "cpu",
    block: int | None = None,
    workers: int | None = None,
    shard: tuple[int, int] | None = None,
    dask: str | None = None,
    progress: bool = True,
    overwrite: bool = False,
    **parameters: Any,
) -> Path:
    """Solve a PDE task for many random initial data and write the trajectories in the published file layout.

    The data grow in ``OUT.part``, which becomes ``OUT`` when the last trajectory is in it. If the run is killed, the
    same call goes on where it stopped and leaves the same bytes. If ``OUT`` is there already, made by the same call,
    nothing is done. The initial state of trajectory i depends on the seed and on i alone, so a longer file starts with
    the same ones.

    Args:
        task: Name of a task, e.g. ``"NS-PwC"`` (see ``sciml.pde.tasks.TASKS``), or a task.
        out: The file to write; of a shard, the data set that it is a part of (see ``part_path``).
        trajectories: How many, over all shards.
        resolution: Grid points along each axis. Good values: 64 to try things, 128 as published.
        seed: Seed of the random initial data, at least 0.
        device: Where to compute. On a GPU raise ``block``.
        block: Trajectories solved together, with a common time step. By default as many as fit the cache of a CPU core:
            32 at 64 x 64, 8 at 128 x 128.
        workers: Blocks computed at the same time; one for every CPU core by default. Does not change the result.
        shard: (i, n), 0 <= i < n: make only the i-th of n parts, with the trajectories that one file would have there.
        dask: Address of a dask.distributed scheduler, or its scheduler file, whose workers solve the blocks. Does not
            change the result.
        progress: Whether to show a progress bar, on standard error.
        overwrite: Whether to replace a file that was made with other parameters.
        **parameters: Parameters of the task, if it is given by name, e.g. ``amplitude=5.0``.

    Returns:
        The path of the file that was written.

    Raises:
        ConfigError: a task, parameter or number that cannot work, or the file is there and was made otherwise.
        SolverError: a trajectory blew up, whatever the time step.
        InterruptedGeneration: Ctrl-C; the same call goes on.
        WriteError: the file cannot be written.
    """
    task = make_task(task, **parameters) if isinstance(task, str) else task
    block = max(1, POINTS_IN_A_BLOCK // resolution**2) if block is None else block
    for name, number, least in (("trajectories", trajectories, 1), ("seed", seed, 0), ("block", block, 1)):
        if number < least:
            raise ConfigError(f"{name} is {number}; give a whole number of at least {least}.")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; give a whole number of at least 1.")
    out = Path(out) if shard is None else part_path(out, shard)
    mine = range(trajectories) if shard is None else _trajectories_of(shard, trajectories, block)
    if dask is None:
        _require_device(device)
    recipe = {
        "task": task.name,
        "parameters": json.dumps(asdict(task), sort_keys=True),
        "resolution": resolution,
        "seed": seed,
        "block": block,
        "trajectories": trajectories,
    }
    if shard is not None:
        recipe |= {"shard": f"{shard[0]}/{shard[1]}", "first_trajectory": mine.start}
    if out.exists() and not overwrite:
        _require_same_recipe(out, recipe)
        return out

    coordinates = task.coordinates(resolution)
    solve = partial(solve_block, task, resolution=resolution, seed=seed, device=device)
    local = workers or (cores() if torch.device(device).type == "cpu" else 1)
    pool = threads(local) if dask is None else cluster(dask)
    bar = Progress(*_columns(), console=Console(stderr=True), disable=not progress)
    report = partial(bar.console.print, style="yellow") if progress else warnings.warn
    with (
        pool as solvers,
        TrajectoryWriter(
            out,
            task=task.name,
            variables=task.variables,
            trajectories=len(mine),
            times=task.times,
            coordinates=dict(reversed(coordinates.items())) if task.transposed else coordinates,
            boundary=task.boundary,
            attributes={name: value for name, value in recipe.items() if name != "task"}
            | {
                "equation": task.equation,
                "initial_data": task.initial_data,
                "solver": task.solver,
                "device": torch.device(device).type,
                "version": __version__,
            },
            overwrite=overwrite,
        ) as writer,
        bar,
    ):
        todo = [
            range(first, min(first + block, mine.stop))
            for first in range(mine.start, mine.stop, block)
            if not np.all(writer.written[first - mine.start :][:block])
        ]
        done = len(mine) - sum(map(len, todo))
        line = bar.add_task(f"{task.name} {resolution} x {resolution}", total=len(mine), completed=done)
        try:
            with closing(solvers.in_order(solve, todo)) as solved:
                for indices, (frames, remarks) in solved:
                    writer.write(indices.start - mine.start, frames)
                    bar.advance(line, len(indices))
                    for remark in remarks:
                        report(remark)
        except KeyboardInterrupt:
            raise InterruptedGeneration(
                f"stopped; {out}.part keeps {writer.written.sum()} of {len(mine)} trajectories. "
                f"The same command goes on from trajectory {mine.start + writer.written.sum()}."
            ) from None
    return out


def solve_block(
    task: Task, indices: range, *, resolution: int, seed: int, device: torch.device | str
) -> tuple[Float32[np.ndarray, "trajectory time channel x y"], list[str]]:
    """The fields of some trajectories as they are stored, and a remark for each that had to be redone."""
    torch.set_num_threads(1)  # also in the threads of a cluster's worker
    frames, remarks = simulate(task, indices, resolution=resolution, seed=seed, device=device)
    frames = frames.to("cpu", torch.float32)
    return (frames.mT if task.transposed else frames).contiguous().numpy(), remarks


def part_path(out: str | Path, shard: tuple[int, int]) -> Path:
    """The file of one shard: ``OUT/OUT_00002.nc``, in a folder named like the file without its ending.

    The folder is the data set: its parts in the order of their names hold the trajectories in order.
    """
    folder = Path(out).with_suffix("")
    return folder / f"{folder.name}_{shard[0]:05d}.nc"


def _trajectories_of(shard: tuple[int, int], trajectories: int, block: int) -> range:
    """Whole blocks, so that every trajectory is solved in the company that it would have in a single file."""
    i, n = shard
    blocks = -(-trajectories // block)
    if not 0 <= i < n:
        raise ConfigError(f"shard {i}/{n} is not there: the shards of {n} are 0/{n} to {n - 1}/{n}.")
    if n > blocks:
        raise ConfigError(
            f"{n} shards are too many for {trajectories} trajectories in blocks of {block}: some would be empty. Take "
            f"at most {blocks} shards, or a smaller block."
        )
    return range(i * blocks // n * block, min((i + 1) * blocks // n * block, trajectories))


def _require_device(device: torch.device | str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"cannot compute on device {str(device)!r}: {reason}. `sciml doctor` lists the devices."
        ) from error


def _require_same_recipe(path: Path, recipe: dict[str, Any]) -> None:
    try:
        with h5py.File(path) as file:
            found = {name: file.attrs.get(name) for name in recipe}
    except OSError as error:
        raise LayoutError(
            f"{path} is there but cannot be read ({error}). Delete it, or pass overwrite=True to replace it."
        ) from error
    there, here = ({**each, **json.loads(each["parameters"] or "{}"), "parameters": ""} for each in (found, recipe))
    changes = [
        f"{name} is {there.get(name, 'not set')} there, {here.get(name, 'not set')} here"
        for name in dict.fromkeys([*here, *there])
        if there.get(name) != here.get(name)
    ]
    if changes:
        raise ConfigError(
            f"{path} was made otherwise: {'; '.join(changes)}. Choose another file, or pass overwrite=True to replace "
            "it (--overwrite)."
        )


class _Rate(ProgressColumn):
    def render(self, task: ProgressTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} trajectories/s" if speed else "", style="progress.data.speed")


def _columns() -> tuple[ProgressColumn, ...]:
    return TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()
