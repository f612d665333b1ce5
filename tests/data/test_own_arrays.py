"""Your own arrays: named axes in any order, in every kind of file, give the same fields."""

import itertools
import pickle
import sys

import h5py
import numpy as np
import pytest
import torch

from sciml.data import FixedInput, PairDataset, SteadyPair, open_trajectories
from sciml.errors import ConfigError, DataError, LayoutError
from tests.data.numbers import numbered

NAMES = ("sample", "time", "channel", "x", "y")
FIELDS = numbered(3, 4, 2, 5, 6)
ORDERS = [
    "sample time channel x y",
    "sample time x y channel",
    "time sample channel y x",
    "channel sample time x y",
    "sample x y channel time",
    "x time y sample channel",
]


def in_order(order: str) -> np.ndarray:
    return np.ascontiguousarray(FIELDS.transpose([NAMES.index(name) for name in order.split()]))


def save(path, values: np.ndarray, kind: str):
    match kind:
        case "npy":
            np.save(path.with_suffix(".npy"), values)
        case "npy in Fortran order":
            np.save(path.with_suffix(".npy"), np.asfortranarray(values))
        case "npz":
            np.savez(path.with_suffix(".npz"), fields=values)
        case "npz in Fortran order":
            np.savez(path.with_suffix(".npz"), fields=np.asfortranarray(values))
        case "npz, compressed":
            np.savez_compressed(path.with_suffix(".npz"), fields=values)
        case "zarr":
            zarr = pytest.importorskip("zarr")
            zarr.save(str(path.with_suffix(".zarr")), fields=values)
        case _:
            how = {"compression": "gzip"} if kind == "h5, compressed" else {}
            with h5py.File(path.with_suffix(".h5"), "w") as file:
                file.create_dataset("group/fields", data=values, **how)
    return path.with_suffix("." + kind.split()[0].strip(","))


KINDS = [
    "npy",
    "npy in Fortran order",
    "npz",
    "npz in Fortran order",
    "npz, compressed",
    "h5",
    "h5, compressed",
    "zarr",
]


@pytest.mark.parametrize(("kind", "order"), itertools.product(KINDS, ORDERS))
def test_every_order_of_the_axes_in_every_kind_of_file_gives_the_same_fields(tmp_path, kind, order):
    path = save(tmp_path / "runs", in_order(order), kind)
    with open_trajectories(path, axes=order, channels=["u", "heat"]) as trajectories:
        spec = trajectories.spec
        assert (len(trajectories), spec.steps, spec.names, spec.layout) == (3, 4, ("u", "heat"), "arrays")
        # Space in the order in which the axes are named.
        swapped = order.split().index("y") < order.split().index("x")
        expected = FIELDS.swapaxes(-1, -2) if swapped else FIELDS
        assert list(spec.coordinates) == (["y", "x"] if swapped else ["x", "y"])
        np.testing.assert_array_equal(trajectories.read(1), expected[1])
        trajectory, step = np.array([2, 0, 1, 2]), np.array([3, 0, 2, 3])
        frames = trajectories.read_frames(trajectory, step, channels=["heat", "u"])
        np.testing.assert_array_equal(frames, expected[trajectory, step][:, ::-1])


@pytest.mark.parametrize("kind", ["npy", "npz", "h5"])
@pytest.mark.parametrize("order", ORDERS[:4])
def test_plain_arrays_whose_frames_lie_together_are_read_straight_from_the_file(tmp_path, kind, order):
    path = save(tmp_path / "runs", in_order(order), kind)
    assert open_trajectories(path, axes=order).direct


@pytest.mark.parametrize("dtype", [">f4", "<f8", "<f2", "<i4", ">i2", "|u1"])
@pytest.mark.parametrize("kind", ["npy", "npz", "h5"])
def test_numbers_of_another_type_are_read_right(tmp_path, kind, dtype):
    values = FIELDS % 200
    path = save(tmp_path / "runs", values.astype(dtype), kind)
    np.testing.assert_array_equal(open_trajectories(path, axes=ORDERS[0]).read(2), values[2])


