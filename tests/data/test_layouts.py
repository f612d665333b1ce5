"""What open_trajectories makes of published, generated and own files."""

import h5py
import numpy as np
import pytest
import xarray as xr

from sciml.data import open_trajectories
from sciml.data.published import TASKS
from sciml.errors import ConfigError, DataError, LayoutError
from tests.data.numbers import numbered

EVOLVING = ("sample", "time", "channel", "x", "y")
FLUID_MEAN, FLUID_STD = (0.80, 0.0, 0.0, 0.0), (0.31, 0.391, 0.356, 0.185)


def statistics(spec, names=None):
    fields = spec.select(names or spec.names)
    return tuple(f.mean for f in fields), tuple(f.std for f in fields)


@pytest.mark.parametrize("task", ["NS-Sines", "NS-Gauss", "NS-BB", "NS-PwC", "NS-SVS"])
def test_incompressible_flow_gets_density_one_and_a_masked_pressure_zero(official, task):
    velocity = numbered(2, 21, 3, 4, 5)
    trajectories = open_trajectories(official(f"{task}.nc", velocity=(EVOLVING, velocity)))
    spec = trajectories.spec
    assert spec.names == ("rho", "u", "v", "p", "tracer")
    assert spec.inputs == spec.targets == ("rho", "u", "v", "p")
    assert [f.name for f in spec.fields if f.masked] == ["p"]
    assert [f.name for f in spec.fields if not f.observed] == ["rho", "p"]
    assert (spec.time_scale, spec.steps, spec.shape, spec.boundary) == (20.0, 21, (4, 5), ("periodic", "periodic"))
    assert (spec.validation, spec.test) == (120, 240)
    assert statistics(spec, spec.inputs) == (FLUID_MEAN, FLUID_STD)
    fields = trajectories.read(1, 3, 7)
    np.testing.assert_array_equal(fields[:, [1, 2, 4]], velocity[1, 3:7])
    assert (fields[:, 0] == 1).all()
    assert (fields[:, 3] == 0).all()


def test_two_velocity_channels_have_no_tracer(official):
    spec = open_trajectories(official("NS-PwC.nc", velocity=(EVOLVING, numbered(2, 21, 2, 4, 4)))).spec
    assert spec.names == ("rho", "u", "v", "p")


def test_the_tracer_task_reads_the_same_file_with_the_tracer_among_inputs_and_targets(official):
    path = official("NS-PwC.nc", velocity=(EVOLVING, numbered(2, 21, 3, 4, 4)))
    spec = open_trajectories(path, task="NS-Tracer-PwC").spec
    assert spec.inputs == spec.targets == ("rho", "u", "v", "p", "tracer")
    assert statistics(spec, ["tracer"]) == ((0.19586183,), (0.37,))


def test_the_tracer_task_needs_a_tracer(official):
    path = official("NS-PwC.nc", velocity=(EVOLVING, numbered(2, 21, 2, 4, 4)))
    with pytest.raises(LayoutError, match="has 2 channels, but tracer is channel 2"):
        open_trajectories(path, task="NS-Tracer-PwC")


def test_the_shear_layer_is_transposed(official):
    velocity = numbered(2, 21, 2, 4, 6)
    trajectories = open_trajectories(official("NS-SL.nc", velocity=(EVOLVING, velocity)))
    assert trajectories.spec.shape == (6, 4)
    np.testing.assert_array_equal(trajectories.read(1)[:, 1:3], velocity[1].swapaxes(-1, -2))


