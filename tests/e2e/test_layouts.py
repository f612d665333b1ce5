"""``train.py`` trains on a file of every layout by naming its path and channels."""

import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray
from omegaconf import open_dict

import train as application
from sciml.errors import ConfigError
from tests.e2e.conftest import ROOT
from tests.e2e.test_configs import compose

FORMATS = ROOT / "tests/fixtures/formats"

# ``debug=fast`` sets numbers of trajectories aside; these files are smaller still.
SMALL = (
    "debug=fast",
    "data=file",
    "data.validation=null",
    "data.test=null",
    "trainer.max_steps=2",
    "trainer.accelerator=cpu",
    "logger=csv",
    "callbacks.report=null",
    "callbacks.progress=null",
    "+trainer.enable_progress_bar=false",
)

PLANE = {
    "poseidon": ("poseidon/CE-RP.nc", "rho,u,v,p", "7 strides"),
    "poseidon, made-up pressure": ("poseidon/NS-Sines.nc", "rho,u,v,p", "7 strides"),
    "poseidon, no channel axis": ("poseidon/ACE.nc", "u", "7 strides"),
    "pdebench fluid": (
        "pdebench/2D_CFD_Rand_M0.1_Eta0.01_Zeta0.01_periodic_128_Train.hdf5",
        "density,Vx,Vy,pressure",
        "3 strides",
    ),
    "pdebench groups": ("pdebench/2D_diff-react_NA_NA.h5", "u,v", "2 strides"),
    "pdebench groups with gaps": ("pdebench/2D_rdb_NA_NA.h5", "h", "2 strides"),
    "the well": ("the_well/dummy_from_their_writer.hdf5", "field_x,field_y", "4 strides"),
    "the well, a folder": ("the_well/datasets/dummy", "pressure,velocity_x,velocity_y", "5 strides"),
}


@pytest.fixture
def folder_of_two(tmp_path):
    """A file with two trajectories is published as one of many: two such files."""

    def copy(name):
        folder = tmp_path / "files"
        folder.mkdir()
        for number in range(2):
            shutil.copy(FORMATS / name, folder / f"part-{number}{(FORMATS / name).suffix}")
        return folder

    return copy


def trained(path, *settings):
    """Run in this process, which saves the seconds that a new one takes to start."""
    config = compose(*SMALL, f"data.path={path}", *settings)
    with open_dict(config):
        del config.hydra  # which the application gets apart from its configuration
    application.run(config)
    assert Path("run/metrics.csv").is_file()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("layout", PLANE)
def test_a_file_of_every_layout_is_trained_on(layout, folder_of_two, capsys):
    name, channels, strides = PLANE[layout]
    path = folder_of_two(name) if name == "the_well/dummy_from_their_writer.hdf5" else FORMATS / name
    trained(path, f"data.channels=[{channels}]")
    out = capsys.readouterr().out
    assert f"{channels.replace(',', ', ')} -> {channels.replace(',', ', ')}" in out
    assert strides in out


def save_npy(path, values):
    np.save(path / "runs.npy", values)  # in the usual order of axes, which need not be named
    return path / "runs.npy", "channel_0,channel_1"


def save_npz(path, values):
    np.savez(path / "runs.npz", flow=values)
    return path / "runs.npz", "u,v"


def save_h5(path, values):
    with h5py.File(path / "runs.h5", "w") as file:
        file["results/flow"] = np.moveaxis(values, 2, -1)
    return path / "runs.h5", "u,v"


def save_zarr(path, values):
    pytest.importorskip("zarr", reason="zarr is optional").save(str(path / "runs.zarr"), flow=values)
    return path / "runs.zarr", "u,v"


MAPPING = {
    "runs.npz": "axes: sample time channel x y\nchannels: [u, v]\n",
    "runs.h5": "axes: {results/flow: sample time x y channel}\nchannels: [u, v]\n",
    "runs.zarr": "axes: {flow: sample time channel x y}\nchannels: [u, v]\n",
}


@pytest.mark.parametrize("save", [save_npy, save_npz, save_h5, save_zarr])
def test_arrays_of_your_own_are_trained_on(save, tmp_path, capsys):
    path, channels = save(tmp_path, np.random.default_rng(0).normal(size=(6, 5, 2, 16, 16)).astype("f4"))
    if path.name in MAPPING:
        path.with_name(f"{path.name}.yaml").write_text(MAPPING[path.name])
    trained(path, f"data.channels=[{channels}]")
    assert f"{channels.replace(',', ', ')} -> {channels.replace(',', ', ')}" in capsys.readouterr().out


