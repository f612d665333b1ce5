"""Open a file of trajectories, whatever its layout: the content decides, not the name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from sciml.data import netcdf
from sciml.data.array_files import ArrayFile, is_array_file
from sciml.data.arrays import has_channel_names, open_arrays
from sciml.data.handle import PlaneFile
from sciml.data.helmholtz import is_helmholtz, open_helmholtz
from sciml.data.mapped import guess_axes, open_mapped
from sciml.data.mapping import ArrayMapping, mapping_beside, read_mapping
from sciml.data.parts import JoinedTrajectories, part_files
from sciml.data.pdebench import open_pdebench, recognise_pdebench
from sciml.data.poseidon import open_poseidon, recognise
from sciml.data.published import SAME_FILE, TASKS
from sciml.data.splits import open_splits, split_folders
from sciml.data.the_well import is_well, open_well
from sciml.data.trajectories import Trajectories
from sciml.errors import ConfigError


def open_trajectories(path: str | os.PathLike, *, task: str | None = None, **mapping: Any) -> Trajectories:
    """Open trajectories for reading: one file, or many files that belong together.

    Known are the layouts of Poseidon, PDEBench and The Well, and arrays of your own: NetCDF-4 and HDF5 files that hold
    one float variable of shape (sample, time, channel, x, y) or (sample, time, x, y), and any .npy, .npz, .zarr or HDF5
    file whose axes are named by keywords or in a file ``FILE.yaml`` beside it (see ``sciml.data.mapping``):

        open_trajectories("runs.npy", axes="sample time x y channel", channels=["u", "v"], dt=0.1)

    A folder, or a pattern such as ``"data/velocity_*.nc"``, is one dataset: its files in the order of their names. A
    folder with the parts ``train``, ``valid`` and ``test``, itself or in ``data``, is one dataset, the test set last.

    The task, which says what the channels of a published Poseidon file mean, is the file's attribute ``task``, the
    argument, or the file's (or its folder's) name, in this order.

    Args:
        path: File, folder or pattern.
        task: Name of the published task where the file does not say it itself, e.g. ``NS-PwC``; ``NS-Tracer-PwC`` opens
            the file of ``NS-PwC`` with the tracer among its inputs and targets.
        mapping: What the axes and channels of your own arrays are, as in ``sciml.data.mapping.ArrayMapping``.

    Returns:
        The trajectories: ``spec``, ``len``, ``read``, ``read_frames``, ``scalars``.

    Raises:
        LayoutError: a file is missing, truncated, or in no known layout, or files do not belong together.
        ConfigError: ``task`` is not a published task, or not the task of this file, or the mapping does not fit.
    """
    if folders := split_folders(path):
        return open_splits(path, folders, lambda file: _open_file(file, task, mapping))
    files = part_files(path)
    if files is None:
        return _open_file(Path(path), task, mapping)
    # The parts of a download do not say what they are, but lie in a folder that does.
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    if task is None and folder.absolute().name in TASKS:
        task = folder.absolute().name
    return JoinedTrajectories(path, [_open_file(file, task, mapping) for file in files])


def _open_file(path: Path, task: str | None, mapping: Mapping[str, Any]) -> Trajectories:
    beside = None if mapping else mapping_beside(path)
    given = read_mapping(beside) if beside else mapping
    if is_array_file(path) or given:
        file = ArrayFile(path) if is_array_file(path) else PlaneFile(path)
        with file.open() as stored:
            named = {"task": task, **given} if task else given
            asked = ArrayMapping.from_dict(named, where=str(beside or "open_trajectories"))
            return open_mapped(file, stored, mapping=asked if asked.axes else guess_axes(file, stored, asked))
    file = PlaneFile(path)
    with file.open() as hdf5:
        name = _task(file.path, hdf5, task)
        if is_well(hdf5):
            return open_well(file, hdf5)
        if is_helmholtz(hdf5):
            return open_helmholtz(file, hdf5)
        if (layout := recognise_pdebench(hdf5)) is not None:
            return open_pdebench(file, hdf5, kind=layout, task=name)
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
