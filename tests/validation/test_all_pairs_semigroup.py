"""All pairs are the solution operator's semigroup: S(t_jk) S(t_ij) = S(t_ik), and every step of it is a sample."""

import itertools

import numpy as np
import pytest

from sciml.data.pairs import AllPairs

pytestmark = pytest.mark.validation
DECAY = 0.37


@pytest.mark.parametrize(("steps", "stride"), [(7, 1), (10, 2), (3, 5)])
def test_any_two_pairs_that_meet_make_a_third_and_their_times_add_up(steps, stride):
    pairs = AllPairs(steps, stride=stride)
    present = {pairs[i] for i in range(len(pairs))}
    assert len(present) == len(pairs)  # each of them once
    meeting = [(a, b) for a, b in itertools.product(present, present) if a[1] == b[0]]
    for (i, j), (j_, k) in meeting:
        assert (i, k) in present
        assert (j - i) + (k - j_) == k - i
    # i <= j <= k: combinations of three from steps + 1 with repetition.
    assert len(meeting) == (steps + 1) * (steps + 2) * (steps + 3) // 6


@pytest.mark.parametrize(("steps", "stride"), [(7, 1), (10, 2)])
def test_every_pair_of_a_decaying_field_obeys_its_solution_operator(steps, stride):
    pairs = AllPairs(steps, stride=stride)
    trajectory = np.exp(-DECAY * np.arange(pairs.last + 1))
    start, stop = pairs.table.T
    # An identity in exact arithmetic: rounding of the exponentials.
    np.testing.assert_allclose(trajectory[stop], np.exp(-DECAY * (stop - start)) * trajectory[start], rtol=1e-14)


def test_some_transitions_are_closed_up_to_the_longest_of_them():
    pairs = AllPairs(8, transitions=[0, 1, 2])
    lengths = np.diff(pairs.table)
    assert set(lengths.ravel().tolist()) == {0, 1, 2}
    assert len(pairs) == 9 + 8 + 7
