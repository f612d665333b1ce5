"""Write trajectories in the layout of The Well: block by block, under another name until the file is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np

from sciml.data.trajectories import Trajectories
from sciml.data.well_fields import GROUPS
from sciml.data.well_statistics import RunningMoments, Statistics, merge, tabulate
from sciml.data.well_tensors import Tensor, component_names, tensors
from sciml.data.write_well_header import attribute, write_header
from sciml.errors import DataError, SciMLError, WriteError

BLOCK_BYTES = 16 << 20


def write_well(
    trajectories: Trajectories,
    path: str | os.PathLike,
    *,
    name: str = "",
    overwrite: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Statistics:
    """Write trajectories as one file in the layout of The Well.

    Channels that are components of a vector or a tensor (see ``tensors``) are stored as such, the others as scalars;
    made-up channels are left out. Fields are float32, uncompressed and contiguous, and carry their means and standard
    deviations. Coordinates and scalars are float32, too, as the layout has them.

    Args:
        trajectories: What to write.
        path: The file to make. It appears under this name when it is complete.
        name: Name of the data set; the task, or the name of the file, by default.
        overwrite: Replace a file of this name.
        progress: Called after every trajectory.

    Returns:
        The statistics of the fields, for ``write_statistics``.

    Raises:
        DataError: a field is not finite.
        WriteError: the file exists, the disk is too small, or the file cannot be written.
    """
    path = Path(path).absolute()
    if path.exists() and not overwrite:
        raise WriteError(f"{path} exists already. Choose another name, or pass overwrite=True.")
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(part, "w") as file:
            write_header(file, trajectories, name or trajectories.spec.task or path.stem)
            statistics = _write_fields(file, trajectories, progress)
        _sync(part)
        os.replace(part, path)
        _sync(path.parent)
    except SciMLError:
        raise
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as either
        raise WriteError(f"{part} cannot be written: {error}. Make room, or choose another folder.") from error
    finally:
        part.unlink(missing_ok=True)
    return statistics


def _write_fields(file: h5py.File, trajectories: Trajectories, progress: Callable[[], None]) -> Statistics:
    groups = [file.create_group(name) for name in GROUPS]
    parts = [_Fields(groups, trajectories, in_time=in_time) for in_time in (True, False)]
    for order, group in enumerate(groups):
        group.attrs["field_names"] = attribute([t.name for part in parts for t in part.tensors if t.order == order])
    needed, free = sum(part.bytes for part in parts), shutil.disk_usage(Path(file.filename).parent).free
    if needed > free:
        raise WriteError(f"{file.filename} needs {needed / 1e6:.1f} MB, but {free / 1e6:.1f} MB are free. Make room.")
    for trajectory in range(len(trajectories)):
        for part in parts:
            part.write(trajectory)
        progress()
    return merge(*(part.finish() for part in parts))


class _Fields:
    """The fields of a file that change in time, or those that do not."""

    def __init__(self, groups: Sequence[h5py.Group], trajectories: Trajectories, *, in_time: bool):
        spec = trajectories.spec
        fields = [field for field in spec.fields if field.observed and field.in_time == in_time]
        self.tensors = list(tensors(fields, tuple(spec.coordinates)))
        self._trajectories = trajectories
        self._in_time, self._steps, self._space = in_time, spec.steps if in_time else 1, spec.shape
        self._names = [field.name for field in fields]
        self._datasets = [self._dataset(groups[tensor.order], tensor) for tensor in self.tensors]
        self._values, self._changes = RunningMoments(len(fields)), RunningMoments(len(fields))

    @property
    def bytes(self) -> int:
        return sum(4 * int(np.prod(dataset.shape)) for dataset in self._datasets)

    def _dataset(self, group: h5py.Group, tensor: Tensor) -> h5py.Dataset:
        time, dims = (self._steps,) * self._in_time, len(self._space)
        shape = (len(self._trajectories), *time, *self._space, *(dims,) * tensor.order)
        dataset = group.create_dataset(tensor.name, shape, np.float32)
        dataset.attrs["sample_varying"], dataset.attrs["time_varying"] = True, self._in_time
        dataset.attrs["dim_varying"] = np.ones(dims, bool)
        if tensor.order == 2:
            dataset.attrs["symmetric"] = dataset.attrs["antisymmetric"] = False
        names = tuple(field.name for field in tensor.fields)
        if names != component_names(tensor.name, tuple(self._trajectories.spec.coordinates), tensor.order):
            dataset.attrs["channels"] = attribute(names)
        units = {field.unit for field in tensor.fields}
        if units != {"nondimensional"}:
            dataset.attrs["unit"] = ", ".join(sorted(units))
        return dataset

    def write(self, trajectory: int) -> None:
        """Copy one trajectory, as many frames at a time as fit into a block."""
        if not self._names:
            return
        frames_at_once = max(BLOCK_BYTES // (4 * len(self._names) * int(np.prod(self._space))), 1)
        last = None
        for start in range(0, self._steps, frames_at_once):
            stop = min(start + frames_at_once, self._steps)
            frames = self._trajectories.read(trajectory, start, stop, channels=self._names)
            self._values.update(frames)
            if not np.isfinite(self._values.mean).all():
                wrong = self._names[int(np.argmin(np.isfinite(self._values.mean)))]
                raise DataError(
                    f"{self._trajectories.path}: trajectory {trajectory} has NaN or infinity in channel {wrong!r}; it "
                    f"cannot be normalised. Leave the channel out."
                )
            self._put(trajectory, start, frames)
            known = frames if last is None else np.concatenate([last, frames])
            self._changes.update(np.diff(known.astype(np.float64), axis=0))
            last = frames[-1:]

    def _put(self, trajectory: int, start: int, frames: np.ndarray) -> None:
        first = 0
        for tensor, dataset in zip(self.tensors, self._datasets, strict=True):
            own = np.moveaxis(frames[:, first : first + len(tensor.fields)], 1, -1)
            own = own.reshape(len(frames), *self._space, *(len(self._space),) * tensor.order)
            if self._in_time:
                dataset[trajectory, start : start + len(frames)] = own
            else:
                dataset[trajectory] = own[0]
            first += len(tensor.fields)

    def finish(self) -> Statistics:
        """Give the fields their means and standard deviations; the statistics for ``stats.yaml``."""
        shapes = {tensor.name: (len(self._space),) * tensor.order for tensor in self.tensors}
        statistics = tabulate(shapes, self._values, self._changes if self._in_time else None)
        for tensor, dataset in zip(self.tensors, self._datasets, strict=True):
            for key in ("mean", "std"):
                dataset.attrs[key] = np.ravel(statistics[key][tensor.name])
        return statistics


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
