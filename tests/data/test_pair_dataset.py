import os

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sciml.data import (
    AllPairs,
    FixedInput,
    PairDataset,
    ResumableBatchSampler,
    SteadyPair,
    identity,
    open_trajectories,
)
from sciml.errors import ConfigError, DataError
from tests.data.numbers import numbered

EVOLVING = ("sample", "time", "channel", "x", "y")
RNG = np.random.default_rng(0)
VELOCITY = RNG.normal(size=(4, 21, 3, 6, 5)).astype(np.float32)
MEAN = np.array([0.80, 0.0, 0.0, 0.0], np.float32)[:, None, None]
STD = np.array([0.31, 0.391, 0.356, 0.185], np.float32)[:, None, None]


@pytest.fixture
def flow(official):
    return open_trajectories(official("NS-PwC.nc", velocity=(EVOLVING, VELOCITY)))


def expected(trajectory, step):
    fields = np.concatenate([np.ones((1, 6, 5)), VELOCITY[trajectory, step, :2], np.zeros((1, 6, 5))])
    return (fields - MEAN) / STD


def test_a_batch_is_what_a_reader_of_one_sample_would_stack(flow):
    dataset = PairDataset(flow, AllPairs(7, stride=2), trajectory_indices=[3, 1])
    assert len(dataset) == 2 * 36
    batch = dataset.__getitems__([0, 1, 36 + 35, 8])
    # 1e-6: x / std - mean / std in one float32 operation against two, of values up to 12.
    for i, (trajectory, start, stop) in enumerate([(3, 0, 0), (3, 0, 2), (1, 14, 14), (3, 2, 2)]):
        np.testing.assert_allclose(batch["fields"][i], expected(trajectory, start), atol=1e-6)
        np.testing.assert_allclose(batch["target"][i], expected(trajectory, stop), atol=1e-6)
    assert batch["lead_time"].tolist() == pytest.approx([0.0, 0.1, 0.0, 0.0])
    assert batch["trajectory"].tolist() == [3, 3, 1, 3]
    assert batch["mask"].tolist() == [[False, False, False, True]] * 4
    assert {batch[key].dtype for key in ("fields", "target", "lead_time")} == {torch.float32}


def test_one_item_is_the_batch_without_its_axis(flow):
    dataset = PairDataset(flow, AllPairs(7, stride=2))
    batch = dataset.__getitems__([7, -1])
    for i, item in enumerate([dataset[7], dataset[-1]]):
        assert item.keys() == batch.keys()
        for key, value in item.items():
            torch.testing.assert_close(value, batch[key][i], rtol=0, atol=0)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_inputs_and_targets_may_be_other_channels_in_another_order(flow):
    dataset = PairDataset(flow, FixedInput(1, stride=3), channels_in=["v", "tracer"], channels_out=["u"])
    batch = dataset.__getitems__([2])
    assert "mask" not in batch
    torch.testing.assert_close(
        dataset.normaliser_out.decode(batch["target"])[0, 0], torch.from_numpy(VELOCITY[2, 3, 0])
    )
    torch.testing.assert_close(
        dataset.normaliser_in.decode(batch["fields"])[0], torch.from_numpy(VELOCITY[2, 0][[1, 2]])
    )


def test_a_batch_is_read_in_one_call(flow, monkeypatch):
    calls = []
    read_frames = flow.read_frames
    monkeypatch.setattr(flow, "read_frames", lambda *a, **k: calls.append(len(a[0])) or read_frames(*a, **k))
    PairDataset(flow, AllPairs(7, stride=2)).__getitems__(range(36))
    assert calls == [72]


def test_the_frame_of_an_identity_pair_is_read_once(flow, monkeypatch):
    asked = []
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: asked.append(views[0].nbytes) or preadv(fd, views, at))
    PairDataset(flow, AllPairs(7, stride=2)).__getitems__([0])
    assert sum(asked) == VELOCITY[0, 0, :2].nbytes


def test_writing_into_the_fields_leaves_the_target_of_an_identity_pair_alone(flow):
    batch = PairDataset(flow, AllPairs(7, stride=2)).__getitems__([0])
    target = batch["target"].clone()
    batch["fields"].zero_()
    torch.testing.assert_close(batch["target"], target, rtol=0, atol=0)


def test_other_statistics_can_be_given(flow):
    spec = flow.spec.with_statistics({"u": 1.0}, {"u": 2.0})
    batch = PairDataset(flow, FixedInput(1), spec=spec, channels_in=["u"], channels_out=["u"]).__getitems__([0])
    torch.testing.assert_close(batch["fields"][0, 0], (torch.from_numpy(VELOCITY[0, 0, 0]) - 1) / 2)


