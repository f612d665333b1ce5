"""What is written in The Well's and in Poseidon's layout is what was read, and keeps the rules of the layout."""

import sys

import h5py
import numpy as np
import pytest
import yaml

from sciml import cli
from sciml.data import open_trajectories, write_well
from sciml.data.convert import convert
from sciml.data.view import View
from sciml.data.write_well import write_well as write
from sciml.errors import ConfigError, DataError, WriteError
from tests.data.numbers import numbered
from tests.data.well_files import COUNT, STEPS, violations

RANDOM = np.random.default_rng(0)
EVOLVING = ("sample", "time", "channel", "x", "y")


@pytest.fixture
def full(well):
    """A file of The Well with a bit of everything."""
    with well("full.hdf5") as file:
        file.field("p")
        file.field("velocity", 1)
        file.field("stress", 2)
        file.field("height", time=False)
        file.field("profile", time=False, sample=False, varies=(False, True))
        file.field("wind", 1, time=False)
        file.scalar("nu", 0.5)
        file.scalar("rate", [1.0, 2.0, 4.0], sample=True)
        file.scalar("forcing", np.arange(STEPS), time=True)
        file.boundary("low", "WALL", ["x"], [1, 0, 0, 0, 0])
        file.boundary("around", "PERIODIC", ["y"], [1, 0, 0, 0, 0, 1])
        del file.file["dimensions/time"]
        file.values("dimensions/time", np.arange(COUNT * STEPS).reshape(COUNT, STEPS), sample=True, time=True)
    return file.path


def same_fields(one, other, channels=None):
    with open_trajectories(one) as first, open_trajectories(other) as second:
        assert len(first) == len(second)
        names = channels or second.spec.names
        for i in range(len(first)):
            np.testing.assert_array_equal(first.read(i, channels=names), second.read(i, channels=names))
        return first.spec, second.spec


def test_a_file_of_the_well_comes_back_as_it_was(full, tmp_path):
    made = convert(full, tmp_path / "again.hdf5", to="the_well")
    assert violations(made) == []
    before, after = same_fields(full, made)
    assert (before.names, before.inputs, before.targets) == (after.names, after.inputs, after.targets)
    assert [(f.group, f.in_time) for f in before.fields] == [(f.group, f.in_time) for f in after.fields]
    assert (before.faces, before.scalars, before.task) == (after.faces, after.scalars, after.task)
    with open_trajectories(full) as one, open_trajectories(made) as other:
        frames = np.repeat(range(COUNT), STEPS), np.tile(range(STEPS), COUNT)
        for name, values in one.scalars(*frames).items():
            np.testing.assert_array_equal(other.scalars(*frames)[name], values)
        for i in range(COUNT):
            np.testing.assert_array_equal(one.times(i), other.times(i))
            # Coordinates are single precision in this layout.
            np.testing.assert_array_equal(np.float32(one.coordinates(i)["y"]), other.coordinates(i)["y"])
    with h5py.File(made) as file:
        assert file.attrs["nu"] == 0.5
        assert list(file.attrs["simulation_parameters"]) == ["nu"]
        assert file["t2_fields/stress"].shape == (COUNT, STEPS, 5, 6, 2, 2)
        assert file["t1_fields/wind"].shape == (COUNT, 5, 6, 2)


@pytest.mark.parametrize("dims", [1, 3])
def test_one_and_three_dimensions_can_be_written(well, tmp_path, dims):
    with well(dims=dims) as file:
        file.field("p")
        file.field("v", 1)
        file.field("s", 2)
    made = convert(file.path, tmp_path / "again.h5", to="the_well")
    assert violations(made) == []
    before, after = same_fields(file.path, made)
    assert [f.group for f in before.fields] == [f.group for f in after.fields]


