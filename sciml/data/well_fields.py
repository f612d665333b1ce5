"""The fields of a file of The Well: scalars, vectors and tensors, each stored along the axes over which it varies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from sciml.data import netcdf
from sciml.data.spec import FieldSpec
from sciml.data.trajectories import Channel
from sciml.data.variable import Variable, variable_of
from sciml.data.well_header import Size, dataset, listed, texts
from sciml.data.well_tensors import component_names
from sciml.errors import LayoutError

GROUPS = ("t0_fields", "t1_fields", "t2_fields")  # by tensor order


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """One scalar, vector or tensor field of a file.

    Args:
        channels: Its components, in order.
        in_time: Whether it changes in time.
        variable: Where its frames lie; None for a field that is the same in all frames, and is held in memory.
    """

    channels: tuple[Channel, ...]
    in_time: bool
    variable: Variable | None


def fields(hdf5: h5py.File, size: Size, statistics: Mapping[str, Any]) -> list[StoredTensor]:
    """All fields of a file: those that change in time before those that do not, by tensor order.

    Args:
        hdf5: The file.
        size: Its size.
        statistics: Content of the ``stats.yaml`` of its data set; if empty, attributes ``mean`` and ``std`` count.

    Raises:
        LayoutError: a dataset is missing, has another shape than its attributes say, or was never written.
    """
    stored = [
        _field(dataset(hdf5, f"{group}/{name}"), size, order, statistics)
        for order, group in enumerate(GROUPS)
        for name in listed(hdf5, group)
    ]
    names = [channel.field.name for tensor in stored for channel in tensor.channels]
    if twice := [name for name in names if names.count(name) > 1]:
        raise LayoutError(f"{hdf5.filename} has two channels named {twice[0]!r}. Rename one of the fields.")
    return sorted(stored, key=lambda tensor: not tensor.in_time)  # stable: the tensor order stays


def _field(stored: h5py.Dataset, size: Size, order: int, statistics: Mapping[str, Any]) -> StoredTensor:
    axes = tuple(axis for axis in ("sample", "time") if stored.attrs.get(f"{axis}_varying", True))
    seen = _points(stored, size, axes, order)
    specs = list(_components(stored, size, order, statistics, in_time="time" in axes))
    if not axes:
        whole = np.broadcast_to(stored[()].reshape(seen), (*size.space.values(), seen[-1]))
        return StoredTensor(tuple(Channel(s, value=whole[..., i]) for i, s in enumerate(specs)), False, None)
    plain = order == 0 and seen[:-1] == tuple(size.space.values())
    variable = variable_of(stored, axes, points=() if plain else seen)
    channels = tuple(Channel(s, variable.name, i) for i, s in enumerate(specs))
    return StoredTensor(channels, "time" in axes, variable)


def _points(stored: h5py.Dataset, size: Size, axes: tuple[str, ...], order: int) -> tuple[int, ...]:
    """Shape (*space, component) of a frame, 1 along the axes that are not stored."""
    dims = len(size.space)
    varies = tuple(map(bool, stored.attrs.get("dim_varying", (True,) * dims)))
    if len(varies) != dims:
        raise LayoutError(
            f"{stored.file.filename}: 'dim_varying' of {stored.name} has {len(varies)} entries for {dims} axes."
        )
    extents = {"sample": size.trajectories, "time": size.steps}
    axes = (*axes, *(name for name, varying in zip(size.space, varies, strict=True) if varying))
    before = tuple((extents | size.space)[axis] for axis in axes)
    after = stored.shape[len(before) :]
    # A tensor has its components along one axis of dims^2 or along two.
    if stored.shape[: len(before)] != before or after not in ((dims,) * order, (dims**order,) * min(order, 1)):
        raise LayoutError(
            f"{stored.file.filename}: {stored.name} has shape {stored.shape}, but by its attributes it varies along "
            f"{', '.join(axes) or 'no axis'} and has shape {(*before, *(dims,) * order)}. One of them is wrong: write "
            "the file again."
        )
    return *(n if varying else 1 for n, varying in zip(size.space.values(), varies, strict=True)), dims**order


def _components(
    stored: h5py.Dataset, size: Size, order: int, statistics: Mapping[str, Any], *, in_time: bool
) -> Iterator[FieldSpec]:
    name = netcdf.name_of(stored)
    usual = component_names(name, tuple(size.space), order)
    names = texts(stored.attrs.get("channels", usual))
    mean, std = (_numbers(stored, key, statistics, len(usual)) for key in ("mean", "std"))
    for what, given in (("channels", names), ("mean", mean), ("std", std)):
        if len(given) != len(usual):
            raise LayoutError(
                f"{stored.file.filename}: {stored.name} has {len(usual)} components, but {len(given)} entries in "
                f"{what!r}, of the dataset or of stats.yaml. Correct or remove them."
            )
    unit = str(stored.attrs.get("unit", "nondimensional"))
    for component, m, s in zip(names, mean, std, strict=True):
        yield FieldSpec(component, name, unit=unit, mean=m, std=s, in_time=in_time)


def _numbers(stored: h5py.Dataset, key: str, statistics: Mapping[str, Any], count: int) -> list[float] | list[None]:
    """One number for every component; None where none is known."""
    given = statistics.get(key, {}).get(netcdf.name_of(stored)) if statistics else stored.attrs.get(key)
    return [None] * count if given is None else np.ravel(given).astype(float).tolist()
