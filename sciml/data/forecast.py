"""Whole trajectories for evaluation: an initial state and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from sciml.data.dataset import PairDataset
from sciml.errors import ConfigError


class ForecastDataset(Dataset):
    """One item a trajectory: its fields at one step, and at all the steps that are to be forecast from there.

    Use it with ``collate_fn=identity``, like ``PairDataset``. A batch is a dict:

    - ``fields``: initial state, normalised, float32, shape (batch, channel_in, *space);
    - ``targets``: true fields at every lead time, normalised, shape (batch, time, channel_out, *space);
    - ``lead_times``: lead time of every target, shape (time,); 1 for a steady problem;
    - ``trajectory``: which trajectory of the file, shape (batch,);
    - ``scalars``: parameters of the equation at the initial step, shape (batch, scalar). Absent where there are none;
    - ``mask``: True where the targets say nothing, shape (batch, time, channel_out) or (batch, time, channel_out,
      *space). Absent where everything counts.

    Args:
        pairs: Pairs that all start at the same step, e.g. with ``FixedInput`` or ``SteadyPair``.

    Raises:
        ConfigError: the pairs start at different steps.
    """

    def __init__(self, pairs: PairDataset):
        if len(np.unique(pairs.pairs.table[:, 0])) > 1:
            raise ConfigError(
                f"a forecast has one initial step, but {pairs.pairs!r} starts at several. Use FixedInput."
            )
        self.pairs = pairs
        self.times = len(pairs.pairs)

    def __len__(self) -> int:
        return len(self.pairs.trajectory_indices)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One trajectory, with the keys of a batch and no batch axis."""
        batch = self.__getitems__([range(len(self))[index]])
        return {key: value if key == "lead_times" else value[0] for key, value in batch.items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """A batch of trajectories, already collated."""
        times = self.times
        batch = self.pairs.__getitems__([i * times + k for i in indices for k in range(times)])
        return forecasts_of(batch, times)


def forecasts_of(batch: dict[str, Tensor], times: int) -> dict[str, Tensor]:
    """A batch of ``ForecastDataset`` from one of pairs: ``times`` pairs of one trajectory after those of another."""
    forecasts = {
        "fields": batch["fields"][::times],
        "targets": batch["target"].unflatten(0, (-1, times)),
        "lead_times": batch["lead_time"][:times],
        "trajectory": batch["trajectory"][::times],
    }
    if "scalars" in batch:
        forecasts["scalars"] = batch["scalars"][::times]
    if "mask" in batch:
        forecasts["mask"] = batch["mask"].unflatten(0, (-1, times))
    return forecasts