def test_velocities_become_vectors_and_keep_their_names(replica, tmp_path):
    frames = RANDOM.normal(size=(3, 4, 3, 6, 5)).astype(np.float32)
    source = replica("NS-PwC.nc", frames)
    made = convert(source, tmp_path / "made.hdf5", to="the_well")
    assert violations(made) == []
    with h5py.File(made) as file:
        assert list(file["t0_fields"].attrs["field_names"]) == ["tracer"]  # density and pressure are made up
        np.testing.assert_array_equal(file["t1_fields/velocity"][...], np.moveaxis(frames[:, :, :2], 2, -1))
        assert file["boundary_conditions/x_periodic"].attrs["bc_type"] == "PERIODIC"
    before, after = same_fields(source, made, ["u", "v", "tracer"])
    assert after.names == ("tracer", "u", "v")
    assert (after.task, after.boundary) == ("NS-PwC", before.boundary)
    again = convert(made, tmp_path / "again.nc", to="poseidon")
    before, after = same_fields(source, again)
    assert (before.names, before.inputs, before.time_scale) == (after.names, after.inputs, after.time_scale)


def test_what_the_reader_subtracts_is_put_back(official, tmp_path):
    data = RANDOM.normal(1.0, 0.1, size=(2, 21, 5, 4, 4)).astype(np.float32)
    source = official("CE-RP.nc", data=(EVOLVING, data))
    for to, name in (("the_well", "made.hdf5"), ("poseidon", "made.nc")):
        with open_trajectories(convert(source, tmp_path / name, to=to)) as made:
            read = np.stack([made.read(i, channels=["rho", "u", "v", "p"]) for i in range(2)])
        np.testing.assert_array_equal(read[:, :, :3], data[:, :, :3])
        # Half a unit in the last place of 1, twice: the mean pressure is subtracted and added in single precision.
        np.testing.assert_allclose(read[:, :, 3], data[:, :, 3], rtol=0, atol=1.2e-7)


@pytest.mark.parametrize(("to", "name"), [("the_well", "made.hdf5"), ("poseidon", "made.nc")])
def test_exchanged_axes_come_out_in_order(official, tmp_path, to, name):
    source = official("NS-SL.nc", velocity=(EVOLVING, numbered(2, 21, 2, 4, 6)))
    made = convert(source, tmp_path / name, to=to)
    before, after = same_fields(source, made, ["u", "v"])
    assert after.shape == before.shape == (6, 4)
    np.testing.assert_allclose(after.coordinates["x"], before.coordinates["x"], atol=1e-7)  # single precision


@pytest.mark.parametrize(("to", "name"), [("the_well", "made.hdf5"), ("poseidon", "made.nc")])
def test_a_constant_field_is_stored_once_a_trajectory(official, tmp_path, to, name):
    source = official(
        "Wave-Layer.nc",
        solution=(("sample", "time", "x", "y"), numbered(2, 21, 4, 4)),
        c=(("sample", "x", "y"), -numbered(2, 4, 4)),
    )
    made = convert(source, tmp_path / name, to=to)
    before, after = same_fields(source, made)
    assert (after.inputs, after.targets) == (before.inputs, before.targets)
    with h5py.File(made) as file:
        assert file["t0_fields/c" if to == "the_well" else "c"].shape == (2, 4, 4)


@pytest.mark.parametrize(("to", "name"), [("the_well", "made.hdf5"), ("poseidon", "made.nc")])
def test_a_steady_problem_stays_one(official, tmp_path, to, name):
    axes = ("sample", "x", "y")
    source = official("Poisson-Gauss.nc", source=(axes, numbered(3, 4, 4)), solution=(axes, -numbered(3, 4, 4)))
    made = convert(source, tmp_path / name, to=to)
    spec = same_fields(source, made)[1]
    assert (spec.steady, spec.inputs, spec.targets) == (True, ("source",), ("solution",))


