"""Which steps of a trajectory make a sample, and which trajectories make a split: index arithmetic only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from sciml.data.spec import TrajectorySpec
from sciml.errors import ConfigError


class Pairs:
    """Pairs (start, stop) of steps: a network sees step ``start`` and predicts step ``stop``.

    Args:
        table: The pairs, in order, shape (pair, 2).

    Attributes:
        table: As given; ``len(pairs)`` and ``pairs[i]`` read it.
        last: The last step that is needed.
    """

    def __init__(self, table: Int[np.ndarray, "pair 2"]):
        self.table = np.asarray(table, np.int64).reshape(-1, 2)
        if len(self.table) == 0:
            raise ConfigError(f"{self!r} has no pair at all. Take more steps, or allow more transitions.")
        self.last = int(self.table.max())

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, i: int) -> tuple[int, int]:
        start, stop = self.table[i].tolist()
        return start, stop

    def __repr__(self) -> str:
        settings = {k: v for k, v in vars(self).items() if k not in ("table", "last")}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in settings.items())})"

    def check(self, spec: TrajectorySpec) -> None:
        """Check that the trajectories are long enough.

        Raises:
            ConfigError: a pair needs a step that the trajectories do not have.
        """
        if self.last >= spec.steps:
            raise ConfigError(
                f"{self!r} needs step {self.last}, but the trajectories have {spec.steps} steps, 0 to "
                f"{spec.steps - 1}. Take fewer steps or a smaller stride."
            )


class AllPairs(Pairs):
    """All pairs (d i, d j) with 0 <= i <= j <= K, identity included: (K + 1)(K + 2) / 2 pairs, i-major.

    The solution operator is a semigroup, so that every pair of snapshots is a sample: 36 of them at K = 7.

    Args:
        steps: K, the largest j. Good values: 7 for fine-tuning, 10 for pretraining on 21 snapshots with stride 2.
        stride: d, snapshots between two steps.
        transitions: Allowed j - i; all by default.

    Reference:
        arXiv:2405.19101, all2all training.
    """

    def __init__(self, steps: int, *, stride: int = 1, transitions: Sequence[int] | None = None):
        self.steps, self.stride, self.transitions = steps, stride, transitions
        i, j = np.triu_indices(steps + 1)
        if transitions is not None:
            allowed = np.isin(j - i, list(transitions))
            i, j = i[allowed], j[allowed]
        super().__init__(np.stack([i, j], 1) * stride)


class FixedInput(Pairs):
    """Pairs (t0, t0 + d (m + 1)) for m = 0 ... K - 1: everything is predicted from one input step.

    Args:
        steps: K, number of targets.
        stride: d, snapshots between two targets.
        start: t0, the input step.
    """

    def __init__(self, steps: int, *, stride: int = 1, start: int = 0):
        self.steps, self.stride, self.start = steps, stride, start
        stops = start + stride * np.arange(1, steps + 1)
        super().__init__(np.stack([np.full(steps, start), stops], 1))


class SteadyPair(Pairs):
    """The one pair (0, 0) of a steady problem, where input and target are different channels."""

    def __init__(self):
        super().__init__(np.zeros((1, 2), np.int64))


class Windows(Pairs):
    """Windows of neighbouring snapshots, as bounds (start, stop) for ``Trajectories.read``; ``stop`` is excluded.

    Args:
        length: Snapshots in a window.
        snapshots: Snapshots of a trajectory, ``spec.steps``.
        stride: Snapshots between the starts of two windows.
    """

    def __init__(self, length: int, snapshots: int, *, stride: int = 1):
        self.length, self.snapshots, self.stride = length, snapshots, stride
        starts = np.arange(0, snapshots - length + 1, stride)
        super().__init__(np.stack([starts, starts + length], 1))
        self.last -= 1


def split(trajectories: int, *, validation: int, test: int) -> tuple[range, range, range]:
    """Cut trajectories into training, validation and test set, from the end: the test set is last.

    Args:
        trajectories: How many there are.
        validation: How many to validate on.
        test: How many to test on.

    Returns:
        Indices of the training, validation and test set.

    Raises:
        ConfigError: nothing is left to train on.
    """
    train = trajectories - validation - test
    if train < 1 or validation < 0 or test < 0:
        raise ConfigError(
            f"there are {trajectories} trajectories, but {validation} are set aside for validation and {test} for "
            "testing: at least one must be left to train on. Set fewer aside, or generate more."
        )
    return range(train), range(train, train + validation), range(train + validation, trajectories)
