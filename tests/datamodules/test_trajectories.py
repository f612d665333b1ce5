import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from datamodules.loading import position
from datamodules.trajectories import TrajectoryData
from sciml.errors import ConfigError, SciMLError
from tests.flows import write_flows


@pytest.fixture
def path(tmp_path):
    return write_flows(tmp_path / "NS-PwC.nc", trajectories=20)


def opened(path, **settings):
    data = TrajectoryData(str(path), **{"channels": ["u", "v"], "batch_size": 8, **settings})
    data.prepare_data()
    data.setup("fit")
    return data


def test_splits_are_cut_from_the_end_and_training_from_the_start(path):
    data = opened(path, validation=3, test=4, trajectories=5)
    assert data.train_indices == range(5)
    assert data.validation_indices == range(13, 16)
    assert data.test_indices == range(16, 20)
    assert len(data.train_dataloader().dataset) == 5 * 36


def test_a_tenth_is_set_aside_where_nobody_says_how_much(path):
    data = opened(path)
    assert (len(data.train_indices), len(data.validation_indices), len(data.test_indices)) == (16, 2, 2)


def test_a_file_that_is_too_small_for_the_published_splits_keeps_a_tenth():
    data = opened("tests/fixtures/formats/poseidon/ACE.nc", channels=["u"])
    assert (data.spec.validation, data.spec.test) == (60, 240)
    assert (len(data.train_indices), len(data.validation_indices), len(data.test_indices)) == (1, 1, 1)


@pytest.mark.parametrize(("settings", "strides"), [({}, 7), ({"stride": 5}, 4), ({"stride": 3, "start": 9}, 3)])
def test_as_many_strides_are_taken_as_fit_but_no_more_than_published(path, settings, strides):
    data = opened(path, **settings)
    assert data.max_steps == strides
    assert data.forecast_steps[-1] < data.spec.steps


def test_given_statistics_replace_those_of_the_file_where_they_are_given(path):
    own = opened(path)
    data = opened(path, statistics={"u": [1.0, 2.0], "v": [None, 3.0]})
    u, v = data.fields_in
    assert (u.mean, u.std) == (1.0, 2.0)
    assert (v.mean, v.std) == (own.fields_in[1].mean, 3.0)
    batch, raw = next(iter(data.test_dataloader())), next(iter(own.test_dataloader()))
    stored = own.normaliser_out.decode(raw["targets"])
    torch.testing.assert_close(data.normaliser_out.decode(batch["targets"]), stored)
    torch.testing.assert_close(batch["targets"][:, :, 0], (stored[:, :, 0] - 1) / 2)


def test_the_statistics_of_a_pretrained_model_are_used_for_the_fields_that_it_knows(path, tmp_path):
    field = {"name": "v", "mean": 4.0, "std": 5.0}
    (tmp_path / "config.json").write_text(json.dumps({"sciml": {"fields_in": [field, {**field, "name": "rho"}]}}))
    own, data = opened(path), opened(path, statistics=str(tmp_path))
    assert [(f.mean, f.std) for f in data.fields_in] == [(own.fields_in[0].mean, own.fields_in[0].std), (4.0, 5.0)]


@pytest.mark.parametrize(
    ("statistics", "message"),
    [({"w": [0, 1]}, "'w' is not in the file"), ({"u": [1]}, "mean, standard deviation"), ({"u": [0, 0]}, "cannot be")],
)
def test_statistics_that_cannot_be_used_are_named(path, statistics, message):
    with pytest.raises(SciMLError, match=message):
        opened(path, statistics=statistics).test_dataloader()


def test_a_stride_longer_than_the_trajectories_is_named(path):
    data = TrajectoryData(str(path), channels=["u", "v"], stride=21)
    with pytest.raises(ConfigError, match=r"have 21 steps: none lies 21 steps .* Set data.stride=1"):
        data.setup("fit")


def test_forecasts_reach_the_published_final_time(path):
    data = opened(path)
    assert data.forecast_steps.tolist() == [2, 4, 6, 8, 10, 12, 14]
    assert data.forecast_times == pytest.approx(np.arange(1, 8) / 10)
    batch = next(iter(data.test_dataloader()))
    torch.testing.assert_close(batch["lead_times"], torch.arange(1, 8) / 10)
    assert batch["targets"].shape == (2, 7, 2, 8, 8)


def test_a_fixed_start_moves_training_and_forecasts(path):
    data = opened(path, start=4, max_steps=3)
    assert data.forecast_steps.tolist() == [6, 8, 10]
    assert data.forecast_times == pytest.approx([0.1, 0.2, 0.3])
    assert len(data.train_dataloader().dataset) == 16 * 3


def test_transitions_thin_out_the_pairs(path):
    data = opened(path, transitions=[1])
    assert len(data.train_dataloader().dataset) == 16 * 7
    assert set(next(iter(data.train_dataloader()))["lead_time"].tolist()) == {np.float32(0.1)}


