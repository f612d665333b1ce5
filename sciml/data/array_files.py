"""Files that are no HDF5 (.npy, .npz, .zarr), opened as what they are: named arrays, most of them at a byte offset."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sciml.data.handle import PlaneFile
from sciml.errors import LayoutError

# Bytes of a zip entry's own header before its name; the lengths of the name and the extra field stand at 26.
_ZIP_HEADER = 30


class NamedArrays(dict):
    """The arrays of a file by name; ``backwards`` names those whose axes come in reverse, as they are stored."""

    def __init__(self):
        super().__init__()
        self.backwards: set[str] = set()

    def add(self, name: str, array: Any) -> None:
        """Add an array; one in Fortran order is turned into its transpose, which is stored row by row."""
        if isinstance(array, np.ndarray) and array.flags.f_contiguous and not array.flags.c_contiguous:
            self.backwards.add(name)
            array = array.T
        self[name] = array

    def close(self) -> None:
        """Let go of the arrays."""
        self.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class ArrayFile(PlaneFile):
    """A .npy, .npz or .zarr file, opened lazily once a process as ``PlaneFile`` is.

    Raises:
        LayoutError: the file is missing, broken or of another kind, or zarr is not installed.
    """

    def open(self) -> Any:
        """The arrays of the file by name; a file with a single unnamed array names it ``""``."""
        return open_arrays_of(self.path)


def is_array_file(path: str | os.PathLike) -> bool:
    """Whether a path is a .npy, .npz or .zarr file, by its ending."""
    return Path(path).suffix.lower() in (".npy", ".npz", ".zarr")


def open_arrays_of(path: Path) -> NamedArrays:
    """Open the arrays of a .npy, .npz or .zarr file without reading them.

    Members of a compressed .npz cannot be read piecewise: they are unpacked into memory.

    Raises:
        LayoutError: the file is missing or broken, or zarr is not installed.
    """
    if not path.exists():
        raise LayoutError(f"{path} does not exist. Check the path.")
    arrays = NamedArrays()
    try:
        if path.suffix.lower() == ".npy":
            arrays.add("", np.load(path, mmap_mode="r"))
        elif path.suffix.lower() == ".npz":
            for name, array in _members(path):
                arrays.add(name, array)
        else:
            for name, array in _zarr_arrays(path):
                arrays.add(name, array)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, LayoutError):
            raise
        raise LayoutError(
            f"{path} cannot be opened ({error}): it is broken, cut short, or holds Python objects. Write it again with "
            "numpy.save or numpy.savez from arrays of floats."
        ) from error
    return arrays


def _members(path: Path):
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            with archive.open(entry) as member:
                if entry.compress_type != zipfile.ZIP_STORED:
                    yield name, np.lib.format.read_array(member, allow_pickle=False)
                    continue
                version = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, backwards, dtype = read(member)
                header = member.tell()
            if dtype.hasobject:
                raise ValueError(f"array {name!r} holds Python objects")
            offset = _start_of(path, entry) + header
            order = "F" if backwards else "C"
            yield name, np.memmap(path, dtype, mode="r", offset=offset, shape=shape, order=order)


def _start_of(path: Path, entry: zipfile.ZipInfo) -> int:
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        header = file.read(_ZIP_HEADER)
    name, extra = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
    return entry.header_offset + _ZIP_HEADER + name + extra


def _zarr_arrays(path: Path):
    try:
        import zarr  # type: ignore[import-not-found]
    except ImportError as error:
        raise LayoutError(f"{path} is a zarr store, but zarr is not installed. Run: pip install zarr") from error
    root: Any = zarr.open(str(path), mode="r")
    if hasattr(root, "shape"):
        yield "", root
        return
    for name, item in root.members(max_depth=None) if hasattr(root, "members") else _walk(root):
        if hasattr(item, "shape"):
            yield name, item


def _walk(group: Any, prefix: str = ""):
    # Version 2 of zarr has no walk over a tree of its own.
    for name, array in group.arrays():
        yield f"{prefix}{name}", array
    for name, child in group.groups():
        yield from _walk(child, f"{prefix}{name}/")
