"""Files with several variables, fields that are constant in time, and channels without an axis, written and read."""

import h5py
import numpy as np
import pytest
import xarray as xr

from sciml.data import TrajectoryWriter, open_trajectories
from sciml.data.stored import StoredVariable

COUNT, NX, NY = 4, 5, 6
SPACE = ("x", "y")
LAYOUTS = {
    "Wave-Gauss": (
        3,
        (StoredVariable("solution", ("u",), channel_axis=False), StoredVariable("c", ("c",), False, False)),
    ),
    "ACE": (3, (StoredVariable("solution", ("u",), channel_axis=False),)),
    "CE-RP": (3, (StoredVariable("data", ("rho", "u", "v", "p", "E")),)),
    "CE-RM": (3, (StoredVariable("solution", ("rho", "u", "v", "p", "tracer")),)),
    "GCE-RT": (3, (StoredVariable("solution", ("rho", "u", "v", "p", "tracer", "phi")),)),
    "FNS-KF": (3, (StoredVariable("solution", ("u", "v")),)),
    "Poisson-Gauss": (
        1,
        (StoredVariable("source", ("source",), False, False), StoredVariable("solution", ("solution",), False, False)),
    ),
    "SE-AF": (1, (StoredVariable("solution", ("indicator", "rho"), in_time=False),)),
    "Helmholtz": (
        1,
        tuple(StoredVariable(*names, False, False) for names in (("a", ("a",)), ("bc", ("bc",)), ("solution", ("u",)))),
    ),
}
# What the reader calls the stored channels that a model sees, and their places among the stored ones.
READ = {
    "Wave-Gauss": {"u": 0, "c": 1},
    "ACE": {"u": 0},
    "CE-RP": {"rho": 0, "u": 1, "v": 2, "p": 3},
    "CE-RM": {"rho": 0, "u": 1, "v": 2, "p": 3},
    "GCE-RT": {"rho": 0, "u": 1, "v": 2, "p": 3, "phi": 5},
    "FNS-KF": {"u": 0, "v": 1},
    "Poisson-Gauss": {"source": 0, "solution": 1},
    "SE-AF": {"shape": 0, "rho": 1},
    "Helmholtz": {"a": 0, "bc": 1, "u": 2},
}


def fields_of(task):
    """Frames of all channels; those of constant variables are the same at all times."""
    steps, variables = LAYOUTS[task]
    parts = []
    for place, variable in enumerate(variables):
        shape = (COUNT, steps if variable.in_time else 1, len(variable.channels), NX, NY)
        part = np.random.default_rng(place).normal(2.0, 3.0, shape).astype(np.float32)
        parts.append(np.broadcast_to(part, (COUNT, steps, *shape[2:])))
    return np.concatenate(parts, axis=2)


def writer(path, task):
    steps, variables = LAYOUTS[task]
    return TrajectoryWriter(
        path,
        task=task,
        variables=variables,
        trajectories=COUNT,
        times=np.linspace(0, 1, steps),
        coordinates={"x": np.arange(NX) / NX, "y": np.arange(NY) / NY},
        boundary=("open", "open"),
    )


def make(path, task, *, block=3):
    fields = fields_of(task)
    with writer(path, task) as out:
        for first in range(0, COUNT, block):
            if not out.written[first : first + block].all():
                out.write(first, fields[first : first + block])
    return path


@pytest.mark.parametrize("task", LAYOUTS)
def test_every_layout_is_read_as_it_was_written_with_statistics_of_its_own(tmp_path, task):
    fields = fields_of(task)
    with open_trajectories(make(tmp_path / "a.nc", task)) as data:
        assert data.spec.task == task
        assert data.spec.replica
        assert data.spec.steps == LAYOUTS[task][0]
        assert len(data) == COUNT
        names = list(READ[task])
        for trajectory in range(COUNT):
            np.testing.assert_array_equal(
                data.read(trajectory, channels=names), fields[trajectory][:, list(READ[task].values())]
            )
        for field, place in zip(data.spec.select(names), READ[task].values(), strict=True):
            if field.name == data.spec.solid:
                continue  # an indicator is not normalised
            values = fields[:, :, place].astype(float)
            # 1e-12: the same float64 sums in another order.
            assert (field.mean, field.std) == pytest.approx((values.mean(), values.std()), rel=1e-12)


@pytest.mark.parametrize("task", LAYOUTS)
def test_xarray_sees_the_published_variables_with_named_dimensions(tmp_path, task):
    steps, variables = LAYOUTS[task]
    with xr.open_dataset(make(tmp_path / "a.nc", task), engine="h5netcdf") as data:
        assert set(data.data_vars) == {variable.name for variable in variables}
        for variable in variables:
            found = data[variable.name]
            assert found.dims == (*variable.axes, "x", "y")
            assert found.shape[0] == COUNT
            if variable.channel_axis:
                assert tuple(data["channel"].values) == variable.channels
        assert ("time" in data.dims) == (steps > 1)


def test_two_variables_with_different_channels_have_a_channel_axis_each(tmp_path):
    variables = (StoredVariable("flow", ("u", "v")), StoredVariable("material", ("a", "b", "c"), in_time=False))
    fields = np.arange(2 * 5 * NX * NY, dtype=np.float32).reshape(1, 2, 5, NX, NY)
    with TrajectoryWriter(
        tmp_path / "a.nc",
        task="mine",
        variables=variables,
        trajectories=1,
        times=[0.0, 1.0],
        coordinates={"x": np.arange(NX), "y": np.arange(NY)},
        boundary=("open", "open"),
    ) as out:
        out.write(0, fields)
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as data:
        np.testing.assert_array_equal(data["flow"].sel(flow_channel=["u", "v"]), fields[:, :, :2])
        np.testing.assert_array_equal(data["material"].sel(material_channel="c"), fields[:, 0, 4])


@pytest.mark.parametrize("task", ["Wave-Gauss", "SE-AF"])
def test_an_interrupted_file_of_several_variables_ends_with_the_same_bytes(tmp_path, task):
    whole = make(tmp_path / "a.nc", task).read_bytes()
    fields, path = fields_of(task), tmp_path / "b.nc"
    out = writer(path, task)
    out.write(2, fields[2:3])
    out.write(0, fields[:1])
    out.close()  # as a kill leaves it
    again = writer(path, task)
    assert again.written.tolist() == [True, False, True, False]
    again.close()
    assert make(path, task, block=1).read_bytes() == whole


def test_constant_fields_take_their_place_once(tmp_path):
    with h5py.File(make(tmp_path / "a.nc", "Wave-Gauss")) as file:
        assert file["c"].shape == (COUNT, NX, NY)
        assert file["c"].chunks == (1, NX, NY)
        assert file["solution"].chunks == (1, 1, NX, NY)
