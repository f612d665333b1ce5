import h5py
import numpy as np
import pytest

from sciml.data import PairDataset, TrajectoryWriter, open_trajectories
from sciml.data.pairs import FixedInput
from sciml.data.sst import regrid, sample_file, write_sst
from sciml.errors import ConfigError, LayoutError

FILL = np.float32(1e20)
MONTHS, MONTH_OF_START = 30, 3  # the first month is April


@pytest.fixture
def source(tmp_path):
    """Months of 300 K + 1 K * month of the year + number of the month / 1000; three columns are land."""
    months = np.arange(MONTHS)
    values = 300 + (months + MONTH_OF_START) % 12 + months / 1000
    fields = np.broadcast_to(values[:, None, None], (MONTHS, 4, 12)).astype(np.float32).copy()
    fields[:, :, 3:6] = FILL
    with h5py.File(tmp_path / "source.nc", "w") as file:
        file["surface_temperature"] = fields
        file["surface_temperature"].attrs["_FillValue"] = np.array([FILL])
        file["time"] = (months + MONTH_OF_START + 0.5) * 365.2425 * 2
        file["latitude"] = np.linspace(-3.75, 3.75, 4)
        file["longitude"] = np.arange(12) * 30.0
    return tmp_path / "source.nc"


@pytest.fixture
def windows(source, tmp_path):
    arguments = {"size": (12, 4), "ahead": 2, "validation_months": 4, "test_months": 6}
    return open_trajectories(write_sst(tmp_path / "sst.nc", source=source, **arguments))


def months_of(windows, trajectory):
    """The months of a window, told by the temperatures at sea."""
    sst = windows.read(trajectory, channels=["sst"])[:, 0, 0, 0].astype(float)
    return np.rint((sst - np.floor(sst)) * 1000).astype(int).tolist()


def test_no_window_reaches_from_training_into_later_months(windows):
    # 20 training months make 18 windows of 3, 4 validation months 2, 6 test months 4.
    assert (len(windows), windows.spec.validation, windows.spec.test) == (24, 2, 4)
    found = [months_of(windows, k) for k in range(len(windows))]
    assert all(window == list(range(window[0], window[0] + 3)) for window in found)
    assert found[17][-1] == 19
    assert [found[18][0], found[19][-1]] == [20, 23]
    assert [found[20][0], found[23][-1]] == [24, 29]


def test_climatology_and_statistics_know_the_training_months_only(windows):
    # April to November come twice in 20 months, the others once.
    training = 300 + (np.arange(20) + MONTH_OF_START) % 12 + np.arange(20) / 1000
    last = windows.read(23, channels=["climatology"])[:, 0, 0, 0]
    # Months 27 to 29 are July to September; the training months of these names are 3 to 5 and 15 to 17.
    assert last == pytest.approx((training[3:6] + training[15:18]) / 2, abs=2e-5)  # float32 at 300
    field = windows.spec.fields[0]
    assert field.mean == pytest.approx(training.mean(), rel=1e-7)
    assert field.std == pytest.approx(training.std(), rel=1e-5)
    assert [f.unit for f in windows.spec.fields] == ["K", *["nondimensional"] * 3, "K"]


def test_land_is_masked_in_targets_and_has_the_mean_in_inputs(windows):
    dataset = PairDataset(windows, FixedInput(2), channels_in=["sst", "land"], channels_out=["sst"])
    batch = dataset.__getitems__([0, 5])
    land = np.zeros((12, 4), bool)
    land[3:6] = True
    assert (batch["mask"].numpy() == land).all()
    # The mean is 300 K in float32, its normalised value a rounding error.
    assert np.abs(batch["fields"][:, 0].numpy()[:, land]).max() < 1e-5
    assert batch["fields"][:, 0].numpy()[:, ~land] == pytest.approx(
        batch["fields"][:, 0].numpy()[:, :1, :1].repeat(36, 1).reshape(2, 36)
    )