def test_complex_numbers_are_refused(tmp_path):
    path = save(tmp_path / "runs", FIELDS.astype(complex), "npy")
    with pytest.raises(LayoutError, match="holds complex128; real numbers are expected"):
        open_trajectories(path, axes=ORDERS[0])


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("sample time x", (3, 4, 8)),
        ("sample time x y z", (3, 4, 2, 3, 4)),
        ("time x y", (4, 5, 6)),
        ("sample x", (3, 8)),
    ],
)
def test_one_two_and_three_dimensions_and_a_single_run_can_be_read(tmp_path, axes, shape):
    values = numbered(*shape)
    path = save(tmp_path / "runs", values, "npy")
    steady = {"inputs": ["u"], "targets": ["u"]} if "time" not in axes else {}
    trajectories = open_trajectories(path, axes=axes, **steady)
    whole = values.reshape(shape[0] if "sample" in axes else 1, -1, *trajectories.spec.shape)
    assert len(trajectories) == len(whole)
    assert trajectories.spec.steps == whole.shape[1]
    np.testing.assert_array_equal(trajectories.read(len(whole) - 1)[:, 0], whole[-1])


def test_several_arrays_are_read_together_constants_and_profiles_too(tmp_path):
    flow, speed, profile = numbered(3, 4, 5, 6, 2), -numbered(3, 5, 6), 0.5 + numbered(3, 6)
    np.savez(tmp_path / "runs.npz", flow=flow, speed=speed, profile=profile, t=0.5 * np.arange(4), nu=[0.1, 0.2, 0.3])
    trajectories = open_trajectories(
        tmp_path / "runs.npz",
        axes={"flow": "sample time x y channel", "speed": "sample x y", "profile": "sample y"},
        channels={"flow": ["u", "v"]},
        times="t",
        coordinates={"x": np.linspace(0, 2, 5)},
        boundary={"x": "periodic", "y": "wall"},
        units={"u": "m/s"},
        scalars={"nu": "nu", "gamma": 1.4},
        task="my flow",
    )
    spec = trajectories.spec
    assert spec.names == spec.inputs == ("u", "v", "speed", "profile")
    assert spec.targets == ("u", "v")
    assert [f.group for f in spec.fields] == ["velocity", "velocity", "speed", "profile"]
    assert (spec.boundary, spec.task, spec.fields[0].unit) == (("periodic", "wall"), "my flow", "m/s")
    np.testing.assert_array_equal(spec.times, 0.5 * np.arange(4))
    np.testing.assert_array_equal(spec.coordinates["x"], np.linspace(0, 2, 5))
    fields = trajectories.read(1)
    np.testing.assert_array_equal(fields[:, :2], np.moveaxis(flow[1], -1, 1))
    np.testing.assert_array_equal(fields[:, 2], np.broadcast_to(speed[1], (4, 5, 6)))
    np.testing.assert_array_equal(fields[:, 3], np.broadcast_to(profile[1].astype(np.float32), (4, 5, 6)))
    assert {k: v.tolist() for k, v in trajectories.scalars([2, 0]).items()} == {"nu": [0.3, 0.1], "gamma": [1.4, 1.4]}
    spec = spec.with_statistics(dict.fromkeys(spec.names, 0), dict.fromkeys(spec.names, 1))
    batch = PairDataset(trajectories, FixedInput(1), spec=spec).__getitems__([1, 2])
    torch.testing.assert_close(batch["scalars"], torch.tensor([[0.2, 1.4], [0.3, 1.4]]))
    assert batch["boundary"].tolist() == [[[2, 2], [0, 0]]] * 2


def test_a_yaml_file_beside_the_array_says_the_same(tmp_path):
    path = save(tmp_path / "runs", in_order(ORDERS[1]), "npy")
    (tmp_path / "runs.npy.yaml").write_text(
        "axes: sample time x y channel\nchannels: [u, heat]\ndt: 0.25\nboundary: periodic wall\n"
    )
    trajectories = open_trajectories(path)
    assert trajectories.spec.names == ("u", "heat")
    assert trajectories.spec.boundary == ("periodic", "wall")
    np.testing.assert_array_equal(trajectories.spec.times, 0.25 * np.arange(4))
    np.testing.assert_array_equal(trajectories.read(2), FIELDS[2])
    assert open_trajectories(path, axes=ORDERS[1]).spec.names == ("channel_0", "channel_1")  # keywords come first


