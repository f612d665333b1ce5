"""What surrounds the fields in a file of The Well: its size, coordinates, scalars and boundary conditions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import h5py
import numpy as np
from jaxtyping import Float64

from sciml.data.spec import BOUNDARIES, Boundary
from sciml.data.variable import check_written
from sciml.errors import LayoutError


@dataclass(frozen=True)
class Size:
    """What all datasets of a file must agree on.

    Args:
        trajectories: Number of trajectories.
        steps: Number of saved steps.
        space: Number of grid points along every axis, by name, in array order.
    """

    trajectories: int
    steps: int
    space: dict[str, int]


def size_of(hdf5: h5py.File) -> Size:
    """The size that a file says it has.

    Raises:
        LayoutError: the file does not say it.
    """
    dimensions: Any = hdf5.get("dimensions")
    if dimensions is None or "time" not in dimensions or "spatial_dims" not in dimensions.attrs:
        raise LayoutError(
            f"{hdf5.filename} has fields of The Well, but no group 'dimensions' with a dataset 'time' and an attribute "
            "'spatial_dims'. It is incomplete: fetch or write it again."
        )
    names = texts(dimensions.attrs["spatial_dims"])
    if missing := [name for name in names if name not in dimensions]:
        raise LayoutError(f"{hdf5.filename}: axis {missing[0]!r} of 'spatial_dims' has no dataset in 'dimensions'.")
    if "n_trajectories" not in hdf5.attrs:
        raise LayoutError(f"{hdf5.filename} has no attribute 'n_trajectories', the number of its trajectories. Add it.")
    space = {name: dimensions[name].shape[-1] for name in names}
    return Size(int(np.asarray(hdf5.attrs["n_trajectories"])), dimensions["time"].shape[-1], space)


def times(hdf5: h5py.File, size: Size) -> Float64[np.ndarray, "trajectory time"]:
    """Physical time of every step of every trajectory."""
    return _by_trajectory(dataset(hdf5, "dimensions/time"), size, size.steps)


def coordinates(hdf5: h5py.File, size: Size) -> dict[str, Float64[np.ndarray, "trajectory point"]]:
    """Coordinates along every axis, for every trajectory.

    Raises:
        LayoutError: the grid moves in time.
    """
    stored = {name: dataset(hdf5, f"dimensions/{name}") for name in size.space}
    for name, values in stored.items():
        if values.attrs.get("time_varying", False):
            raise LayoutError(
                f"{hdf5.filename}: the coordinate {name!r} moves in time; only grids at rest can be read. Interpolate "
                "the fields to one grid."
            )
    return {name: _by_trajectory(values, size, size.space[name]) for name, values in stored.items()}


def scalars(hdf5: h5py.File, size: Size) -> Iterator[tuple[str, Float64[np.ndarray, "trajectory time"]]]:
    """Name and values of every scalar, and of every simulation parameter that is an attribute only."""
    everywhere = (size.trajectories, size.steps)
    stored = listed(hdf5, "scalars")
    for name in stored:
        values = dataset(hdf5, f"scalars/{name}")
        steps = size.steps if values.attrs.get("time_varying", False) else 1
        yield name, np.broadcast_to(_by_trajectory(values, size, steps), everywhere)
    for name in texts(hdf5.attrs.get("simulation_parameters", ())):
        if name not in stored and name in hdf5.attrs:
            yield name, np.broadcast_to(np.asarray(hdf5.attrs[name], np.float64), everywhere)


def faces(hdf5: h5py.File, axes: tuple[str, ...]) -> tuple[tuple[Boundary, Boundary], ...]:
    """The condition at the two ends of every axis: open where nothing else is said.

    A mask over several axes makes a face a wall where all of it is one, and open where any part is, as in the
    published reader. An axis is periodic as a whole: one marked end is enough, and so is a mask that marks nothing,
    which the published example files have.

    Raises:
        LayoutError: a condition is incomplete, of an unknown type, or on an unknown axis.
    """
    found: dict[str, list[Boundary]] = {axis: ["open", "open"] for axis in axes}
    conditions: Any = hdf5.get("boundary_conditions", {})
    for condition in conditions.values():
        if not {"bc_type", "associated_dims"} <= set(condition.attrs) or "mask" not in condition:
            raise LayoutError(
                f"{hdf5.filename}: {condition.name} needs the attributes 'bc_type' and 'associated_dims', and a "
                "dataset 'mask'."
            )
        kind, along = str(condition.attrs["bc_type"]).lower(), texts(condition.attrs["associated_dims"])
        if kind not in BOUNDARIES or not set(along) <= set(axes):
            raise LayoutError(
                f"{hdf5.filename}: {condition.name} is {kind!r} on {', '.join(along)}; expected one of "
                f"{', '.join(BOUNDARIES)} on axes among {', '.join(axes)}."
            )
        mask = np.asarray(dataset(hdf5, f"{condition.name}/mask")[()], bool)
        mask = mask.reshape(-1, *mask.shape[mask.ndim - len(along) :])
        for position, axis in enumerate(along, start=1):
            ends = mask.take(0, position), mask.take(-1, position)
            if kind == "periodic":
                marked = (any(end.any() for end in ends) or not mask.any(),) * 2
            else:
                marked = (end.all() if kind == "wall" else end.any() for end in ends)
            found[axis] = [cast(Boundary, kind) if mark else old for mark, old in zip(marked, found[axis], strict=True)]
    return tuple((first, last) for first, last in found.values())


def dataset(hdf5: h5py.File, path: str) -> h5py.Dataset:
    """A dataset of a file, of which every part was written.

    Raises:
        LayoutError: something else lies there, or a part was never written.
    """
    found = hdf5[path]
    if not isinstance(found, h5py.Dataset):
        raise LayoutError(f"{hdf5.filename}: {path!r} is a group; expected a dataset. Write the file again.")
    check_written(found)
    return found


def listed(hdf5: h5py.File, name: str) -> tuple[str, ...]:
    """Names of the datasets of a group, in the order of its attribute ``field_names``; none if there is no group.

    Raises:
        LayoutError: a dataset is named but not there.
    """
    group: Any = hdf5.get(name)
    if group is None:
        return ()
    names = texts(group.attrs.get("field_names", list(group)))
    if missing := [each for each in names if each not in group]:
        raise LayoutError(
            f"{hdf5.filename}: {missing[0]!r} is named in 'field_names' of {name!r}, but has no dataset there. "
            "The file is incomplete: fetch or write it again."
        )
    return names


def texts(value: Any) -> tuple[str, ...]:
    """Names in an attribute, which is a list or, in some files, a single text."""
    return tuple(n.decode() if isinstance(n, bytes) else str(n) for n in np.atleast_1d(np.asarray(value, object)))


def _by_trajectory(stored: h5py.Dataset, size: Size, points: int) -> Float64[np.ndarray, "trajectory point"]:
    """Values of shape ([trajectory][, point]), repeated for every trajectory."""
    count = size.trajectories if stored.attrs.get("sample_varying", False) else 1
    if stored.size != count * points:
        raise LayoutError(
            f"{stored.file.filename}: {stored.name} has shape {stored.shape}, but its attributes say {points} values "
            f"for {'each of ' if count > 1 else ''}{count} trajectories. One of them is wrong: write the file again."
        )
    values = np.asarray(stored[()], np.float64).reshape(count, points)
    return np.broadcast_to(values, (size.trajectories, points))
