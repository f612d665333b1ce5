import numpy as np
import pytest
import torch

from sciml.data.normalise import Normaliser
from sciml.data.sequences import LengthBatchSampler, SequenceDataset, Sequences, SequenceTask
from sciml.data.sequences.ragged import equal_lengths


def task_of(sequences, **settings):
    parts = dict.fromkeys(("train", "validation", "test"), sequences)
    return SequenceTask("some", **{"kind": "classification", "outputs": 2, **settings}, **parts)


LENGTHS = np.array([[3], [1], [5]])


def ragged(values):
    return Sequences(values, np.cumsum(LENGTHS)[:, None] - LENGTHS, LENGTHS, np.array([0, 1, 1]))


def test_tokens_are_padded_with_zeros_to_the_longest_of_the_batch():
    part = ragged(np.arange(1, 10, dtype=np.uint8))
    batch = SequenceDataset(task_of(part, vocabulary=10), part).__getitems__([1, 0])
    assert batch["inputs"].tolist() == [[4, 0, 0], [1, 2, 3]]
    assert batch["inputs"].dtype == batch["lengths"].dtype == batch["target"].dtype == torch.int64
    assert batch["lengths"].tolist() == [1, 3]
    assert batch["target"].tolist() == [1, 0]


def test_features_are_normalised_and_zero_beyond_the_end():
    part = ragged(np.arange(9, dtype=np.uint8)[:, None])
    task = task_of(part, normaliser=Normaliser([2.0], [4.0], dims=0))
    batch = SequenceDataset(task, part).__getitems__([0, 2])
    expected = [[-0.5, -0.25, 0, 0, 0], [0.5, 0.75, 1, 1.25, 1.5]]
    assert batch["inputs"].squeeze(2).tolist() == expected
    assert batch["inputs"].dtype == torch.float32


def test_lengths_are_left_out_where_all_are_equal_and_one_order_serves_all():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    part = equal_lengths(pixels, np.zeros(3))
    batch = SequenceDataset(task_of(part, permutation=np.array([2, 0, 3, 1])), part).__getitems__([0, 2])
    assert "lengths" not in batch
    assert batch["inputs"].squeeze(2).tolist() == [[2, 0, 3, 1], [10, 8, 11, 9]]


def test_a_pair_of_sequences_comes_as_two_inputs():
    lengths = np.array([[2, 1], [1, 3]])
    part = Sequences(np.arange(1, 8), np.array([[0, 2], [3, 4]]), lengths, np.array([1, 0]))
    batch = SequenceDataset(task_of(part, kind="retrieval", vocabulary=8), part).__getitems__([0, 1])
    assert batch["inputs"].tolist() == [[1, 2], [4, 0]]
    assert batch["inputs2"].tolist() == [[3, 0, 0], [5, 6, 7]]
    assert (batch["lengths"].tolist(), batch["lengths2"].tolist()) == ([2, 1], [1, 3])


def test_a_single_example_has_the_keys_of_a_batch():
    part = ragged(np.arange(1, 10, dtype=np.uint8))
    sample = SequenceDataset(task_of(part, vocabulary=10), part)[-1]
    assert sample["inputs"].tolist() == [5, 6, 7, 8, 9]
    assert sample["lengths"] == 5


@pytest.fixture
def sampler():
    lengths = np.random.default_rng(0).integers(500, 2000, 1003)
    return LengthBatchSampler(lengths, 10, pool=20, seed=4)


def test_batches_of_like_length_still_hold_every_example_once(sampler):
    batches = list(sampler)
    assert len(batches) == len(sampler) == 101
    assert sorted(i for batch in batches[:-1] for i in batch) == sorted(set(range(1003)) - set(batches[-1]))
    assert [len(batch) for batch in batches] == [10] * 100 + [3]


def test_batches_of_like_length_hold_little_padding_in_no_order(sampler):
    lengths = sampler.lengths
    batches = list(sampler)[:-1]
    padded = sum(10 * lengths[batch].max() for batch in batches)
    # Cut from a sorted pool of 200 examples, a batch spans a twentieth of the range: some 3 % padding instead of 50 %.
    assert padded / sum(lengths[batch].sum() for batch in batches) < 1.06
    longest = [lengths[batch].max() for batch in batches]
    # Of shuffled batches half are longer than the one before, with standard error sqrt(101 / 12) / 99 = 0.03.
    assert np.mean(np.diff(longest) > 0) == pytest.approx(0.5, abs=0.13)
    other = LengthBatchSampler(lengths, 10, pool=20, seed=4)
    other.set_epoch(1)
    assert list(other) != list(sampler)


def test_a_run_goes_on_in_the_middle_of_an_epoch_and_ranks_share_it(sampler):
    whole = list(sampler)
    sampler.start_at(40)
    assert list(sampler) == whole[40:]
    settings = {"pool": 20, "seed": 4, "world": 2}
    ranks = [list(LengthBatchSampler(sampler.lengths, 5, rank=rank, **settings)) for rank in (0, 1)]
    assert [sorted([*a, *b]) for a, b in zip(*ranks, strict=True)][:100] == [sorted(batch) for batch in whole[:100]]
