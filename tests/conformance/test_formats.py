"""Files in published layouts: what is read is what lies in the file, for every file that the fixtures hold."""

import contextlib
import json
import os
from ast import literal_eval
from pathlib import Path

import h5py
import numpy as np
import pytest

from sciml.data import Windows, open_trajectories
from sciml.data.pdebench import recognise_pdebench
from sciml.data.published import TASKS
from sciml.data.spec import BOUNDARIES
from tests.data.well_files import whole

FIXTURES = Path(os.environ.get("SCIML_FIXTURES", Path(__file__).parents[1] / "fixtures")) / "formats"
LAYOUTS = ("poseidon",)
CASES = [path for layout in LAYOUTS for path in sorted((FIXTURES / layout).glob("*.nc"))]
cases = pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_there_are_cases(layout):
    assert list((FIXTURES / layout).glob("*.nc")), f"no case in {FIXTURES / layout}"


@cases
def test_the_shapes_are_those_that_were_recorded(path):
    recorded = json.loads((FIXTURES / "conformance.json").read_text())[f"{path.parent.name} {path.name}"]
    shape = max(recorded.values(), key=len)
    with open_trajectories(path) as trajectories:
        assert len(trajectories) == shape[0]
        assert trajectories.spec.shape == tuple(shape[-2:])
        assert trajectories.spec.steps == (1 if trajectories.spec.steady else shape[1])


@cases
def test_every_stored_field_is_read_as_h5py_reads_it(path):
    task = TASKS[path.stem]
    with open_trajectories(path) as trajectories, h5py.File(path) as file:
        assert trajectories.spec.layout == path.parent.name
        assert trajectories.spec.task == path.stem
        for trajectory in range(len(trajectories)):
            fields = trajectories.read(trajectory)
            for field in task.fields:
                if field.spec.name not in trajectories.spec.names:
                    continue
                ours = fields[:, trajectories.spec.index([field.spec.name])[0]]
                np.testing.assert_array_equal(ours, np.broadcast_to(stored(file, field, trajectory, task), ours.shape))


def stored(file: h5py.File, field, trajectory: int, task) -> np.ndarray:
    """The values of a field as the layout defines them: (sample[, time][, channel], x, y)."""
    if not field.variable:
        return np.float32(field.value)
    values = file[field.variable][trajectory]
    has_channels = values.ndim == (3 if task.steady else 4)
    values = values[..., field.position, :, :] if has_channels else values
    return (values.swapaxes(-1, -2) if task.transposed else values) - np.float32(field.shift)


WELL = sorted((FIXTURES / "the_well").rglob("*.hdf5"))
AS_THEIR_CODE_READS_IT = FIXTURES / "the_well" / "dummy_as_xarray.nc"
VALID = FIXTURES / "the_well" / "datasets" / "dummy" / "data" / "train" / "dummy_valid.hdf5"
files_of_the_well = pytest.mark.parametrize("path", WELL, ids=lambda path: path.stem)


def test_there_are_files_of_the_well():
    assert VALID in WELL
    assert len(WELL) > 1


@files_of_the_well
def test_every_field_of_the_well_is_read_as_h5py_reads_it(path):
    with open_trajectories(path) as trajectories, h5py.File(path) as file:
        spec, count = trajectories.spec, int(file.attrs["n_trajectories"])
        assert (spec.layout, len(trajectories)) == ("the_well", count)
        assert spec.steps == file["dimensions/time"].shape[-1]
        found = 0
        for group in ("t0_fields", "t1_fields", "t2_fields"):
            for name in file[group].attrs["field_names"]:
                expected = np.moveaxis(whole(file[f"{group}/{name}"], spec.shape, count, spec.steps), -1, 2)
                own = [field.name for field in spec.fields if field.group == name]
                found += len(own)
                for i in range(count):
                    np.testing.assert_array_equal(trajectories.read(i, channels=own), expected[i])
        assert found == len(spec.names) > 0


