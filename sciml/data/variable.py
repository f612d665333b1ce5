"""Where the numbers of an HDF5 dataset lie in its file, and whether they can be read from there as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import h5py
import numpy as np

from sciml.errors import LayoutError

# What the NetCDF library lets be read where nothing was written, in single and in double precision.
NETCDF_FILL = (np.float32(9.9692099683868690e36), 9.9692099683868690e36)


@dataclass(frozen=True, eq=False)
class Variable:
    """A dataset of shape (*axes, *tail): leading axes, and a block of bytes that is read as a whole.

    Args:
        name: Path of the dataset in the file, or in every group of ``groups``.
        axes: Names of the leading axes, among sample, time and channel.
        space: Number of grid points along every spatial axis, in array order; 1 along an axis that is not stored.
        dtype: Type of the stored numbers.
        chunk: Extent of a chunk along every leading axis.
        table: Byte offset of every chunk, indexed by its place along the leading axes; None where planes cannot be
            read straight from the file.
        tail: The axes of the block as they are stored: the numbers of spatial axes, and ``channel`` (or, in a file
            that can only be read through its library, ``time``) where that is no leading axis.
        block: Extent of the block along every axis of ``tail``.
        groups: Names of groups of which each holds one trajectory: the first axis, ``sample``, is then no axis of the
            dataset.
    """

    name: str
    axes: tuple[str, ...]
    space: tuple[int, ...]
    dtype: np.dtype
    chunk: tuple[int, ...] = ()
    table: np.ndarray | None = None
    tail: tuple[str | int, ...] = ()
    block: tuple[int, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def block_bytes(self) -> int:
        """Size of what is read as a whole: one channel of one frame, or one frame with interleaved channels."""
        return prod(self.block) * self.dtype.itemsize

    @property
    def is_plane(self) -> bool:
        """Whether a block is one channel of one frame, with its axes in order."""
        return self.block == self.space

    def offsets(self, index: Sequence[np.ndarray]) -> np.ndarray:
        """Byte offsets of the blocks at ``index``, one (broadcastable) array for each leading axis."""
        if self.table is None:
            raise LayoutError(f"variable {self.name!r} is not stored as plain planes: it has no byte offsets.")
        within = np.int64(0)
        for i, extent in zip(index, self.chunk, strict=True):
            within = within * extent + i % extent
        place = tuple(i // extent for i, extent in zip(index, self.chunk, strict=True))
        return self.table[place] + within * self.block_bytes

    def planes(self, frames: np.ndarray, axes: Sequence[str | int], channels: Sequence[int]) -> np.ndarray:
        """Channels of frames of shape (frame, *axes), as (frame, channel, *space)."""
        axes = list(axes)
        if "channel" in axes:
            frames = np.moveaxis(frames, 1 + axes.index("channel"), 1)[:, as_selection(channels)]
            axes.remove("channel")
        else:
            frames = frames[:, None]
        frames = frames.transpose(0, 1, *(2 + place for place in np.argsort(np.array(axes, int))))
        return frames.reshape(*frames.shape[:2], *self.space)


def variable_of(dataset: h5py.Dataset, axes: Sequence[str], *, points: tuple[int, ...] = ()) -> Variable:
    """Look up where the planes of a dataset lie.

    Args:
        dataset: Open dataset of shape (*axes, *space), or (*axes, *space, channel).
        axes: Names of its leading axes, among sample, time and channel; the rest is space.
        points: Where the channels come last: the number of grid points along every spatial axis, 1 along one that is
            not stored, and the number of channels.
    """
    leading = len(axes)
    block = points or dataset.shape[leading:]
    space = points[:-1] or block
    tail = (*range(len(space)), *("channel",) * bool(points))
    plain = Variable(str(dataset.name), tuple(axes), space, dataset.dtype, tail=tail, block=block)
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
    return replace(plain, chunk=chunk, table=table)


def grouped_variable(file: h5py.File, groups: Sequence[str], name: str, axes: Sequence[str], **how: Any) -> Variable:
    """Look up where the planes of a dataset lie of which every group holds one trajectory.

    Args:
        file: Open file.
        groups: Names of the groups, one a trajectory.
        name: Path of the dataset in every group.
        axes: Names of its leading axes, among time and channel.
        how: As in ``variable_of``.

    Raises:
        LayoutError: a group has no such dataset, or one of another shape or type than the first group.
    """
    first: Any = None
    offsets: list[int | None] = []
    for group in groups:
        # The low-level interface: there may be ten thousand groups.
        try:
            dataset = h5py.h5d.open(file.id, f"{group}/{name}".encode())
        except (KeyError, TypeError) as error:
            raise LayoutError(
                f"{file.filename}: group {group!r} has no dataset {name!r}, which the other groups have: the file is "
                "incomplete. Fetch or generate it again, or remove the group."
            ) from error
        kind = dataset.get_type()
        first = first or (dataset, dataset.shape, kind)
        if dataset.shape != first[1] or kind != first[2]:
            raise LayoutError(
                f"{file.filename}: {group}/{name} is {dataset.shape} {dataset.dtype}, but {groups[0]}/{name} is "
                f"{first[1]} {first[0].dtype}. Trajectories of one file have one shape: fetch or generate it again."
            )
        offsets.append(dataset.get_offset())
        if offsets[-1] is None:
            check_written(h5py.Dataset(dataset))
    alone = variable_of(h5py.Dataset(first[0]), axes, **how)
    variable = replace(alone, name=name, axes=("sample", *axes), groups=tuple(groups), chunk=(), table=None)
    if alone.table is None or None in offsets:
        return variable
    return replace(variable, chunk=(1, *alone.chunk), table=np.array(offsets, np.int64).reshape(-1, *(1,) * len(axes)))


def check_written(dataset: h5py.Dataset, *, steps: int | None = None) -> None:
    """Check that a dataset is there as a whole: where nothing was written, HDF5 reads zeros without a word.

    A dataset whose maker chose what is to be read there (a fill value) is left alone; the number that NetCDF puts there
    of itself is no choice.

    Args:
        dataset: The dataset, of shape (sample, time, ...) if ``steps`` is given.
        steps: How many steps must be there; all by default.

    Raises:
        LayoutError: a part was never written.
    """
    chosen = dataset.id.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED
    if chosen and dataset.fillvalue not in NETCDF_FILL:
        return
    if dataset.chunks is None:
        missing = int(prod(dataset.shape) > 0 and dataset.id.get_storage_size() == 0)
    else:
        extents = [n if steps is None or axis != 1 else steps for axis, n in enumerate(dataset.shape)]
        missing = prod(-(-n // c) for n, c in zip(extents, dataset.chunks, strict=True))
        if steps is None:
            missing -= dataset.id.get_num_chunks()
        else:
            times: list[int] = []
            dataset.id.chunk_iter(lambda chunk: times.append(chunk.chunk_offset[1]))
            missing -= sum(time < steps for time in times)
    if missing:
        raise LayoutError(
            f"{dataset.file.filename}: {missing} chunk(s) of {dataset.name} were never written: the program that made "
            "the file broke off, or is still at work. Fetch or generate the file again."
        )


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


def as_selection(indices: Sequence[int]) -> slice | list[int]:
    """Indices as a slice if they are a run: numpy copies it several times faster."""
    first, count = indices[0], len(indices)
    return slice(first, first + count) if list(indices) == list(range(first, first + count)) else list(indices)
