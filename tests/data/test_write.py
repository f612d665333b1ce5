import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import xarray as xr

from sciml.data import TrajectoryWriter, open_trajectories, write
from sciml.errors import ConfigError, DataError, ShapeError, WriteError

COUNT, STEPS, NX, NY = 5, 3, 4, 6
FRAMES = np.random.default_rng(0).normal(2.0, 3.0, (COUNT, STEPS, 2, NX, NY)).astype(np.float32)


def writer(path, **changes) -> TrajectoryWriter:
    settings = {
        "task": "NS-PwC",
        "variable": "velocity",
        "channels": ("u", "v"),
        "trajectories": COUNT,
        "times": np.linspace(0, 1, STEPS),
        "coordinates": {"x": np.arange(NX) / NX, "y": np.arange(NY) / NY},
        "boundary": ("periodic", "wall"),
        "attributes": {
            "seed": 7,
            "parameters": '{"amplitude": 10}',
            "viscosity": 1e-3,
            "tracer": True,
            "modes": (1, 2),
        },
    }
    return TrajectoryWriter(path, **(settings | changes))


def make(path, *, block=2, **changes):
    """Write what is not there yet."""
    with writer(path, **changes) as out:
        for first in range(0, COUNT, block):
            if not out.written[first : first + block].all():
                out.write(first, FRAMES[first : first + block])
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Bytes of a file that nothing interrupted."""
    return make(tmp_path_factory.mktemp("finished") / "flow.nc").read_bytes()


def test_what_is_written_is_what_is_read(tmp_path):
    with open_trajectories(make(tmp_path / "flow.nc")) as trajectories:
        for i in range(COUNT):
            np.testing.assert_array_equal(trajectories.read(i, channels=["u", "v"]), FRAMES[i])
    assert sorted(os.listdir(tmp_path)) == ["flow.nc"]


def test_xarray_sees_names_coordinates_and_attributes(tmp_path):
    with xr.open_dataset(make(tmp_path / "flow.nc"), engine="h5netcdf") as data:
        velocity = data["velocity"]
        assert velocity.dims == ("sample", "time", "channel", "x", "y")
        assert "sample" not in data.coords
        assert data["channel"].values.tolist() == ["u", "v"]
        np.testing.assert_array_equal(data["time"], [0.0, 0.5, 1.0])
        np.testing.assert_array_equal(data["y"], np.arange(NY) / NY)
        np.testing.assert_array_equal(velocity.sel(channel="v", time=0.5, y=0.5), FRAMES[:, 1, 1, :, 3])
        assert data.attrs["replica"] == 1
        assert data.attrs["tracer"] == 1
        assert (data.attrs["seed"], data.attrs["viscosity"], data.attrs["task"]) == (7, 1e-3, "NS-PwC")
        assert data.attrs["modes"].tolist() == [1, 2]
        assert data.attrs["boundary"] == "periodic wall"


def test_the_file_carries_its_statistics_in_double_precision(tmp_path):
    with h5py.File(make(tmp_path / "flow.nc")) as file:
        attributes = file["velocity"].attrs
        exact = FRAMES.astype(np.float64)
        # 1e-13: the same float64 sums of 360 numbers in another order.
        np.testing.assert_allclose(attributes["mean"], exact.mean((0, 1, 3, 4)), rtol=1e-13)
        np.testing.assert_allclose(attributes["std"], exact.std((0, 1, 3, 4)), rtol=1e-13)


def test_the_storage_is_the_published_one(tmp_path):
    with h5py.File(make(tmp_path / "flow.nc")) as file:
        velocity = file["velocity"]
        assert (velocity.dtype, velocity.chunks, velocity.compression) == (np.float32, (1, 1, 2, NX, NY), None)


@pytest.mark.parametrize("block", [1, 3, 5])
def test_the_bytes_do_not_depend_on_the_blocks(tmp_path, finished, block):
    assert make(tmp_path / "flow.nc", block=block).read_bytes() == finished


def test_the_bytes_do_not_depend_on_the_order(tmp_path, finished):
    with writer(tmp_path / "flow.nc") as out:
        for first in (3, 0, 4, 2, 1):
            out.write(first, FRAMES[first : first + 1])
    assert (tmp_path / "flow.nc").read_bytes() == finished


@pytest.fixture(scope="module")
def complete_journal(tmp_path_factory):
    """The journal of a file that has all its trajectories."""
    path = tmp_path_factory.mktemp("journal") / "flow.nc"
    with writer(path) as out:
        out.write(0, FRAMES)
        return (path.parent / "flow.nc.part.journal").read_text()


def killed_at(line: int, path) -> bool:
    """Write in a child process that dies at the given line executed in the writer; False if it came to the end."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if frame.f_code.co_filename != write.__file__:
            return None
        count += event == "line"
        if count == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    make(path)
    os._exit(0)


