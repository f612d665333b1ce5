"""Open a file of trajectories, whatever its layout: the content decides, not the name."""

from __future__ import annotations

import os
from pathlib import Path

import h5py

from sciml.data import netcdf
from sciml.data.arrays import has_channel_names, open_arrays
from sciml.data.handle import PlaneFile
from sciml.data.poseidon import open_poseidon, recognise
from sciml.data.published import SAME_FILE, TASKS
from sciml.data.trajectories import Trajectories
from sciml.errors import ConfigError


def open_trajectories(path: str | os.PathLike, *, task: str | None = None) -> Trajectories:
    """Open a file of trajectories for reading.

    Two layouts are known: Poseidon's, downloaded or generated, and files of your own that hold one float variable of
    shape (sample, time, channel, x, y) or (sample, time, x, y). The task, which says what the channels of a published
    file mean, is the file's attribute ``task``, the argument, or the file's name without its ending, in this order.

    Args:
        path: NetCDF-4 or HDF5 file.
        task: Name of the published task where the file does not say it itself, e.g. ``NS-PwC``; ``NS-Tracer-PwC`` opens
            the file of ``NS-PwC`` with the tracer among its inputs and targets.

    Returns:
        The trajectories: ``spec``, ``len``, ``read``, ``read_frames``.

    Raises:
        LayoutError: the file is missing, truncated, or in no known layout.
        ConfigError: ``task`` is not a published task, or not the task of this file.
    """
    file = PlaneFile(path)
    with file.open() as hdf5:
        name = _task(file.path, hdf5, task)
        if name in TASKS:
            return open_poseidon(file, hdf5, task=name, kind=name)
        kind = recognise(hdf5)
        if kind is not None and not has_channel_names(hdf5):
            return open_poseidon(file, hdf5, task=name, kind=kind)
        return open_arrays(file, hdf5, task=name)


def _task(path: Path, hdf5: h5py.File, asked: str | None) -> str:
    own = str(netcdf.attributes(hdf5).get("task", ""))
    if asked is None:
        return own or (path.stem if path.stem in TASKS else "")
    if asked not in TASKS and asked != own:
        raise ConfigError(
            f"task {asked!r} is not published; the known ones are {', '.join(TASKS)}. Leave task out for a file of "
            "your own."
        )
    if own and SAME_FILE.get(asked, asked) != SAME_FILE.get(own, own):
        raise ConfigError(f"{path} says that its task is {own!r}, but {asked!r} was asked for. Leave task out.")
    return asked