def test_a_body_in_the_flow_stays_one(official, tmp_path):
    source = official("SE-AF.nc", solution=(("sample", "channel", "x", "y"), numbered(3, 2, 4, 4)))
    spec = same_fields(source, convert(source, tmp_path / "made.hdf5", to="the_well"))[1]
    assert (spec.solid, spec.inputs, spec.targets) == ("shape", ("shape",), ("rho",))


def test_a_file_of_the_well_becomes_one_variable_in_which_constants_are_repeated(full, tmp_path):
    with pytest.raises(ConfigError, match="different conditions at the two ends of x"):
        convert(full, tmp_path / "made.nc", to="poseidon")
    with h5py.File(full, "a") as file:
        file["boundary_conditions/low/mask"][-1] = True
        del file["dimensions/time"]
        time = file.create_dataset("dimensions/time", data=np.arange(STEPS) * 0.5)
        time.attrs["sample_varying"], time.attrs["time_varying"] = False, True
    made = convert(full, tmp_path / "made.nc", to="poseidon", drop=("rate", "forcing"))
    before, after = same_fields(full, made)
    assert (after.names, after.targets, after.inputs) == (before.names, before.targets, before.inputs)
    assert (after.boundary, after.attributes["nu"]) == (("wall", "periodic"), 0.5)
    np.testing.assert_array_equal(after.times, np.arange(STEPS) * 0.5)
    assert after.fields[0].std > 0


def other_times(file):
    file.scalar("rate", 1.0)
    del file.file["dimensions/time"]
    file.values("dimensions/time", np.arange(COUNT * STEPS).reshape(COUNT, STEPS), sample=True, time=True)


def other_grid(file):
    del file.file["dimensions/x"]
    file.values("dimensions/x", np.arange(COUNT * 5).reshape(COUNT, 5), sample=True)


@pytest.mark.parametrize(
    ("dims", "change", "message"),
    [
        (1, lambda file: None, r"is 1D, the Poseidon layout is 2D\. Convert it to the_well"),
        (3, lambda file: None, r"is 3D"),
        (2, other_times, r"other times for every trajectory"),
        (2, other_grid, r"another grid for every trajectory"),
        (2, lambda file: file.scalar("a", np.arange(STEPS), time=True), r"scalars that change in time \(a\).*--drop a"),
    ],
)
def test_what_the_poseidon_layout_cannot_say_is_refused(well, tmp_path, dims, change, message):
    with well(dims=dims) as file:
        file.field("p")
        change(file)
    with pytest.raises(ConfigError, match=message):
        convert(file.path, tmp_path / "made.nc", to="poseidon")
    assert not (tmp_path / "made.nc").exists()


def test_a_scalar_of_every_trajectory_goes_along_to_the_poseidon_layout_and_back(well, tmp_path):
    with well(dims=2) as file:
        file.field("p")
        file.scalar("nu", 0.1 * np.arange(COUNT), sample=True)
    made = convert(file.path, tmp_path / "made.nc", to="poseidon")
    same_fields(file.path, convert(made, tmp_path / "back.hdf5", to="the_well"))
    assert open_trajectories(made).scalars([COUNT - 1, 0])["nu"].tolist() == [float(0.1 * (COUNT - 1)), 0.0]


def test_what_is_dropped_is_gone_and_what_is_not_there_cannot_be_dropped(full, tmp_path):
    made = convert(full, tmp_path / "made.hdf5", to="the_well", drop=["velocity_y", "rate", "p"])
    spec = same_fields(full, made)[1]
    assert "rate" not in spec.scalars
    assert spec.names[0] == "velocity_x"
    with pytest.raises(ConfigError, match=r"'w' cannot be left out: .* has the channels p, velocity_x"):
        convert(full, tmp_path / "other.hdf5", to="the_well", drop=["w"])
    with pytest.raises(ConfigError, match="no channel of"):
        View(open_trajectories(full), drop=open_trajectories(full).spec.names)


