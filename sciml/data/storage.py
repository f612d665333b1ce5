"""How the arrays of a file are stored, and what that means for reading single frames."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sciml.data.array_files import is_array_file, open_arrays_of
from sciml.data.handle import open_hdf5

FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 32000: "lzf", 32001: "blosc", 32015: "zstd"} | {
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32026: "blosc2",
}


@dataclass(frozen=True)
class StoredArray:
    """One array of a file, or many alike, one in each group.

    Args:
        name: Path in the file; ``*`` stands for the groups.
        shape: Its shape.
        dtype: Type of the stored numbers.
        chunks: Shape of the pieces it is stored in; empty if it is one piece.
        filters: What the pieces went through, e.g. ``shuffle + gzip``; empty if they are plain.
        stored_bytes: Size in the file; of many alike an estimate from the first.
        copies: How many there are alike.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...] = ()
    filters: str = ""
    stored_bytes: int = 0
    copies: int = 1

    @property
    def ratio(self) -> float:
        """How much smaller the array is in the file than in memory."""
        return prod(self.shape) * self.dtype.itemsize * self.copies / max(self.stored_bytes, 1)


def stored_arrays(path: Path) -> list[StoredArray]:
    """The arrays of a file, largest first.

    Raises:
        LayoutError: the file cannot be opened.
    """
    if is_array_file(path):
        with open_arrays_of(path) as arrays:
            found = [_of_array(path, name, array, name in arrays.backwards) for name, array in arrays.items()]
    else:
        with open_hdf5(path) as file:
            found = _of_hdf5(file)
    return sorted(found, key=lambda array: -array.stored_bytes)


def _of_hdf5(file: Any) -> list[StoredArray]:
    groups = [name for name in file if file.get(name, getclass=True) is h5py.Group]
    alike = len(groups) > 1 and len(groups) == len(file) and len({frozenset(file[name]) for name in groups[:2]}) == 1
    root: Any = file[groups[0]] if alike else file
    found: list[StoredArray] = []

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiub":
            return
        copies = len(groups) if alike else 1
        size = item.id.get_storage_size() * copies
        if size == 0:  # dimensions without values
            return
        label = f"*/{name}" if alike else name
        found.append(StoredArray(label, item.shape, item.dtype, item.chunks or (), _filters(item), size, copies))

    root.visititems(visit)
    return found


def _filters(dataset: h5py.Dataset) -> str:
    properties = dataset.id.get_create_plist()
    codes = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    return " + ".join(FILTERS.get(code[0], code[3].decode() or f"filter {code[0]}") for code in codes)


def _of_array(path: Path, name: str, array: Any, backwards: bool) -> StoredArray:
    size = prod(array.shape) * array.dtype.itemsize
    if isinstance(array, np.ndarray):
        shape = array.shape[::-1] if backwards else array.shape
        packed = not isinstance(array, np.memmap)
        return StoredArray(name or path.name, shape, array.dtype, array.shape if packed else (), "zip" * packed, size)
    compressors: Any = getattr(array, "compressors", None) or [getattr(array, "compressor", None)]
    stored: Any = getattr(array, "nbytes_stored", size)
    stored = stored() if callable(stored) else stored  # a property up to version 2, a method since
    label = " + ".join(type(c).__name__.lower().removesuffix("codec") for c in compressors if c)
    stored_bytes = int(np.asarray(stored))
    return StoredArray(name or path.name, array.shape, array.dtype, array.chunks, label, stored_bytes)
