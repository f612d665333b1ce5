"""Many files as one dataset."""

import os
import pickle

import h5py
import numpy as np
import pytest

from sciml.data import AllPairs, PairDataset, compute_statistics, open_trajectories, parts
from sciml.errors import ConfigError, DataError, LayoutError
from tests.data.numbers import numbered

EVOLVING = ("sample", "time", "channel", "x", "y")
COUNTS = {0: 2, 1: 3, 10: 1, 2: 2}  # trajectories of part 0, 1, 10, 2: the order of their names


@pytest.fixture
def download(tmp_path, official):
    """Twelve trajectories in parts, as the hub has them, in a folder named like the task."""
    (tmp_path / "NS-PwC").mkdir()
    values = numbered(sum(COUNTS.values()), 4, 3, 5, 6)
    first = 0
    for number, count in COUNTS.items():
        official(f"NS-PwC/velocity_{number}.nc", velocity=(EVOLVING, values[first : first + count]))
        first += count
    return tmp_path / "NS-PwC", values


def test_parts_come_in_the_order_of_their_names_and_the_folder_names_the_task(download):
    folder, values = download
    trajectories = open_trajectories(folder)
    spec = trajectories.spec
    assert (len(trajectories), spec.task, spec.names[1:3]) == (len(values), "NS-PwC", ("u", "v"))
    assert (spec.validation, spec.test, spec.fields[1].std) == (120, 240, 0.391)
    for i in range(len(values)):
        np.testing.assert_array_equal(trajectories.read(i, channels=["u", "v"]), values[i, :, :2])
    assert trajectories.direct


def test_a_pattern_chooses_among_the_files_of_a_folder(download):
    folder, values = download
    trajectories = open_trajectories(folder / "velocity_1*.nc")
    np.testing.assert_array_equal(trajectories.read(3, channels=["u"]), values[5, :, :1])
    assert len(trajectories) == 4
    assert trajectories.spec.task == "NS-PwC"


