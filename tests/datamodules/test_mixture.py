import numpy as np
import pytest
import torch

from datamodules.mixture import MixtureData
from sciml.data import TrajectoryWriter
from sciml.errors import ConfigError


def written(path, channels, seed):
    frames = np.random.default_rng(seed).normal(seed, 2.0, (12, 5, len(channels), 8, 8)).astype(np.float32)
    axis = np.arange(8) / 8
    with TrajectoryWriter(
        path,
        task="mine",
        variable="solution",
        channels=channels,
        trajectories=12,
        times=np.linspace(0, 1, 5),
        coordinates={"x": axis, "y": axis},
        boundary=("periodic", "periodic"),
    ) as writer:
        writer.write(0, frames)
    return str(path)


@pytest.fixture
def parts(tmp_path):
    return {
        "flow": {"path": written(tmp_path / "flow.nc", ["u", "v"], 1)},
        "gas": {"path": written(tmp_path / "gas.nc", ["density", "u", "v"], 2), "rename": {"density": "rho"}},
    }


def opened(parts, **settings):
    data = MixtureData(parts, **{"batch_size": 8, "validation": 1, "test": 2, "stride": 1, **settings})
    data.prepare_data()
    data.setup("fit")
    return data


def test_channels_are_matched_by_name_and_what_a_file_lacks_is_masked(parts):
    data = opened(parts)
    assert [f.name for f in data.fields_in] == ["u", "v", "rho"]
    assert [f.name for f in data.fields_out] == ["u", "v", "rho"]
    batch = next(iter(data.train_dataloader()))
    flow = batch["dataset"] == 0
    assert set(batch["dataset"].tolist()) == {0, 1}
    assert batch["mask"][flow].tolist() == [[False, False, True]] * int(flow.sum())
    assert not batch["mask"][~flow].any()
    assert (batch["fields"][flow, 2] == 0).all()


def test_files_are_drawn_by_their_weights(parts):
    parts["flow"]["weight"], parts["gas"]["weight"] = 1, 3
    drawn = torch.cat([batch["dataset"] for batch in opened(parts).train_dataloader()])
    # 9 trajectories of 15 pairs in each file make an epoch of 270 samples; a quarter is 67.5.
    assert abs(int((drawn == 0).sum()) - 67.5) < 1
    assert len(drawn) == 270


def test_the_order_of_samples_goes_on_in_the_middle_of_an_epoch(parts):
    whole = [batch["fields"] for batch in opened(parts).train_dataloader()]
    loader = opened(parts).train_dataloader()
    loader.position = lambda: (0, 30)
    rest = [batch["fields"] for batch in loader]
    assert len(rest) == len(whole) - 30
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[30:], strict=True))


def test_every_file_is_forecast_on_its_own_in_its_units(parts):
    data = opened(parts)
    flow, gas = data.test_dataloader()
    batch = next(iter(gas))
    assert batch["targets"].shape == (2, 4, 3, 8, 8)
    assert batch["lead_times"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert not batch["mask"].any()
    file = data.files["gas"].source
    stored = np.stack([file.read(t, 1, channels=["u", "v", "density"]) for t in (10, 11)])
    decoded = data.parts["gas"].normaliser_out.decode(batch["targets"].flatten(0, 1))
    # float32 at values of 2 to 10
    torch.testing.assert_close(decoded, torch.from_numpy(stored).flatten(0, 1), rtol=1e-5, atol=1e-5)
    assert next(iter(flow))["mask"][:, :, 2].all()


def test_a_part_without_settings_is_left_out(parts):
    data = opened(parts | {"flow": None})
    assert list(data.parts) == ["gas"]
    assert [f.name for f in data.fields_out] == ["rho", "u", "v"]


def test_persistence_is_the_start_of_the_known_channels(parts):
    data = opened(parts)
    batch = next(iter(data.test_dataloader()[1]))
    persistence = data.parts["gas"].baselines(batch)["persistence"]
    assert torch.equal(persistence[:, 3], batch["fields"])


def test_a_file_that_lacks_a_channel_does_not_score_it(parts):
    part = opened(parts).parts["flow"]
    assert [f.observed for f in part.fields_out] == [True, True, False]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "data.parts is {}; a name, and a path for each name"),
        ({"a": {"weight": 1}}, "a path for each name, is expected"),
        ({"a": {"path": "a", "weight": 1}, "b": {"path": "b"}}, "the weights of a, b are [1, None]. Give every part"),
    ],
)
def test_parts_that_cannot_be_are_named(parts, message):
    with pytest.raises(ConfigError) as error:
        MixtureData(parts)
    assert message in str(error.value)
