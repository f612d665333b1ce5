import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from sciml.data import open_trajectories
from sciml.errors import ConfigError, LayoutError, SolverError
from sciml.pde import make_task
from sciml.pde import spectral as spectral_module
from sciml.pde.generate import InterruptedGeneration, generate
from sciml.pde.tasks.ns import NavierStokesTask

SMALL = {"resolution": 16, "block": 2, "frames": 3, "horizon": 0.1, "progress": False}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["NS-PwC", "NS-SL"])
def test_the_file_read_back_is_what_the_task_simulates(tmp_path, name):
    path = generate(name, tmp_path / "a.nc", trajectories=5, seed=3, **SMALL)
    task = make_task(name, frames=3, horizon=0.1)
    with open_trajectories(path) as data:
        assert len(data) == 5
        assert data.spec.task == name
        assert data.spec.replica
        assert data.spec.boundary == ("periodic", "periodic")
        np.testing.assert_allclose(data.spec.times, task.times)
        np.testing.assert_array_equal(data.spec.coordinates["y"], np.arange(16) / 16)
        channels = data.spec.index(task.channels)
        for block in ([0, 1], [2, 3], [4]):
            simulated = task.simulate(block, resolution=16, seed=3).numpy()
            for trajectory, expected in zip(block, simulated, strict=True):
                np.testing.assert_array_equal(data.read(trajectory)[:, channels], expected)
        # The file is a replica: it carries the statistics of its own fields.
        u = np.concatenate([data.read(i)[:, channels[0]] for i in range(5)])
        field = data.spec.fields[channels[0]]
        assert (field.mean, field.std) == pytest.approx((u.mean(dtype=float), u.std(dtype=float)), abs=1e-6)


def test_the_shear_layers_are_stored_with_their_axes_exchanged_and_named_so(tmp_path):
    import xarray

    path = generate("NS-SL", tmp_path / "a.nc", trajectories=1, **SMALL)
    expected = make_task("NS-SL", frames=3, horizon=0.1).simulate([0], resolution=16, seed=0).numpy()
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data["velocity"].dims == ("sample", "time", "channel", "y", "x")
        np.testing.assert_array_equal(data["velocity"].transpose(..., "x", "y"), expected)


def test_the_file_says_how_it_was_made_but_not_when_or_where(tmp_path):
    path = generate("NS-PwC", tmp_path / "a.nc", trajectories=2, seed=4, amplitude=5.0, **SMALL)
    with open_trajectories(path) as data:
        attributes = data.spec.attributes
    parameters = json.loads(attributes["parameters"])
    assert parameters["amplitude"] == 5.0
    assert parameters["cells"] == 10
    assert (attributes["seed"], attributes["resolution"], attributes["block"]) == (4, 16, 2)
    assert "RK4" in attributes["solver"]
    again = generate("NS-PwC", tmp_path / "folder" / "b.nc", trajectories=2, seed=4, amplitude=5.0, **SMALL)
    assert digest(path) == digest(again)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_bytes_do_not_depend_on_the_number_of_workers_or_threads(tmp_path, workers):
    reference = generate("NS-PwC", tmp_path / "a.nc", trajectories=7, workers=2, **SMALL)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        other = generate("NS-PwC", tmp_path / "b.nc", trajectories=7, workers=workers, **SMALL)
        assert torch.get_num_threads() == 2  # training goes on with the threads that it had
    finally:
        torch.set_num_threads(threads)
    assert digest(reference) == digest(other)


def test_full_blocks_are_the_same_in_a_longer_file(tmp_path):
    short = generate("NS-PwC", tmp_path / "a.nc", trajectories=4, **SMALL)
    long = generate("NS-PwC", tmp_path / "b.nc", trajectories=7, **SMALL)
    with open_trajectories(short) as a, open_trajectories(long) as b:
        for trajectory in range(4):
            np.testing.assert_array_equal(a.read(trajectory), b.read(trajectory))


