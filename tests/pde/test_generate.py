import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from sciml.data import open_trajectories
from sciml.data.stored import StoredVariable
from sciml.errors import ConfigError, LayoutError, SolverError
from sciml.pde import make_task
from sciml.pde import spectral as spectral_module
from sciml.pde.generate import InterruptedGeneration, generate
from sciml.pde.retry import BlowUpError
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
    with pytest.raises(ConfigError, match=r"made otherwise: amplitude is 10\.0 there, 1\.0 here\."):
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


def test_a_trajectory_that_blows_up_is_redone_and_reported_and_leaves_the_others_alone(tmp_path, monkeypatch):
    reference = generate("NS-PwC", tmp_path / "a.nc", trajectories=4, **SMALL)
    simulate = NavierStokesTask.simulate

    def fragile(self, indices, **options):
        if 3 in indices and self.cfl == 1.0:
            raise BlowUpError(list(indices).index(3), "velocity 1e9")
        return simulate(self, indices, **options)

    monkeypatch.setattr(NavierStokesTask, "simulate", fragile)
    with pytest.warns(match=r"trajectory 3 of seed 0 blew up \(velocity 1e9\) and was redone with cfl = 0\.5"):
        path = generate("NS-PwC", tmp_path / "b.nc", trajectories=4, **SMALL)
    with open_trajectories(reference) as a, open_trajectories(path) as b:
        names = ["u", "v", "tracer"]
        for trajectory in (0, 1):  # a block of its own
            np.testing.assert_array_equal(a.read(trajectory), b.read(trajectory))
        for trajectory, cfl in ((2, 1.0), (3, 0.5)):  # each by itself, the failing one with half the step
            task = make_task("NS-PwC", frames=3, horizon=0.1, cfl=cfl)
            alone = simulate(task, [trajectory], resolution=16, seed=0)[0]
            np.testing.assert_array_equal(b.read(trajectory, channels=names), alone)
        assert np.abs(a.read(3) - b.read(3)).max() > 0


def test_a_trajectory_that_no_step_saves_stops_the_run_with_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(spectral_module, "STEPS_BETWEEN_FRAMES", 1)
    with pytest.raises(SolverError, match=r"trajectory 0 of seed 0 blew up .* even with cfl = 0\.125"):
        generate("NS-PwC", tmp_path / "a.nc", trajectories=2, amplitude=1e4, **SMALL)


@dataclass(frozen=True)
class Steady:
    """Two fields without time."""

    name: ClassVar[str] = "Poisson-Gauss"
    equation: ClassVar[str] = "-Lap u = f"
    initial_data: ClassVar[str] = "none"
    solver: ClassVar[str] = "none"
    boundary: ClassVar[tuple[str, str]] = ("wall", "wall")
    transposed: ClassVar[bool] = False
    variables: ClassVar[tuple[StoredVariable, ...]] = tuple(
        StoredVariable(name, (name,), in_time=False, channel_axis=False) for name in ("source", "solution")
    )
    channels: ClassVar[tuple[str, ...]] = ("source", "solution")
    times: ClassVar[np.ndarray] = np.zeros(1)

    def coordinates(self, resolution):
        return {axis: np.arange(resolution) / resolution for axis in ("x", "y")}

    def simulate(self, trajectories, *, resolution, seed, device="cpu"):
        fields = [torch.full((1, 2, resolution, resolution), float(i + seed)) for i in trajectories]
        fields = torch.stack(fields)
        fields[:, :, 1] *= 10
        return fields


def test_a_steady_task_is_stored_without_time_and_without_channel_axis(tmp_path):
    path = generate(Steady(), tmp_path / "a.nc", trajectories=3, resolution=8, seed=2, block=2, progress=False)
    with open_trajectories(path) as data:
        assert data.spec.steady
        assert (data.spec.inputs, data.spec.targets) == (("source",), ("solution",))
        assert data.read(2)[0, :, 0, 0].tolist() == [4.0, 40.0]
        assert data.spec.fields[1].mean == pytest.approx(30.0)


def test_the_forcing_of_a_generated_file_is_the_one_it_was_made_with(tmp_path):
    path = generate("FNS-KF", tmp_path / "a.nc", trajectories=1, forcing=0.3, **SMALL)
    with open_trajectories(path) as data:
        g = data.read(0, channels=["g"])[0, 0]
    x = np.arange(16) / 16
    np.testing.assert_allclose(g, 0.3 * np.sin(2 * np.pi * (x[:, None] + x)), atol=1e-7)  # float32


