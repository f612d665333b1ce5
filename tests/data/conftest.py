from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from sciml.data import TrajectoryWriter
from tests.data.well_files import WellFileMaker


@pytest.fixture
def official(tmp_path) -> Callable[..., Path]:
    """Make a file as its publishers would, with xarray: no coordinates, no attributes."""

    def make(name: str, *, chunks: tuple | None = None, **variables: tuple[tuple[str, ...], np.ndarray]) -> Path:
        path = tmp_path / name
        encoding = {key: {"chunksizes": chunks} for key in variables} if chunks else {}
        xr.Dataset(variables).to_netcdf(path, engine="h5netcdf", encoding=encoding)
        return path

    return make


@pytest.fixture
def hdf5(tmp_path) -> Callable[..., Path]:
    """Make a plain HDF5 file with one variable."""

    def make(values: np.ndarray, *, name: str = "own.h5", variable: str = "fields", file: dict | None = None, **how):
        path = tmp_path / name
        with h5py.File(path, "w", **(file or {})) as handle:
            handle.create_dataset(variable, data=values, **how)
        return path

    return make


@pytest.fixture
def replica(tmp_path) -> Callable[..., Path]:
    """Make a file with our own writer."""

    def make(name: str, frames: np.ndarray, *, task: str = "NS-PwC", variable: str = "velocity", channels=None) -> Path:
        path = tmp_path / name
        count, steps, _, nx, ny = frames.shape
        with TrajectoryWriter(
            path,
            task=task,
            variable=variable,
            channels=channels or ("u", "v", "tracer")[: frames.shape[2]],
            trajectories=count,
            times=np.linspace(0, 1, steps),
            coordinates={"x": np.arange(nx) / nx, "y": np.arange(ny) / ny},
            boundary=("periodic", "periodic"),
        ) as writer:
            writer.write(0, frames)
        return path

    return make


@pytest.fixture
def well(tmp_path) -> Callable[..., WellFileMaker]:
    """Start a file in the layout of The Well; leave its context to close it."""
    return lambda name="made.hdf5", **how: WellFileMaker(tmp_path / name, **how)