def test_channels_windows_and_boundaries_are_those_of_the_published_class():
    recorded = json.loads((FIXTURES / "conformance.json").read_text())["WellDataset"]
    names, constant = ({int(k): v for k, v in literal_eval(recorded[key]).items()} for key in ("names", "const"))
    with open_trajectories(VALID) as trajectories:
        spec = trajectories.spec
        assert spec.targets == tuple(name for order in range(3) for name in names[order])
        assert spec.names[len(spec.targets) :] == tuple(name for order in range(3) for name in constant[order])
        assert (*spec.shape, len(spec.targets)) == tuple(recorded["input_fields"][1:])
        assert (*spec.shape, len(spec.names) - len(spec.targets)) == tuple(recorded["constant_fields"])
        codes = [[BOUNDARIES.index(end) for end in ends] for ends in spec.faces]
        assert codes == recorded["bc"]
        assert len(trajectories) * len(Windows(3, spec.steps)) == recorded["len"]
        assert len(spec.scalars) == recorded["constant_scalars"][0] + recorded["input_scalars"][1]


def test_values_are_those_of_the_published_export():
    with open_trajectories(VALID) as trajectories, h5py.File(AS_THEIR_CODE_READS_IT) as exported:
        for i in range(len(trajectories)):
            for name in ("pressure", "topography", "profile"):
                ours = trajectories.read(i, channels=[name])[:, 0]
                np.testing.assert_array_equal(ours, np.broadcast_to(exported[name][i], ours.shape))
            ours = trajectories.read(i, channels=["velocity_x", "velocity_y"])
            np.testing.assert_array_equal(ours, np.moveaxis(exported["velocity"][i], -1, 1))
            ours = trajectories.read(i, channels=["stress_xx", "stress_xy", "stress_yx", "stress_yy"])
            np.testing.assert_array_equal(ours, np.moveaxis(exported["stress"][i].reshape(12, 16, 24, 4), -1, 1))
            np.testing.assert_array_equal(trajectories.times(i), exported["time"][...])
            np.testing.assert_array_equal(trajectories.coordinates(i)["y"], exported["y"][...])
            scalars = trajectories.scalars(np.full(12, i), np.arange(12))
            np.testing.assert_array_equal(scalars["forcing"], exported["forcing"][i])
            # 1e-7: the export takes the attribute, in double precision, where the file has a scalar in single.
            np.testing.assert_allclose(scalars["nu"], exported["nu"][i], rtol=1e-7)


def test_the_example_file_of_the_publishers_has_the_boundaries_that_it_names():
    # Its periodic masks mark nothing, so that their own reader finds open ends.
    with open_trajectories(FIXTURES / "the_well" / "dummy_from_their_writer.hdf5") as trajectories:
        assert trajectories.spec.faces == (("periodic", "periodic"),) * 2
        assert trajectories.spec.scalars == ("a", "b", "time_varying_scalar")
        assert trajectories.spec.targets == ("field_x", "field_y")


PDEBENCH = sorted(path for path in (FIXTURES / "pdebench").iterdir() if path.suffix in (".h5", ".hdf5"))
files_of_pdebench = pytest.mark.parametrize("path", PDEBENCH, ids=lambda path: path.name)


def test_there_are_files_of_every_layout_of_pdebench():
    with contextlib.ExitStack() as stack:
        found = {recognise_pdebench(stack.enter_context(h5py.File(path))) for path in PDEBENCH}
    assert found == {"scalar", "darcy", "fluid", "groups", "incompressible"}


@files_of_pdebench
def test_shapes_and_channels_of_pdebench_are_those_of_its_own_reader(path):
    recorded = json.loads((FIXTURES / "conformance.json").read_text())[path.name]
    with open_trajectories(path) as trajectories:
        spec = trajectories.spec
        assert spec.layout == "pdebench"
        if isinstance(recorded, str):  # their reader fails on this file
            return
        *space, steps, channels = recorded["y"]
        assert spec.shape == tuple(space)
        if spec.steady:  # their reader takes permeability and solution for two steps
            assert (spec.steps, len(spec.inputs) + len(spec.targets)) == (1, steps)
        else:
            assert (spec.steps, len(spec.names)) == (steps, channels)


