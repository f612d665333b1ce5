"""The Well: HDF5 files of scalar, vector and tensor fields that say themselves what they hold.

Every dataset says along which axes it varies, and is stored along these only: a field may lack the axis of samples, of
time (a constant field), or of space, along which its values then repeat.

Reference: arXiv:2412.00568, and the data format described with the published data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float64

from sciml.data import netcdf, well_header
from sciml.data.handle import PlaneFile
from sciml.data.spec import TrajectorySpec
from sciml.data.trajectories import StoredTrajectories
from sciml.data.well_fields import GROUPS, fields
from sciml.data.well_statistics import statistics_beside
from sciml.errors import LayoutError


def is_well(hdf5: h5py.File) -> bool:
    """Whether a file has groups of fields by tensor order, which no other layout has."""
    return any(group in hdf5 for group in GROUPS)


def open_well(file: PlaneFile, hdf5: h5py.File) -> WellFile:
    """Open a file in the layout of The Well.

    The channels are the fields that change in time, scalars before vectors before tensors, then the constant fields in
    the same order; components are named by the axes, as in ``velocity_x`` and ``stress_xy``. Constant fields are inputs
    but not targets. Statistics come from the ``stats.yaml`` of the data set, or from the file itself.

    Args:
        file: The file.
        hdf5: The same file, open; only used here.

    Raises:
        LayoutError: a group or a dataset is missing, has another shape than its attributes say, or was never written.
    """
    size = well_header.size_of(hdf5)
    stored = fields(hdf5, size, statistics_beside(file.path))
    if not stored:
        raise LayoutError(f"{file.path} names no field in {', '.join(GROUPS)}; expected at least one.")
    channels = [channel for tensor in stored for channel in tensor.channels]
    times, coordinates = well_header.times(hdf5, size), well_header.coordinates(hdf5, size)
    scalars = dict(well_header.scalars(hdf5, size))
    faces = well_header.faces(hdf5, tuple(size.space))
    attributes = netcdf.attributes(hdf5)
    evolving = tuple(channel.field.name for channel in channels if channel.field.in_time)
    spec = TrajectorySpec(
        layout="the_well",
        task=str(attributes.get("task", attributes.get("dataset_name", ""))),
        fields=tuple(channel.field for channel in channels),
        steps=size.steps,
        times=times[0],
        coordinates={name: values[0] for name, values in coordinates.items()},
        boundary=tuple(first if first == last else "open" for first, last in faces),
        time_scale=float(max(size.steps - 1, 1)),
        inputs=well_header.texts(attributes.get("inputs", ())),
        targets=well_header.texts(attributes.get("targets", evolving)),
        solid=str(attributes.get("solid", "")),
        attributes=attributes,
        faces=faces,
        scalars=tuple(scalars),
    )
    return WellFile(
        file,
        spec=spec,
        channels=channels,
        variables={tensor.variable.name: tensor.variable for tensor in stored if tensor.variable is not None},
        trajectories=size.trajectories,
        times=times,
        coordinates=coordinates,
        scalars=scalars,
    )


class WellFile(StoredTrajectories):
    """Trajectories of one file of The Well, whose times, coordinates and scalars may differ between trajectories."""

    def __init__(
        self,
        file: PlaneFile,
        *,
        times: Float64[np.ndarray, "trajectory time"],
        coordinates: Mapping[str, Float64[np.ndarray, "trajectory point"]],
        scalars: Mapping[str, Float64[np.ndarray, "trajectory time"]],
        **stored: Any,
    ):
        super().__init__(file, **stored)
        self._times, self._coordinates, self._scalars = times, coordinates, scalars

    def times(self, trajectory: int) -> Float64[np.ndarray, " time"]:
        """Physical times of the steps of one trajectory."""
        return self._times[trajectory]

    def coordinates(self, trajectory: int) -> Mapping[str, np.ndarray]:
        """Coordinates of one trajectory, by the names of the axes."""
        return {name: values[trajectory] for name, values in self._coordinates.items()}

    def scalars(
        self, trajectories: np.ndarray | Sequence[int], steps: np.ndarray | Sequence[int] | None = None
    ) -> dict[str, Float64[np.ndarray, " frame"]]:
        """Scalars of trajectories, at the first or at the given steps (see ``Trajectories.scalars``)."""
        at = np.zeros(len(trajectories), int) if steps is None else np.asarray(steps)
        return {name: values[np.asarray(trajectories), at] for name, values in self._scalars.items()}
