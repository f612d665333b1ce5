"""From a task to a file of trajectories: in parallel, block by block, resumable."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
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
        out: The file to write.
        trajectories: How many.
        resolution: Grid points along each axis. Good values: 64 to try things, 128 as published.
        seed: Seed of the random initial data, at least 0.
        device: Where to compute. On a GPU raise ``block``.
        block: Trajectories solved together, with a common time step. By default as many as fit the cache of a CPU core:
            32 at 64 x 64, 8 at 128 x 128.
        workers: Blocks computed at the same time; one for every CPU core by default. Does not change the result.
        progress: Whether to show a progress bar, on standard error.
        overwrite: Whether to replace a file that was made with other parameters.
        **parameters: Parameters of the task, if it is given by name, e.g. ``amplitude=5.0``.

    Returns:
        The path of the file.

    Raises:
        ConfigError: a task, parameter or number that cannot work, or the file is there and was made otherwise.
        SolverError: a trajectory blew up.
        InterruptedGeneration: Ctrl-C; the same call goes on.
        WriteError: the file cannot be written.
    """
    out = Path(out)
    task = make_task(task, **parameters) if isinstance(task, str) else task
    block = max(1, POINTS_IN_A_BLOCK // resolution**2) if block is None else block
    for name, number, least in (("trajectories", trajectories, 1), ("seed", seed, 0), ("block", block, 1)):
        if number < least:
            raise ConfigError(f"{name} is {number}; give a whole number of at least {least}.")
    _require_device(device)
    recipe = {
        "task": task.name,
        "parameters": json.dumps(asdict(task), sort_keys=True),
        "resolution": resolution,
        "seed": seed,
        "block": block,
        "trajectories": trajectories,
    }
    if out.exists() and not overwrite:
        _require_same_recipe(out, recipe)
        return out

    coordinates = task.coordinates(resolution)
    writer = TrajectoryWriter(
        out,
        task=task.name,
        variable=task.variable,
        channels=task.channels,
        trajectories=trajectories,
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
    )
    with writer, Progress(*_columns(), console=Console(stderr=True), disable=not progress) as bar:
        todo = [
            range(first, min(first + block, trajectories))
            for first in range(0, trajectories, block)
            if not np.all(writer.written[first : first + block])
        ]
        line = bar.add_task(
            f"{task.name} {resolution} x {resolution}", total=trajectories, completed=trajectories - sum(map(len, todo))
        )

        def solve(indices: range) -> Float32[np.ndarray, "trajectory time channel x y"]:
            frames = task.simulate(indices, resolution=resolution, seed=seed, device=device)
            frames = frames.to("cpu", torch.float32)
            return (frames.mT if task.transposed else frames).contiguous().numpy()

        try:
            with closing(_in_order(solve, todo, workers=workers or _workers(device))) as solved:
                for indices, frames in solved:
                    writer.write(indices.start, frames)
                    bar.advance(line, len(indices))
        except KeyboardInterrupt:
            raise InterruptedGeneration(
                f"stopped; {out}.part keeps {writer.written.sum()} of {trajectories} trajectories. "
                f"The same command goes on from trajectory {writer.written.sum()}."
            ) from None
    return out


def _in_order(
    solve: Callable[[range], np.ndarray], blocks: Sequence[range], *, workers: int
) -> Generator[tuple[range, np.ndarray], None, None]:
    """Solve blocks in threads and give the results in order, never more than a few ahead of the reader.

    Threads, because torch lets go of the interpreter while it computes; one core for each, because splitting the small
    arrays of a single step between cores costs more than it gains, and would make the last bits depend on their number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    ahead: deque[tuple[range, Future[np.ndarray]]] = deque()
    try:
        for indices in blocks:
            ahead.append((indices, pool.submit(solve, indices)))
            if len(ahead) > workers:
                done, result = ahead.popleft()
                yield done, result.result()
        while ahead:
            done, result = ahead.popleft()
            yield done, result.result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _workers(device: torch.device | str) -> int:
    if torch.device(device).type != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    changes = [
        f"{name} is {found[name]} there, {wanted} here" for name, wanted in recipe.items() if found[name] != wanted
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
