"""PDEBench's five layouts: what lies in the file is what is read, and a broken file says so."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from sciml.data import FixedInput, PairDataset, SteadyPair, open_trajectories
from sciml.errors import DataError, LayoutError
from tests.data.numbers import numbered

AXES = "xyz"


def add_grid(file, shape, steps: int | None) -> None:
    for axis, points in zip(AXES, shape, strict=False):
        file[f"{axis}-coordinate"] = (np.arange(points) + 0.5) / points
    if steps is not None:
        file["t-coordinate"] = 0.1 * np.arange(steps + 1)  # one more than there are frames


@pytest.fixture
def scalar(tmp_path):
    def make(values, *, name="any name.hdf5", attributes=None, **how) -> Path:
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("tensor", data=values, **how)
            add_grid(file, values.shape[2:], values.shape[1])
            file.attrs.update(attributes or {})
        return tmp_path / name

    return make


@pytest.fixture
def fluid(tmp_path):
    def make(*shape: int, name="any name.hdf5") -> tuple[Path, dict]:
        names = ("Vx", "Vy", "Vz")[: len(shape) - 2]
        values = {n: 1e6 * i + numbered(*shape) for i, n in enumerate((*names, "density", "pressure"))}
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs.update(eta=0.01, zeta=0.02, M=0.1)
            for key, data in values.items():
                file[key] = data
            add_grid(file, shape[2:], shape[1])
        return tmp_path / name, values

    return make


@pytest.fixture
def grouped(tmp_path):
    def make(values: dict[str, np.ndarray], *, name="any.h5", **how) -> Path:
        with h5py.File(tmp_path / name, "w") as file:
            for seed, data in values.items():
                group = file.create_group(seed)
                group.create_dataset("data", data=data, **how)
                group.attrs["config"] = f"sim:\n  seed: {int(seed)}\n  D: 0.5\n"
                group["grid/t"] = 0.5 * np.arange(data.shape[0])
                for axis, points in zip(AXES, data.shape[1:-1], strict=False):
                    group[f"grid/{axis}"] = np.linspace(-1, 1, points)
        return tmp_path / name

    return make


@pytest.fixture
def incompressible(tmp_path):
    def make(*, latest: int = 4, written: int = 5, times=None) -> tuple[Path, dict]:
        values = {"velocity": numbered(2, 5, 6, 4, 2), "particles": -numbered(2, 5, 6, 4, 1)}
        force = 0.5 + numbered(2, 6, 4, 2)
        with h5py.File(tmp_path / "ns.h5", "w") as file:
            file.attrs.update(config="NU: 0.01\ndomain_size: [3, 1]\n", latestIndex=latest)
            for name, data in values.items():
                chunks = (1, 1, *data.shape[2:])
                dataset = file.create_dataset(name, data.shape, "<f4", chunks=chunks, compression="lzf", shuffle=True)
                dataset[:, :written] = data[:, :written]
            file.create_dataset("force", data=force, chunks=(1, 1, 4, 2), compression="lzf")
            file["t"] = np.tile(0.25 * np.arange(5), (2, 1)) if times is None else times
        return tmp_path / "ns.h5", values | {"force": force}

    return make


@pytest.mark.parametrize("shape", [(3, 5, 8), (3, 5, 4, 6), (2, 3, 4, 5, 6)])
def test_a_scalar_has_one_channel_in_one_two_or_three_dimensions(scalar, shape):
    values = numbered(*shape)
    trajectories = open_trajectories(scalar(values))
    spec = trajectories.spec
    assert (len(trajectories), spec.layout, spec.names, spec.steps) == (shape[0], "pdebench", ("u",), shape[1])
    assert spec.shape == shape[2:]
    assert list(spec.coordinates) == list(AXES[: len(shape) - 2])
    assert trajectories.direct
    np.testing.assert_array_equal(trajectories.read(1)[:, 0], values[1])


def test_of_the_times_the_one_too_many_is_left_out(scalar):
    spec = open_trajectories(scalar(numbered(3, 5, 8))).spec
    np.testing.assert_allclose(spec.times, [0.0, 0.1, 0.2, 0.3, 0.4], rtol=1e-15)
    np.testing.assert_array_equal(spec.coordinates["x"], (np.arange(8) + 0.5) / 8)


def test_fewer_times_than_frames_are_refused(scalar):
    path = scalar(numbered(3, 5, 8))
    with h5py.File(path, "r+") as file:
        del file["t-coordinate"]
        file["t-coordinate"] = np.arange(4.0)
    with pytest.raises(LayoutError, match=r"t-coordinate has shape \(4,\).*5 points.*at least 5"):
        open_trajectories(path)


@pytest.mark.parametrize("name", ["x-coordinate", "t-coordinate"])
def test_a_missing_coordinate_is_named(scalar, name):
    path = scalar(numbered(3, 5, 8))
    with h5py.File(path, "r+") as file:
        del file[name]
    with pytest.raises(LayoutError, match=f"no dataset '{name}'"):
        open_trajectories(path)


@pytest.mark.parametrize(
    ("attributes", "task"),
    [({"beta": 0.4}, "advection"), ({"Nu": 0.1}, "burgers"), ({"Nu": 0.5, "rho": 1.0}, "reaction-diffusion"), ({}, "")],
)
def test_parameters_tell_the_equation_and_travel_with_every_batch(scalar, attributes, task):
    trajectories = open_trajectories(scalar(numbered(3, 5, 8), attributes=attributes))
    spec = trajectories.spec.with_statistics({"u": 0}, {"u": 1})
    assert spec.task == task
    assert {name: value.tolist() for name, value in trajectories.scalars([2, 0]).items()} == {
        name: [value, value] for name, value in attributes.items()
    }
    batch = PairDataset(trajectories, FixedInput(2), spec=spec).__getitems__([0, 3])
    assert batch["boundary"].tolist() == [[[2, 2]]] * 2  # periodic
    if attributes:
        torch.testing.assert_close(batch["scalars"], torch.tensor([list(attributes.values())] * 2))
    else:
        assert "scalars" not in batch


def test_a_parameter_that_is_no_number_is_kept_but_is_no_scalar(scalar):
    spec = open_trajectories(scalar(numbered(3, 5, 8), attributes={"Nu": "0.1", "seeds": [1, 2]})).spec
    assert spec.scalars == ()
    assert spec.attributes["Nu"] == "0.1"


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">f8", "<f2", "<i4"])
def test_numbers_of_another_type_are_read_right(scalar, dtype):
    values = numbered(3, 5, 8)
    trajectories = open_trajectories(scalar(values.astype(dtype)))
    np.testing.assert_array_equal(trajectories.read(2)[:, 0], values[2])


def test_variables_may_differ_in_byte_order_and_precision(fluid):
    path, values = fluid(2, 5, 4, 6)
    with h5py.File(path, "r+") as file:
        for name, dtype in (("Vx", ">f4"), ("pressure", "<f8"), ("Vy", ">f8")):
            del file[name]
            file[name] = values[name].astype(dtype)
    trajectories = open_trajectories(path)
    for i, name in enumerate(trajectories.spec.names):
        np.testing.assert_array_equal(trajectories.read(1)[:, i], values[name][1])


@pytest.mark.parametrize("latest", ["four", -1, [1, 2]])
def test_a_last_frame_that_is_no_number_is_refused(incompressible, latest):
    path, _ = incompressible(latest=latest)
    with pytest.raises(LayoutError, match="the attribute latestIndex is"):
        open_trajectories(path)


@pytest.mark.parametrize("shape", [(3, 5, 8), (2, 5, 4, 6), (2, 3, 4, 5, 6)])
def test_the_channels_of_a_fluid_come_by_name_in_one_order(fluid, shape):
    path, values = fluid(*shape)
    trajectories = open_trajectories(path)
    expected = ("density", "pressure", "Vx", "Vy", "Vz")[: len(shape)]
    assert trajectories.spec.names == expected
    assert [f.group for f in trajectories.spec.fields] == ["density", "pressure", *["velocity"] * (len(shape) - 2)]
    fields = trajectories.read(1)
    for i, name in enumerate(expected):
        np.testing.assert_array_equal(fields[:, i], values[name][1])
    assert trajectories.scalars([0]) == {"M": 0.1, "eta": 0.01, "zeta": 0.02}


def test_a_fluid_without_one_of_its_velocities_is_refused(fluid):
    path, _ = fluid(2, 5, 4, 6)
    with h5py.File(path, "r+") as file:
        del file["Vy"]
    with pytest.raises(LayoutError, match="no dataset 'Vy'"):
        open_trajectories(path)


def test_variables_of_different_shapes_are_refused(fluid):
    path, _ = fluid(2, 5, 4, 6)
    with h5py.File(path, "r+") as file:
        del file["pressure"]
        file["pressure"] = numbered(2, 4, 4, 6)
    with pytest.raises(LayoutError, match=r"density has shape \(2, 5, 4, 6\), but pressure \(2, 4, 4, 6\)"):
        open_trajectories(path)


@pytest.mark.parametrize(
    ("name", "boundary"),
    [
        ("2D_CFD_Rand_M0.1_Eta0.01_Zeta0.01_periodic_128_Train.hdf5", "periodic"),
        ("1D_CFD_Shock_Eta1.e-8_Zeta1.e-8_trans_Train.hdf5", "open"),
        ("KH_M04_dk1_Re1e3.hdf5", "periodic"),
        ("renamed.hdf5", "open"),
    ],
)
def test_the_boundary_of_a_fluid_is_in_the_name_of_the_file(fluid, name, boundary):
    path, _ = fluid(2, 5, 4, 6, name=name)
    assert open_trajectories(path).spec.boundary == (boundary, boundary)


def test_darcy_maps_the_permeability_to_the_solution(tmp_path):
    permeability, solution = numbered(3, 4, 6), -numbered(3, 4, 6)
    with h5py.File(tmp_path / "darcy.hdf5", "w") as file:
        file["nu"], file["tensor"] = permeability, solution[:, None]
        file.attrs["beta"] = 1.0
        add_grid(file, (4, 6), None)
    trajectories = open_trajectories(tmp_path / "darcy.hdf5")
    spec = trajectories.spec
    assert (spec.steady, spec.inputs, spec.targets, spec.task) == (True, ("nu",), ("u",), "darcy")
    np.testing.assert_array_equal(trajectories.read(2), np.stack([permeability[2], solution[2]])[None])
    spec = spec.with_statistics({"nu": 0, "u": 0}, {"nu": 1, "u": 1})
    batch = PairDataset(trajectories, SteadyPair(), spec=spec).__getitems__([2, 0])
    np.testing.assert_array_equal(batch["fields"][:, 0], permeability[[2, 0]])
    np.testing.assert_array_equal(batch["target"][:, 0], solution[[2, 0]])


def test_darcy_with_fewer_solutions_than_permeabilities_is_refused(tmp_path):
    with h5py.File(tmp_path / "darcy.hdf5", "w") as file:
        file["nu"], file["tensor"] = numbered(3, 4, 6), numbered(2, 1, 4, 6)
        add_grid(file, (4, 6), None)
    with pytest.raises(LayoutError, match="one solution for every permeability"):
        open_trajectories(tmp_path / "darcy.hdf5")


@pytest.mark.parametrize("how", [{}, {"compression": "lzf"}, {"chunks": (2, 4, 5, 2)}, {"dtype": "<f8"}])
def test_groups_are_trajectories_in_the_order_of_their_names_with_gaps(grouped, how):
    values = {seed: 1000.0 * int(seed) + numbered(6, 4, 5, 2) for seed in ("0007", "0000", "0023")}
    trajectories = open_trajectories(grouped(values, **how))
    assert trajectories.direct == (how in ({}, {"dtype": "<f8"}))
    spec = trajectories.spec
    assert (len(trajectories), spec.names, spec.task, spec.steps) == (3, ("u", "v"), "diffusion-reaction", 6)
    assert spec.attributes["sim.D"] == 0.5
    np.testing.assert_array_equal(spec.times, 0.5 * np.arange(6))
    np.testing.assert_array_equal(spec.coordinates["y"], np.linspace(-1, 1, 5))
    for i, seed in enumerate(("0000", "0007", "0023")):
        np.testing.assert_array_equal(trajectories.read(i), np.moveaxis(values[seed], -1, 1))
    mixed = trajectories.read_frames(np.array([2, 0, 2]), np.array([5, 1, 5]), channels=["v", "u"])
    expected = np.stack([values[seed][t] for seed, t in (("0023", 5), ("0000", 1), ("0023", 5))])
    np.testing.assert_array_equal(mixed, np.moveaxis(expected, -1, 1)[:, ::-1])


@pytest.mark.parametrize(
    ("shape", "task", "names"),
    [((6, 8, 1), "diffusion-sorption", ("u",)), ((6, 4, 5, 1), "shallow-water", ("h",)), ((6, 4, 3), "", None)],
)
def test_what_a_group_holds_is_told_by_its_shape(grouped, shape, task, names):
    spec = open_trajectories(grouped({"0001": numbered(*shape)})).spec
    assert spec.task == task
    assert spec.names == (names or ("channel_0", "channel_1", "channel_2"))


def test_a_group_without_data_is_named(grouped):
    path = grouped({"0000": numbered(6, 8, 1), "0001": numbered(6, 8, 1)})
    with h5py.File(path, "r+") as file:
        del file["0001/data"]
    with pytest.raises(LayoutError, match="group '0001' has no dataset 'data'"):
        open_trajectories(path)


def test_a_group_without_its_grid_is_refused(grouped):
    path = grouped({"0000": numbered(6, 8, 1)})
    with h5py.File(path, "r+") as file:
        del file["0000/grid"]
    with pytest.raises(LayoutError, match="no dataset '0000/grid/t'"):
        open_trajectories(path)


def test_a_shorter_trajectory_among_the_groups_is_named(grouped):
    path = grouped({"0000": numbered(6, 8, 1), "0004": numbered(5, 8, 1)})
    with pytest.raises(LayoutError, match=r"0004/data is \(5, 8, 1\) float32, but 0000/data is \(6, 8, 1\)"):
        open_trajectories(path)


@pytest.mark.parametrize("chunks", [None, (2, 8, 1)])
def test_a_group_that_was_begun_and_never_written_is_refused(grouped, chunks):
    path = grouped({"0000": numbered(6, 8, 1)}, chunks=chunks)
    with h5py.File(path, "r+") as file:
        file.create_dataset("0001/data", (6, 8, 1), "<f4", chunks=chunks)
        if chunks:
            file["0001/data"][:3] = 1.0
    with pytest.raises(LayoutError, match=r"1 chunk\(s\) of /0001/data were never written"):
        open_trajectories(path)


@pytest.mark.parametrize("name", ["x-coordinate", "t-coordinate"])
def test_a_coordinate_that_was_never_written_is_refused(scalar, name):
    path = scalar(numbered(3, 5, 8))
    with h5py.File(path, "r+") as file:
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, shape, "<f4")
    with pytest.raises(LayoutError, match=f"/{name} were never written"):
        open_trajectories(path)


def test_groups_of_the_other_byte_order_are_read_right_and_a_mixture_is_refused(grouped):
    values = {seed: numbered(6, 4, 5, 2) for seed in ("0003", "0009")}
    with open_trajectories(grouped({seed: v.astype(">f4") for seed, v in values.items()})) as trajectories:
        np.testing.assert_array_equal(trajectories.read(1), np.moveaxis(values["0009"], -1, 1))
    mixed = grouped({"0003": values["0003"].astype(">f4"), "0009": values["0009"]})
    with pytest.raises(LayoutError, match=r"0009/data is \(6, 4, 5, 2\) float32, but 0003/data is .* >f4"):
        open_trajectories(mixed)


def test_incompressible_flow_has_a_force_that_does_not_change(incompressible):
    path, values = incompressible()
    trajectories = open_trajectories(path)
    spec = trajectories.spec
    assert spec.names == ("velocity_x", "velocity_y", "particles", "force_x", "force_y")
    assert spec.inputs == spec.names
    assert spec.targets == ("velocity_x", "velocity_y", "particles")
    assert spec.attributes["NU"] == 0.01
    np.testing.assert_allclose(spec.coordinates["x"], 0.25 + 0.5 * np.arange(6), rtol=1e-15)
    np.testing.assert_array_equal(spec.times, 0.25 * np.arange(5))
    fields = trajectories.read(1)
    np.testing.assert_array_equal(fields[:, :2], np.moveaxis(values["velocity"][1], -1, 1))
    np.testing.assert_array_equal(fields[:, 2], values["particles"][1, ..., 0])
    np.testing.assert_array_equal(fields[:, 3:], np.broadcast_to(np.moveaxis(values["force"][1], -1, 0), (5, 2, 6, 4)))


def test_the_force_is_read_once_a_process(incompressible, monkeypatch):
    path, values = incompressible()
    trajectories = open_trajectories(path)
    read = []
    dataset = trajectories._file._dataset
    monkeypatch.setattr(trajectories._file, "_dataset", lambda v, s: read.append(v.name) or dataset(v, s))
    for _ in range(3):
        frames = trajectories.read_frames(np.array([0, 1]), np.array([1, 2]), channels=["force_y"])
        np.testing.assert_array_equal(frames[:, 0], values["force"][..., 1])
    assert read == ["/force"]


def test_a_run_that_broke_off_ends_at_its_last_frame(incompressible):
    path, values = incompressible(latest=2, written=3)
    trajectories = open_trajectories(path)
    assert trajectories.spec.steps == len(trajectories.spec.times) == 3
    np.testing.assert_array_equal(trajectories.read(1)[:, 2], values["particles"][1, :3, ..., 0])
    with pytest.raises(DataError, match="no step 3"):
        trajectories.read(0, 0, 4)


def test_frames_that_a_run_claims_but_never_wrote_are_refused(incompressible):
    path, _ = incompressible(latest=4, written=3)
    with pytest.raises(LayoutError, match=r"4 chunk\(s\) of /velocity were never written"):
        open_trajectories(path)


def test_trajectories_at_different_times_are_refused(incompressible):
    path, _ = incompressible(times=np.array([0.25, 0.5])[:, None] * np.arange(5))
    with pytest.raises(LayoutError, match="saved at different times"):
        open_trajectories(path)


def test_grouped_trajectories_can_be_pickled(grouped):
    values = {"0003": numbered(6, 4, 5, 2), "0009": -numbered(6, 4, 5, 2)}
    copy = pickle.loads(pickle.dumps(open_trajectories(grouped(values, compression="gzip"))))
    np.testing.assert_array_equal(copy.read(1), np.moveaxis(values["0009"], -1, 1))
