"""Your own arrays, in .npy, .npz, .zarr or HDF5 files, read by a mapping that names their axes and channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import h5py
import numpy as np

from sciml.data.handle import PlaneFile
from sciml.data.mapping import ROLES, ArrayMapping
from sciml.data.spec import FieldSpec, TrajectorySpec
from sciml.data.trajectories import Channel, StoredTrajectories
from sciml.data.variable import Variable, check_written, variable_of
from sciml.errors import ConfigError, LayoutError

USUAL_AXES = {4: ("sample", "time", "x", "y"), 5: ("sample", "time", "channel", "x", "y")}


def open_mapped(file: PlaneFile, stored: Any, *, mapping: ArrayMapping) -> StoredTrajectories:
    """Open a file of arrays.

    Args:
        file: The file.
        stored: Its content, open; only used here.
        mapping: What its axes and channels are.

    Raises:
        ConfigError: the mapping does not fit the arrays.
        LayoutError: an array that the mapping names is not there, or holds no numbers.
    """
    arrays = _arrays(stored)
    axes = mapping.axes_of(list(arrays))
    arrays = {name: arrays[name] for name in axes}
    for name, array in arrays.items():
        _check(file, name, array, axes[name])
    spatial = list(dict.fromkeys(axis for names in axes.values() for axis in names if axis not in ROLES))
    sizes = _sizes(arrays, axes)
    steps, samples = sizes.get("time", 1), sizes.get("sample", 1)
    channels = []
    for name, names in axes.items():
        count = _extents(arrays[name], names).get("channel")
        for i, channel in enumerate(mapping.channels_of(name, count)):
            unit = mapping.units.get(channel, "nondimensional")
            channels.append(Channel(FieldSpec(channel, unit=unit, in_time="time" in names), name, i))
    fields = tuple(_grouped(channel.field, channels) for channel in channels)
    moving = tuple(f.name for f in fields if f.in_time)
    if not moving and not (mapping.inputs and mapping.targets):
        raise ConfigError(
            f"{file.path} has no time axis, so that it is a steady problem: say which channels are given and which are "
            f"looked for, with inputs and targets, among {', '.join(f.name for f in fields)}."
        )
    scalars, constants = _scalars(stored, mapping, samples)
    spec = TrajectorySpec(
        layout="arrays",
        task=mapping.task,
        fields=fields,
        steps=steps,
        times=_times(stored, mapping, steps),
        coordinates={axis: _coordinate(stored, mapping, axis, sizes[axis]) for axis in spatial},
        boundary=mapping.boundary_of(spatial),  # type: ignore[arg-type]
        time_scale=float(max(steps - 1, 1)),
        inputs=tuple(mapping.inputs),
        targets=tuple(mapping.targets) or moving,
        attributes=constants,
        scalars=tuple(mapping.scalars),
    )
    spec.index([*spec.inputs, *spec.targets, *mapping.units])
    return StoredTrajectories(
        file,
        spec=spec,
        channels=[replace(channel, field=field) for channel, field in zip(channels, fields, strict=True)],
        variables={name: _variable(stored, name, names, spatial, sizes) for name, names in axes.items()},
        trajectories=samples,
        scalars=scalars,
    )


def guess_axes(file: PlaneFile, stored: Any, mapping: ArrayMapping) -> ArrayMapping:
    """The same mapping with the usual axes, for a file that has one array of floats with 4 or 5 axes.

    Raises:
        LayoutError: there is no such array, or several.
    """
    arrays = _arrays(stored)
    fitting = {name: len(a.shape) for name, a in arrays.items() if a.dtype.kind == "f" and len(a.shape) in USUAL_AXES}
    if len(fitting) == 1:
        return replace(mapping, axes={name: USUAL_AXES[count] for name, count in fitting.items()})
    found = ", ".join(f"{name or 'an array'} {tuple(a.shape)} {a.dtype}" for name, a in arrays.items()) or "no arrays"
    raise LayoutError(
        f"{file.path} has {found}; which axis is what cannot be told. Say it in {file.path.name}.yaml "
        'beside it, or as keywords: axes="sample time x y channel", channels=["u", "v"].'
    )


def _extents(array: Any, axes: tuple[str, ...]) -> dict[str, int]:
    """Extent of every named axis of an array."""
    return dict(zip(axes, array.shape, strict=True))


def _arrays(stored: Any) -> dict[str, Any]:
    if not isinstance(stored, h5py.File):
        # An array that is stored in Fortran order is held as its transpose; people know it by its own shape.
        return {n: a.T if n in getattr(stored, "backwards", ()) else a for n, a in stored.items()}
    found: dict[str, Any] = {}
    stored.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return found


def _check(file: PlaneFile, name: str, array: Any, axes: tuple[str, ...]) -> None:
    if len(axes) != len(array.shape):
        raise ConfigError(
            f"{file.path}: {name or 'the array'} has shape {tuple(array.shape)}, but {len(axes)} axes are named: "
            f"{' '.join(axes)}. Name every axis."
        )
    if np.dtype(array.dtype).kind not in "fiub":
        raise LayoutError(
            f"{file.path}: {name or 'the array'} holds {array.dtype}; real numbers are expected. Store real and "
            "imaginary parts as two channels."
        )


def _sizes(arrays: Mapping[str, Any], axes: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        for axis, extent in _extents(array, axes[name]).items():
            if axis != "channel" and sizes.setdefault(axis, extent) != extent:
                raise ConfigError(
                    f"axis {axis!r} has {sizes[axis]} points in one array and {extent} in {name!r}. Arrays that are "
                    "read together share their axes."
                )
    return sizes


def _variable(stored: Any, name: str, axes: tuple[str, ...], spatial: list[str], sizes: Mapping[str, int]) -> Variable:
    array: Any = stored[name]
    if name in getattr(stored, "backwards", ()):
        axes = axes[::-1]
    leading = next((i for i, axis in enumerate(axes) if axis not in ROLES), len(axes))
    tail = tuple(axis if axis in ROLES else spatial.index(axis) for axis in axes[leading:])
    by_library = bool({"sample", "time"} & {*tail})
    block = tuple(array.shape[leading:])
    space = tuple(sizes[axis] if i in tail else 1 for i, axis in enumerate(spatial))
    shape = {"space": space, "tail": tail, "block": block}
    plain = Variable(name, axes[:leading], dtype=np.dtype(array.dtype), **shape)
    if by_library:
        return plain
    if isinstance(array, h5py.Dataset):
        check_written(array)
        return replace(variable_of(array, axes[:leading]), **shape)
    if not isinstance(array, np.memmap) or array.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        return plain
    return replace(plain, chunk=array.shape[:leading], table=np.full((1,) * leading, array.offset, np.int64))


def _grouped(field: FieldSpec, channels: list[Channel]) -> FieldSpec:
    vector = field.name in ("u", "v", "w") and {"u", "v"} <= {channel.field.name for channel in channels}
    return replace(field, group="velocity") if vector else field


def _times(stored: Any, mapping: ArrayMapping, steps: int) -> np.ndarray:
    if mapping.times is None:
        return np.arange(steps) * (1.0 if mapping.dt is None else float(mapping.dt))
    return _values(stored, mapping.times, steps, "times")


def _coordinate(stored: Any, mapping: ArrayMapping, axis: str, points: int) -> np.ndarray:
    if axis not in mapping.coordinates:
        return np.linspace(0.0, 1.0, points)
    return _values(stored, mapping.coordinates[axis], points, f"coordinates of {axis}")


def _scalars(stored: Any, mapping: ArrayMapping, samples: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    by_trajectory, constants = {}, {}
    for name, given in mapping.scalars.items():
        if isinstance(given, str):
            by_trajectory[name] = _values(stored, given, samples, f"scalar {name}")
        else:
            constants[name] = float(given)
    return by_trajectory, constants


def _values(stored: Any, given: Any, count: int, what: str) -> np.ndarray:
    if isinstance(given, str):
        if given not in stored:
            raise ConfigError(f"{what}: there is no array {given!r} in the file.")
        array = stored[given]
        if isinstance(array, h5py.Dataset):
            check_written(array)
        given = np.asarray(array[()])
    values = np.asarray(given, float)
    if values.shape != (count,):
        raise ConfigError(f"{what}: {values.shape} values came, {count} are expected, one for each place.")
    return values