def test_the_parts_of_a_download_are_trained_on_as_they_are(tmp_path, capsys):
    folder = tmp_path / "NS-PwC"
    folder.mkdir()
    for number in (0, 1, 10, 2):
        velocity = np.random.default_rng(number).normal(size=(2, 21, 3, 16, 16)).astype("f4")
        axes = ("sample", "time", "channel", "x", "y")
        xarray.Dataset({"velocity": (axes, velocity)}).to_netcdf(folder / f"velocity_{number}.nc", engine="h5netcdf")
    trained(folder, "data.channels=[rho,u,v,p]")
    assert "rho, u, v, p -> rho, u, v, p" in capsys.readouterr().out


def test_the_published_helmholtz_file_is_trained_on(tmp_path, capsys):
    values = np.random.default_rng(0).normal(size=(6, 2, 16, 16))
    with h5py.File(tmp_path / "Helmholtz.h5", "w") as file:
        for i, (a, u) in enumerate(values):
            group = file.create_group(f"Sample_{i}")
            group["a"], group["u"], group["bc"] = a, u, 0.3
    trained(tmp_path / "Helmholtz.h5", "data.channels_in=[a,bc]", "data.channels_out=[u]")
    assert "a, bc -> u" in capsys.readouterr().out


def test_a_force_is_read_and_not_predicted(folder_of_two, capsys):
    path = folder_of_two("pdebench/ns_incom_inhom_2d_512-0.h5")
    channels = ("data.channels_in=[velocity_x,velocity_y,force_x,force_y]", "data.channels_out=[velocity_x,velocity_y]")
    trained(path, *channels)
    assert "velocity_x, velocity_y, force_x, force_y -> velocity_x, velocity_y" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "source", "solution"),
    [
        ("poseidon/Poisson-Gauss.nc", "source", "solution"),
        ("pdebench/2D_DarcyFlow_beta1.0_Train.hdf5", "nu", "u"),
    ],
)
def test_a_steady_problem_goes_from_source_to_solution(name, source, solution, capsys):
    trained(FORMATS / name, f"data.channels_in=[{source}]", f"data.channels_out=[{solution}]")
    assert f"{source} -> {solution}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "channels", "message"),
    [
        ("pdebench/1D_Burgers_Sols_Nu0.01.hdf5", "u", "1 spatial axes (64,); scOT works on 2"),
        (
            "pdebench/3D_CFD_Rand_M1.0_Eta1e-08_Zeta1e-08_periodic_Train.hdf5",
            "density,pressure",
            "3 spatial axes (16, 16, 16); scOT works on 2",
        ),
    ],
)
def test_other_dimensions_give_one_line_that_says_what_the_network_takes(name, channels, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        trained(FORMATS / name, f"data.channels=[{channels}]")


def test_a_mixture_of_files_with_different_channels_is_trained_on_and_tested_file_by_file(capsys):
    from sciml.pde.generate import generate

    recipe = {"trajectories": 6, "resolution": 16, "progress": False}
    plain = generate("NS-PwC", "plain.nc", tracer=False, **recipe)
    tracer = generate("NS-Sines", "tracer.nc", tracer=True, **recipe)
    paths = [f"data.parts.decaying.path={plain}", f"data.parts.tracer.path={tracer}"]
    config = compose(*(s for s in SMALL if s != "data=file" and "report" not in s), "data=mixture", *paths)
    with open_dict(config):
        del config.hydra
    application.run(config)
    out = capsys.readouterr().out
    assert re.search(r"decaying: Median relative L1 error of velocity at t = 0.7", out)
    assert re.search(r"tracer: Median relative L1 error of velocity and tracer at t = 0.7", out)
    header = Path("run/metrics.csv").read_text().splitlines()[0]
    assert {"val/error", "val/error/decaying", "val/error/tracer", "test/tracer/direct"} <= set(header.split(","))
    page = Path("run/report.html").read_text()
    assert "decaying: Forecasts" in page
    assert "tracer: Error against lead time" in page