def test_the_season_is_that_of_the_month(windows):
    cos, sin = windows.read(0, channels=["season_cos", "season_sin"])[:, :, 0, 0].T
    phase = 2 * np.pi * (MONTH_OF_START + np.arange(3)) / 12
    assert cos == pytest.approx(np.cos(phase), abs=1e-6)
    assert sin == pytest.approx(np.sin(phase), abs=1e-6)


def test_regridding_keeps_the_heat_of_the_sea():
    rng = np.random.default_rng(0)
    values, latitude = rng.normal(300, 2, (2, 18, 36)), np.linspace(-42.5, 42.5, 18)
    old_area = np.sin(np.radians(latitude + 2.5)) - np.sin(np.radians(latitude - 2.5))
    sst, x, y = regrid(values, np.ones_like(values, bool), np.arange(36) * 10.0, latitude, size=(16, 8))
    new_area = np.diff(np.sin(np.radians(np.linspace(-45, 45, 9))))
    assert sst.shape == (2, 16, 8)
    assert (len(x), len(y)) == (16, 8)
    before = (values * old_area[:, None]).sum((1, 2)) / (old_area.sum() * 36)
    after = (sst * new_area).sum((1, 2)) / (new_area.sum() * 16)
    assert after == pytest.approx(before, rel=1e-12)


def test_a_coast_takes_the_mean_of_its_sea_and_mostly_land_is_land():
    values = np.full((1, 2, 6), 1e20)
    values[0, :, :3] = [301.0, 303.0, 305.0]
    sst, _, _ = regrid(values, values < 1e10, np.arange(6) * 60.0, np.array([-1.0, 1.0]), size=(3, 2))
    assert sst[0, :2, 0] == pytest.approx([302.0, 305.0])
    assert np.isnan(sst[0, 2]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"ahead": 4}, "leave no window of 5 months"), ({"test_months": 15}, "do not hold every month of the year")],
)
def test_too_few_months_are_named(source, tmp_path, settings, message):
    arguments = {"ahead": 2, "validation_months": 4, "test_months": 6, **settings}
    with pytest.raises(ConfigError, match=message):
        write_sst(tmp_path / "sst.nc", source=source, size=(12, 4), **arguments)
    assert not (tmp_path / "sst.nc").exists()


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'not installed\. Install it with: pip install "sciml-kit\[examples\]"'):
        sample_file()


def test_the_package_holds_warm_water_and_the_continents(tmp_path):
    pytest.importorskip("iris_sample_data")
    windows = open_trajectories(write_sst(tmp_path / "sst.nc"))
    assert (len(windows), windows.spec.validation, windows.spec.test) == (45, 3, 9)
    assert windows.spec.shape == (128, 16)
    sst, land = windows.read(0, channels=["sst", "land"])[0]
    assert 293 < sst.min() < sst.max() < 305  # kelvin, the tropics
    longitude = windows.spec.coordinates["longitude"]
    assert land[np.abs(longitude - 25).argmin()].all()  # Congo
    assert not land[np.abs(longitude - 200).argmin()].any()  # the middle of the Pacific
    first_month = np.arctan2(*windows.read(0, channels=["season_sin", "season_cos"])[0, :, 0, 0]) * 6 / np.pi
    assert first_month == pytest.approx(3, abs=1e-5)  # April 2006


def test_units_that_do_not_fit_the_channels_are_named(tmp_path):
    with TrajectoryWriter(
        tmp_path / "mine.nc",
        task="mine",
        variable="solution",
        channels=["a", "b"],
        trajectories=1,
        times=[0.0, 1.0],
        coordinates={"x": np.arange(4.0), "y": np.arange(4.0)},
        boundary=("open", "open"),
        attributes={"channel_units": ["K", "m", "s"]},
    ) as writer:
        writer.write(0, np.ones((1, 2, 2, 4, 4), np.float32))
    with pytest.raises(LayoutError, match="has the units K, m, s for 2 channels"):
        open_trajectories(tmp_path / "mine.nc")
