"""Files of The Well: every kind of field, scalar, axis and boundary, and files that are wrong."""

import itertools
import multiprocessing
import pickle

import h5py
import numpy as np
import pytest
import yaml

from sciml.data import FixedInput, Normaliser, PairDataset, open_trajectories
from sciml.errors import DataError, LayoutError
from tests.data.well_files import COUNT, STEPS, whole


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_every_kind_of_field_is_read_with_all_its_axes(well, dims, order):
    last_only = (False,) * (dims - 1) + (True,)
    kinds = list(itertools.product((True, False), (True, False), ((True,) * dims, last_only, (False,) * dims)))
    with well(dims=dims) as file:
        for i, (sample, time, varies) in enumerate(kinds):
            file.field(f"f{i}", order, sample=sample, time=time, varies=varies, start=10_000 * i)
    with open_trajectories(file.path) as trajectories, h5py.File(file.path) as hdf5:
        assert len(trajectories) == COUNT
        for i, (_, time, _) in enumerate(kinds):
            names = [f.name for f in trajectories.spec.fields if f.group == f"f{i}"]
            assert len(names) == dims**order
            assert all(f.in_time == time for f in trajectories.spec.select(names))
            expected = np.moveaxis(whole(hdf5[f"t{order}_fields/f{i}"], file.space), -1, 2)
            for trajectory in range(COUNT):
                np.testing.assert_array_equal(trajectories.read(trajectory, channels=names), expected[trajectory])


def test_channels_are_scalars_vectors_tensors_and_then_constant_fields_named_by_the_axes(well):
    with well() as file:
        file.field("stress", 2)
        file.field("height", time=False)
        file.field("velocity", 1)
        file.field("wind", 1, time=False, sample=False)
        file.field("p")
        file.field("T")
    spec = open_trajectories(file.path).spec
    evolving = ("p", "T", "velocity_x", "velocity_y", "stress_xx", "stress_xy", "stress_yx", "stress_yy")
    assert spec.names == (*evolving, "height", "wind_x", "wind_y")
    assert spec.targets == evolving
    assert spec.inputs == spec.names
    assert [f.group for f in spec.select(["velocity_y", "stress_yx", "p"])] == ["velocity", "stress", "p"]
    assert (spec.layout, spec.task, spec.steps, spec.time_scale) == ("the_well", "made", STEPS, STEPS - 1)


def test_the_components_of_a_tensor_may_lie_along_one_axis(well):
    with well() as file:
        file.field("square", 2)
        file.field("flat", 2, flat=True)
    fields = open_trajectories(file.path).read(1)
    np.testing.assert_array_equal(fields[:, :4], fields[:, 4:])


@pytest.mark.parametrize(
    "how",
    [
        {"dtype": ">f4"},
        {"dtype": "f8"},
        {"dtype": "i4"},
        {"chunks": (1, 2, 5, 3, 1), "compression": "gzip"},
        {"chunks": (1, 1, 5, 6, 2)},
        {"chunks": (2, 3, 5, 6, 2), "shuffle": True},
    ],
    ids=str,
)
def test_the_storage_does_not_change_the_values(well, how):
    with well() as file:
        file.field("v", 1, **how)
        file.field("plain", 1)
    fields = open_trajectories(file.path).read(2)
    np.testing.assert_array_equal(fields[:, :2], fields[:, 2:])


def test_any_channels_are_read_in_any_order_and_normalised(well):
    with well() as file:
        file.field("p")
        file.field("v", 1)
        file.field("h", time=False, varies=(True, False))
    trajectories = open_trajectories(file.path)
    every = [trajectories.read(i) for i in range(COUNT)]
    index, steps, names = np.array([2, 0, 2, 2]), np.array([1, 3, 1, 0]), ("h", "v_y", "p")
    normaliser = Normaliser([1.0, 2.0, 3.0], [10.0, 20.0, 30.0], names=names)
    read = trajectories.read_frames(index, steps, channels=names, normaliser=normaliser)
    expected = np.stack([every[i][t][[3, 2, 0]] for i, t in zip(index, steps, strict=True)])
    # 1e-6: float32 arithmetic in another order.
    np.testing.assert_allclose(read, normaliser.encode(expected), rtol=1e-6, atol=1e-6)


