import numpy as np
import pytest

from sciml.data.sequences import SequenceDataset, open_series
from sciml.errors import ConfigError, DataError

AXES = {"x": "sample time channel"}


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(5, 3, (20, 40, 2)).astype(np.float32)


def written(tmp_path, values, **arrays):
    path = tmp_path / "signals.npz"
    np.savez(path, x=values, **arrays)
    return path


def opened(path, **settings):
    return open_series(path=path, **{"axes": AXES, "channels": {"x": ["a", "b"]}, **settings})


def batches(task):
    return [
        SequenceDataset(task, part).__getitems__(range(len(part))) for part in (task.train, task.validation, task.test)
    ]


def inputs_of(task, batch):
    return task.normaliser.decode(batch["inputs"]).numpy()


def targets_of(task, batch):
    return task.target_normaliser.decode(batch["target"]).numpy()


def test_at_every_step_the_target_is_what_follows_some_steps_later(tmp_path, values):
    task = opened(written(tmp_path, values), ahead=3, window=10)
    assert (task.kind, task.features, task.outputs, task.length, task.name) == ("sequence", 2, 2, 10, "signals")
    batch = batches(task)[0]
    # Windows at 0, 10, 20 of the first 16 series; at 30 there is no room for 3 more steps.
    assert batch["inputs"].shape == batch["target"].shape == (48, 10, 2)
    expected = values[:16, :30].reshape(48, 10, 2), values[:16, 3:33].reshape(48, 10, 2)
    # float32, normalised and back
    assert inputs_of(task, batch) == pytest.approx(expected[0], abs=1e-5)
    assert targets_of(task, batch) == pytest.approx(expected[1], abs=1e-5)
    assert not {"steps", "lengths"} & batch.keys()


def test_after_a_window_the_next_steps_are_predicted_at_once(tmp_path, values):
    task = opened(written(tmp_path, values), targets=["b"], every="window", ahead=4, window=12, stride=6)
    assert (task.kind, task.outputs) == ("regression", 4)
    batch = batches(task)[2]
    assert batch["target"].shape == (2 * 5, 4)  # windows at 0, 6, 12, 18, 24
    mean, std = task.target_normaliser.mean[0], task.target_normaliser.std[0]
    assert batch["target"][1].numpy() * std + mean == pytest.approx(values[18, 18:22, 1], abs=1e-5)


def test_everything_is_normalised_by_the_training_series(tmp_path, values):
    values[16:] += 100
    task = opened(written(tmp_path, values))
    train = values[:16].reshape(-1, 2).astype(float)
    assert task.normaliser.mean == pytest.approx(train.mean(0), rel=1e-6)
    assert task.normaliser.std == pytest.approx(train.std(0), rel=1e-6)
    assert task.target_normaliser.mean == pytest.approx(train.mean(0), rel=1e-6)


def test_one_long_series_is_cut_in_time_and_no_window_reaches_into_the_next_part(tmp_path):
    path = tmp_path / "long.npy"
    np.save(path, np.arange(1000, dtype=np.float32)[:, None])
    task = open_series(path=path, axes="time channel", ahead=2, window=20, stride=1, validation=0.2, test=0.1)
    spans = []
    for batch in batches(task):
        times = np.concatenate([inputs_of(task, batch), targets_of(task, batch)], 1).round().astype(int)
        spans.append((times.min(), times.max()))
        assert len(batch["inputs"]) == times.max() - times.min() + 1 - 21
    assert spans == [(0, 699), (700, 899), (900, 999)]


def test_unequal_steps_are_relative_to_the_mean_of_the_training_part(tmp_path, values):
    steps = np.random.default_rng(1).uniform(0.1, 1.0, 40)
    times = np.cumsum(steps)
    task = opened(written(tmp_path, values, t=times), times="t", ahead=1, window=10, stride=10)
    batch = batches(task)[1]
    relative = (steps / steps[1:].mean()).reshape(4, 10)
    relative[0, 0] = 1.0  # nothing came before
    # float32
    assert batch["steps"][:3].numpy() == pytest.approx(relative[:3], rel=1e-6)
    assert opened(written(tmp_path, values, t=0.1 * np.arange(40, dtype=np.float32)), times="t").train.steps is None


def test_numbers_and_classes_of_whole_series_can_be_predicted(tmp_path, values):
    rate, kind = np.linspace(1, 3, 20), np.arange(20) % 3
    path = written(tmp_path, values, rate=rate, kind=kind)
    path.with_name("signals.npz.yaml").write_text("axes: {x: sample time channel}\nscalars: {rate: rate, kind: kind}\n")
    task = open_series(path=path, scalars=["rate"])
    assert (task.kind, task.outputs, task.length) == ("regression", 1, 40)
    assert targets_of(task, batches(task)[2])[:, 0] == pytest.approx(rate[18:], rel=1e-6)
    assert task.target_normaliser.std == pytest.approx(rate[:16].std())
    task = open_series(path=path, label="kind", window=20)
    assert (task.kind, task.outputs, task.length) == ("classification", 3, 20)
    assert batches(task)[0]["target"].tolist() == np.repeat(kind[:16], 2).tolist()


WRONG = {
    "no file": ({"path": None}, ConfigError, "data.path=FILE"),
    "every": ({"every": "day"}, ConfigError, "every is 'day'"),
    "ahead": ({"every": "window", "ahead": 0}, ConfigError, "ahead 0"),
    "space": ({"axes": {"x": "sample time x"}, "channels": {}}, ConfigError, "has spatial axes"),
    "scalar": ({"scalars": ["rate"]}, ConfigError, "'rate' is no scalar of"),
    "channel": ({"inputs": ["c"]}, ConfigError, "channel 'c' is not in the file; it has a, b"),
    "window": ({"window": 40}, ConfigError, "a part of 40 steps has no window of 40 steps, every 40, with 1 more"),
    "split": ({"validation": 0.5, "test": 0.5}, ConfigError, "20 series cannot be split into 10 for validation, 10"),
    "times": ({"times": [0.0, *range(39)]}, DataError, "the times of series 0 do not increase"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_work_is_named(case, tmp_path, values):
    settings, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        opened(**{"path": written(tmp_path, values), **settings})


def test_a_gap_and_a_constant_channel_are_named(tmp_path, values):
    values[3, 7, 1] = np.nan
    with pytest.raises(DataError, match="series 3, step 7 has NaN or infinity in channel 'b'"):
        opened(written(tmp_path, values))
    values[..., 1] = 2.0
    with pytest.raises(DataError, match="channel 'b' has mean 2 and standard deviation 0"):
        opened(written(tmp_path, values))