@pytest.mark.parametrize(
    ("task", "mean_pressure"),
    [("CE-RP", 0.215), ("CE-CRP", 0.553), ("CE-KH", 1.0), ("CE-Gauss", 2.513), ("CE-RPUI", 1.33)],
)
def test_euler_pressure_is_relative_to_the_published_mean(official, task, mean_pressure):
    data = numbered(2, 21, 5, 4, 4) / 100
    trajectories = open_trajectories(official(f"{task}.nc", data=(EVOLVING, data)))
    assert trajectories.spec.names == ("rho", "u", "v", "p")  # the energy is not used
    assert statistics(trajectories.spec) == (FLUID_MEAN, FLUID_STD)
    fields = trajectories.read(1)
    np.testing.assert_array_equal(fields[:, :3], data[1, :, :3])
    np.testing.assert_array_equal(fields[:, 3], data[1, :, 3] - np.float32(mean_pressure))


def test_richtmyer_meshkov_keeps_its_pressure(official):
    solution = numbered(2, 21, 5, 4, 4)
    trajectories = open_trajectories(official("CE-RM.nc", solution=(EVOLVING, solution)))
    np.testing.assert_array_equal(trajectories.read(0), solution[0, :, :4])
    assert trajectories.spec.times[-1] == pytest.approx(2.0)
    assert (trajectories.spec.validation, trajectories.spec.test) == (100, 130)


def test_rayleigh_taylor_takes_the_potential_from_channel_five(official):
    solution = numbered(2, 11, 6, 4, 4)
    trajectories = open_trajectories(official("GCE-RT.nc", solution=(EVOLVING, solution)))
    assert trajectories.spec.names == ("rho", "u", "v", "p", "phi")
    assert trajectories.spec.time_scale == 10.0
    np.testing.assert_array_equal(trajectories.read(1), solution[1][:, [0, 1, 2, 3, 5]])


def test_kolmogorov_flow_gets_its_forcing(official):
    solution = numbered(2, 21, 2, 5, 5)
    trajectories = open_trajectories(official("FNS-KF.nc", solution=(EVOLVING, solution)))
    assert trajectories.spec.names == trajectories.spec.targets == ("rho", "u", "v", "p", "g")
    fields = trajectories.read(1)
    np.testing.assert_array_equal(fields[:, 1:3], solution[1])
    # g = 0.1 sin 2 pi (x + y) on five points with the ends: quarter turns, so that the sines are 0, 1, 0, -1, 0.
    quarter = np.array([0, 1, 0, -1])
    expected = 0.1 * quarter[(np.arange(5)[:, None] + np.arange(5)) % 4]
    # 1e-7: the argument reaches 4 pi, where float64 sines are off by 1e-15, and the result is rounded to float32.
    np.testing.assert_allclose(fields[0, 4], expected, atol=1e-7)
    g = trajectories.spec.select(["g"])[0]
    assert (g.mean, g.std) == (-1.2996679288335145e-09, 0.0707106739282608)


@pytest.mark.parametrize(("task", "steps", "scale"), [("Wave-Layer", 21, 20.0), ("Wave-Gauss", 16, 15.0)])
def test_the_wave_speed_accompanies_every_step(official, task, steps, scale):
    solution, speed = numbered(3, steps, 4, 4), -numbered(3, 4, 4)
    path = official(f"{task}.nc", solution=(("sample", "time", "x", "y"), solution), c=(("sample", "x", "y"), speed))
    trajectories = open_trajectories(path)
    assert trajectories.spec.names == trajectories.spec.targets == ("u", "c")
    assert (trajectories.spec.time_scale, trajectories.spec.boundary[0]) == (scale, "open")
    fields = trajectories.read(2, 0, 3)
    np.testing.assert_array_equal(fields[:, 0], solution[2, :3])
    np.testing.assert_array_equal(fields[:, 1], np.broadcast_to(speed[2], (3, 4, 4)))


def test_variables_of_different_byte_order_are_read_right(official):
    solution, speed = numbered(3, 21, 4, 4), -numbered(3, 4, 4)
    variables = {"solution": (("sample", "time", "x", "y"), solution.astype(">f4"))}
    path = official("Wave-Layer.nc", **variables, c=(("sample", "x", "y"), speed.astype("<f8")))
    trajectories = open_trajectories(path)
    assert not trajectories.direct
    np.testing.assert_array_equal(trajectories.read(2)[:, 0], solution[2])
    np.testing.assert_array_equal(trajectories.read(2)[4, 1], speed[2])


