"""Datasets with different channels as one, drawn by weight."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sciml.data import FixedInput, PairDataset, SteadyPair, identity, open_trajectories
from sciml.data.mixture import MixtureBatchSampler, MixtureDataset
from sciml.errors import ConfigError
from tests.data.numbers import numbered

EVOLVING = ("sample", "time", "channel", "x", "y")


def scaled(trajectories, pairs, **settings):
    names = trajectories.spec.names
    spec = trajectories.spec.with_statistics(dict.fromkeys(names, 1.0), dict.fromkeys(names, 2.0))
    return PairDataset(trajectories, pairs, spec=spec, **settings)


@pytest.fixture
def flow(official):
    """Four samples with rho, u, v, p of which p is masked."""
    velocity = numbered(2, 5, 2, 4, 4)
    return PairDataset(open_trajectories(official("NS-PwC.nc", velocity=(EVOLVING, velocity))), FixedInput(2, stride=2))


@pytest.fixture
def gas(tmp_path):
    """Three samples with density, Vx and a parameter."""
    np.savez(tmp_path / "gas.npz", Vx=numbered(3, 2, 4, 4), density=-numbered(3, 2, 4, 4))
    trajectories = open_trajectories(
        tmp_path / "gas.npz",
        axes=dict.fromkeys(("Vx", "density"), "sample time x y"),
        boundary="periodic wall",
        scalars={"gamma": 1.4},
    )
    return scaled(trajectories, FixedInput(1))


NAMES = {"Vx": "u", "density": "rho"}


def test_channels_are_matched_by_name_and_missing_ones_are_filled_and_masked(flow, gas):
    mixture = MixtureDataset([flow, gas], rename=[{}, NAMES])
    assert len(mixture) == len(flow) + len(gas) == 7
    assert [f.name for f in mixture.fields_in] == [f.name for f in mixture.fields_out] == ["rho", "u", "v", "p"]
    batch = mixture.__getitems__([5, 0, 4, 3])
    one, other = flow.__getitems__([0, 3]), gas.__getitems__([1, 0])
    for key in ("fields", "target"):
        torch.testing.assert_close(batch[key][[1, 3]], one[key], rtol=0, atol=0)
        torch.testing.assert_close(batch[key][[0, 2], 0], other[key][:, 1], rtol=0, atol=0)
        torch.testing.assert_close(batch[key][[0, 2], 1], other[key][:, 0], rtol=0, atol=0)
        assert (batch[key][[0, 2], 2:] == 0).all()
    assert batch["mask"].tolist() == [[False, False, True, True], [False] * 3 + [True]] * 2
    assert batch["missing"].tolist() == [[False, False, True, True], [False] * 4] * 2
    assert batch["dataset"].tolist() == [1, 0, 1, 0]
    assert batch["trajectory"].tolist() == [1, 0, 0, 1]
    torch.testing.assert_close(batch["lead_time"][[1, 3]], one["lead_time"])
    torch.testing.assert_close(batch["lead_time"][[0, 2]], other["lead_time"])
    assert batch["boundary"][:2].tolist() == [[[2, 2], [0, 0]], [[2, 2], [2, 2]]]
    assert mixture.scalars == ("gamma",)
    torch.testing.assert_close(batch["scalars"], torch.tensor([[1.4], [0.0], [1.4], [0.0]]))


def test_without_new_names_other_channels_stand_side_by_side(flow, gas):
    mixture = MixtureDataset([flow, gas])
    assert [f.name for f in mixture.fields_in] == ["rho", "u", "v", "p", "Vx", "density"]
    batch = mixture.__getitems__([0, 4])
    assert batch["missing"].tolist() == [[False] * 4 + [True] * 2, [True] * 4 + [False] * 2]


def test_channels_can_be_chosen_and_ordered(flow, gas):
    mixture = MixtureDataset([flow, gas], rename=[{}, NAMES], channels_in=["u", "rho"], channels_out=["v"])
    batch = mixture.__getitems__([2, 6])
    torch.testing.assert_close(batch["fields"][0], flow[2]["fields"][[1, 0]], rtol=0, atol=0)
    torch.testing.assert_close(batch["target"][0], flow[2]["target"][[2]], rtol=0, atol=0)
    assert batch["mask"].tolist() == [[False], [True]]


def test_velocities_keep_their_common_group(flow, gas):
    groups = [f.group for f in MixtureDataset([gas, flow], rename=[NAMES, {}]).fields_in]
    assert groups == ["u", "rho", "velocity", "p"]  # as the first dataset that has a channel describes it


def test_one_item_is_the_batch_without_its_axis(flow, gas):
    mixture = MixtureDataset([flow, gas])
    batch = mixture.__getitems__([6, 1])
    for i, item in enumerate((mixture[-1], mixture[1])):
        assert item.keys() == batch.keys()
        for key, value in item.items():
            torch.testing.assert_close(value, batch[key][i], rtol=0, atol=0)


def test_a_body_in_one_of_the_datasets_is_masked_point_by_point(official, flow):
    shape = (np.random.default_rng(0).random((2, 1, 4, 4)) < 0.5).astype(np.float32)
    solution = np.concatenate([shape, numbered(2, 1, 4, 4)], 1)
    airfoil = open_trajectories(official("SE-AF.nc", solution=(("sample", "channel", "x", "y"), solution)))
    mixture = MixtureDataset([flow, PairDataset(airfoil, SteadyPair())])
    batch = mixture.__getitems__([0, 5])
    assert batch["mask"].shape == (2, 4, 4, 4)
    assert batch["mask"][0].flatten(1).all(1).tolist() == [False, False, False, True]
    np.testing.assert_array_equal(batch["mask"][1, 0], shape[1, 0] == 1)
    assert batch["mask"][1, 1:].all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rename": [{}]}, "2 datasets and 1 sets of new names"),
        ({"rename": [{}, {"Vx": "density"}]}, "gives two of the channels Vx, density the same name"),
        ({"channels_in": ["q"]}, "channel 'q' is in no dataset; they have rho, u"),
    ],
)
def test_a_mixture_that_cannot_be_says_why(flow, gas, settings, message):
    with pytest.raises(ConfigError, match=message):
        MixtureDataset([flow, gas], **settings)


def test_grids_of_different_size_are_refused(flow, hdf5):
    other = scaled(open_trajectories(hdf5(numbered(2, 3, 1, 4, 6))), FixedInput(1))
    with pytest.raises(ConfigError, match=r"4 x 4 in .*NS-PwC\.nc.*4 x 6 in .*own\.h5|4 x 6 .*4 x 4"):
        MixtureDataset([flow, other])


def epochs(sizes, weights, count=1, **settings):
    sampler = MixtureBatchSampler(sizes, **{"batch_size": 4, "weights": weights, "seed": 3} | settings)
    orders = []
    for epoch in range(count):
        sampler.set_epoch(epoch)
        orders.append([list(batch) for batch in sampler])
    return orders


def test_every_dataset_is_drawn_as_often_as_its_weight_says():
    (order,) = epochs((10, 1000, 50), (1, 2, 1), samples=400, batch_size=16)
    drawn = np.array(list(itertools.chain(*order)))
    assert len(drawn) == 400
    counts = np.bincount(np.searchsorted([10, 1010, 1060], drawn, side="right"), minlength=3)
    assert counts.tolist() == [100, 200, 100]
    # A batch holds all of them: a quarter, a half and a quarter of 16, on average.
    firsts = np.array(order[0])
    assert 0 < (firsts < 10).sum() < 12


def test_an_epoch_has_as_many_samples_as_asked_for_whatever_the_weights():
    sampler = MixtureBatchSampler((30, 30, 30), 4, weights=(1, 1, 1), seed=0, samples=11)
    assert sorted(sampler.counts) == [3, 4, 4]
    drawn = list(itertools.chain(*sampler))
    assert len(drawn) == len(set(drawn)) == 11


def test_the_samples_of_a_dataset_come_equally_often_from_epoch_to_epoch():
    orders = epochs((10, 100), (1, 1), 5, samples=40)
    seen = np.bincount(list(itertools.chain(*itertools.chain(*orders))), minlength=110)
    assert (seen[:10] == 10).all()  # 5 epochs of 20 from 10 samples
    assert (seen[10:] == 1).all()  # 5 epochs of 20 from 100: none twice before all have come


def test_the_order_depends_on_seed_and_epoch_and_can_be_resumed_in_the_middle():
    assert epochs((10, 20), (1, 1), 2) == epochs((10, 20), (1, 1), 2)
    first, second = epochs((10, 20), (1, 1), 2)
    assert first != second
    assert epochs((10, 20), (1, 1), seed=4)[0] != first
    sampler = MixtureBatchSampler((10, 20), 4, weights=(1, 1), seed=3)
    sampler.set_epoch(1)
    sampler.start_at(5)
    assert [list(batch) for batch in sampler] == second[5:]


def test_ranks_share_the_batches():
    whole = epochs((10, 20), (3, 1), batch_size=8)[0]
    ranks = [epochs((10, 20), (3, 1), rank=rank, world=2)[0] for rank in range(2)]
    assert [sorted(a + b) for a, b in zip(*ranks, strict=True)][:3] == [sorted(batch) for batch in whole][:3]


def test_a_dataset_of_weight_zero_is_not_drawn():
    drawn = list(itertools.chain(*epochs((10, 20), (0, 1))[0]))
    assert min(drawn) >= 10


@pytest.mark.parametrize("weights", [(1,), (1, -1), (0, 0), (1, float("inf"))])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ConfigError, match="expected one for each, none negative, not all 0"):
        MixtureBatchSampler((10, 20), 4, weights=weights, seed=0)


def test_a_loader_with_workers_gives_the_batches_of_one_without(flow, gas):
    mixture = MixtureDataset([flow, gas], rename=[{}, NAMES])
    sampler = mixture.sampler(2, weights=(1, 3), seed=0, samples=12)
    alone = list(DataLoader(mixture, batch_sampler=sampler, collate_fn=identity))
    workers = DataLoader(mixture, batch_sampler=sampler, collate_fn=identity, num_workers=2)
    assert sum((batch["dataset"] == 1).sum() for batch in alone) == 9
    for ours, theirs in zip(alone, workers, strict=True):
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], rtol=0, atol=0)