def test_one_yaml_file_describes_all_arrays_of_a_folder(tmp_path):
    for i in range(2):
        np.save(tmp_path / f"run_{i}.npy", in_order("time x y channel sample")[..., i])
    (tmp_path / "arrays.yaml").write_text("axes: [time, x, y, channel]\nchannels: [u, heat]\n")
    trajectories = open_trajectories(tmp_path)
    assert len(trajectories) == 2
    np.testing.assert_array_equal(trajectories.read(1), FIELDS[1])


def test_axes_in_the_usual_order_need_not_be_named(tmp_path):
    path = save(tmp_path / "runs", FIELDS, "npz")
    np.testing.assert_array_equal(open_trajectories(path, channels=["u", "v"]).read(1), FIELDS[1])
    np.testing.assert_array_equal(open_trajectories(path).read(1), FIELDS[1])


def test_axes_that_cannot_be_told_are_asked_for(tmp_path):
    np.savez(tmp_path / "runs.npz", a=numbered(2, 3, 4), b=numbered(2, 3))
    with pytest.raises(LayoutError, match=r"has a \(2, 3, 4\) float32, b .*runs\.npz\.yaml.*axes=\"sample time x y"):
        open_trajectories(tmp_path / "runs.npz")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"axes": "sample time x y"}, "has shape .* but 4 axes are named"),
        ({"axes": "sample time x x channel"}, "every name may stand once"),
        ({"axes": "a b channel x y"}, "sample or time must be among them"),
        ({"axes": ORDERS[0], "channels": ["u"]}, r"has 2 channel\(s\), but they are named u"),
        ({"axes": ORDERS[0], "times": [0.0, 1.0]}, r"times: \(2,\) values came, 4 are expected"),
        ({"axes": ORDERS[0], "times": "t"}, "there is no array 't'"),
        ({"axes": ORDERS[0], "boundary": "periodic wall wall"}, "expected periodic, wall or open for each"),
        ({"axes": ORDERS[0], "boundary": "cyclic"}, "boundary is 'cyclic'"),
        ({"axes": {"flow": ORDERS[0]}}, "there is no array 'flow'; the file has fields"),
        ({"axis": ORDERS[0]}, "has 'axis'; the keys are axes, channels"),
        ({"axes": ORDERS[0], "targets": ["p"]}, "channel 'p' is not in the file"),
    ],
)
def test_a_mapping_that_does_not_fit_says_what_would(tmp_path, mapping, message):
    path = save(tmp_path / "runs", FIELDS, "npz")
    with pytest.raises(ConfigError, match=message):
        open_trajectories(path, **mapping)


def test_a_steady_array_must_say_what_is_given_and_what_is_looked_for(tmp_path):
    np.savez(tmp_path / "steady.npz", a=numbered(3, 4, 5), u=-numbered(3, 4, 5))
    axes = {"a": "sample x y", "u": "sample x y"}
    with pytest.raises(ConfigError, match=r"no time axis.*inputs and targets, among a, u"):
        open_trajectories(tmp_path / "steady.npz", axes=axes)
    trajectories = open_trajectories(tmp_path / "steady.npz", axes=axes, inputs=["a"], targets=["u"])
    spec = trajectories.spec.with_statistics({"a": 0, "u": 0}, {"a": 1, "u": 1})
    batch = PairDataset(trajectories, SteadyPair(), spec=spec).__getitems__([2])
    np.testing.assert_array_equal(batch["target"][0, 0], -numbered(3, 4, 5)[2])


def test_arrays_that_do_not_share_their_axes_are_refused(tmp_path):
    np.savez(tmp_path / "runs.npz", u=numbered(3, 4, 5, 6), v=numbered(3, 4, 5, 7))
    with pytest.raises(ConfigError, match="axis 'y' has 6 points in one array and 7 in 'v'"):
        open_trajectories(tmp_path / "runs.npz", axes={"u": "sample time x y", "v": "sample time x y"})


@pytest.mark.parametrize("kind", ["npy", "npz", "npz, compressed"])
def test_a_file_that_was_cut_short_is_refused(tmp_path, kind):
    path = save(tmp_path / "runs", FIELDS, kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(LayoutError, match=r"runs\.np[yz] cannot be opened"):
        open_trajectories(path, axes=ORDERS[0])


def test_python_objects_are_not_unpickled(tmp_path):
    for suffix, write in ((".npy", np.save), (".npz", np.savez)):
        write(tmp_path / f"objects{suffix}", np.array([{}, {}], dtype=object))
        with pytest.raises(LayoutError, match="cannot be opened"):
            open_trajectories(tmp_path / f"objects{suffix}", axes="sample x")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LayoutError, match=r"gone\.npy does not exist"):
        open_trajectories(tmp_path / "gone.npy", axes=ORDERS[0])