def test_a_batch_reaches_over_several_files(download):
    folder, values = download
    trajectories = open_trajectories(folder)
    which, step = np.array([7, 0, 5, 4, 7]), np.array([0, 3, 1, 2, 0])
    frames = trajectories.read_frames(which, step, channels=["v", "u"])
    np.testing.assert_array_equal(frames, values[which, step][:, [1, 0]])
    one_part = trajectories.read_frames(np.array([3, 2]), np.array([1, 0]), channels=["v", "u"])
    np.testing.assert_array_equal(one_part, values[[3, 2], [1, 0]][:, [1, 0]])
    dataset = PairDataset(trajectories, AllPairs(1))
    decoded = dataset.normaliser_in.decode(dataset.__getitems__([0, 7 * 3])["fields"])
    # 1e-6: decoding what was normalised in float32.
    np.testing.assert_allclose(decoded[:, 1], values[[0, 7], 0, 0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("trajectory", [-1, 8])
def test_a_trajectory_that_is_in_no_part_is_named(download, trajectory):
    trajectories = open_trajectories(download[0])
    with pytest.raises(DataError, match=f"no trajectory {trajectory}: it has 8, counted from 0"):
        trajectories.read(trajectory)
    with pytest.raises(ConfigError, match="'q' is not in the file"):
        trajectories.read_frames(np.array([0, 7]), np.array([0, 0]), channels=["q"])


def test_only_a_few_files_are_open_at_a_time(download, monkeypatch):
    folder, values = download
    monkeypatch.setattr(parts, "OPEN_DIRECT", 2)
    before = len(os.listdir("/dev/fd"))
    trajectories = open_trajectories(folder)
    for i in (0, 7, 3, 5, 0, 4):
        np.testing.assert_array_equal(trajectories.read(i, channels=["u"]), values[i, :, :1])
        assert len(os.listdir("/dev/fd")) <= before + 2
    trajectories.close()
    assert len(os.listdir("/dev/fd")) == before
    np.testing.assert_array_equal(trajectories.read(6, channels=["u"]), values[6, :, :1])


def test_parts_can_be_pickled(download):
    folder, values = download
    trajectories = open_trajectories(folder)
    trajectories.read(5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(trajectories)).read(5, channels=["u"]), values[5, :, :1])


def test_statistics_of_the_parts_are_pooled_to_those_of_the_whole(tmp_path, replica):
    rng = np.random.default_rng(0)
    frames = rng.normal([[[[1.0]], [[-5.0]]]], [[[[2.0]], [[0.5]]]], (9, 3, 2, 6, 6)).astype(np.float32)
    frames *= np.linspace(0.5, 2, 9, dtype=np.float32)[:, None, None, None, None]  # the parts differ
    (tmp_path / "runs").mkdir()
    for i, rows in enumerate((slice(0, 2), slice(2, 3), slice(3, 9))):
        replica(f"runs/runs_{i:05d}.nc", frames[rows], task="mine", variable="fields", channels=("a", "b"))
    trajectories = open_trajectories(tmp_path / "runs")
    mean, std = compute_statistics(trajectories)
    for field in trajectories.spec.fields:
        # 1e-12: float64 sums of the same numbers in another order.
        assert field.mean == pytest.approx(mean[field.name], rel=1e-12)
        assert field.std == pytest.approx(std[field.name], rel=1e-12)


def test_a_shard_that_is_not_there_is_named(tmp_path, replica):
    (tmp_path / "runs").mkdir()
    for i in (0, 2):
        path = replica(f"runs/runs_{i:05d}.nc", numbered(2, 3, 2, 4, 4), task="mine", channels=("a", "b"))
        with h5py.File(path, "r+") as file:
            file.attrs["shard"] = f"{i}/4"
    with pytest.raises(LayoutError, match="lacks the shards 1/4, 3/4"):
        open_trajectories(tmp_path / "runs")
    assert len(open_trajectories(tmp_path / "runs" / "runs_00000.nc")) == 2


def test_parameters_that_differ_between_files_stay_with_their_trajectories(tmp_path):
    for i, beta in enumerate((0.1, 4.0)):
        with h5py.File(tmp_path / f"1D_Advection_{i}.hdf5", "w") as file:
            file["tensor"] = numbered(i + 1, 3, 8)
            file["x-coordinate"], file["t-coordinate"] = np.arange(8.0), np.arange(4.0)
            file.attrs.update(beta=beta, solver="the same")
    trajectories = open_trajectories(tmp_path)
    assert trajectories.scalars([2, 0, 1])["beta"].tolist() == [4.0, 0.1, 4.0]
    assert trajectories.spec.attributes == {"solver": "the same"}
    spec = trajectories.spec.with_statistics({"u": 0}, {"u": 1})
    batch = PairDataset(trajectories, AllPairs(1), spec=spec).__getitems__([0, 3])
    np.testing.assert_array_equal(batch["scalars"][:, 0], np.float32([0.1, 4.0]))


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (numbered(1, 4, 3, 5, 8), "a grid of 5 x 8, but .* a grid of 5 x 6"),
        (numbered(1, 6, 3, 5, 6), "6 steps, but .* 4 steps"),
        (numbered(1, 4, 2, 5, 6), "the fields p, rho, u, v, but .* tracer"),
    ],
)
def test_files_that_do_not_belong_together_say_why(download, official, other, difference):
    folder, _ = download
    official("NS-PwC/velocity_3.nc", velocity=(EVOLVING, other))
    with pytest.raises(LayoutError, match=rf"velocity_3\.nc has {difference}"):
        open_trajectories(folder)


def test_a_folder_or_pattern_without_data_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(LayoutError, match="is a folder without data files"):
        open_trajectories(tmp_path)
    with pytest.raises(LayoutError, match="matches no data files"):
        open_trajectories(tmp_path / "*.nc")