@pytest.mark.parametrize("stale", [False, True])
def test_a_kill_at_any_line_of_the_writer_changes_no_byte_of_the_result(tmp_path, finished, complete_journal, stale):
    line, kills = 1, 0
    while True:
        path = tmp_path / f"{line}.nc"
        if stale:  # left behind by a kill between the renaming of an earlier file and the removal of its journal
            (tmp_path / f"{line}.nc.part.journal").write_text(complete_journal)
        if not killed_at(line, path):
            break
        if not path.exists():
            make(path)
        assert path.read_bytes() == finished, f"killed at line {line}"
        make(path, overwrite=True)  # whatever lies around must not disturb a new run either
        assert path.read_bytes() == finished, f"killed at line {line}, written again"
        for left in tmp_path.iterdir():
            left.unlink()
        line, kills = line + 7, kills + 1
    assert kills > 20


def test_a_kill_in_the_middle_of_a_frame_and_of_a_journal_line_changes_no_byte(tmp_path, finished):
    path = tmp_path / "flow.nc"
    out = writer(path)
    out.write(0, FRAMES[:2])
    out.close()
    journal = tmp_path / "flow.nc.part.journal"
    whole = journal.read_bytes()
    for cut in (1, 30, len(whole.splitlines()[-1])):
        journal.write_bytes(whole[:-cut])
        out = writer(path)
        assert out.written.tolist() == [True, False, False, False, False]
        os.pwrite(out._descriptor, b"half a frame", int(out._on_disk[0].table[1, 0, 0]))
        out.write(4, FRAMES[4:])
        out.close()
        again = writer(path)
        assert again.written.tolist() == [True, False, False, False, True]
        again.close()
    assert make(path).read_bytes() == finished


def interrupt(path):
    with writer(path) as out:
        out.write(2, FRAMES[2:4])
        raise KeyboardInterrupt


def test_an_error_in_the_middle_leaves_what_was_written(tmp_path, finished):
    path = tmp_path / "flow.nc"
    with pytest.raises(KeyboardInterrupt):
        interrupt(path)
    assert not path.exists()
    out = writer(path)
    assert out.written.tolist() == [False, False, True, True, False]
    out.close()
    assert make(path).read_bytes() == finished


def test_a_part_of_other_settings_is_not_continued(tmp_path, finished):
    path = tmp_path / "flow.nc"
    other = writer(path, attributes={"seed": 8})
    other.write(0, FRAMES[:1] + 1)
    other.close()
    with pytest.raises(WriteError, match=r"begun with other settings \(attributes\).*overwrite=True"):
        writer(path)
    assert make(path, overwrite=True).read_bytes() == finished


def test_a_finished_file_is_replaced_only_on_request(tmp_path, finished):
    path = tmp_path / "flow.nc"
    path.write_text("precious")
    with pytest.raises(WriteError, match=r"flow\.nc exists already.*overwrite=True"):
        writer(path)
    with pytest.raises(RuntimeError, match="interrupted"), writer(path, overwrite=True):
        raise RuntimeError("interrupted")
    assert path.read_text() == "precious"
    assert make(path, overwrite=True).read_bytes() == finished


def test_two_writers_of_one_file_are_kept_apart(tmp_path):
    first = writer(tmp_path / "flow.nc")
    with pytest.raises(WriteError, match="is being written by another process"):
        writer(tmp_path / "flow.nc")
    first.close()
    writer(tmp_path / "flow.nc").close()