@files_of_pdebench
def test_every_field_and_coordinate_of_pdebench_is_read_as_h5py_reads_it(path):
    with open_trajectories(path) as trajectories, h5py.File(path) as file:
        spec = trajectories.spec
        for i in range(len(trajectories)):
            expected = as_stored(file, i, spec)
            assert set(expected) == set(spec.names)
            for name, values in expected.items():
                ours = trajectories.read(i, channels=[name])[:, 0]
                np.testing.assert_array_equal(ours, np.broadcast_to(values[: spec.steps], ours.shape))
        grouped = f"{min(file)}/grid" in file
        grid, suffix = (file[f"{min(file)}/grid"], "") if grouped else (file, "-coordinate")
        for axis, values in spec.coordinates.items():
            if f"{axis}{suffix}" in grid:
                np.testing.assert_array_equal(values, grid[f"{axis}{suffix}"][()])
        if "t" + suffix in grid:
            np.testing.assert_array_equal(spec.times, grid["t" + suffix][: spec.steps])


def as_stored(file: h5py.File, i: int, spec) -> dict[str, np.ndarray]:
    """The values of every channel of one trajectory as the layout defines them, (time, *space)."""
    if "velocity" in file:
        parts = {name: file[name][i] for name in ("velocity", "particles", "force")}
        parts["force"] = parts["force"][None]
        names = {"velocity": ("velocity_x", "velocity_y"), "particles": ("particles",), "force": ("force_x", "force_y")}
        return {n: parts[key][..., c] for key, found in names.items() for c, n in enumerate(found)}
    if "nu" in file:
        return {"nu": file["nu"][i][None], "u": file["tensor"][i]}
    if "tensor" in file:
        return {"u": file["tensor"][i]}
    if "density" in file:
        return {name: file[name][i] for name in file if name in ("density", "pressure", "Vx", "Vy", "Vz")}
    data = file[sorted(file)[i]]["data"]
    return {name: data[..., c] for c, name in enumerate(spec.names)}


@pytest.mark.parametrize(
    ("pattern", "task", "names", "boundary"),
    [
        ("1D_Advection*", "advection", ("u",), "periodic"),
        ("1D_Burgers*", "burgers", ("u",), "periodic"),
        ("ReacDiff*", "reaction-diffusion", ("u",), "periodic"),
        ("1D_CFD*", "compressible-navier-stokes", ("density", "pressure", "Vx"), "periodic"),
        ("2D_CFD*", "compressible-navier-stokes", ("density", "pressure", "Vx", "Vy"), "periodic"),
        ("3D_CFD*", "compressible-navier-stokes", ("density", "pressure", "Vx", "Vy", "Vz"), "periodic"),
        ("2D_DarcyFlow*", "darcy", ("nu", "u"), "wall"),
        ("1D_diff-sorp*", "diffusion-sorption", ("u",), "wall"),
        ("2D_diff-react*", "diffusion-reaction", ("u", "v"), "wall"),
        ("2D_rdb*", "shallow-water", ("h",), "open"),
        ("ns_incom*", "incompressible-navier-stokes", ("velocity_x", "velocity_y", "particles"), "wall"),
    ],
)
def test_tasks_channels_and_boundaries_of_pdebench(pattern, task, names, boundary):
    paths = list((FIXTURES / "pdebench").glob(pattern))
    assert paths
    for path in paths:
        with open_trajectories(path) as trajectories:
            spec = trajectories.spec
            assert (spec.task, spec.names[: len(names)]) == (task, names)
            assert set(spec.boundary) == {boundary}
