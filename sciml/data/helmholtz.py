"""The published Helmholtz file: one group a sample, ``Sample_i`` with ``a``, ``u`` (x, y) and the number ``bc``."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np

from sciml.data import netcdf
from sciml.data.handle import PlaneFile
from sciml.data.published import TASKS
from sciml.data.spec import TrajectorySpec
from sciml.data.trajectories import Channel, StoredTrajectories
from sciml.data.variable import grouped_variable

GROUP = "Sample_"

# The published fields by the name that their dataset has in this file.
DATASETS = {"a": "a", "bc": "bc", "solution": "u"}


def is_helmholtz(file: h5py.File) -> bool:
    """Whether a file consists of groups ``Sample_0``, ``Sample_1``, ... and of nothing else."""
    names = list(map(str, file))
    return len(names) > 0 and all(name.startswith(GROUP) and name[len(GROUP) :].isdigit() for name in names)


def open_helmholtz(file: PlaneFile, hdf5: h5py.File) -> StoredTrajectories:
    """Open a file of Helmholtz problems; samples come in the order of their numbers.

    Raises:
        LayoutError: a sample lacks a dataset, or has one of another shape than the first sample.
    """
    published = TASKS["Helmholtz"]
    attributes = netcdf.attributes(hdf5)
    official = not attributes.get("replica", False)
    groups = sorted(map(str, hdf5), key=lambda name: int(name[len(GROUP) :]))
    a = grouped_variable(hdf5, groups, "a", ())
    u = grouped_variable(hdf5, groups, "u", ())
    # One number for the whole field, which is read as a field of one point.
    bc = replace(grouped_variable(hdf5, groups, "bc", ()), space=(1,) * len(a.space), tail=(), block=())
    channels = []
    for stored in published.fields:
        shift = stored.shift if official else 0.0
        channels.append(Channel(stored.spec, DATASETS[stored.variable], shift=shift))
    spec = TrajectorySpec(
        layout="poseidon",
        task="Helmholtz",
        fields=tuple(channel.field for channel in channels),
        steps=1,
        times=np.zeros(1),
        coordinates={axis: np.linspace(*published.domain, n) for axis, n in zip("xyz", a.space, strict=False)},
        boundary=(published.boundary,) * len(a.space),
        time_scale=published.time_scale,
        inputs=published.inputs,
        targets=published.targets,
        validation=published.validation if official else None,
        test=published.test if official else None,
        attributes=attributes,
    )
    variables = {"a": a, "u": u, "bc": bc}
    return StoredTrajectories(file, spec=spec, channels=channels, variables=variables, trajectories=len(groups))
