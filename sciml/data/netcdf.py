"""What a NetCDF-4 file says of itself: variables, dimensions, coordinates, attributes. Plain HDF5 files say less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from sciml.data.spec import BOUNDARIES, Boundary
from sciml.data.variable import check_written
from sciml.errors import LayoutError

# A dimension without coordinate values is stored as an empty dataset with this text in its NAME attribute.
_BARE_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"


def variables(file: h5py.File) -> dict[str, h5py.Dataset]:
    """The datasets at the root that are not dimensions or coordinates."""
    return {name: item for name, item in file.items() if isinstance(item, h5py.Dataset) and not item.is_scale}


def scalars(file: h5py.File, fields: h5py.Dataset) -> dict[str, np.ndarray]:
    """The variables at the root that hold one number for each sample.

    Args:
        file: The file.
        fields: A variable whose first axis is that of the samples.
    """
    axis, samples = dimensions(fields)[0], fields.shape[0]
    found = {
        name: item
        for name, item in variables(file).items()
        if item.shape == (samples,) and item.dtype.kind in "fiu" and dimensions(item)[0] in ("", axis)
    }
    for item in found.values():
        check_written(item)
    return {name: np.asarray(item[()], float) for name, item in found.items()}


def dimensions(dataset: h5py.Dataset) -> tuple[str, ...]:
    """Name of every dimension; empty where the file does not name it."""
    return tuple(name_of(d[0]) if len(d) else str(d.label) for d in dataset.dims)


def name_of(dataset: h5py.Dataset) -> str:
    """Name of a dataset without the groups it lies in."""
    return str(dataset.name).rsplit("/", 1)[-1]


def coordinate(dataset: h5py.Dataset, axis: int) -> np.ndarray | None:
    """Coordinate values along one axis of a dataset, if the file has them."""
    dimension = dataset.dims[axis]
    if not len(dimension):
        return None
    scale = dimension[0]
    if scale.attrs.get("NAME", b"").startswith(_BARE_DIMENSION) or scale.ndim != 1:
        return None
    check_written(scale)
    return np.asarray(scale.asstr()[()] if h5py.check_string_dtype(scale.dtype) else scale[()])


def attributes(item: h5py.File | h5py.Dataset) -> dict[str, Any]:
    """Attributes as plain Python values and arrays, without those that HDF5 and NetCDF keep for themselves."""
    internal = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}
    return {k: _plain(v) for k, v in item.attrs.items() if k not in internal and not k.startswith("_N")}


def describe(file: h5py.File) -> str:
    """The datasets of a file with their shapes, for messages."""
    found: list[str] = []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and not item.is_scale:
            found.append(f"{name} {item.shape} {item.dtype}")

    file.visititems(visit)
    shown = ", ".join(found[:12]) or "no datasets"
    return shown if len(found) <= 12 else f"{shown} and {len(found) - 12} more"


def boundary(attributes: Mapping[str, Any]) -> tuple[Boundary, ...]:
    """The boundary condition of every spatial axis, from the attribute ``boundary``; empty if there is none.

    Raises:
        LayoutError: the attribute is not a text of such conditions.
    """
    stored = attributes.get("boundary", "")
    words = stored.split() if isinstance(stored, str) else list(np.atleast_1d(stored))
    if unknown := [word for word in words if word not in BOUNDARIES]:
        raise LayoutError(
            f"the attribute boundary of the file is {stored!r}; {unknown[0]!r} is none of {', '.join(BOUNDARIES)}. "
            "Write one for every spatial axis, such as 'periodic wall'."
        )
    return tuple(words)  # type: ignore[return-value]


def statistics(dataset: h5py.Dataset, position: int) -> tuple[float | None, float | None]:
    """Mean and standard deviation of one channel, if the variable carries them in attributes ``mean`` and ``std``."""
    if "mean" not in dataset.attrs or "std" not in dataset.attrs:
        return None, None
    try:
        mean, std = (np.atleast_1d(np.asarray(dataset.attrs[key], float)) for key in ("mean", "std"))
    except ValueError:
        mean = std = np.empty(0)
    if position >= min(len(mean), len(std)):
        raise LayoutError(
            f"{dataset.file.filename}: the attributes mean and std of {dataset.name} are {dataset.attrs['mean']!r} and "
            f"{dataset.attrs['std']!r}; expected a number for each channel. Remove them, or generate the file again."
        )
    return float(mean[position]), float(std[position])


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value