def test_a_steady_problem_maps_source_to_solution_at_lead_time_one(official):
    axes = ("sample", "x", "y")
    source, solution = numbered(3, 4, 5), -numbered(3, 4, 5)
    poisson = open_trajectories(official("Poisson-Gauss.nc", source=(axes, source), solution=(axes, solution)))
    dataset = PairDataset(poisson, SteadyPair())
    batch = dataset.__getitems__([2, 0])
    assert batch["lead_time"].tolist() == [1.0, 1.0]
    # 1e-5: values of size 60 times 1 / std of 41 make 2500, of which float32 keeps 1e-4; decoding brings it back.
    torch.testing.assert_close(
        dataset.normaliser_out.decode(batch["target"])[:, 0], torch.from_numpy(solution[[2, 0]]), rtol=1e-6, atol=1e-5
    )
    torch.testing.assert_close(
        dataset.normaliser_in.decode(batch["fields"])[:, 0], torch.from_numpy(source[[2, 0]]), rtol=1e-6, atol=1e-5
    )


def test_inside_a_body_the_target_is_one_and_masked(official):
    solution = np.stack([RNG.random((3, 4, 4)) < 0.5, RNG.normal(size=(3, 4, 4))], 1).astype(np.float32)
    airfoil = open_trajectories(official("SE-AF.nc", solution=(("sample", "channel", "x", "y"), solution)))
    batch = PairDataset(airfoil, SteadyPair()).__getitems__([2, 1])
    body = torch.from_numpy(solution[[2, 1], :1] == 1)
    assert torch.equal(batch["mask"], body)
    assert torch.equal(batch["fields"], body.float())
    assert (batch["target"][body] == 1).all()
    outside = (solution[[2, 1], 1:] - np.float32(0.92984116)) / np.float32(0.10864315)
    # 1e-5: values up to 40 in float32.
    np.testing.assert_allclose(batch["target"][~body], outside[~body.numpy()], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_broken_data_are_named_by_file_trajectory_step_and_channel(hdf5, value):
    values = np.zeros((3, 5, 2, 4, 4), np.float32)
    values[1, 4, 1, 2, 2] = value
    trajectories = open_trajectories(hdf5(values))
    spec = trajectories.spec.with_statistics(
        dict.fromkeys(trajectories.spec.names, 0), dict.fromkeys(trajectories.spec.names, 1)
    )
    dataset = PairDataset(trajectories, FixedInput(4), spec=spec)
    dataset.__getitems__([0, 1, 4])
    with pytest.raises(DataError, match=r"own\.h5: trajectory 1, step 4 has NaN or infinity in channel 'channel_1'"):
        dataset.__getitems__([0, 7])


def test_large_but_finite_values_are_no_error(hdf5):
    values = np.full((1, 2, 1, 8, 8), 3e38, np.float32)
    trajectories = open_trajectories(hdf5(values))
    spec = trajectories.spec.with_statistics({"channel_0": 0}, {"channel_0": 1})
    assert PairDataset(trajectories, FixedInput(1), spec=spec)[0]["fields"].isfinite().all()


def test_unknown_statistics_are_an_error_before_the_first_batch(hdf5):
    with pytest.raises(DataError, match="statistics of channel 'channel_0', 'channel_1' are not known"):
        PairDataset(open_trajectories(hdf5(numbered(2, 5, 2, 4, 4))), FixedInput(1))


def test_pairs_that_are_too_long_are_an_error_before_the_first_batch(flow):
    with pytest.raises(ConfigError, match="needs step 22, but the trajectories have 21 steps"):
        PairDataset(flow, AllPairs(11, stride=2))


# Chunks across space are read through h5py, the others straight from the file.
@pytest.mark.parametrize("chunks", [(1, 1, 3, 6, 5), (1, 1, 3, 3, 5)])
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_forked_and_spawned_see_the_same_batches(official, context, chunks):
    trajectories = open_trajectories(official("NS-PwC.nc", chunks=chunks, velocity=(EVOLVING, VELOCITY)))
    trajectories.read(0)  # the parent holds the file open when it forks
    dataset = PairDataset(trajectories, AllPairs(2, stride=2))
    sampler = ResumableBatchSampler(len(dataset), 5, seed=0)
    alone = list(DataLoader(dataset, batch_sampler=sampler, collate_fn=identity))
    workers = DataLoader(
        dataset, batch_sampler=sampler, collate_fn=identity, num_workers=2, multiprocessing_context=context
    )
    for ours, theirs in zip(alone, workers, strict=True):
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], rtol=0, atol=0)
    np.testing.assert_array_equal(trajectories.read(1)[:, 1:3], VELOCITY[1, :, :2])