def test_without_zarr_a_zarr_store_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "runs.zarr").mkdir()
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(LayoutError, match="pip install zarr"):
        open_trajectories(tmp_path / "runs.zarr", axes=ORDERS[0])


@pytest.mark.parametrize("kind", ["npy", "npz, compressed"])
def test_arrays_can_be_pickled_closed_and_read_again(tmp_path, kind):
    trajectories = open_trajectories(save(tmp_path / "runs", FIELDS, kind), axes=ORDERS[0])
    trajectories.read(0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(trajectories)).read(1), FIELDS[1])
    trajectories.close()
    np.testing.assert_array_equal(trajectories.read(2), FIELDS[2])
    with pytest.raises(DataError, match="no trajectory 3"):
        trajectories.read(3)


def test_an_array_that_was_replaced_is_not_read_with_the_old_offsets(tmp_path):
    path = save(tmp_path / "runs", FIELDS, "npy")
    trajectories = open_trajectories(path, axes=ORDERS[0])
    np.save(path, FIELDS[:, :, :1])
    with pytest.raises(LayoutError, match="changed or replaced"):
        trajectories.read(0)


@pytest.mark.parametrize(("names", "shape"), [(("x",), (8,)), (("x", "y", "z"), (3, 4, 5))])
def test_a_netcdf_file_with_named_dimensions_can_have_any_number_of_them(tmp_path, names, shape):
    import xarray

    values = numbered(2, 4, 2, *shape)
    data = {
        "fields": (("sample", "time", "channel", *names), values),
        "height": (("sample", "time", *names), values[:, :, 0]),
    }
    for variable in data:
        path = tmp_path / f"{variable}.nc"
        xarray.Dataset({variable: data[variable]}).to_netcdf(path, engine="h5netcdf")
        trajectories = open_trajectories(path)
        assert trajectories.spec.shape == shape
        expected = values[1] if variable == "fields" else values[1, :, :1]
        np.testing.assert_array_equal(trajectories.read(1), expected)


@pytest.mark.parametrize(
    ("where", "attributes", "message"),
    [
        ("file", {"boundary": "cyclic wall"}, "'cyclic' is none of wall, open, periodic"),
        ("file", {"boundary": 3}, "attribute boundary of the file is 3"),
        ("file", {"boundary": "wall"}, r"1 boundary conditions \(wall\) came for the axes x, y"),
        ("fields", {"mean": [1.0], "std": [1.0]}, "expected a number for each channel"),
        ("fields", {"mean": "one two", "std": "one two"}, "expected a number for each channel"),
    ],
)
def test_a_wrong_attribute_is_an_error_that_shows_it(hdf5, where, attributes, message):
    path = hdf5(numbered(2, 3, 2, 4, 4))
    with h5py.File(path, "r+") as file:
        (file if where == "file" else file[where]).attrs.update(attributes)
    with pytest.raises((LayoutError, ConfigError), match=message):
        open_trajectories(path)


@pytest.mark.parametrize("how", [{}, {"compression": "gzip"}])
def test_frames_that_were_never_written_are_an_error_not_zeros(tmp_path, how):
    for mapping in ({}, {"axes": "sample time channel x y"}):
        with h5py.File(tmp_path / "own.h5", "w") as file:
            dataset = file.create_dataset("fields", (2, 3, 2, 4, 4), "<f4", chunks=(1, 1, 2, 4, 4), **how)
            dataset[0] = 1.0
        with pytest.raises(LayoutError, match=r"3 chunk\(s\) of /fields were never written"):
            open_trajectories(tmp_path / "own.h5", **mapping)


def test_times_that_were_never_written_are_an_error_not_zeros(tmp_path):
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["fields"] = FIELDS
        file.create_dataset("t", 4, "<f8")
    with pytest.raises(LayoutError, match=r"1 chunk\(s\) of /t were never written"):
        open_trajectories(tmp_path / "own.h5", axes={"fields": "sample time channel x y"}, times="t")
