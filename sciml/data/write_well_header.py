"""What surrounds the fields in a file of The Well, written: attributes, coordinates, boundary conditions, scalars."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from sciml.data.trajectories import Trajectories

TEXT = h5py.string_dtype()

# What the layout has places of its own for; everything else that the source says of itself goes along.
OWN_ATTRIBUTES = ("boundary", "channels", "dataset_name", "grid_type", "inputs", "simulation_parameters", "solid")
OWN_ATTRIBUTES += ("targets", "task")


def write_header(file: h5py.File, trajectories: Trajectories, name: str) -> None:
    """Write everything but the fields.

    Args:
        file: An empty file.
        trajectories: What will be written.
        name: Name of the data set.
    """
    spec = trajectories.spec
    said = {key: value for key, value in spec.attributes.items() if key not in OWN_ATTRIBUTES}
    said |= {
        "dataset_name": name,
        "grid_type": str(spec.attributes.get("grid_type", "cartesian")),
        "n_spatial_dims": len(spec.shape),
        "n_trajectories": len(trajectories),
    }
    stored = {field.name for field in spec.fields if field.observed}
    evolving = tuple(field.name for field in spec.fields if field.observed and field.in_time)
    inputs, targets = (tuple(n for n in names if n in stored) for names in (spec.inputs, spec.targets))
    if set(inputs) != stored:
        said["inputs"] = inputs
    if targets != evolving:
        said["targets"] = targets
    said |= {key: value for key, value in (("task", spec.task), ("solid", spec.solid)) if value}
    for key, value in said.items():
        file.attrs[key] = attribute(value)

    every = range(len(trajectories))
    dimensions = file.create_group("dimensions")
    dimensions.attrs["spatial_dims"] = attribute(list(spec.coordinates))
    _write_values(dimensions, "time", np.stack([trajectories.times(i) for i in every]), in_time=True)
    for axis in spec.coordinates:
        points = np.stack([trajectories.coordinates(i)[axis] for i in every])
        _write_values(dimensions, axis, points, in_time=False)
    _write_boundaries(file.create_group("boundary_conditions"), trajectories)
    _write_scalars(file, trajectories)


def _write_boundaries(group: h5py.Group, trajectories: Trajectories) -> None:
    spec = trajectories.spec
    for axis, points, ends in zip(spec.coordinates, spec.shape, spec.faces, strict=True):
        for kind in dict.fromkeys(ends):
            mask = np.zeros(points, bool)
            mask[0], mask[-1] = (end == kind for end in ends)
            condition = group.create_group(f"{axis}_{kind}")
            condition["mask"] = mask
            condition.attrs["bc_type"] = kind.upper()
            condition.attrs["associated_dims"] = attribute([axis])
            condition.attrs["associated_fields"] = attribute([])
            condition.attrs["sample_varying"] = condition.attrs["time_varying"] = False


def _write_scalars(file: h5py.File, trajectories: Trajectories) -> None:
    spec, everywhere = trajectories.spec, []
    group = file.create_group("scalars")
    steps = np.arange(spec.steps)
    read = [trajectories.scalars(np.full(len(steps), i), steps) for i in range(len(trajectories))]
    for name in spec.scalars:
        values = np.stack([each[name] for each in read])
        in_time = bool((values != values[:, :1]).any())
        stored = _write_values(group, name, values if in_time else values[:, 0], in_time=in_time)
        if stored.ndim == 0:
            everywhere.append(name)
            file.attrs[name] = float(values[0, 0])
    group.attrs["field_names"] = attribute(spec.scalars)
    file.attrs["simulation_parameters"] = attribute(everywhere)


def _write_values(group: h5py.Group, name: str, values: np.ndarray, *, in_time: bool) -> h5py.Dataset:
    """Values whose first axis is that of trajectories, which is left out where all of them have the same."""
    sample = bool((values != values[:1]).any())
    stored = group.create_dataset(name, data=np.float32(values if sample else values[0]))
    stored.attrs["sample_varying"], stored.attrs["time_varying"] = sample, in_time
    return stored


def attribute(value: Any) -> Any:
    """A value that HDF5 takes: lists of texts, empty ones among them, need a type."""
    values = np.asarray(value)
    return np.asarray(value, TEXT) if values.ndim and (values.dtype.kind in "OSU" or not values.size) else value
