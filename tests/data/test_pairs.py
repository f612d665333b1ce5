import numpy as np
import pytest

from sciml.data import AllPairs, FixedInput, SteadyPair, Windows, split
from sciml.errors import ConfigError


class Spec:
    def __init__(self, steps):
        self.steps = steps


@pytest.mark.parametrize(("steps", "count"), [(7, 36), (10, 66)])
def test_all_pairs_are_as_many_as_published(steps, count):
    assert len(AllPairs(steps, stride=2)) == count


def test_all_pairs_are_i_major_and_include_identity():
    assert [AllPairs(2, stride=3)[i] for i in range(6)] == [(0, 0), (0, 3), (0, 6), (3, 3), (3, 6), (6, 6)]


def test_transitions_keep_only_their_distances():
    assert AllPairs(3, stride=2, transitions=[1]).table.tolist() == [[0, 2], [2, 4], [4, 6]]
    assert len(AllPairs(7, transitions=[0])) == 8


def test_no_transition_at_all_is_an_error():
    with pytest.raises(ConfigError, match=r"AllPairs\(steps=2, stride=1, transitions=\[5\]\) has no pair"):
        AllPairs(2, transitions=[5])


def test_fixed_input_predicts_every_later_step():
    assert FixedInput(3, stride=2, start=1).table.tolist() == [[1, 3], [1, 5], [1, 7]]
    assert FixedInput(1, stride=14).table.tolist() == [[0, 14]]


def test_a_steady_problem_has_one_pair():
    assert (len(SteadyPair()), SteadyPair()[0]) == (1, (0, 0))


def test_windows_are_bounds_for_read():
    windows = Windows(4, 9, stride=2)
    assert windows.table.tolist() == [[0, 4], [2, 6], [4, 8]]
    windows.check(Spec(8))
    with pytest.raises(ConfigError, match="needs step 7"):
        windows.check(Spec(7))


def test_pairs_beyond_the_last_step_are_an_error():
    AllPairs(7, stride=2).check(Spec(15))
    with pytest.raises(ConfigError, match=r"needs step 14, but the trajectories have 14 steps, 0 to 13"):
        AllPairs(7, stride=2).check(Spec(14))


def test_splits_are_cut_from_the_end():
    assert split(10, validation=2, test=3) == (range(5), range(5, 7), range(7, 10))
    assert split(3, validation=0, test=0) == (range(3), range(3, 3), range(3, 3))


@pytest.mark.parametrize(("count", "validation", "test"), [(10, 5, 5), (100, 120, 240), (10, -1, 2)])
def test_too_few_trajectories_are_an_error(count, validation, test):
    with pytest.raises(ConfigError, match=f"there are {count} trajectories, but {validation} are set aside"):
        split(count, validation=validation, test=test)


def test_a_table_can_be_indexed_by_a_batch():
    pairs = AllPairs(2)
    np.testing.assert_array_equal(pairs.table[[5, 1]], [[2, 2], [0, 1]])
