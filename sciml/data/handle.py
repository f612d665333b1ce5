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
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sciml.data.variable import Variable, as_selection
from sciml.errors import LayoutError

CHUNK_CACHE_BYTES = 64 << 20  # of one dataset at a time
KEPT_BYTES = 16 << 20
SCRATCH_BYTES = 1 << 20  # stays in the processor's cache
CHUNK_CACHE_SLOTS = 100_003  # a prime, far more than chunks that fit


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
        self._kept: dict[tuple, np.ndarray] = {}
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
        frame = {"sample": sample, "time": time}
        if variable.table is None:
            self._read_through_library(variable, frame, channels, out, slots)
            return
        index = [np.asarray(channels)[None] if axis == "channel" else frame[axis][:, None] for axis in variable.axes]
        offsets = variable.offsets(index)
        if variable.is_plane and variable.dtype == out.dtype and variable.space == out.shape[2:]:
            places = np.arange(len(sample))[:, None] * out.shape[1] + np.asarray(slots)
            self._read_planes(np.broadcast_to(offsets, places.shape).ravel(), places.ravel(), out)
            return
        self._read_blocks(variable, offsets, channels, out, slots)

    def _read_blocks(
        self, variable: Variable, offsets: np.ndarray, channels: Sequence[int], out: np.ndarray, slots: Sequence[int]
    ) -> None:
        """Read blocks that are stored in another form than ``out``, a few frames at a time, and rearrange them."""
        axes = ("channel",) * ("channel" in variable.axes) + variable.tail
        picked = range(len(channels)) if "channel" in variable.axes else channels
        at_once = max(SCRATCH_BYTES // (variable.block_bytes * offsets.shape[1]), 1)
        scratch = np.empty((min(at_once, len(offsets)), offsets.shape[1], *variable.block), variable.dtype)
        order, into = np.argsort(offsets[:, 0], kind="stable"), as_selection(slots)
        for start in range(0, len(order), at_once):
            frames = order[start : start + at_once]
            blocks = scratch[: len(frames)]
            self._read_planes(offsets[frames].ravel(), np.arange(offsets[frames].size), blocks)
            planes = variable.planes(blocks if "channel" in variable.axes else blocks[:, 0], axes, picked)
            for frame, values in zip(frames, planes, strict=True):
                out[frame, into] = values

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

    def _read_through_library(
        self,
        variable: Variable,
        frame: dict[str, np.ndarray],
        channels: Sequence[int],
        out: np.ndarray,
        slots: Sequence[int],
    ) -> None:
        stored = (*variable.axes, *variable.tail)
        fixed = [axis for axis in ("sample", "time") if axis in stored]
        left = [axis for axis in stored if axis not in fixed]
        index, inverse = np.unique(np.stack([frame[axis] for axis in fixed], 1), axis=0, return_inverse=True)
        order = np.argsort(inverse.ravel(), kind="stable")
        copies = np.split(order, np.cumsum(np.bincount(inverse.ravel()))[:-1])
        reduced = not {"sample", "time"} & {*variable.tail}
        group, dataset = None, None
        for where, into in zip(index.tolist(), copies, strict=True):
            at: dict[Any, Any] = dict(zip(fixed, where, strict=True))
            values = self._kept.get((variable.name, *where))
            if values is None:
                if dataset is None or (variable.groups and group != at["sample"]):
                    # One dataset at a time: every open one has a cache of chunks, and there may be thousands.
                    group, dataset = at["sample"], self._dataset(variable, at["sample"])
                place = tuple(at.get(axis, slice(None)) for axis in stored[bool(variable.groups) :])
                values = self._take(dataset, place, at)
                if reduced:
                    values = np.reshape(values, ((-1,) if "channel" in variable.axes else ()) + variable.block)
                if "time" not in stored:
                    self._keep((variable.name, *where), values)
            out[into[:, None], list(slots)] = variable.planes(values[None], left, channels)

    def _take(self, dataset: Any, place: tuple, at: dict[Any, Any]) -> np.ndarray:
        try:
            return dataset[place]
        except OSError as error:
            where = ", ".join(f"{axis} {index}" for axis, index in at.items())
            raise LayoutError(
                f"{self.path}: {dataset.name} cannot be read at {where} ({error}). Either the file is damaged: fetch "
                "or generate it again. Or it is compressed by a filter that is not installed: pip install hdf5plugin, "
                "and set HDF5_PLUGIN_PATH to hdf5plugin.PLUGIN_PATH."
            ) from error

    def _dataset(self, variable: Variable, sample: int) -> Any:
        path = f"{variable.groups[sample]}/{variable.name}" if variable.groups else variable.name
        return self._open_hdf5()[path]

    def _keep(self, key: tuple, values: np.ndarray) -> None:
        # What does not change in time is asked for with every frame.
        if sum(kept.nbytes for kept in self._kept.values()) + values.nbytes <= KEPT_BYTES:
            self._kept[key] = values

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
        self._kept = {}

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_pid": None, "_descriptor": None, "_hdf5": None, "_kept": {}}

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


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
