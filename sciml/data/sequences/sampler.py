"""Batches of sequences that are about equally long, so that little of a batch is padding."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int

from sciml.data.sampler import ResumableBatchSampler


class LengthBatchSampler(ResumableBatchSampler):
    """A ``ResumableBatchSampler`` that sorts pools of shuffled examples by length and cuts the batches from them.

    The batches come in shuffled order, and every example comes once an epoch, as without pools.

    Args:
        lengths: Length of every example, shape (example,).
        batch_size: Examples in a batch of one rank.
        pool: Global batches in a pool. Good values: 16 to 64; 1 does not sort.
        settings: Of ``ResumableBatchSampler``.
    """

    def __init__(self, lengths: Int[np.ndarray, " example"], batch_size: int, *, pool: int, **settings: Any):
        super().__init__(len(lengths), batch_size, **settings)
        self.lengths, self.pool = np.asarray(lengths), pool

    def order(self) -> Int[np.ndarray, " sample"]:
        """The examples of the epoch, in the order in which they are drawn."""
        order = super().order()
        size = self.batch_size * self.world
        # The last batch, which may be short, must stay last.
        whole = len(order) // size * size
        batches = []
        for start in range(0, whole, self.pool * size):
            pool = order[start : min(start + self.pool * size, whole)]
            # Ties are left in shuffled order.
            batches.append(pool[np.argsort(self.lengths[pool], kind="stable")].reshape(-1, size))
        if not batches:
            return order
        shuffled = np.random.default_rng([self.seed, self.epoch, 1]).permutation(np.concatenate(batches))
        return np.concatenate([shuffled.ravel(), order[whole:]])
