"""The bytes of an HDF5 file: where every plane (one channel of one frame) lies, and how to read many of them at once.

HDF5 is slow for what training asks of it, which is thousands of small reads at random. An uncompressed dataset is no
more than planes at known byte offsets, so the offsets are looked up once and a batch becomes a few dozen ``preadv``
calls straight into the array that is handed on. Whatever is stored otherwise (compressed, chunked across space,
big-endian) goes through h5py, one open handle a process.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sciml.errors import LayoutError

CHUNK_CACHE_BYTES = 64 << 20
CHUNK_CACHE_SLOTS = 100_003  # a prime, far more than chunks that fit


@dataclass(frozen=True, eq=False)
class Variable:
    """A dataset of shape (*axes, *space), where ``axes`` are some of sample, time and channel, in this order.

    Args:
        name: Path of the dataset in the file.
        axes: Names of the leading axes.
        space: Number of grid points along every spatial axis.
        dtype: Type of the stored numbers.
        chunk: Extent of a chunk along every leading axis.
        table: Byte offset of every chunk, indexed by its place along the leading axes; None where planes cannot be
            read straight from the file.
    """

    name: str
    axes: tuple[str, ...]
    space: tuple[int, ...]
    dtype: np.dtype
    chunk: tuple[int, ...] = ()
    table: np.ndarray | None = None

    @property
    def plane_bytes(self) -> int:
        """Size of one channel of one frame."""
        return prod(self.space) * self.dtype.itemsize

    def offsets(self, index: Sequence[np.ndarray]) -> np.ndarray:
        """Byte offsets of the planes at ``index``, one (broadcastable) array for each leading axis."""
        if self.table is None:
            raise LayoutError(f"variable {self.name!r} is not stored as plain planes: it has no byte offsets.")
        within = np.int64(0)
        for i, extent in zip(index, self.chunk, strict=True):
            within = within * extent + i % extent
        place = tuple(i // extent for i, extent in zip(index, self.chunk, strict=True))
        return self.table[place] + within * self.plane_bytes


class PlaneFile:
    """One HDF5 or NetCDF-4 file, opened lazily once a process: it can be pickled, and survives fork and spawn.

    Args:
        path: The file.

    Raises:
        LayoutError: the file is missing, is not HDF5, or ends too early.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path).absolute()
        self._pid: int | None = None
        self._descriptor: int | None = None
        self._hdf5: h5py.File | None = None
        with self.open():  # fail now, not in a worker
            self._identity = _identity(os.stat(self.path))

    def open(self) -> h5py.File:
        """A new h5py handle; the caller closes it."""
        return open_hdf5(self.path)

    def read(
        self,
        variable: Variable,
        sample: np.ndarray,
        time: np.ndarray,
        channels: Sequence[int],
        *,
        out: np.ndarray,
        slots: Sequence[int],
    ) -> None:
        """Read channels of frames: ``out[k, slots[c]] = variable[sample[k], time[k], channels[c]]``.

        A frame that is asked for twice is read once. The frames are visited in the order in which they lie in the file.

        Args:
            variable: What to read, as returned by ``variable_of``.
            sample: Trajectory of every frame, shape (frame,).
            time: Step of every frame, shape (frame,); ignored by a variable without a time axis.
            channels: Stored channels; ignored by a variable without a channel axis.
            out: C-contiguous float32 array of shape (frame, slot, *space) that receives the planes.
            slots: Where in ``out`` each channel goes.

        Raises:
            LayoutError: the file ends before a frame does, or was replaced after it was opened.
        """
        frame = [{"sample": sample, "time": time}[axis] for axis in variable.axes if axis != "channel"]
        if variable.table is None:
            self._read_through_hdf5(variable, frame, channels, out, slots)
            return
        index = [i[:, None] for i in frame]
        if "channel" in variable.axes:
            index.append(np.asarray(channels)[None])
        offsets = variable.offsets(index)
        if variable.dtype == out.dtype:
            places = np.arange(len(sample))[:, None] * out.shape[1] + np.asarray(slots)
            self._read_planes(offsets.ravel(), places.ravel(), out)
        else:
            planes = np.empty((len(sample), len(slots), *variable.space), variable.dtype)
            self._read_planes(offsets.ravel(), np.arange(offsets.size), planes)
            out[:, list(slots)] = planes

    def _read_planes(self, offsets: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
        """Fill plane ``places[k]`` of ``out`` with the bytes at ``offsets[k]``."""
        size = prod(out.shape[2:]) * out.dtype.itemsize
        order = np.argsort(offsets, kind="stable")
        offsets, places = offsets[order], places[order]
        fresh = np.concatenate(([True], offsets[1:] != offsets[:-1]))
        first = offsets[fresh]
        into = places[fresh]
        # Neighbours in the file that are neighbours in memory, too, are one read.
        starts = np.flatnonzero(np.concatenate(([True], (np.diff(first) != size) | (np.diff(into) != 1))))
        counts = np.diff(starts, append=len(first))
        descriptor = self._open_descriptor()
        memory = out.reshape(-1).view(np.uint8).data
        begins = into[starts] * size
        for offset, begin, end in zip(
            first[starts].tolist(), begins.tolist(), (begins + counts * size).tolist(), strict=True
        ):
            self._fill(descriptor, memory[begin:end], offset)
        if not fresh.all():
            planes = out.reshape(-1, *out.shape[2:])
            planes[places[~fresh]] = planes[into[np.cumsum(fresh)[~fresh] - 1]]

    def _fill(self, descriptor: int, view: memoryview, offset: int) -> None:
        done = os.preadv(descriptor, [view], offset)
        while done < len(view):
            more = os.preadv(descriptor, [view[done:]], offset + done)
            if more == 0:
                raise LayoutError(
                    f"{self.path}: the file ends at byte {os.fstat(descriptor).st_size}, but the frame at byte "
                    f"{offset} needs {len(view)} bytes, up to {offset + len(view)}. Fetch or generate the file again."
                )
            done += more

    def _read_through_hdf5(
        self,
        variable: Variable,
        frame: list[np.ndarray],
        channels: Sequence[int],
        out: np.ndarray,
        slots: Sequence[int],
    ) -> None:
        dataset: Any = self._open_hdf5()[variable.name]
        index, inverse = np.unique(np.stack(frame, 1), axis=0, return_inverse=True)
        order = np.argsort(inverse.ravel(), kind="stable")
        copies = np.split(order, np.cumsum(np.bincount(inverse.ravel()))[:-1])
        for where, into in zip(index.tolist(), copies, strict=True):
            planes = dataset[tuple(where)]
            planes = planes[list(channels)] if "channel" in variable.axes else planes[None]
            out[into[:, None], list(slots)] = planes

    def _open_descriptor(self) -> int:
        self._forget_other_process()
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            self._check_unchanged()
        return self._descriptor

    def _open_hdf5(self) -> h5py.File:
        self._forget_other_process()
        if self._hdf5 is None:
            self._hdf5 = self.open()
            self._check_unchanged()
        return self._hdf5

    def _forget_other_process(self) -> None:
        # After a fork the parent's handles must not be used: HDF5 keeps state of its own beside the descriptor.
        if self._pid != os.getpid():
            self._pid, self._descriptor, self._hdf5 = os.getpid(), None, None

    def _check_unchanged(self) -> None:
        # A table of offsets that belongs to another version of the file would return noise without a word.
        if _identity(os.stat(self.path)) != self._identity:
            raise LayoutError(f"{self.path} was changed or replaced after it was opened. Open it again.")

    def close(self) -> None:
        """Close what this process holds open; the next read opens it again."""
        self._forget_other_process()
        if self._descriptor is not None:
            os.close(self._descriptor)
        if self._hdf5 is not None:
            self._hdf5.close()
        self._descriptor = self._hdf5 = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_pid": None, "_descriptor": None, "_hdf5": None}

    def __del__(self):
        # Module teardown may have taken os or h5py away already; a descriptor that outlives us dies with the process.
        with contextlib.suppress(Exception):
            self.close()


def open_hdf5(path: str | os.PathLike) -> h5py.File:
    """Open a file for reading.

    Raises:
        LayoutError: the file is missing, is not HDF5, or ends too early.
    """
    path = Path(path)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise LayoutError(f"{path} {found}; expected an HDF5 or NetCDF-4 file. Check the path, or generate the file.")
    try:
        return _open_whatever_the_lock(path)
    except OSError as error:
        if cut := re.search(r"eof = (\d+).*stored_eof = (\d+)", str(error)):
            raise LayoutError(
                f"{path}: the file ends at byte {cut[1]}, but its frames need {cut[2]} bytes: a copy or download "
                "broke off. Fetch or generate the file again."
            ) from error
        raise LayoutError(
            f"{path} cannot be opened as HDF5 or NetCDF-4 ({error}). If it is a NetCDF-3 file, convert it with "
            "xarray.open_dataset(old).to_netcdf(new, engine='h5netcdf')."
        ) from error


def _open_whatever_the_lock(path: Path) -> h5py.File:
    # Reading needs no lock, network file systems often have none to give, and HDF5 refuses a file that this process
    # holds open with another setting.
    for locking in (None, False):
        with contextlib.suppress(OSError):
            return h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE_BYTES, rdcc_nslots=CHUNK_CACHE_SLOTS, locking=locking)
    return h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE_BYTES, rdcc_nslots=CHUNK_CACHE_SLOTS, locking=True)