@pytest.mark.parametrize("variable", ["solution", "c", "time"])
def test_a_published_file_that_is_not_wholly_there_is_refused(official, variable):
    fields = {"solution": (("sample", "time", "x", "y"), numbered(3, 21, 4, 4))}
    path = official("Wave-Layer.nc", **fields, c=(("sample", "x", "y"), numbered(3, 4, 4)))
    with h5py.File(path, "r+") as file:
        old = file[variable]
        shape, scales = old.shape, [axis[0] for axis in old.dims] if variable != "time" else []
        if variable == "time":
            file["solution"].dims[1].detach_scale(old)
        del file[variable]
        begun = file.create_dataset(variable, shape, "<f4", chunks=(1, *shape[1:]))
        if variable == "time":
            begun.make_scale("time")
            file["solution"].dims[1].attach_scale(begun)
        else:
            begun[1:] = 1.0
        for axis, scale in zip(begun.dims, scales, strict=False):
            axis.attach_scale(scale)
    with pytest.raises(LayoutError, match=rf"\d+ chunk\(s\) of /{variable} were never written"):
        open_trajectories(path)


def test_allen_cahn_has_no_channel_axis(official):
    solution = numbered(2, 20, 4, 4)
    trajectories = open_trajectories(official("ACE.nc", solution=(("sample", "time", "x", "y"), solution)))
    assert (trajectories.spec.names, trajectories.spec.time_scale) == (("u",), 19.0)
    np.testing.assert_array_equal(trajectories.read(1)[:, 0], solution[1])


def test_poisson_maps_source_to_solution(official):
    axes = ("sample", "x", "y")
    source, solution = numbered(3, 4, 4), -numbered(3, 4, 4)
    trajectories = open_trajectories(official("Poisson-Gauss.nc", source=(axes, source), solution=(axes, solution)))
    assert trajectories.spec.steady
    assert (trajectories.spec.inputs, trajectories.spec.targets) == (("source",), ("solution",))
    np.testing.assert_array_equal(trajectories.read(2), np.stack([source[2], solution[2]])[None])


def test_the_airfoil_has_a_body(official):
    solution = numbered(3, 2, 4, 4)
    trajectories = open_trajectories(official("SE-AF.nc", solution=(("sample", "channel", "x", "y"), solution)))
    spec = trajectories.spec
    assert spec.steady
    assert (spec.inputs, spec.targets, spec.solid) == (("shape",), ("rho",), "shape")
    assert statistics(spec) == ((0.0, 0.92984116), (1.0, 0.10864315))
    np.testing.assert_array_equal(trajectories.read(1)[0], solution[1])


def test_the_body_of_a_generated_airfoil_stays_zero_and_one(tmp_path):
    solution = xr.DataArray(numbered(3, 2, 4, 4), dims=("sample", "channel", "x", "y"))
    solution.attrs.update(mean=[0.1, 0.9], std=[0.3, 0.2])
    xr.Dataset({"solution": solution}, attrs={"replica": 1}).to_netcdf(tmp_path / "SE-AF.nc", engine="h5netcdf")
    assert statistics(open_trajectories(tmp_path / "SE-AF.nc").spec) == ((0.0, 0.9), (1.0, 0.2))


def test_every_published_task_has_statistics_and_known_channels():
    for task in TASKS.values():
        names = {f.spec.name for f in task.fields}
        assert {*task.inputs, *task.targets} <= names
        assert all(f.spec.std > 0 and f.spec.mean is not None for f in task.fields)