def test_scalars_of_every_kind_belong_to_trajectory_and_step(well):
    with well() as file:
        file.field("p")
        file.scalar("fixed", 2.5)
        file.scalar("single", [7.0])
        file.scalar("of_time", np.arange(STEPS), time=True)
        file.scalar("of_sample", 10 * np.arange(COUNT), sample=True)
        both = np.arange(COUNT * STEPS).reshape(COUNT, STEPS)
        file.scalar("of_both", both, sample=True, time=True)
        file.file.attrs["simulation_parameters"] = ["fixed", "stated"]
        file.file.attrs["fixed"], file.file.attrs["stated"] = 2.5, 4.0
    trajectories = open_trajectories(file.path)
    assert trajectories.spec.scalars == ("fixed", "single", "of_time", "of_sample", "of_both", "stated")
    read = trajectories.scalars([2, 0, 1], [3, 1, 0])
    assert {name: values.tolist() for name, values in read.items()} == {
        "fixed": [2.5] * 3,
        "single": [7.0] * 3,
        "of_time": [3, 1, 0],
        "of_sample": [20, 0, 10],
        "of_both": [both[2, 3], both[0, 1], both[1, 0]],
        "stated": [4.0] * 3,
    }
    assert trajectories.scalars([1])["of_both"] == both[1, 0]


def test_times_and_coordinates_may_differ_between_trajectories(well):
    times, grid = np.arange(COUNT * STEPS).reshape(COUNT, STEPS), np.arange(COUNT * 5).reshape(COUNT, 5)
    with well() as file:
        file.field("p")
        del file.file["dimensions/time"], file.file["dimensions/x"]
        file.values("dimensions/time", times, sample=True, time=True)
        file.values("dimensions/x", grid, sample=True)
    trajectories = open_trajectories(file.path)
    np.testing.assert_array_equal(trajectories.times(2), times[2])
    np.testing.assert_array_equal(trajectories.coordinates(1)["x"], grid[1])
    np.testing.assert_array_equal(trajectories.coordinates(1)["y"], np.arange(6) / 6)
    np.testing.assert_array_equal(trajectories.spec.times, times[0])


def test_spherical_grids_keep_their_axes_and_their_spacing(well):
    with well(dims=3, axes=("log_r", "theta", "phi")) as file:
        file.field("v", 1)
        file.file.attrs["grid_type"] = "spherical"
        file.file["dimensions/log_r"][...] = [0, 1, 4, 9, 16]
    spec = open_trajectories(file.path).spec
    assert spec.names == ("v_log_r", "v_theta", "v_phi")
    assert spec.coordinates["log_r"].tolist() == [0, 1, 4, 9, 16]
    assert spec.attributes["grid_type"] == "spherical"


ENDS, FIRST, LAST = [1, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]
OPEN = ("open", "open")
PLANE = np.zeros((5, 6), bool)
FLOOR, HALF = PLANE.copy(), PLANE.copy()
FLOOR[:, 0], HALF[2:, 0] = True, True


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], (OPEN, OPEN)),
        ([("a", "WALL", ["x"], ENDS)], (("wall", "wall"), OPEN)),
        ([("a", "wall", ["x"], FIRST)], (("wall", "open"), OPEN)),
        ([("a", "Wall", ["x"], LAST)], (("open", "wall"), OPEN)),
        ([("a", "WALL", ["x"], FIRST), ("b", "PERIODIC", ["y"], np.eye(6)[0])], (("wall", "open"), ("periodic",) * 2)),
        ([("a", "PERIODIC", ["x"], [0] * 5)], (("periodic",) * 2, OPEN)),
        ([("a", "PERIODIC", "x", ENDS)], (("periodic",) * 2, OPEN)),
        ([("a", "WALL", ["x"], [0, 0, 1, 0, 0])], (OPEN, OPEN)),
        ([("a", "WALL", ["x", "y"], FLOOR)], (OPEN, ("wall", "open"))),
        ([("a", "WALL", ["x", "y"], HALF)], (OPEN, OPEN)),
        ([("a", "WALL", ["x", "y"], FLOOR), ("b", "OPEN", ["x", "y"], HALF)], (OPEN, OPEN)),
    ],
    ids=str,
)
def test_boundaries_are_told_for_every_face(well, conditions, expected):
    with well() as file:
        file.field("p")
        for condition in conditions:
            file.boundary(*condition)
    spec = open_trajectories(file.path).spec
    assert spec.faces == expected
    assert spec.boundary == tuple(first if first == last else "open" for first, last in expected)