def variable_of(dataset: h5py.Dataset, axes: Sequence[str]) -> Variable:
    """Look up where the planes of a dataset lie.

    Args:
        dataset: Open dataset of shape (*axes, *space).
        axes: Names of its leading axes, among sample, time and channel, in this order; the rest is space.
    """
    leading = len(axes)
    plain = Variable(str(dataset.name), tuple(axes), dataset.shape[leading:], dataset.dtype)
    properties = dataset.id.get_create_plist()
    stored_as_is = (
        dataset.dtype in (np.dtype(np.float32), np.dtype(np.float64))  # native byte order
        and properties.get_nfilters() == 0
        and properties.get_external_count() == 0
        and dataset.file.userblock_size == 0  # HDF5 versions disagree whether offsets count it
    )
    if not stored_as_is:
        return plain
    if dataset.chunks is None:
        offset = dataset.id.get_offset() if properties.get_layout() == h5py.h5d.CONTIGUOUS else None
        if offset is None:
            return plain
        chunk, table = dataset.shape[:leading], np.full((1,) * leading, offset, np.int64)
    else:
        chunk = dataset.chunks[:leading]
        table = _chunk_table(dataset, chunk)
        if dataset.chunks[leading:] != dataset.shape[leading:] or (table < 0).any():
            return plain
    return Variable(plain.name, plain.axes, plain.space, plain.dtype, chunk, table)


def _chunk_table(dataset: h5py.Dataset, chunk: tuple[int, ...]) -> np.ndarray:
    """Byte offset of every chunk along the leading axes; -1 where a chunk was never written."""
    leading = len(chunk)
    table = np.full(-(-np.array(dataset.shape[:leading]) // np.array(chunk)), -1, np.int64)
    places, offsets = [], []

    def visit(stored):
        places.append(stored.chunk_offset)
        offsets.append(stored.byte_offset)

    dataset.id.chunk_iter(visit)
    if places:
        table[tuple((np.array(places)[:, :leading] // np.array(chunk)).T)] = offsets
    return table


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
