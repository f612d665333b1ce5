import itertools

import pytest

from sciml.data import ResumableBatchSampler
from sciml.errors import ConfigError


def batches(epoch=0, **settings):
    sampler = ResumableBatchSampler(**({"size": 23, "batch_size": 4, "seed": 1} | settings))
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_sample_comes_once_an_epoch():
    order = batches()
    assert [len(batch) for batch in order] == [4, 4, 4, 4, 4, 3]
    assert sorted(itertools.chain(*order)) == list(range(23))


def test_the_order_depends_on_seed_and_epoch_and_nothing_else():
    assert batches(epoch=3) == batches(epoch=3)
    different = {str(batches(epoch=epoch, seed=seed)) for epoch in range(3) for seed in range(3)}
    assert len(different) == 9


def test_without_shuffling_the_order_is_that_of_the_data():
    assert batches(shuffle=False, size=5, batch_size=2) == [[0, 1], [2, 3], [4]]


def test_skipping_gives_the_same_batches_and_only_once():
    sampler = ResumableBatchSampler(23, 4, seed=1)
    whole = list(sampler)
    sampler.start_at(4)
    assert list(sampler) == whole[4:]
    assert list(sampler) == whole
    assert len(sampler) == 6


def test_dropping_the_last_batch_leaves_full_ones():
    assert [len(batch) for batch in batches(drop_last=True)] == [4] * 5


@pytest.mark.parametrize(("size", "world"), [(24, 2), (23, 2), (25, 2), (17, 3), (26, 3)])
def test_ranks_share_an_epoch_in_batches_of_the_same_size(size, world):
    ranks = [batches(size=size, rank=rank, world=world) for rank in range(world)]
    assert len({tuple(map(len, order)) for order in ranks}) == 1
    together = sorted(itertools.chain(*itertools.chain(*ranks)))
    assert set(together) == set(range(size))
    assert len(together) - size < world  # what is repeated to make the last batches equal


def test_ranks_together_see_the_batch_that_one_process_would_see():
    ranks = [batches(rank=rank, world=2, batch_size=2) for rank in range(2)]
    one = batches(batch_size=4)
    assert [sorted(a + b) for a, b in zip(*ranks, strict=True)][:5] == [sorted(batch) for batch in one][:5]


def test_more_ranks_than_samples_still_get_a_batch_each():
    assert [batches(size=2, rank=rank, world=3, shuffle=False) for rank in range(3)] == [[[0]], [[1]], [[0]]]


def test_a_batch_that_is_too_large_to_be_full_is_an_error():
    with pytest.raises(ConfigError, match="3 samples make no batch of 4 on 1 processes"):
        ResumableBatchSampler(3, 4, seed=0, drop_last=True)
    with pytest.raises(ConfigError, match="0 samples"):
        ResumableBatchSampler(0, 4, seed=0)


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"rank": 2, "world": 2}])
def test_settings_out_of_range_are_an_error(settings):
    with pytest.raises(ConfigError, match="expected at least 1, rank below world"):
        batches(**settings)
