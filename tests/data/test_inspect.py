"""What ``sciml inspect`` tells of files in every layout."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from sciml.cli import cli
from sciml.data.inspect import inspect, readable_bytes
from sciml.errors import LayoutError
from tests.data.numbers import numbered

FIXTURES = Path(__file__).parents[1] / "fixtures" / "formats"
FILES = [path for path in sorted(FIXTURES.rglob("*")) if path.suffix in (".nc", ".h5", ".hdf5")]
READABLE = [path for path in FILES if path.name != "dummy_as_xarray.nc"]


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_every_layout_can_be_inspected(path):
    found = inspect(path)
    summary = dict(found.summary)
    assert summary["layout"] == path.relative_to(FIXTURES).parts[0]
    assert int(summary["trajectories"]) > 0
    assert found.channels
    assert found.storage


def test_a_plain_generated_file_needs_no_advice(replica):
    path = replica("plain.nc", np.random.default_rng(0).normal(size=(4, 3, 3, 8, 8)).astype(np.float32))
    found = inspect(path)
    assert found.advice == []
    summary = dict(found.summary)
    assert summary["times"] == "3 steps, 0 to 1, every 0.5"
    assert summary["grid"] == "8 x 8"
    assert summary["x"] == "0 to 0.875, every 0.125"
    assert summary["boundary"] == "periodic, periodic"
    assert "straight from the file" in summary["reading"]
    names = [row[0] for row in found.channels]
    assert names == ["rho", "u", "v", "p", "tracer"]
    assert found.channels[3][-1] == "made up, masked"
    velocity = found.storage[0]
    assert (velocity.name, velocity.shape, velocity.chunks) == ("velocity", (4, 3, 3, 8, 8), (1, 1, 3, 8, 8))
    assert velocity.stored_bytes == 4 * 4 * 3 * 3 * 64


def test_ranges_are_those_of_the_frames(hdf5):
    values = numbered(2, 3, 2, 4, 4)  # few enough frames that all are read
    row = inspect(hdf5(values)).channels[1]
    assert row[2] == f"{values[:, :, 1].min():.4g} to {values[:, :, 1].max():.4g}"
    assert row[3] == f"{values[:, :, 1].mean():.4g} ± {values[:, :, 1].std():.4g}"


@pytest.mark.parametrize(
    ("how", "advice"),
    [
        ({"chunks": (1, 6, 2, 8, 8), "compression": "gzip"}, r"compressed \(gzip\) in chunks of 6 frames.*3.07 kB"),
        ({"chunks": (1, 1, 2, 8, 8), "compression": "lzf", "shuffle": True}, r"compressed \(shuffle \+ lzf\): every"),
        ({"chunks": (1, 1, 2, 4, 4)}, "cut through frames: a frame is gathered from 4 places"),
        ({"dtype": ">f4"}, "other byte order"),
        ({"dtype": "<f8"}, "double precision"),
        ({"file": {"userblock_size": 512}}, "through the library of the format"),
    ],
)
def test_what_makes_reading_slow_is_said(hdf5, how, advice):
    path = hdf5(numbered(3, 6, 2, 8, 8), **how)
    found = inspect(path)
    assert any(re.search(advice, line) for line in found.advice), found.advice


def test_what_would_stop_training_is_said(hdf5):
    values = numbered(2, 3, 3, 4, 4)
    values[:, :, 1] = 2.0
    values[1, 1, 2, 0, 0] = np.nan
    advice = " ".join(inspect(hdf5(values)).advice)
    assert "channel channel_1 is constant (2)" in advice
    assert "channel channel_2 has NaN or infinity" in advice
    assert "channel_0" not in advice
    assert "no statistics" in advice


def test_many_groups_are_shown_as_one(tmp_path):
    with h5py.File(tmp_path / "groups.h5", "w") as file:
        for i in range(30):
            file.create_dataset(f"{i:04d}/data", data=numbered(5, 8, 1), chunks=(5, 8, 1), compression="lzf")
            file[f"{i:04d}/grid/t"], file[f"{i:04d}/grid/x"] = np.arange(5.0), np.arange(8.0)
    found = inspect(tmp_path / "groups.h5")
    data = next(array for array in found.storage if array.name == "*/data")
    assert (data.copies, data.shape) == (30, (5, 8, 1))
    with h5py.File(tmp_path / "groups.h5") as file:
        assert data.stored_bytes == 30 * file["0000/data"].id.get_storage_size()
    assert "in chunks of 5 frames" in found.advice[0]


def test_a_compressed_npz_is_advised_against(tmp_path):
    np.savez_compressed(tmp_path / "runs.npz", fields=numbered(3, 4, 2, 5, 6))
    found = inspect(tmp_path / "runs.npz")
    assert "cannot be read piecewise" in found.advice[0]
    assert found.storage[0].shape == (3, 4, 2, 5, 6)


def test_a_zarr_store_shows_its_chunks(tmp_path):
    zarr = pytest.importorskip("zarr")
    store = zarr.create_array(str(tmp_path / "runs.zarr"), shape=(3, 4, 2, 5, 6), chunks=(1, 4, 2, 5, 6), dtype="f4")
    store[:] = numbered(3, 4, 2, 5, 6)
    found = inspect(tmp_path / "runs.zarr")
    assert found.storage[0].chunks == (1, 4, 2, 5, 6)
    assert "in chunks of 4 frames" in found.advice[0]


def test_parts_are_inspected_as_one(tmp_path, replica):
    for i in range(3):
        replica(f"runs_{i}.nc", numbered(2, 3, 2, 4, 4), task="mine", channels=("a", "b"))
    summary = dict(inspect(tmp_path / "runs_*.nc").summary)
    assert summary["trajectories"] == "6"
    assert "in 3 files" in summary["size"]


def test_the_command_prints_it(replica, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    path = replica("plain.nc", numbered(2, 3, 3, 8, 8))
    result = CliRunner().invoke(cli, ["inspect", str(path)])
    assert result.exit_code == 0, result.output
    for word in ("poseidon", "NS-PwC", "tracer", "velocity", "(1, 1, 3, 8, 8)", "0 to 0.875"):
        assert word in result.output


def test_a_file_of_no_known_layout_is_an_error(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["table"] = np.zeros((3, 4))
    with pytest.raises(LayoutError, match=r"table \(3, 4\) float64"):
        inspect(tmp_path / "other.h5")


def test_sizes_are_readable():
    assert [readable_bytes(n) for n in (0, 999, 1000, 2_500_000, 7 * 10**9, 3 * 10**12)] == [
        "0 bytes",
        "999 bytes",
        "1 kB",
        "2.5 MB",
        "7 GB",
        "3 TB",
    ]