def test_a_renamed_file_of_unknown_task_is_known_by_its_variables_but_has_no_statistics(official):
    spec = open_trajectories(official("download.nc", velocity=(EVOLVING, numbered(2, 6, 2, 4, 4)))).spec
    assert (spec.task, spec.names, spec.time_scale) == ("", ("rho", "u", "v", "p"), 5.0)
    assert statistics(spec, ["u", "v"]) == ((None, None), (None, None))
    assert statistics(spec, ["rho", "p"]) == ((0.80, 0.0), (0.31, 0.185))  # made up, whatever the file


def test_the_task_argument_tells_what_a_renamed_file_is(official):
    path = official("download.nc", data=(EVOLVING, numbered(2, 21, 5, 4, 4)))
    assert open_trajectories(path, task="CE-KH").spec.task == "CE-KH"
    assert open_trajectories(path).spec.task == ""


def test_an_unknown_task_is_answered_with_the_known_ones(official):
    path = official("download.nc", data=(EVOLVING, numbered(2, 21, 5, 4, 4)))
    with pytest.raises(ConfigError, match=r"'CE-HK' is not published; the known ones are .*CE-KH"):
        open_trajectories(path, task="CE-HK")


def test_a_task_with_other_variables_says_what_is_missing(official):
    path = official("download.nc", data=(EVOLVING, numbered(2, 21, 5, 4, 4)))
    with pytest.raises(LayoutError, match=r"data \(2, 21, 5, 4, 4\) float32.*'velocity' is missing"):
        open_trajectories(path, task="NS-PwC")


def test_a_variable_of_the_wrong_shape_is_refused(official):
    path = official("NS-PwC.nc", velocity=(("x", "y"), numbered(4, 4)))
    with pytest.raises(LayoutError, match=r"shape \(4, 4\), expected \(sample, time\[, channel\], x, y\)"):
        open_trajectories(path)