def test_a_mask_that_differs_between_samples_is_a_wall_where_all_are(well):
    with well() as file:
        file.field("p")
        file.boundary("a", "WALL", ["x"], [ENDS, FIRST, FIRST], sample=True)
    assert open_trajectories(file.path).spec.faces[0] == ("wall", "open")


def test_missing_attributes_and_groups_mean_what_is_usual(well):
    with well() as file:
        dataset = file.field("p")
        for item in (dataset, file.file["dimensions/time"], file.file["dimensions/x"]):
            for name in list(item.attrs):
                del item.attrs[name]
        del file.file["t0_fields"].attrs["field_names"]
        for group in ("t2_fields", "scalars", "boundary_conditions"):
            del file.file[group]
        del file.file.attrs["simulation_parameters"], file.file.attrs["grid_type"]
    trajectories = open_trajectories(file.path)
    with h5py.File(file.path) as hdf5:
        np.testing.assert_array_equal(trajectories.read(1)[:, 0], hdf5["t0_fields/p"][1])
    assert (trajectories.spec.names, trajectories.spec.faces, trajectories.spec.scalars) == (("p",), (OPEN, OPEN), ())


STATISTICS = {
    "mean": {"p": 1.0 / 3.0, "v": [2.0, -3.0], "s": [[1.0, 2.0], [3.0, 4.0]]},
    "std": {"p": 1e-9, "v": [0.5, 0.25], "s": [[1.0, 1.0], [1.0, 1.0]]},
}


def fields_with_statistics(file):
    with file:
        file.field("p")
        file.field("v", 1)
        file.field("s", 2)
        file.field("unknown", time=False)
    return file.path


@pytest.mark.parametrize(("file", "beside"), [("d/data/train/a.hdf5", "d"), ("d/a.hdf5", "d")])
def test_statistics_come_from_the_data_set_with_a_least_standard_deviation(well, tmp_path, file, beside):
    path = fields_with_statistics(well(file))
    (tmp_path / beside / "stats.yaml").write_text(yaml.safe_dump(STATISTICS))
    fields = open_trajectories(path).spec.fields
    assert [f.mean for f in fields] == [1.0 / 3.0, 2.0, -3.0, 1.0, 2.0, 3.0, 4.0, None]
    assert [f.std for f in fields] == [1e-4, 0.5, 0.25, 1.0, 1.0, 1.0, 1.0, None]


