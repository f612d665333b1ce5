"""Files of your own: one float variable of shape (sample, time[, channel], *space) in a NetCDF-4 or HDF5 file."""

from __future__ import annotations

import h5py
import numpy as np

from sciml.data import netcdf
from sciml.data.handle import PlaneFile
from sciml.data.spec import FieldSpec, TrajectorySpec
from sciml.data.trajectories import Channel, StoredTrajectories
from sciml.data.variable import check_written, variable_of
from sciml.errors import LayoutError

EXPECTED = (
    "one float variable of shape (sample, time, channel, x, y) or (sample, time, x, y), or with other spatial axes and "
    "the dimensions named sample, time[, channel], ..."
)


def open_arrays(file: PlaneFile, hdf5: h5py.File, *, task: str) -> StoredTrajectories:
    """Open a file that holds one float variable of trajectories.

    Channels are named by the coordinate of the channel axis, or by an attribute ``channels`` of the variable or the
    file; otherwise they are ``channel_0``, ``channel_1``, ... Without a channel axis, the variable's name is used. The
    attributes ``inputs`` and ``targets`` of the file say which channels a model sees and predicts, where that is not
    all; ``solid`` names the one that is 1 inside a body; ``channel_units`` are their units; ``validation`` and ``test``
    are numbers of trajectories. Variables with one number for each trajectory are scalars.

    Args:
        file: The file.
        hdf5: The same file, open; only used here.
        task: Name of its task, any text.

    Raises:
        LayoutError: there is no such variable, or more than one, or not one unit for each channel.
    """
    found = [d for d in netcdf.variables(hdf5).values() if d.dtype.kind == "f" and _leading(d)]
    if len(found) != 1:
        raise LayoutError(
            f"{file.path} has {netcdf.describe(hdf5)}; expected {EXPECTED}. Write it with "
            "sciml.data.write.TrajectoryWriter, or keep one such variable in the file."
        )
    dataset = found[0]
    check_written(dataset)
    axes = ("sample", "time", "channel")[: _leading(dataset)]
    names = _channel_names(file, dataset, hdf5)
    steps = dataset.shape[1]
    times = netcdf.coordinate(dataset, 1)
    attributes = netcdf.attributes(hdf5)
    units = [str(unit) for unit in np.atleast_1d(attributes.get("channel_units", ()))]
    if len(units) not in (0, len(names)):
        raise LayoutError(f"{file.path} has the units {', '.join(units)} for {len(names)} channels. Give each its own.")
    fields = []
    for i, channel in enumerate(names):
        group = "velocity" if channel in ("u", "v", "w") and {"u", "v"} <= set(names) else ""
        mean, std = netcdf.statistics(dataset, i)
        unit = units[i] if units else "nondimensional"
        fields.append(FieldSpec(channel, group, unit, mean=mean, std=std))
    name = netcdf.name_of(dataset)
    scalars = netcdf.scalars(hdf5, dataset)
    spec = TrajectorySpec(
        layout="arrays",
        task=task,
        fields=tuple(fields),
        steps=steps,
        times=np.arange(steps, dtype=float) if times is None else np.asarray(times, float),
        coordinates=_coordinates(dataset, len(axes)),
        boundary=netcdf.boundary(attributes) or ("open",) * (dataset.ndim - len(axes)),
        time_scale=float(max(steps - 1, 1)),
        inputs=tuple(map(str, np.atleast_1d(attributes.get("inputs", ())))),
        targets=tuple(map(str, np.atleast_1d(attributes.get("targets", ())))),
        validation=attributes.get("validation"),
        test=attributes.get("test"),
        solid=str(attributes.get("solid", "")),
        attributes=attributes,
        scalars=tuple(scalars),
    )
    return StoredTrajectories(
        file,
        spec=spec,
        channels=[Channel(f, name, i) for i, f in enumerate(fields)],
        variables={name: variable_of(dataset, axes)},
        trajectories=dataset.shape[0],
        scalars=scalars,
    )


def has_channel_names(hdf5: h5py.File) -> bool:
    """Whether a file names its channels, so that nothing has to be guessed from the variable's name."""
    return any(_stored_names(d, hdf5) is not None for d in netcdf.variables(hdf5).values() if _leading(d) == 3)


def _leading(dataset: h5py.Dataset) -> int:
    """How many axes come before space; 0 where that cannot be told."""
    names = netcdf.dimensions(dataset)
    if names[:2] == ("sample", "time") and dataset.ndim > 2:
        return 3 if names[2] == "channel" and dataset.ndim > 3 else 2
    return {4: 2, 5: 3, 6: 3}.get(dataset.ndim, 0)


def _channel_names(file: PlaneFile, dataset: h5py.Dataset, hdf5: h5py.File) -> tuple[str, ...]:
    if _leading(dataset) == 2:
        return (netcdf.name_of(dataset),)
    names = _stored_names(dataset, hdf5)
    if names is None:
        return tuple(f"channel_{i}" for i in range(dataset.shape[2]))
    if len(names) != dataset.shape[2] or len(set(names)) != len(names):
        raise LayoutError(
            f"{file.path}: variable {netcdf.name_of(dataset)!r} has {dataset.shape[2]} channels, but they are named "
            f"{', '.join(names)}. Give every channel one name of its own."
        )
    return names


def _stored_names(dataset: h5py.Dataset, hdf5: h5py.File) -> tuple[str, ...] | None:
    coordinate = netcdf.coordinate(dataset, 2)
    if coordinate is not None and coordinate.dtype.kind in "OSU":
        return tuple(map(str, coordinate))
    for item in (dataset, hdf5):
        if "channels" in item.attrs:
            stored = np.atleast_1d(np.asarray(item.attrs["channels"]))
            return tuple(n.decode() if isinstance(n, bytes) else str(n) for n in stored)
    return None


def _coordinates(dataset: h5py.Dataset, leading: int) -> dict[str, np.ndarray]:
    named = netcdf.dimensions(dataset)[leading:]
    names = named if all(named) and len(set(named)) == len(named) else ("x", "y", "z")[: len(named)]
    coordinates = {}
    for axis, name in enumerate(names, start=leading):
        values = netcdf.coordinate(dataset, axis)
        coordinates[name] = np.linspace(0.0, 1.0, dataset.shape[axis]) if values is None else np.asarray(values, float)
    return coordinates
