"""``train.py`` trains on a file of every layout by naming its path and channels."""

import shutil

import pytest

from tests.e2e.conftest import ROOT, train

FORMATS = ROOT / "tests/fixtures/formats"

# ``debug=fast`` sets numbers of trajectories aside; these files are smaller still.
SMALL = ("data=file", "data.validation=null", "data.test=null", "trainer.max_steps=2")

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


def trained(folder, path, *settings):
    result = train(folder, *SMALL, f"data.path={path}", *settings)
    assert result.code == 0, result.out
    assert (result.runs[0] / "report.html").is_file()
    return result.out


@pytest.mark.parametrize("layout", PLANE)
def test_a_file_of_every_layout_is_trained_on(layout, tmp_path, folder_of_two):
    name, channels, strides = PLANE[layout]
    path = folder_of_two(name) if name == "the_well/dummy_from_their_writer.hdf5" else FORMATS / name
    out = trained(tmp_path, path, f"data.channels=[{channels}]")
    assert f"{channels.replace(',', ', ')} -> {channels.replace(',', ', ')}" in out
    assert strides in out


def test_a_force_is_read_and_not_predicted(tmp_path, folder_of_two):
    path = folder_of_two("pdebench/ns_incom_inhom_2d_512-0.h5")
    channels = ("data.channels_in=[velocity_x,velocity_y,force_x,force_y]", "data.channels_out=[velocity_x,velocity_y]")
    out = trained(tmp_path, path, *channels)
    assert "velocity_x, velocity_y, force_x, force_y -> velocity_x, velocity_y" in out


@pytest.mark.parametrize(
    ("name", "source", "solution"),
    [
        ("poseidon/Poisson-Gauss.nc", "source", "solution"),
        ("pdebench/2D_DarcyFlow_beta1.0_Train.hdf5", "nu", "u"),
    ],
)
def test_a_steady_problem_goes_from_source_to_solution(name, source, solution, tmp_path):
    out = trained(tmp_path, FORMATS / name, f"data.channels_in=[{source}]", f"data.channels_out=[{solution}]")
    assert f"{source} -> {solution}" in out


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
def test_other_dimensions_give_one_line_that_says_what_the_network_takes(name, channels, message, tmp_path):
    result = train(tmp_path, *SMALL, f"data.path={FORMATS / name}", f"data.channels=[{channels}]")
    assert result.code == 1
    assert "Traceback" not in result.out
    assert message in result.out