def test_a_generated_file_keeps_its_own_statistics_and_pressure(replica):
    frames = np.random.default_rng(0).normal(3.0, 2.0, (4, 6, 4, 5, 5)).astype(np.float32)
    path = replica("any name.nc", frames, task="CE-RP", variable="data", channels=("rho", "u", "v", "p"))
    trajectories = open_trajectories(path)
    spec = trajectories.spec
    assert spec.replica
    assert (spec.task, spec.validation, spec.test) == ("CE-RP", None, None)
    np.testing.assert_array_equal(trajectories.read(2), frames[2])  # the pressure is not shifted
    mean, std = statistics(spec)
    # 1e-12: both are float64 sums of the same 600 numbers, in another order.
    np.testing.assert_allclose(mean, frames.mean((0, 1, 3, 4), dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(std, frames.std((0, 1, 3, 4), dtype=np.float64), rtol=1e-12)


def test_a_generated_shear_layer_is_transposed_too_and_knows_its_grid(replica):
    frames = numbered(2, 6, 2, 4, 8)
    trajectories = open_trajectories(replica("sl.nc", frames, task="NS-SL"))
    np.testing.assert_array_equal(trajectories.read(1)[:, 1:3], frames[1].swapaxes(-1, -2))
    np.testing.assert_array_equal(trajectories.spec.coordinates["x"], np.arange(8) / 8)
    np.testing.assert_array_equal(trajectories.spec.coordinates["y"], np.arange(4) / 4)


def test_lead_time_one_is_the_published_horizon_at_any_number_of_frames(replica):
    assert open_trajectories(replica("coarse.nc", numbered(2, 11, 2, 4, 4))).spec.time_scale == 10.0
    assert open_trajectories(replica("fine.nc", numbered(2, 21, 2, 4, 4))).spec.time_scale == 20.0


def test_a_generated_file_says_which_task_it_is_and_nobody_can_talk_it_into_another(replica):
    path = replica("NS-Sines.nc", numbered(2, 6, 3, 4, 4), task="NS-PwC")
    assert open_trajectories(path).spec.task == "NS-PwC"
    assert open_trajectories(path, task="NS-Tracer-PwC").spec.inputs[-1] == "tracer"
    with pytest.raises(ConfigError, match="says that its task is 'NS-PwC', but 'NS-Sines' was asked for"):
        open_trajectories(path, task="NS-Sines")


def test_an_own_netcdf_file_brings_its_names_times_and_coordinates(tmp_path):
    values = numbered(3, 5, 2, 4, 6)
    xr.Dataset(
        {"flow": (("run", "t", "component", "lon", "lat"), values)},
        coords={"component": ["wind", "heat"], "t": np.linspace(0, 2, 5), "lon": np.arange(4.0), "lat": np.arange(6.0)},
        attrs={"boundary": "periodic wall"},
    ).to_netcdf(tmp_path / "own.nc", engine="h5netcdf")
    trajectories = open_trajectories(tmp_path / "own.nc")
    spec = trajectories.spec
    assert (len(trajectories), spec.layout, spec.names) == (3, "arrays", ("wind", "heat"))
    assert (spec.steps, spec.time_scale, spec.boundary) == (5, 4.0, ("periodic", "wall"))
    assert list(spec.coordinates) == ["lon", "lat"]
    np.testing.assert_array_equal(spec.times, np.linspace(0, 2, 5))
    np.testing.assert_array_equal(trajectories.read(1), values[1])


def test_channel_names_of_an_own_file_win_over_the_variable_name(tmp_path):
    xr.Dataset({"data": (EVOLVING, numbered(2, 5, 4, 4, 4))}, coords={"channel": ["a", "b", "c", "d"]}).to_netcdf(
        tmp_path / "own.nc", engine="h5netcdf"
    )
    assert open_trajectories(tmp_path / "own.nc").spec.names == ("a", "b", "c", "d")


def test_an_own_hdf5_file_names_its_channels_by_an_attribute(hdf5):
    path = hdf5(numbered(2, 5, 3, 4, 4))
    assert open_trajectories(path).spec.names == ("channel_0", "channel_1", "channel_2")
    with h5py.File(path, "r+") as file:
        file["fields"].attrs["channels"] = ["u", "v", "theta"]
    spec = open_trajectories(path).spec
    assert spec.names == ("u", "v", "theta")
    assert [f.group for f in spec.fields] == ["velocity", "velocity", "theta"]


def test_an_own_file_without_channel_axis_is_named_by_its_variable(hdf5):
    values = numbered(2, 5, 4, 4)
    trajectories = open_trajectories(hdf5(values, variable="height"))
    assert trajectories.spec.names == ("height",)
    np.testing.assert_array_equal(trajectories.read(1)[:, 0], values[1])


def test_too_few_channel_names_are_refused(hdf5):
    path = hdf5(numbered(2, 5, 3, 4, 4))
    with h5py.File(path, "r+") as file:
        file["fields"].attrs["channels"] = ["u", "v"]
    with pytest.raises(LayoutError, match="has 3 channels, but they are named u, v"):
        open_trajectories(path)


def test_a_file_that_fits_nothing_is_answered_with_what_is_in_it(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["group/table"] = np.zeros((3, 4))
        file["counts"] = np.zeros(3, int)
    expected = r"counts \(3,\) int64, group/table \(3, 4\) float64; expected one float variable of shape \(sample, time"
    with pytest.raises(LayoutError, match=expected):
        open_trajectories(tmp_path / "other.h5")


def test_a_channel_that_is_not_there_is_named(hdf5):
    trajectories = open_trajectories(hdf5(numbered(2, 5, 3, 4, 4)))
    with pytest.raises(ConfigError, match="channel 'pressure' is not in the file; it has channel_0, channel_1"):
        trajectories.read(0, channels=["pressure"])


def test_a_step_beyond_the_end_is_an_error_not_a_shorter_answer(hdf5):
    trajectories = open_trajectories(hdf5(numbered(2, 5, 3, 4, 4)))
    with pytest.raises(DataError, match="no step 5: it has 5"):
        trajectories.read(0, 0, 6)