@pytest.mark.parametrize("count", [2, 3])
def test_the_shards_hold_what_one_file_holds(tmp_path, count):
    whole = generate("NS-PwC", tmp_path / "whole.nc", trajectories=7, seed=1, **SMALL)
    for i in reversed(range(count)):
        part = generate("NS-PwC", tmp_path / "set.nc", trajectories=7, seed=1, shard=(i, count), **SMALL)
        assert part == tmp_path / "set" / f"set_{i:05d}.nc"
    assert len(list((tmp_path / "set").iterdir())) == count
    with open_trajectories(whole) as one, open_trajectories(tmp_path / "set") as joined:
        assert len(joined) == 7
        for trajectory in range(7):
            np.testing.assert_array_equal(one.read(trajectory), joined.read(trajectory))
        for ours, theirs in zip(joined.spec.fields, one.spec.fields, strict=True):
            # The same float64 moments, pooled in two stages.
            assert (ours.mean, ours.std) == pytest.approx((theirs.mean, theirs.std), rel=1e-12, abs=1e-15)
        assert joined.spec.replica


def test_a_part_says_which_it_is_and_is_not_made_twice(tmp_path, monkeypatch):
    path = generate("NS-PwC", tmp_path / "set", trajectories=7, shard=(1, 3), **SMALL)
    with open_trajectories(path) as part:
        assert part.spec.attributes["shard"] == "1/3"
        assert part.spec.attributes["first_trajectory"] == 2
        assert part.spec.attributes["trajectories"] == 7
    monkeypatch.setattr(NavierStokesTask, "simulate", None)  # any attempt to compute would fail
    assert generate("NS-PwC", tmp_path / "set", trajectories=7, shard=(1, 3), **SMALL) == path
    with pytest.raises(ConfigError, match="shard is 1/3 there, 1/2 here"):
        generate("NS-PwC", tmp_path / "set", trajectories=7, shard=(1, 2), **SMALL)


def test_two_shards_made_at_the_same_time_and_a_killed_one_give_the_same_bytes(tmp_path):
    size = {**SMALL, "resolution": 32, "frames": 6, "horizon": 1.0}
    for i in (0, 1):
        generate("NS-PwC", tmp_path / "a", trajectories=40, shard=(i, 2), **size)
    program = (
        "import sys; from sciml.pde.generate import generate\n"
        f"generate('NS-PwC', {str(tmp_path / 'b')!r}, trajectories=40, shard=(int(sys.argv[1]), 2), workers=1, "
        f"**{size!r})"
    )
    first, second = (subprocess.Popen([sys.executable, "-c", program, str(i)]) for i in (0, 1))
    journal = tmp_path / "b" / "b_00001.nc.part.journal"
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 5):
        assert time.monotonic() < deadline
        assert second.poll() is None
        time.sleep(0.001)
    os.kill(second.pid, signal.SIGKILL)
    second.wait()
    assert first.wait() == 0
    generate("NS-PwC", tmp_path / "b", trajectories=40, shard=(1, 2), **size)
    for i in (0, 1):
        parts = [tmp_path / name / f"{name}_{i:05d}.nc" for name in ("a", "b")]
        assert digest(parts[0]) == digest(parts[1])


def test_a_cluster_with_two_workers_gives_the_same_bytes_and_remarks(tmp_path):
    distributed = pytest.importorskip("distributed")
    reference = generate("NS-PwC", tmp_path / "a.nc", trajectories=7, **SMALL)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=tmp_path / "dask"
    ) as workers:
        address = workers.scheduler_address
        path = generate("NS-PwC", tmp_path / "b.nc", trajectories=7, dask=address, **SMALL)
        assert digest(path) == digest(reference)
        # What goes wrong on a worker arrives here.
        with pytest.raises(SolverError, match=r"trajectory 0 of seed 0 blew up .* even with cfl"):
            generate("NS-PwC", tmp_path / "c.nc", trajectories=2, dask=address, amplitude=float("nan"), **SMALL)


def test_a_cluster_that_is_not_there_is_named(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")

    def unreachable(**_):
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", unreachable)
    with pytest.raises(ConfigError, match=r"no dask scheduler answers at 'tcp://nowhere:1'.*dask worker"):
        generate("NS-PwC", tmp_path / "a.nc", trajectories=2, dask="tcp://nowhere:1", **SMALL)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"sciml-kit\[cluster\]"):
        generate("NS-PwC", tmp_path / "a.nc", trajectories=2, dask="tcp://nowhere:1", **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trajectories": 0}, "trajectories is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"block": 0}, "block is 0"),
        ({"resolution": 15}, "even number"),
        ({"device": "abacus"}, "cannot compute on device 'abacus'"),
        ({"workers": 0}, "workers is 0"),
        ({"shard": (2, 2), "trajectories": 8}, "shard 2/2 is not there"),
        ({"shard": (0, 3), "trajectories": 4}, "at most 2 shards"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        generate("NS-PwC", tmp_path / "a.nc", **{"trajectories": 2, **SMALL, **options})
    assert list(tmp_path.iterdir()) == []
