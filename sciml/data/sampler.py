"""Shuffled batches in an order given by seed and epoch alone, so that a run can go on in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int
from torch.utils.data import Sampler

from sciml.errors import ConfigError


class ResumableBatchSampler(Sampler[list[int]]):
    """Batches of sample indices; batch k of an epoch depends on seed, epoch and k only.

    With several ranks a global batch of ``world * batch_size`` samples is cut into one batch for each rank, and every
    rank gets the same number of batches of the same size: where the last global batch cannot be cut evenly, samples of
    the beginning of the epoch fill it up.

    Args:
        size: Number of samples.
        batch_size: Samples in a batch of one rank.
        seed: Seed of the order.
        shuffle: Whether to shuffle at all.
        rank: This process among all.
        world: Number of processes.
        drop_last: Leave out the last global batch if it is not full.

    Raises:
        ConfigError: there is no full batch, or a setting is out of range.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
        drop_last: bool = False,
    ):
        if batch_size < 1 or not 0 <= rank < world:
            raise ConfigError(
                f"batch_size {batch_size}, rank {rank} of {world}: expected at least 1, rank below world."
            )
        self.size, self.batch_size, self.seed, self.shuffle = size, batch_size, seed, shuffle
        self.rank, self.world, self.drop_last = rank, world, drop_last
        self.epoch = 0
        self._first = 0
        if len(self) == 0:
            raise ConfigError(
                f"{size} samples make no batch of {batch_size} on {world} processes. Take a smaller batch, or more "
                "trajectories."
            )

    def __len__(self) -> int:
        """Batches of a whole epoch on this rank."""
        full, rest = divmod(self.size, self.batch_size * self.world)
        return full + bool(rest and not self.drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, which decides the order of the next iteration."""
        self.epoch = epoch

    def start_at(self, batch: int) -> None:
        """Skip the batches before ``batch`` in the next iteration, and in that one only.

        Args:
            batch: First batch to give out, counted on this rank from the beginning of the epoch.
        """
        self._first = batch

    def order(self) -> Int[np.ndarray, " sample"]:
        """The samples of the epoch, in the order in which they are drawn."""
        order = np.arange(self.size)
        return np.random.default_rng([self.seed, self.epoch]).permutation(order) if self.shuffle else order

    def __iter__(self) -> Iterator[list[int]]:
        first, self._first = self._first, 0
        order = self.order()
        for k in range(first, len(self)):
            start = k * self.batch_size * self.world
            each = min(self.batch_size, -(-(self.size - start) // self.world))
            yield order.take(start + np.arange(each) * self.world + self.rank, mode="wrap").tolist()
