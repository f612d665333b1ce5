"""The Poseidon layout: NetCDF-4 files of shape (sample, time, channel, x, y), downloaded or generated.

What a channel means is not in the published files but in their documentation, see ``published``. A file that was
generated (attribute ``replica``) has the same layout, and carries statistics of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import h5py
import numpy as np

from sciml.data import netcdf
from sciml.data.handle import PlaneFile
from sciml.data.published import KINDS, TASKS, Grid, PublishedTask, StoredField
from sciml.data.spec import TrajectorySpec
from sciml.data.trajectories import Channel, StoredTrajectories
from sciml.data.variable import check_written, variable_of
from sciml.errors import LayoutError


def recognise(file: h5py.File) -> str | None:
    """The published task whose variables a file of unknown task has, or None."""
    return KINDS.get(frozenset(name for name, dataset in netcdf.variables(file).items() if dataset.ndim > 1))


def open_poseidon(file: PlaneFile, hdf5: h5py.File, *, task: str, kind: str) -> StoredTrajectories:
    """Open a file in the Poseidon layout.

    Args:
        file: The file.
        hdf5: The same file, open; only used here.
        task: Name of its task, empty if unknown.
        kind: Published task that says which variable holds which field.

    Raises:
        LayoutError: a variable is missing or has a shape that the task does not have.
    """
    published, known = TASKS[kind], TASKS.get(task)
    attributes = netcdf.attributes(hdf5)
    official = known is not None and not attributes.get("replica", False)
    datasets = _datasets(file, hdf5, published, kind)
    axes = {name: _axes(file, name, dataset, published) for name, dataset in datasets.items()}
    counts = {
        name: d.shape[axes[name].index("channel")] if "channel" in axes[name] else 1 for name, d in datasets.items()
    }
    stored = [f for f in published.fields if _is_there(f, file, counts, published)]
    # Beside the variable that changes in time, others are constants of a trajectory (the wave speed).
    main = max(datasets, key=lambda name: "time" in axes[name])
    shape = datasets[main].shape
    steps = shape[1] if "time" in axes[main] else 1
    times = netcdf.coordinate(datasets[main], 1) if "time" in axes[main] else None
    grid = _grid(datasets[main], published)
    channels = [_channel(f, datasets, grid, attributes, official=official, solid=published.solid) for f in stored]
    for i, channel in enumerate(channels):
        if channel.variable and "time" not in axes[channel.variable]:
            channels[i] = replace(channel, field=replace(channel.field, in_time=False))
    scalars = netcdf.scalars(hdf5, datasets[main])
    spec = TrajectorySpec(
        layout="poseidon",
        task=task,
        fields=tuple(c.field for c in channels),
        steps=steps,
        times=_published_times(published, steps) if times is None else np.asarray(times, float),
        coordinates=dict(zip(("x", "y"), grid, strict=True)),
        boundary=netcdf.boundary(attributes) or (published.boundary,) * 2,
        time_scale=_time_scale(known, steps, times),
        inputs=published.inputs,
        targets=published.targets,
        validation=known.validation if known and official else None,
        test=known.test if known and official else None,
        solid=published.solid,
        attributes=attributes,
        scalars=tuple(scalars),
    )
    return StoredTrajectories(
        file,
        spec=spec,
        channels=channels,
        variables={name: variable_of(dataset, axes[name]) for name, dataset in datasets.items()},
        trajectories=shape[0],
        transposed=published.transposed,
        scalars=scalars,
    )


def _datasets(file: PlaneFile, hdf5: h5py.File, published: PublishedTask, kind: str) -> dict[str, h5py.Dataset]:
    names = dict.fromkeys(f.variable for f in published.fields if f.variable)
    found = netcdf.variables(hdf5)
    if missing := [name for name in names if name not in found]:
        raise LayoutError(
            f"{file.path} has {netcdf.describe(hdf5)}; a file of {kind} has {', '.join(map(repr, names))}, "
            f"but {', '.join(map(repr, missing))} is missing. Name the right task with task=..."
        )
    for name in names:
        check_written(found[name])
    return {name: found[name] for name in names}


def _axes(file: PlaneFile, name: str, dataset: h5py.Dataset, published: PublishedTask) -> tuple[str, ...]:
    evolving = {1: ("sample",), 2: ("sample", "time"), 3: ("sample", "time", "channel")}
    steady = {1: ("sample",), 2: ("sample", "channel")}
    axes = (steady if published.steady else evolving).get(dataset.ndim - 2)
    if axes is None:
        wanted = "(sample[, channel], x, y)" if published.steady else "(sample, time[, channel], x, y)"
        raise LayoutError(
            f"{file.path}: variable {name!r} has shape {dataset.shape}, expected {wanted}. "
            "Name the right task with task=..."
        )
    return axes


def _is_there(stored: StoredField, file: PlaneFile, counts: dict[str, int], published: PublishedTask) -> bool:
    """Whether the file holds a field; only those may be absent that the published model does not see."""
    if not stored.variable or stored.position < counts[stored.variable]:
        return True
    if published.inputs and stored.spec.name not in published.inputs + published.targets:
        return False
    raise LayoutError(
        f"{file.path}: variable {stored.variable!r} has {counts[stored.variable]} channels, but {stored.spec.name} is "
        f"channel {stored.position}, counted from 0. Name the right task with task=..."
    )


def _grid(dataset: h5py.Dataset, published: PublishedTask) -> Grid:
    x, y = dataset.ndim - 2, dataset.ndim - 1
    if published.transposed:
        x, y = y, x
    return _points(dataset, x, published), _points(dataset, y, published)


def _points(dataset: h5py.Dataset, axis: int, published: PublishedTask) -> np.ndarray:
    values = netcdf.coordinate(dataset, axis)
    # The published files have no coordinates; their forcing is defined on this grid, ends included.
    return np.linspace(*published.domain, dataset.shape[axis]) if values is None else np.asarray(values, float)


def _channel(
    stored: StoredField,
    datasets: dict[str, h5py.Dataset],
    grid: Grid,
    attributes: dict[str, Any],
    *,
    official: bool,
    solid: str,
) -> Channel:
    if not stored.variable:
        value = stored.value(grid, attributes) if callable(stored.value) else stored.value
        return Channel(stored.spec, value=value)
    if official:
        return Channel(stored.spec, stored.variable, stored.position, shift=stored.shift)
    if stored.spec.name == solid:  # an indicator is 0 or 1 and stays so
        return Channel(stored.spec, stored.variable, stored.position)
    mean, std = netcdf.statistics(datasets[stored.variable], stored.position)
    return Channel(replace(stored.spec, mean=mean, std=std), stored.variable, stored.position)


def _published_times(published: PublishedTask, steps: int) -> np.ndarray:
    return np.arange(steps) * (1.0 if published.horizon is None else published.horizon / published.time_scale)


def _time_scale(task: PublishedTask | None, steps: int, times: np.ndarray | None) -> float:
    """Steps that make lead time 1: as published, or, in a file with times, as many as span the published horizon."""
    if task is None:
        return float(max(steps - 1, 1))
    if task.horizon is None or times is None or steps < 2:
        return task.time_scale
    return round(task.horizon * (steps - 1) / float(times[-1] - times[0]), 9)