def test_a_finished_file_is_left_alone_and_another_recipe_is_refused(tmp_path, monkeypatch):
    path = generate("NS-PwC", tmp_path / "a.nc", trajectories=2, **SMALL)
    before = path.stat().st_mtime_ns, digest(path)
    monkeypatch.setattr(NavierStokesTask, "simulate", None)  # any attempt to compute would fail
    generate("NS-PwC", path, trajectories=2, **SMALL)
    assert (path.stat().st_mtime_ns, digest(path)) == before
    with pytest.raises(ConfigError, match=r"seed is 0 there, 1 here.*overwrite=True"):
        generate("NS-PwC", path, trajectories=2, seed=1, **SMALL)
    with pytest.raises(ConfigError, match="amplitude"):
        generate("NS-PwC", path, trajectories=2, amplitude=1.0, **SMALL)
    with pytest.raises(ConfigError, match="trajectories is 2 there, 3 here"):
        generate("NS-PwC", path, trajectories=3, **SMALL)


def test_overwrite_replaces_a_file(tmp_path):
    path = generate("NS-PwC", tmp_path / "a.nc", trajectories=2, **SMALL)
    first = digest(path)
    generate("NS-PwC", path, trajectories=2, seed=1, overwrite=True, **SMALL)
    assert digest(path) != first


def test_a_foreign_file_in_the_way_is_not_replaced(tmp_path):
    path = tmp_path / "a.nc"
    path.write_text("my thesis")
    with pytest.raises(LayoutError, match="cannot be read"):
        generate("NS-PwC", path, trajectories=2, **SMALL)
    assert path.read_text() == "my thesis"


def test_an_interrupted_run_says_where_it_goes_on_and_gives_the_same_bytes(tmp_path, monkeypatch):
    reference = generate("NS-PwC", tmp_path / "a.nc", trajectories=9, **SMALL)
    simulate = NavierStokesTask.simulate
    asked = []

    def interrupted(self, indices, **options):
        if indices[0] == 4 and 4 not in asked:
            asked.append(4)
            raise KeyboardInterrupt
        asked.append(indices[0])
        return simulate(self, indices, **options)

    monkeypatch.setattr(NavierStokesTask, "simulate", interrupted)
    path = tmp_path / "b.nc"
    with pytest.raises(InterruptedGeneration, match=r"keeps 4 of 9 trajectories.*goes on from trajectory 4"):
        generate("NS-PwC", path, trajectories=9, workers=1, **SMALL)
    assert not path.exists()
    asked[:] = [4]
    generate("NS-PwC", path, trajectories=9, workers=1, **SMALL)
    assert asked == [4, 4, 6, 8]  # the first two blocks are not computed again
    assert digest(path) == digest(reference)


def test_a_killed_run_goes_on_and_gives_the_same_bytes(tmp_path):
    size = {**SMALL, "resolution": 32, "frames": 6, "horizon": 1.0}
    reference = generate("NS-PwC", tmp_path / "a.nc", trajectories=60, **size)
    path = tmp_path / "b.nc"
    program = (
        "from sciml.pde.generate import generate\n"
        f"generate('NS-PwC', {str(path)!r}, trajectories=60, workers=1, **{size!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    journal = tmp_path / "b.nc.part.journal"
    deadline = time.monotonic() + 60
    # A header and at least four trajectories: killed in the midst of things.
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 5):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not path.exists()
    generate("NS-PwC", path, trajectories=60, **size)
    assert digest(path) == digest(reference)


def test_a_trajectory_that_blows_up_stops_the_run_with_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(spectral_module, "STEPS_BETWEEN_FRAMES", 1)
    with pytest.warns(match="half the time step"), pytest.raises(SolverError, match="trajectory 0 of seed 0 blew up"):
        generate("NS-PwC", tmp_path / "a.nc", trajectories=2, amplitude=1e4, **SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trajectories": 0}, "trajectories is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"block": 0}, "block is 0"),
        ({"resolution": 15}, "even number"),
        ({"device": "abacus"}, "cannot compute on device 'abacus'"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        generate("NS-PwC", tmp_path / "a.nc", **{"trajectories": 2, **SMALL, **options})
    assert list(tmp_path.iterdir()) == []
