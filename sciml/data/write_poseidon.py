"""Write trajectories of any layout as a file in the Poseidon layout, resumable after a kill."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sciml.data.published import TASKS
from sciml.data.spec import TrajectorySpec
from sciml.data.stored import StoredVariable, channel_names
from sciml.data.trajectories import Trajectories
from sciml.data.write import TrajectoryWriter
from sciml.errors import ConfigError

# Attributes that describe the old file and not what it holds.
OLD = ("boundary", "channels", "dataset_name", "inputs", "n_spatial_dims", "n_trajectories", "replica", "targets")


def write_poseidon(
    trajectories: Trajectories,
    path: str | os.PathLike,
    *,
    overwrite: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Path:
    """Write trajectories as one file in the Poseidon layout; an unfinished one is continued.

    A published task gets its published variables. Anything else becomes one variable ``fields``, in which constant
    fields are repeated at every step, as the layout has it. Made-up channels are left out.

    Args:
        trajectories: What to write.
        path: The file to make. It appears under this name when it is complete.
        overwrite: Replace a file of this name.
        progress: Called after every trajectory.

    Returns:
        The path of the file.

    Raises:
        ConfigError: the layout cannot say what the trajectories are: they are not 2D, the ends of an axis differ, or
            times or coordinates differ between trajectories, or a scalar changes in time.
        WriteError: the file exists, or cannot be written.
    """
    spec = trajectories.spec
    _refuse_what_cannot_be_said(trajectories)
    published = _published_variables(spec)
    kept = tuple(field.name for field in spec.fields if field.observed)
    variables = published or (StoredVariable("fields", kept),)
    transposed = bool(published) and TASKS[spec.task].transposed
    attributes = {key: value for key, value in spec.attributes.items() if key not in (*OLD, "task")}
    scalars = trajectories.scalars(range(len(trajectories)))
    varying = {name: values for name, values in scalars.items() if (values != values[0]).any()}
    attributes |= {name: float(values[0]) for name, values in scalars.items() if name not in varying}
    attributes["converted_from"] = spec.layout
    if not published:
        attributes |= _roles(spec, kept)
    coordinates = dict(spec.coordinates)
    with TrajectoryWriter(
        path,
        # A published task stands for the published variables.
        task=spec.task if published or spec.task not in TASKS else f"{spec.task} (converted)",
        variables=variables,
        trajectories=len(trajectories),
        times=spec.times,
        coordinates=dict(reversed(coordinates.items())) if transposed else coordinates,
        boundary=spec.boundary,
        scalars=varying,
        attributes=attributes,
        overwrite=overwrite,
    ) as writer:
        for trajectory in range(len(trajectories)):
            if not writer.written[trajectory]:
                frames = trajectories.read(trajectory, channels=channel_names(variables))[None]
                writer.write(trajectory, frames.swapaxes(-1, -2) if transposed else frames)
            progress()
    return writer.path


def _published_variables(spec: TrajectorySpec) -> tuple[StoredVariable, ...]:
    """The variables of the published file, if the fields are those of its task; otherwise none."""
    if spec.task not in TASKS:
        return ()
    task, in_time = TASKS[spec.task], {field.name: field.in_time for field in spec.fields if field.observed}
    needed = [f for f in task.fields if f.variable and f.spec.name in (task.inputs + task.targets or (f.spec.name,))]
    here = [f for f in task.fields if f.variable and f.spec.name in in_time]
    variables = []
    for name in dict.fromkeys(f.variable for f in here):
        own = [f for f in here if f.variable == name]
        if [f.position for f in own] != list(range(len(own))):
            return ()
        channels = tuple(f.spec.name for f in own)
        variables.append(StoredVariable(name, channels, in_time[channels[0]], len(own) > 1))
    complete = len(here) == len(in_time) and all(f in here for f in needed)
    return tuple(variables) if complete else ()


def _roles(spec: TrajectorySpec, kept: Sequence[str]) -> dict[str, Any]:
    """Which channels are inputs and which targets, where they are not all both."""
    roles = {"inputs": spec.inputs, "targets": spec.targets}
    stored = {role: [name for name in names if name in kept] for role, names in roles.items()}
    return {role: names for role, names in stored.items() if names and tuple(names) != tuple(kept)}


def _refuse_what_cannot_be_said(trajectories: Trajectories) -> None:
    spec, path, every = trajectories.spec, trajectories.path, range(len(trajectories))
    instead = "Convert it to the_well instead"
    if len(spec.shape) != 2:
        raise ConfigError(f"{path} is {len(spec.shape)}D, the Poseidon layout is 2D. {instead}.")
    if uneven := [axis for axis, (first, last) in zip(spec.coordinates, spec.faces, strict=True) if first != last]:
        raise ConfigError(
            f"{path} has different conditions at the two ends of {', '.join(uneven)}; the Poseidon layout has one for "
            f"an axis. {instead}."
        )
    if any(not np.array_equal(trajectories.times(i), spec.times) for i in every):
        raise ConfigError(f"{path} has other times for every trajectory; the Poseidon layout has not. {instead}.")
    for axis, points in spec.coordinates.items():
        if any(not np.array_equal(trajectories.coordinates(i)[axis], points) for i in every):
            raise ConfigError(f"{path} has another grid for every trajectory; the Poseidon layout has not. {instead}.")
    frames = np.repeat(every, spec.steps), np.tile(np.arange(spec.steps), len(every))
    by_step = {name: v.reshape(len(every), -1) for name, v in trajectories.scalars(*frames).items()}
    if varying := [name for name, values in by_step.items() if (values != values[:, :1]).any()]:
        raise ConfigError(
            f"{path} has scalars that change in time ({', '.join(varying)}); those of the Poseidon layout do not. "
            f"{instead}, or leave them out: drop={varying}, on the command line --drop {' --drop '.join(varying)}."
        )
