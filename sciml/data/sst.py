"""Real data: monthly sea-surface temperature of the tropics, from the package ``iris-sample-data``."""

from __future__ import annotations

import importlib.util
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float64

from sciml.data.write import TrajectoryWriter
from sciml.errors import ConfigError, LayoutError

CHANNELS = ("sst", "land", "season_cos", "season_sin", "climatology")
HOURS_A_MONTH = 365.2425 * 24 / 12


def write_sst(
    path: str | os.PathLike,
    *,
    size: tuple[int, int] = (128, 16),
    ahead: int = 3,
    validation_months: int = 6,
    test_months: int = 12,
    source: str | os.PathLike | None = None,
) -> Path:
    """Write windows of consecutive months as trajectories, split in time.

    The months are cut into training, validation and test months, in this order, and no window reaches from one part
    into another. The fields are ``sst`` in kelvin; ``land``, 1 where there is no sea; ``season_cos`` and ``season_sin``
    of the month; and ``climatology``, the mean of all *training* months of the same name. The means and standard
    deviations in the file are those of the sea in the training months; land is filled with the mean.

    Args:
        path: File to make.
        size: Grid points in longitude and latitude.
        ahead: Months from the first to the last one of a window.
        validation_months: Months set aside for validation.
        test_months: The last months, set aside for the test.
        source: File with ``surface_temperature`` (month, latitude, longitude); that of the package by default.

    Raises:
        ConfigError: the package is not installed, or there are too few months for the windows or the climatology.
    """
    path = Path(path)
    with h5py.File(sample_file() if source is None else source) as file:
        stored: Any = file
        hours, values = stored["time"][:], stored["surface_temperature"][:].astype(np.float64)
        latitude, longitude = (stored[name][:].astype(np.float64) for name in ("latitude", "longitude"))
        sea = values != stored["surface_temperature"].attrs["_FillValue"][0]
    sst, x, y = regrid(values, sea, longitude, latitude, size=size)
    # Times are middles of months since January 1970.
    calendar = np.floor(hours / HOURS_A_MONTH).astype(int) % 12
    parts = _parts(len(sst), validation_months, test_months, ahead)
    train = len(sst) - validation_months - test_months
    if set(calendar[:train]) != set(range(12)):
        raise ConfigError(f"{train} training months do not hold every month of the year. Set fewer months aside.")
    mean, std = float(np.nanmean(sst[:train])), float(np.nanstd(sst[:train]))
    climatology = np.stack([sst[:train][calendar[:train] == month].mean(0) for month in range(12)])[calendar]
    phase = 2 * np.pi * np.broadcast_to(calendar[:, None, None], sst.shape) / 12
    fields = np.stack([sst, np.isnan(sst), np.cos(phase), np.sin(phase), climatology], axis=1)
    windows = np.concatenate(parts)[:, None] + np.arange(ahead + 1)
    making = path.with_name(f".{path.name}")
    with TrajectoryWriter(
        making,
        task="SST",
        variable="solution",
        channels=CHANNELS,
        trajectories=len(windows),
        times=np.arange(ahead + 1.0),
        coordinates={"longitude": x, "latitude": y},
        boundary=("periodic", "open"),
        attributes={
            "solid": "land",
            "validation": len(parts[1]),
            "test": len(parts[2]),
            "channel_units": ["K", "nondimensional", "nondimensional", "nondimensional", "K"],
            "time_unit": "month",
            "source": "OSTIA monthly means, iris-sample-data",
        },
        overwrite=True,
    ) as writer:
        writer.write(0, np.nan_to_num(fields, nan=mean)[windows].astype(np.float32))
    with h5py.File(making, "r+") as file:
        file["solution"].attrs["mean"] = [mean, 0.0, 0.0, 0.0, mean]
        file["solution"].attrs["std"] = [std, 1.0, 1.0, 1.0, std]
    return making.replace(path)


def sample_file() -> Path:
    """The file of the package.

    Raises:
        ConfigError: the package is not installed.
    """
    package = importlib.util.find_spec("iris_sample_data")
    if package is None or package.origin is None:
        raise ConfigError(
            "the sea-surface temperatures come with the package iris-sample-data, which is not installed. Install it "
            'with: pip install "sciml-kit[examples]"'
        )
    return Path(package.origin).parent / "sample_data/ostia_monthly.nc"


def regrid(
    values: Float64[np.ndarray, "month latitude longitude"],
    sea: np.ndarray,
    longitude: Float64[np.ndarray, " longitude"],
    latitude: Float64[np.ndarray, " latitude"],
    *,
    size: tuple[int, int],
) -> tuple[Float64[np.ndarray, "month x y"], Float64[np.ndarray, " x"], Float64[np.ndarray, " y"]]:
    """Average over the sea in the cells of another regular grid of the same extent.

    The mean of a cell is sum_s a_s T_s / sum_s a_s over the part of the sea in it, a the area of the overlap: the
    heat of the sea is kept. A cell that is less than half sea in some month is land (NaN) in all.

    Args:
        values: Temperatures, shape (month, latitude, longitude).
        sea: Where they mean something, the same shape.
        longitude: Centres of the cells in degrees, evenly spaced.
        latitude: The same.
        size: Cells in longitude and latitude to make.

    Returns:
        Temperatures of shape (month, *size), and the new centres.

    Raises:
        LayoutError: the shapes do not agree.
    """
    if values.shape[1:] != (len(latitude), len(longitude)):
        raise LayoutError(f"temperatures of shape {values.shape} do not fit {len(latitude)} x {len(longitude)} points.")
    (old_x, new_x), (old_y, new_y) = _edges(longitude, size[0]), _edges(latitude, size[1])
    along = _overlaps(old_x, new_x)
    # The area of a cell goes with the sine of latitude.
    across = _overlaps(np.sin(np.radians(old_y)), np.sin(np.radians(new_y)))
    weight = np.einsum("xi,yj,mji->mxy", along, across, sea.astype(float))
    total = np.einsum("xi,yj,mji->mxy", along, across, np.where(sea, values, 0.0))
    whole = along.sum(1)[:, None] * across.sum(1)
    land = (weight < 0.5 * whole).any(0)
    sst = np.where(land, np.nan, total / np.where(weight > 0, weight, 1.0))
    return sst, (new_x[1:] + new_x[:-1]) / 2, (new_y[1:] + new_y[:-1]) / 2


def _parts(months: int, validation: int, test: int, ahead: int) -> list[np.ndarray]:
    """First months of the windows of training, validation and test."""
    ends = (0, months - validation - test, months - test, months)
    parts = [np.arange(a, b - ahead) for a, b in pairwise(ends)]
    if ahead < 1 or min(map(len, parts)) < 1:
        raise ConfigError(
            f"{months} months, {validation} of them for validation and {test} for the test, leave no window of "
            f"{ahead + 1} months in one of the parts. Look fewer months ahead, or set more months aside."
        )
    return parts


def _edges(centres: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    step = (centres[-1] - centres[0]) / (len(centres) - 1)
    old = centres[0] + step * (np.arange(len(centres) + 1) - 0.5)
    return old, np.linspace(old[0], old[-1], count + 1)


def _overlaps(old: np.ndarray, new: np.ndarray) -> Float64[np.ndarray, "new old"]:
    return np.clip(np.minimum(new[1:, None], old[1:]) - np.maximum(new[:-1, None], old[:-1]), 0.0, None)
