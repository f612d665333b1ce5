import pytest

from datamodules.sst import SeaSurfaceTemperature

pytest.importorskip("iris_sample_data")

SETTINGS = {"channels_in": ["sst", "land"], "channels_out": ["sst"], "stride": 1, "start": 0}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("sst") / "sst.nc"


def opened(path, **settings):
    data = SeaSurfaceTemperature(str(path), **SETTINGS, **settings)
    data.prepare_data()
    data.setup("fit")
    return data


def test_the_file_is_made_once_and_its_parts_are_those_of_its_months(path):
    data = opened(path)
    assert [len(part) for part in (data.train_indices, data.validation_indices, data.test_indices)] == [33, 3, 9]
    assert data.forecast_times.tolist() == [1, 2, 3]
    stamp = path.stat().st_mtime_ns
    opened(path)
    assert path.stat().st_mtime_ns == stamp


def test_fewer_test_windows_do_not_give_the_others_to_training(path):
    data = opened(path, validation=1, test=2)
    assert [data.train_indices, data.validation_indices, data.test_indices] == [range(33), range(33, 34), range(36, 38)]


def test_land_is_masked_in_the_evaluation_too(path):
    batch = next(iter(opened(path).test_dataloader()))
    assert batch["mask"].shape == batch["targets"].shape
    # The land of a forecast is that of its input.
    assert (batch["mask"][:, 0, 0] == (batch["fields"][:, 1] == 1)).all()
    assert 0.1 < batch["mask"].float().mean() < 0.4  # a quarter of the tropics