def test_a_missing_trajectory_is_not_passed_over(tmp_path):
    out = writer(tmp_path / "flow.nc")
    out.write(0, FRAMES[:1])
    out.write(3, FRAMES[3:4])
    with pytest.raises(WriteError, match="holds 2 of 5 trajectories; the first missing one is 1"), out:
        pass
    assert not (tmp_path / "flow.nc").exists()


def test_a_full_disk_says_how_much_is_needed_and_the_run_goes_on_later(tmp_path, finished, monkeypatch):
    path, pwrite, calls = tmp_path / "flow.nc", os.pwrite, []

    def full(descriptor, data, offset):
        calls.append(offset)
        if len(calls) == 2:
            pwrite(descriptor, data[:50], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(
        WriteError, match=r"No space left on device\. 2 of 5 trajectories are written; the rest needs 0\.0 MB"
    ):
        make(path)
    monkeypatch.undo()
    assert make(path).read_bytes() == finished


def test_a_disk_that_is_too_small_is_told_before_the_first_frame(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(WriteError, match=r"the disk is too small\. 0 of 5"):
        writer(tmp_path / "flow.nc")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder):
    with (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))


def test_a_disk_that_somebody_else_fills_is_survived(small_disk):
    frames = np.random.default_rng(1).normal(size=(3, STEPS, 2, 64, 64)).astype(np.float32)
    grid = {"x": np.arange(64) / 64, "y": np.arange(64) / 64}
    out = writer(small_disk / "flow.nc", trajectories=3, coordinates=grid)
    out.write(0, frames[:1])
    with pytest.raises(OSError, match="No space left"):
        fill(small_disk)
    with pytest.raises(WriteError, match=r"No space left on device\. 1 of 3 trajectories.*0\.0 MB are free"):
        out.write(1, frames[1:])
    out.close()
    (small_disk / "filler").unlink()
    with writer(small_disk / "flow.nc", trajectories=3, coordinates=grid) as out:
        assert out.written.tolist() == [True, False, False]
        out.write(1, frames[1:])
    with open_trajectories(small_disk / "flow.nc") as trajectories:
        for i in range(3):
            np.testing.assert_array_equal(trajectories.read(i, channels=["u", "v"]), frames[i])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_fields_are_refused_by_trajectory_and_channel(tmp_path, value):
    frames = FRAMES[:2].copy()
    frames[1, 2, 1, 0, 0] = value
    out = writer(tmp_path / "flow.nc")
    with pytest.raises(DataError, match="trajectory 4 has NaN or infinity in channel 'v'"):
        out.write(3, frames)
    assert not out.written.any()
    out.close()


@pytest.mark.parametrize(
    ("first", "shape"), [(0, (1, STEPS, 3, NX, NY)), (4, (2, STEPS, 2, NX, NY)), (-1, (1, STEPS, 2, NX, NY))]
)
def test_a_block_that_does_not_fit_is_refused(tmp_path, first, shape):
    out = writer(tmp_path / "flow.nc")
    with pytest.raises(ShapeError, match=r"expected \(trajectory, 3, 2, 4, 6\) within 5 trajectories"):
        out.write(first, np.zeros(shape, np.float32))
    out.close()


def test_an_attribute_that_netcdf_cannot_hold_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"attribute 'parameters' is a dict.*json\.dumps"):
        writer(tmp_path / "flow.nc", attributes={"parameters": {"amplitude": 10}})


def test_a_folder_that_is_missing_is_made_and_one_that_cannot_be_is_named(tmp_path):
    assert make(tmp_path / "new" / "folder" / "flow.nc").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot be written"):
        writer(tmp_path / "file" / "flow.nc")


def test_the_journal_tells_what_was_asked_for(tmp_path):
    out = writer(tmp_path / "flow.nc")
    header = json.loads((tmp_path / "flow.nc.part.journal").read_text().splitlines()[0])
    out.close()
    assert [each["channels"] for each in header["variables"]] == [["u", "v"]]
    assert header["attributes"]["tracer"] == 1