def test_statistics_of_another_data_set_are_not_taken(well, tmp_path):
    path = fields_with_statistics(well("other/deep/er/a.hdf5"))
    (tmp_path / "other" / "stats.yaml").write_text(yaml.safe_dump(STATISTICS))
    assert {f.mean for f in open_trajectories(path).spec.fields} == {None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mean: {v: [1.0, 2.0, 3.0]}", r"v has 2 components, but 3 entries in 'mean'"),
        ("mean: [1.0]", r"stats\.yaml cannot be understood"),
        ("mean: {p: many}", r"stats\.yaml cannot be understood"),
        ("{", r"stats\.yaml cannot be understood"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(well, tmp_path, text, message):
    path = fields_with_statistics(well())
    (tmp_path / "stats.yaml").write_text(text)
    with pytest.raises(LayoutError, match=message):
        open_trajectories(path)


@pytest.fixture
def data_set(well, tmp_path):
    """A data set of two files to train on, one to validate and one to test with."""
    for i, (split, name, steps) in enumerate(
        (("test", "c", 4), ("train", "b", 4), ("train", "a", 6), ("valid", "a", 4)), start=1
    ):
        with well(f"made/data/{split}/{name}.hdf5", count=i, steps=steps) as file:
            file.field("p", start=1000 * i)
            file.scalar("number", float(i))
    return tmp_path / "made"


@pytest.mark.parametrize("below", ["", "data"])
def test_a_data_set_is_one_with_the_test_set_last(data_set, below):
    trajectories = open_trajectories(data_set / below)
    assert (len(trajectories), trajectories.spec.validation, trajectories.spec.test) == (10, 4, 1)
    # Files in order: train/a (3), train/b (2), valid (4), test (1).
    assert [trajectories.read(i, 0, 1).min() // 1000 for i in (0, 3, 5, 9)] == [3, 2, 4, 1]
    assert trajectories.scalars([0, 4, 8, 9])["number"].tolist() == [3, 2, 4, 1]


def test_a_data_set_has_as_many_steps_as_its_shortest_file(data_set):
    trajectories = open_trajectories(data_set)
    assert trajectories.spec.steps == len(trajectories.times(0)) == len(trajectories.read(0)) == 4
    with h5py.File(data_set / "data/train/a.hdf5") as hdf5:
        np.testing.assert_array_equal(trajectories.read(1)[:, 0], hdf5["t0_fields/p"][1, :4])
    with pytest.raises(DataError, match="no step 4"):
        trajectories.read_frames(np.array([0]), np.array([4]))


def test_one_part_of_a_data_set_is_a_data_set(data_set):
    trajectories = open_trajectories(data_set / "data" / "train")
    assert (len(trajectories), trajectories.spec.validation, trajectories.spec.test) == (5, None, None)


def test_a_file_that_does_not_belong_to_the_data_set_is_named(data_set, well):
    with well("made/data/valid/other.hdf5") as file:
        file.field("q")
    with pytest.raises(LayoutError, match=r"other\.hdf5 has the fields q"):
        open_trajectories(data_set)


def test_samples_carry_constant_fields_scalars_and_boundaries(well):
    with well() as file:
        file.field("p")
        file.field("height", time=False)
        file.scalar("nu", [0.1, 0.2, 0.3], sample=True)
        file.boundary("a", "WALL", ["x"], FIRST)
    trajectories = open_trajectories(file.path)
    spec = trajectories.spec.with_statistics({"p": 0, "height": 0}, {"p": 1, "height": 1})
    batch = PairDataset(trajectories, FixedInput(2), spec=spec).__getitems__([2, 5])
    assert batch["fields"].shape == (2, 2, 5, 6)
    assert batch["target"].shape == (2, 1, 5, 6)
    np.testing.assert_array_equal(batch["fields"][1], trajectories.read(2)[0])
    np.testing.assert_array_equal(batch["target"][1, 0], trajectories.read(2)[2, 0])
    np.testing.assert_allclose(batch["scalars"], [[0.2], [0.3]], rtol=1e-7)  # rounded to float32
    assert batch["boundary"][0].tolist() == [[0, 1], [1, 1]]


def read_in_child(trajectories, queue):
    queue.put(trajectories.read(1))


def test_every_process_opens_the_file_for_itself(well):
    with well() as file:
        file.field("v", 1)
        file.field("everywhere", sample=False, time=False)
        file.field("packed", compression="gzip")
    trajectories = open_trajectories(file.path)
    here = trajectories.read(1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(trajectories)).read(1), here)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=read_in_child, args=(trajectories, queue))
    child.start()
    np.testing.assert_array_equal(queue.get(timeout=120), here)
    child.join()