def test_an_unknown_layout_is_refused(full, tmp_path):
    with pytest.raises(ConfigError, match=r"to is 'zarr'; the layouts that can be written are poseidon, the_well"):
        convert(full, tmp_path / "made", to="zarr")  # type: ignore[arg-type]


@pytest.fixture
def long(replica):
    """Frames far from zero, where a careless sum of squares loses all digits."""
    return replica("flow.nc", (1e4 + RANDOM.normal(size=(8, 5, 2, 6, 4))).astype(np.float32), task="flow")


def exact(frames: np.ndarray) -> dict:
    """The statistics of fields of shape (trajectory, time, channel, *space), in double precision."""
    frames = frames.astype(np.float64)
    changes, axes = np.diff(frames, axis=1), (0, 1, 3, 4)
    moments = {"mean": frames.mean(axes), "std": frames.std(axes), "rms": np.sqrt((frames**2).mean(axes))}
    moments |= {"mean_delta": changes.mean(axes), "std_delta": changes.std(axes)}
    return moments | {"rms_delta": np.sqrt((changes**2).mean(axes))}


@pytest.mark.parametrize("block_bytes", [1, 400, 1 << 24])
def test_a_folder_has_the_parts_and_the_statistics_of_the_training_set(long, tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(write_well, "BLOCK_BYTES", block_bytes)
    made = convert(long, tmp_path / "flow", to="the_well", validation=2, test=1)
    assert [path.relative_to(made).as_posix() for path in sorted(made.rglob("*.*"))] == [
        "data/test/flow_test.hdf5",
        "data/train/flow_train.hdf5",
        "data/valid/flow_valid.hdf5",
        "stats.yaml",
    ]
    assert all(violations(path) == [] for path in made.rglob("*.hdf5"))
    same_fields(long, made)
    with open_trajectories(long) as source, open_trajectories(made) as trajectories:
        expected = exact(np.stack([source.read(i) for i in range(5)]))
        spec = trajectories.spec
    assert (spec.validation, spec.test) == (2, 1)
    statistics = yaml.safe_load((made / "stats.yaml").read_text())
    assert set(statistics) == set(expected)
    for key, values in expected.items():
        # 1e-9: rounding of 1e4 in float64, 2e-12, against a standard deviation of 1, squared and summed 1000 times.
        np.testing.assert_allclose(statistics[key]["velocity"], values, rtol=1e-9, atol=1e-9, err_msg=key)
    assert [f.mean for f in spec.fields] == statistics["mean"]["velocity"]


def test_without_numbers_of_its_own_a_folder_is_for_training(long, tmp_path):
    made = convert(long, tmp_path / "flow", to="the_well")
    assert [path.name for path in (made / "data").iterdir()] == ["train"]


def test_the_published_split_is_kept(official, tmp_path):
    solution = numbered(301, 20, 2, 2)
    source = official("ACE.nc", solution=(("sample", "time", "x", "y"), solution))
    with open_trajectories(convert(source, tmp_path / "ACE", to="the_well")) as made:
        assert (len(made), made.spec.validation, made.spec.test) == (301, 60, 240)
        np.testing.assert_array_equal(made.read(300)[:, 0], solution[300])


def test_a_published_split_that_does_not_fit_says_how_to_give_another(official, tmp_path):
    source = official("ACE.nc", solution=(("sample", "time", "x", "y"), numbered(3, 20, 2, 2)))
    with pytest.raises(ConfigError, match=r"3 trajectories, but 60 .*--validation, --test"):
        convert(source, tmp_path / "ACE", to="the_well")
    with open_trajectories(convert(source, tmp_path / "ACE", to="the_well", validation=1, test=0)) as made:
        assert (len(made), made.spec.validation, made.spec.test) == (3, 1, 0)


def test_a_file_carries_statistics_of_its_own(long, tmp_path):
    with open_trajectories(long) as source:
        expected = exact(np.stack([source.read(i) for i in range(8)]))
    fields = open_trajectories(convert(long, tmp_path / "made.hdf5", to="the_well")).spec.fields
    np.testing.assert_allclose([f.mean for f in fields], expected["mean"], rtol=1e-12)
    np.testing.assert_allclose([f.std for f in fields], expected["std"], rtol=1e-9)


def test_only_a_block_of_frames_is_in_memory(long, tmp_path, monkeypatch):
    frame = 2 * 6 * 4 * 4
    monkeypatch.setattr(write_well, "BLOCK_BYTES", 2 * frame)
    source, sizes = open_trajectories(long), []
    monkeypatch.setattr(
        View, "read", lambda self, i, a, b, channels: sizes.append(b - a) or source.read(i, a, b, channels=channels)
    )
    write(View(source), tmp_path / "made.hdf5")
    assert sizes == [2, 2, 1] * 8


class StopError(Exception):
    pass


def interrupt_after(count):
    def progress(done, total):
        if done == count:
            raise StopError

    return progress


@pytest.mark.parametrize("name", ["made.hdf5", "made"])
def test_an_interrupted_file_of_the_well_leaves_nothing(long, tmp_path, name):
    with pytest.raises(StopError):
        convert(long, tmp_path / name, to="the_well", progress=interrupt_after(2))
    assert [path.name for path in tmp_path.iterdir()] == ["flow.nc"]
    (tmp_path / f"{name}.part").mkdir() if name == "made" else (tmp_path / f"{name}.part").write_text("left by a kill")
    same_fields(long, convert(long, tmp_path / name, to="the_well"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flow.nc", name]


def test_an_interrupted_poseidon_file_is_continued(long, tmp_path):
    with pytest.raises(StopError):
        convert(long, tmp_path / "made.nc", to="poseidon", progress=interrupt_after(3))
    assert not (tmp_path / "made.nc").exists()
    seen = []
    same_fields(long, convert(long, tmp_path / "made.nc", to="poseidon", progress=lambda *step: seen.append(step)))
    assert seen[-1] == (8, 8)


@pytest.mark.parametrize(("to", "name"), [("the_well", "made.hdf5"), ("the_well", "made"), ("poseidon", "made.nc")])
def test_what_exists_is_not_replaced_unasked(long, tmp_path, to, name):
    (tmp_path / name).write_text("precious")
    with pytest.raises(WriteError, match=rf"{name} exists already"):
        convert(long, tmp_path / name, to=to)
    assert (tmp_path / name).read_text() == "precious"
    if name != "made":
        same_fields(long, convert(long, tmp_path / name, to=to, overwrite=True))


def test_numbers_that_are_none_are_refused(long, tmp_path):
    with h5py.File(long, "a") as file:
        file["velocity"][3, 2, 1, 0, 0] = np.nan
    with pytest.raises(DataError, match=r"trajectory 3 has NaN or infinity in channel 'v'"):
        convert(long, tmp_path / "made.hdf5", to="the_well")
    assert not (tmp_path / "made.hdf5").exists()


def test_a_disk_that_is_too_small_is_told_before_the_first_frame(long, tmp_path, monkeypatch):
    monkeypatch.setattr(write_well.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(WriteError, match=r"needs 0\.0 MB, but 0\.0 MB are free"):
        convert(long, tmp_path / "made.hdf5", to="the_well")


def test_the_command_converts_and_shows_what_it_made(full, tmp_path, monkeypatch, capsys):
    made = tmp_path / "made.hdf5"
    monkeypatch.setattr(sys, "argv", ["sciml", "convert", str(full), str(made), "--to", "the_well", "--drop", "rate"])
    with pytest.raises(SystemExit) as stop:
        cli.app()
    assert stop.value.code == 0
    assert "3 trajectories of made: 4 steps of p, velocity_x" in capsys.readouterr().out
    assert open_trajectories(made).spec.scalars == ("nu", "forcing")
