"""A picture of a few samples of a task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sciml.pde.retry import simulate
from sciml.pde.tasks import Task


def preview(
    task: Task,
    path: str | Path,
    *,
    samples: int = 4,
    frames: int = 5,
    resolution: int = 128,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Path:
    """Draw the first samples of a data set: one a row, what is constant in time first, then some frames of the rest.

    Of an incompressible flow the vorticity is drawn, of a compressible one the density, of others all channels.

    Args:
        task: The task.
        path: Picture to write, ``*.png``.
        samples: How many.
        frames: How many moments of each, from the first to the last.
        resolution: Grid points along each axis.
        seed: Seed of the data set.
        device: Where to compute.

    Returns:
        The path of the picture.

    Raises:
        SolverError: a sample blew up.
    """
    from sciml import plots

    fields = simulate(task, range(samples), resolution=resolution, seed=seed, device=device)[0]
    fields, times = fields.cpu().numpy(), task.times
    channel = {name: fields[:, :, place] for place, name in enumerate(task.channels)}
    steady = {name for variable in task.variables if not variable.in_time for name in variable.channels}
    shown = {(name, ""): channel[name][:, 0] for name in channel if name in steady}
    moments = np.unique(np.linspace(0, len(times) - 1, frames).round().astype(int))
    for name, values in _evolving({name: channel[name] for name in channel if name not in steady}).items():
        shown |= {(name, f"t = {times[step]:.3g}"): values[:, step] for step in moments}
    rows = [{column: values[sample] for column, values in shown.items()} for sample in range(samples)]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    plots.gallery(rows, title=f"{task.name}: {task.initial_data}").savefig(path, dpi=150)
    return path


def _evolving(channel: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    from sciml import plots

    if "rho" in channel:
        return {"rho": channel["rho"]}
    if {"u", "v"} <= set(channel):
        return {"vorticity": plots.vorticity(np.stack([channel["u"], channel["v"]], axis=-3))}
    return channel
