"""Write trajectories in the Poseidon layout: streaming, resumable after a kill at any moment, with the same bytes.

The file grows under the name ``FILE.part``. Its HDF5 skeleton is made once, with room for every frame; from then on
frames are written straight to their places, and HDF5 is not involved, so that no crash can leave its metadata torn. A
journal ``FILE.part.journal`` records which trajectories are safely on disk, with their moments. When all are there, the
statistics are put in place and the file is renamed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Float32

from sciml.data.normalise import moments, pool
from sciml.data.stored import StoredVariable, channel_names, channel_slices
from sciml.data.variable import variable_of
from sciml.errors import ConfigError, DataError, ShapeError, WriteError

_BARE_DIMENSION = "This is a netCDF dimension but not a netCDF variable.{:10d}"


class TrajectoryWriter:
    """Writes one file of trajectories; use it as a context manager.

    A file that was left unfinished, even by a kill, is continued if it was started with the same arguments: ``written``
    tells which trajectories are there already. Leaving the context without an exception completes the file.

    Args:
        path: The file to make. It appears under this name when it is complete.
        task: Name of the task, e.g. ``NS-PwC``.
        variable: Name of the variable that holds the fields, e.g. ``velocity``.
        channels: Names of its channels.
        variables: Where the file has several variables, or other axes than (sample, time, channel, x, y): what they
            are, instead of ``variable`` and ``channels``.
        trajectories: Number of trajectories.
        times: Physical time of every step, shape (time,); one in a steady problem.
        coordinates: One coordinate array per spatial axis, by name, in array order.
        boundary: One boundary condition per spatial axis: ``periodic``, ``wall`` or ``open``.
        scalars: Parameters of the equation that differ between trajectories, by name, each of shape (trajectory,).
        attributes: What else the file should say of itself: parameters, seed, solver, version. Strings and numbers.
        overwrite: Replace a finished file, and a part file that was started with other arguments.

    Raises:
        ShapeError: a scalar does not have one number for each trajectory.
        WriteError: the file exists, another process is writing it, the disk is too small, or an unfinished file was
            started with other arguments.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        task: str,
        variable: str = "",
        channels: Sequence[str] = (),
        variables: Sequence[StoredVariable] = (),
        trajectories: int,
        times: Sequence[float] | np.ndarray,
        coordinates: Mapping[str, np.ndarray],
        boundary: Sequence[str],
        scalars: Mapping[str, Sequence[float] | np.ndarray] | None = None,
        attributes: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ):
        self.path = Path(path).absolute()
        self.written: Bool[np.ndarray, " trajectory"] = np.zeros(trajectories, bool)
        self._variables = tuple(variables) or (StoredVariable(variable, tuple(channels)),)
        self._channels = channel_names(self._variables)
        self._slices = channel_slices(self._variables)
        self._shape = (len(times), len(self._channels), *map(len, coordinates.values()))
        self._means = np.full((trajectories, len(self._channels)), np.nan)
        self._variances = self._means.copy()
        self._part = self.path.with_name(self.path.name + ".part")
        self._journal_path = self.path.with_name(self.path.name + ".part.journal")
        self._request = {
            "task": task,
            "variables": [asdict(each) | {"channels": list(each.channels)} for each in self._variables],
            "trajectories": trajectories,
            "times": np.asarray(times, float).tolist(),
            "coordinates": {name: np.asarray(values, float).tolist() for name, values in coordinates.items()},
            "boundary": list(boundary),
            "attributes": {key: _plain(key, value) for key, value in (attributes or {}).items()},
        }
        for name, values in (scalars or {}).items():
            if np.shape(values) != (trajectories,):
                raise ShapeError(
                    f"scalar {name!r} has shape {np.shape(values)}; expected one number for each of the "
                    f"{trajectories} trajectories."
                )
        if scalars:
            numbers = {name: np.asarray(values, float).tolist() for name, values in scalars.items()}
            self._request["scalars"] = numbers
        self._descriptor = self._lock(overwrite)
        try:
            self._journal = self._resume(overwrite) or self._start()
            with h5py.File(self._part, "r", locking=False) as file:
                found: Any = file
                self._on_disk = [variable_of(found[each.name], each.axes) for each in self._variables]
            self._check_space()
        except BaseException:
            os.close(self._descriptor)
            raise

    def write(self, first: int, frames: Float32[np.ndarray, "trajectory time channel *space"]) -> None:
        """Put a block of trajectories on disk; when it returns, they survive a crash.

        Args:
            first: Index of the first trajectory of the block.
            frames: Fields of shape (trajectory, time, channel, *space), the channels of all variables. Of a variable
                that does not change in time the first frame counts.

        Raises:
            ShapeError: the block has another shape than the file.
            DataError: a field is not finite.
            WriteError: the disk is full, or the file cannot be written.
        """
        frames = np.ascontiguousarray(frames, np.float32)
        if frames.shape[1:] != self._shape or not 0 <= first <= len(self.written) - len(frames):
            raise ShapeError(
                f"{self.path.name}: a block of shape {frames.shape} at trajectory {first} came; expected (trajectory, "
                f"{', '.join(map(str, self._shape))}) within {len(self.written)} trajectories."
            )
        block = [self._moments(first + i, trajectory) for i, trajectory in enumerate(frames)]
        try:
            for variable, own, on_disk in zip(self._variables, self._slices, self._on_disk, strict=True):
                planes = np.ascontiguousarray(variable.take(frames[:, :, own]))
                _write_planes(self._descriptor, planes, on_disk.offsets(self._places(variable, first, len(frames))))
            os.fsync(self._descriptor)
            lines = (json.dumps({"trajectory": t, "mean": m.tolist(), "variance": v.tolist()}) for t, m, v in block)
            self._journal.write("".join(f"{line}\n" for line in lines))
            self._journal.flush()
        except OSError as error:
            raise self._failure(error) from error
        for trajectory, mean, variance in block:
            self._record(trajectory, mean, variance)

    def commit(self) -> Path:
        """Complete the file: put the statistics in place, give it its name, drop the journal.

        Returns:
            The path of the file.

        Raises:
            WriteError: trajectories are missing.
        """
        if not self.written.all():
            raise WriteError(
                f"{self._part} holds {self.written.sum()} of {len(self.written)} trajectories; the first missing one "
                f"is {int(np.argmin(self.written))}. Write the rest before the file is closed."
            )
        mean, std = pool(self._means, self._variances)
        try:
            with h5py.File(self._part, "r+", locking=False) as file:
                for variable, own in zip(self._variables, self._slices, strict=True):
                    file[variable.name].attrs.modify("mean", mean[own])
                    file[variable.name].attrs.modify("std", std[own])
            os.fsync(self._descriptor)
            os.replace(self._part, self.path)
            self._journal_path.unlink()
            _sync_folder(self.path.parent)
        except OSError as error:
            raise self._failure(error) from error
        self.close()
        return self.path

    def close(self) -> None:
        """Let go of the file; an unfinished one can be continued later."""
        if self._descriptor >= 0:
            self._journal.close()
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None and self._descriptor >= 0:
                self.commit()
        finally:
            self.close()

    def _lock(self, overwrite: bool) -> int:
        if self.path.exists() and not overwrite:
            raise WriteError(f"{self.path} exists already. Choose another name, or pass overwrite=True.")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise WriteError(f"{self._part} cannot be written: {error.strerror}. Choose another folder.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise WriteError(
                f"{self._part} is being written by another process. Wait for it, or choose another name."
            ) from error
        # Between our opening and our locking it, the other process may have completed and renamed it.
        if not (self._part.exists() and os.path.samestat(os.fstat(descriptor), os.stat(self._part))):
            os.close(descriptor)
            raise WriteError(f"{self.path} was completed by another process just now. Open it, or run again.")
        return descriptor

    def _resume(self, overwrite: bool):
        """Continue what the journal says was begun; None if there is nothing to continue."""
        if os.fstat(self._descriptor).st_size == 0 or not self._journal_path.exists():
            return None
        # A line that a kill cut off has no newline: its trajectory does not count.
        complete = self._journal_path.read_bytes().rpartition(b"\n")[0]
        header, *lines = complete.split(b"\n")
        if not header:
            return None
        begun = json.loads(header)
        if begun != self._request:
            if overwrite:
                return None
            differing = ", ".join(key for key in self._request if begun.get(key) != self._request[key])
            raise WriteError(
                f"{self._part} was begun with other settings ({differing}). Go on with the settings it was begun "
                "with, remove it, or pass overwrite=True."
            )
        for line in map(json.loads, lines):
            self._record(line["trajectory"], line["mean"], line["variance"])
        os.truncate(self._journal_path, len(complete) + 1)
        return open(self._journal_path, "a")

    def _start(self):
        """Make the skeleton, then the journal: a journal is the proof of a complete skeleton."""
        self._journal_path.unlink(missing_ok=True)
        os.ftruncate(self._descriptor, 0)
        try:
            _make_skeleton(self._part, self._request)
            os.fsync(self._descriptor)
            journal = open(self._journal_path, "w")  # noqa: SIM115 (it is closed with the writer)
            journal.write(json.dumps(self._request) + "\n")
            journal.flush()
        except (OSError, RuntimeError) as error:
            raise self._failure(error) from error
        return journal

    def _places(self, variable: StoredVariable, first: int, count: int) -> list[np.ndarray]:
        """Indices along the variable's own axes of the frames of trajectories ``first`` to ``first + count``."""
        extent = {"sample": count, "time": self._shape[0], "channel": 1}  # the channels of a frame lie side by side
        places = list(np.ix_(*(np.arange(extent[axis]) for axis in variable.axes)))
        places[0] = places[0] + first
        return places

    def _moments(self, trajectory: int, frames: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
        of_variables = [
            moments(frames[: None if variable.in_time else 1, own])
            for variable, own in zip(self._variables, self._slices, strict=True)
        ]
        mean, variance = (np.concatenate(parts) for parts in zip(*of_variables, strict=True))
        if not np.isfinite(variance).all():
            wrong = self._channels[int(np.argmin(np.isfinite(variance)))]
            raise DataError(f"trajectory {trajectory} has NaN or infinity in channel {wrong!r}; it was not written.")
        return trajectory, mean, variance

    def _record(self, trajectory: int, mean: Any, variance: Any) -> None:
        self.written[trajectory] = True
        self._means[trajectory] = mean
        self._variances[trajectory] = variance

    def _check_space(self) -> None:
        if self._missing_bytes() > shutil.disk_usage(self._part.parent).free:
            raise self._failure("the disk is too small")

    def _missing_bytes(self) -> int:
        frames = sum((self._shape[0] if each.in_time else 1) * len(each.channels) for each in self._variables)
        return int((~self.written).sum()) * frames * prod(self._shape[2:]) * 4

    def _failure(self, error: Any) -> WriteError:
        free = shutil.disk_usage(self._part.parent).free
        return WriteError(
            f"{self._part}: {getattr(error, 'strerror', None) or error}. {self.written.sum()} of {len(self.written)} "
            f"trajectories are written; the rest needs {self._missing_bytes() / 1e6:.1f} MB, {free / 1e6:.1f} MB are "
            "free. Make room and run the same again: it goes on where it stopped."
        )


def _plain(key: str, value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):  # NetCDF has no booleans
        return int(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, (str, int, float, list, tuple)):
        return list(value) if isinstance(value, tuple) else value
    raise ConfigError(
        f"attribute {key!r} is a {type(value).__name__}; expected a string, a number or a list. Turn it into text with "
        "json.dumps."
    )


def _make_skeleton(path: Path, request: Mapping[str, Any]) -> None:
    """An HDF5 file with everything but the frames and their statistics, in the oldest format, which all tools read."""
    variables = [StoredVariable(**each | {"channels": tuple(each["channels"])}) for each in request["variables"]]
    with_channels = [variable for variable in variables if variable.channel_axis]
    count, space = request["trajectories"], tuple(map(len, request["coordinates"].values()))
    with h5py.File(path, "w", libver=("earliest", "v108"), locking=False) as file:
        file.create_dataset("sample", (count,), ">f4").make_scale(_BARE_DIMENSION.format(count))
        if any(variable.in_time for variable in variables):
            file.create_dataset("time", data=np.asarray(request["times"])).make_scale("time")
        for variable in with_channels:
            name = "channel" if len(with_channels) == 1 else f"{variable.name}_channel"
            file.create_dataset(name, data=variable.channels, dtype=h5py.string_dtype()).make_scale(name)
        for name, values in request["coordinates"].items():
            file.create_dataset(name, data=np.asarray(values)).make_scale(name)
        extent = {"sample": count, "time": len(request["times"])}
        for variable in variables:
            dimensions = [*variable.axes, *request["coordinates"]]
            shape = (*(extent.get(axis, len(variable.channels)) for axis in variable.axes), *space)
            if variable.channel_axis and len(with_channels) > 1:
                dimensions[dimensions.index("channel")] = f"{variable.name}_channel"
            _make_variable(file, variable, shape, dimensions)
        for name, values in request.get("scalars", {}).items():
            file.create_dataset(name, data=np.asarray(values)).dims[0].attach_scale(file["sample"])
        file.attrs["replica"] = np.int8(1)
        file.attrs["task"] = request["task"]
        file.attrs["boundary"] = " ".join(request["boundary"])
        for key, value in request["attributes"].items():
            file.attrs[key] = value


def _make_variable(
    file: h5py.File, variable: StoredVariable, shape: tuple[int, ...], dimensions: Sequence[str]
) -> None:
    """A variable whose frames have their places in the file, each a chunk of its own, before they are written."""
    frame_axes = len(variable.axes) - variable.channel_axis
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((*(1,) * frame_axes, *shape[frame_axes:]))
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(np.dtype(np.float32))
    dataset = h5py.Dataset(h5py.h5d.create(file.id, variable.name.encode(), kind, space, layout))
    for axis, name in enumerate(dimensions):
        dataset.dims[axis].attach_scale(file[name])
    # Room for the statistics, which are known at the end.
    dataset.attrs["mean"] = dataset.attrs["std"] = np.full(len(variable.channels), np.nan)


def _write_planes(descriptor: int, frames: np.ndarray, offsets: np.ndarray) -> None:
    """Write frames, in order, at their byte offsets; frames that are neighbours in the file go in one call."""
    offsets = offsets.ravel()
    memory = frames.reshape(-1).view(np.uint8).data
    size = len(memory) // len(offsets)
    starts = np.flatnonzero(np.concatenate(([True], np.diff(offsets) != size)))
    ends = [*starts[1:].tolist(), len(offsets)]
    for start, end in zip(starts.tolist(), ends, strict=True):
        begin, stop, offset = start * size, end * size, int(offsets[start])
        while begin < stop:
            done = os.pwrite(descriptor, memory[begin:stop], offset)
            begin, offset = begin + done, offset + done


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