def test_persistence_needs_the_predicted_fields_among_the_given(path):
    data = opened(path, channels_in=["u", "v"], channels_out=["v"])
    fields = torch.randn(3, 2, 8, 8)
    assert torch.equal(data.carried(fields), fields[:, 1:])
    assert not data.autoregressive
    assert opened(path).autoregressive
    assert opened(path, channels_in=["u"], channels_out=["v"]).carried(fields[:, :1]) is None


def test_an_input_that_changes_without_being_predicted_cannot_be_carried_along(path):
    assert not opened(path, channels_in=["v", "u"], channels_out=["v"]).autoregressive


def test_forecasts_that_the_file_holds_are_baselines_beside_persistence(path):
    data = opened(path, channels_in=["u", "v"], channels_out=["v"], baselines={"other": ["u"]}, max_steps=2, test=3)
    batch = next(iter(data.test_dataloader()))
    baselines = data.baselines(batch)
    assert torch.equal(baselines["persistence"], batch["fields"][:, None, 1:].expand(-1, 2, -1, -1, -1))
    stored = np.stack([data.source.read(t, channels=["u"])[[2, 4]] for t in (17, 18, 19)])
    (field,) = data.fields_out
    expected = torch.from_numpy((stored - field.mean) / field.std)
    torch.testing.assert_close(baselines["other"], expected, rtol=1e-5, atol=1e-6)  # float32


def test_the_mean_is_the_baseline_where_nothing_can_persist(path):
    data = opened(path, channels_in=["u"], channels_out=["v"])
    batch = next(iter(data.test_dataloader()))
    baselines = data.baselines(batch)
    assert list(baselines) == ["mean"]
    assert torch.equal(baselines["mean"], torch.zeros_like(batch["targets"]))  # the mean, as fields are normalised


def test_missing_statistics_are_computed_from_the_training_trajectories(tmp_path):
    values = np.random.default_rng(1).normal(3.0, 2.0, (10, 21, 8, 8)).astype(np.float32)
    values[8:] += 100.0  # must not leak into the statistics
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["temperature"] = values
    data = opened(tmp_path / "own.h5", channels=None, validation=1, test=1)
    (field,) = data.fields_in
    assert field.mean == pytest.approx(values[:8].astype(np.float64).mean(), rel=1e-6)
    assert field.std == pytest.approx(values[:8].astype(np.float64).std(), rel=1e-6)


def test_a_missing_file_is_generated_and_then_left_alone(tmp_path):
    recipe = {"task": "NS-PwC", "trajectories": 4, "resolution": 16, "tracer": False, "progress": False}
    data = opened(tmp_path / "new" / "flow.nc", generate=recipe, validation=1, test=1)
    assert len(data.source) == 4
    stamp = data.path.stat().st_mtime_ns
    data.prepare_data()
    assert data.path.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("step", "expected"), [(0, (0, 0)), (5, (0, 5)), (10, (1, 0)), (23, (2, 3))], ids=lambda value: str(value)
)
def test_the_position_in_the_data_follows_from_the_step(step, expected):
    trainer = SimpleNamespace(global_step=step, limit_train_batches=1.0, accumulate_grad_batches=1)
    assert position(trainer, 10) == expected


def test_the_position_counts_accumulated_and_limited_batches():
    # 10 batches in groups of 4: 3 steps an epoch, the last of 2 batches.
    trainer = SimpleNamespace(global_step=4, limit_train_batches=1.0, accumulate_grad_batches=4)
    assert position(trainer, 10) == (1, 4)
    trainer = SimpleNamespace(global_step=7, limit_train_batches=5, accumulate_grad_batches=1)
    assert position(trainer, 10) == (1, 2)
    trainer = SimpleNamespace(global_step=7, limit_train_batches=0.5, accumulate_grad_batches=1)
    assert position(trainer, 10) == (1, 2)


def test_the_order_of_samples_goes_on_in_the_middle_of_an_epoch(path):
    whole = [batch["fields"] for batch in opened(path).train_dataloader()]
    data = opened(path)
    loader = data.train_dataloader()
    loader.position = lambda: (0, 40)
    rest = [batch["fields"] for batch in loader]
    assert len(rest) == len(whole) - 40
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[40:], strict=True))


@pytest.mark.parametrize("name", ["batch_size", "eval_batch_size", "stride"])
@pytest.mark.parametrize("value", [0, -1, 2.5, "many"])
def test_numbers_that_cannot_be_are_named(name, value):
    with pytest.raises(ConfigError, match=rf"data.{name} is {value!r}; a whole number"):
        TrajectoryData("file.nc", **{name: value})


def test_data_that_are_not_open_say_so():
    with pytest.raises(ConfigError, match="call prepare_data"):
        _ = TrajectoryData("file.nc").shape
