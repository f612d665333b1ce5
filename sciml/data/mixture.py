"""Several datasets with different channels as one, drawn with weights, as pretraining on many equations needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from sciml.data.dataset import PairDataset
from sciml.data.sampler import ResumableBatchSampler
from sciml.data.spec import FieldSpec
from sciml.errors import ConfigError


class MixtureDataset(Dataset):
    """The samples of several ``PairDataset``, one dataset after the other, with channels matched by name.

    A batch has the keys of ``PairDataset``, with the channels of all datasets. A channel that a dataset does not have
    is 0 among its fields, which is the mean, and masked among its targets. Besides, there are

    - ``dataset``: which dataset a sample comes from, int64, shape (batch,); ``trajectory`` counts within it;
    - ``missing``: True where an input channel was filled, bool, shape (batch, channel_in);
    - ``mask``, which is always there.

    ``scalars`` are matched by name, too, and 0 where a dataset does not have them.

    Args:
        datasets: What is mixed; the grids have the same size. Every dataset normalises by its own statistics.
        rename: New names for the channels of each dataset, so that the same quantity has the same name everywhere, e.g.
            ``[{}, {"density": "rho", "Vx": "u", "Vy": "v", "pressure": "p"}]``.
        channels_in: Names and order of the input channels; by default all, in the order in which they are met.
        channels_out: The same for the targets.

    Attributes:
        fields_in: The input channels, as the first dataset that has each describes it.
        fields_out: The target channels.
        scalars: Names of the scalars.

    Raises:
        ConfigError: there is nothing to mix, grids differ in size, or a channel is in no dataset.
    """

    def __init__(
        self,
        datasets: Sequence[PairDataset],
        *,
        rename: Sequence[Mapping[str, str]] | None = None,
        channels_in: Sequence[str] | None = None,
        channels_out: Sequence[str] | None = None,
    ):
        self.datasets = tuple(datasets)
        names = [{}] * len(self.datasets) if rename is None else list(rename)
        if not self.datasets or len(names) != len(self.datasets):
            raise ConfigError(
                f"{len(self.datasets)} datasets and {len(names)} sets of new names came; expected at least one "
                "dataset, and one (perhaps empty) dict of names for each."
            )
        shapes = {dataset.spec.shape: dataset.trajectories.path for dataset in reversed(self.datasets)}
        if len(shapes) > 1:
            found = ", ".join(f"{' x '.join(map(str, shape))} in {path}" for shape, path in shapes.items())
            raise ConfigError(f"the grids of a mixture have one size, but there are {found}. Convert to one of them.")
        given = list(zip(self.datasets, names, strict=True))
        inputs = [_renamed(dataset.spec.select(dataset.channels_in), new) for dataset, new in given]
        targets = [_renamed(dataset.spec.select(dataset.channels_out), new) for dataset, new in given]
        self.fields_in = _union(inputs, channels_in)
        self.fields_out = _union(targets, channels_out)
        self._into_in = [_slots(fields, self.fields_in) for fields in inputs]
        self._into_out = [_slots(fields, self.fields_out) for fields in targets]
        self.scalars = tuple(dict.fromkeys(name for dataset in self.datasets for name in _scalar_names(dataset)))
        self.sizes = tuple(len(dataset) for dataset in self.datasets)
        self._ends = np.cumsum(self.sizes)
        self._shape = self.datasets[0].spec.shape
        self._body = any(dataset.spec.solid for dataset in self.datasets)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def sampler(
        self, batch_size: int, *, weights: Sequence[float] | None = None, seed: int, **settings: int
    ) -> MixtureBatchSampler:
        """The batch sampler that draws from each dataset by its weight.

        Args:
            batch_size: Samples in a batch of one rank.
            weights: How often each dataset is drawn, relative to the others; by default as often as it has samples.
            seed: Seed of the order.
            settings: ``samples``, ``rank`` and ``world`` of ``MixtureBatchSampler``.
        """
        return MixtureBatchSampler(
            self.sizes, batch_size, weights=self.sizes if weights is None else weights, seed=seed, **settings
        )

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One sample, with the keys of a batch and no batch axis."""
        return {key: value[0] for key, value in self.__getitems__([range(len(self))[index]]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """One batch, already collated: torch's DataLoader calls this with all indices of a batch."""
        chosen = np.asarray(indices, np.int64)
        origin = np.searchsorted(self._ends, chosen, side="right")
        count, channels_in, channels_out = len(chosen), len(self.fields_in), len(self.fields_out)
        batch = {
            "fields": torch.zeros(count, channels_in, *self._shape),
            "target": torch.zeros(count, channels_out, *self._shape),
            "lead_time": torch.empty(count),
            "trajectory": torch.empty(count, dtype=torch.int64),
            "boundary": torch.empty(count, len(self._shape), 2, dtype=torch.int64),
            "dataset": torch.from_numpy(origin),
            "missing": torch.ones(count, channels_in, dtype=torch.bool),
            "mask": torch.ones(count, channels_out, *(self._shape if self._body else ()), dtype=torch.bool),
        }
        if self.scalars:
            batch["scalars"] = torch.zeros(count, len(self.scalars))
        for i in np.unique(origin):
            rows = np.flatnonzero(origin == i)
            first = int(self._ends[i]) - self.sizes[i]
            self._place(batch, torch.from_numpy(rows), int(i), self.datasets[i].__getitems__(chosen[rows] - first))
        return batch

    def _place(self, batch: dict[str, Tensor], rows: Tensor, i: int, part: dict[str, Tensor]) -> None:
        """Put the samples of dataset ``i`` into their rows of the batch, and their channels into theirs."""
        for key in ("lead_time", "trajectory", "boundary"):
            batch[key][rows] = part[key]
        for stored, slot in self._into_in[i]:
            batch["fields"][rows, slot] = part["fields"][:, stored]
            batch["missing"][rows, slot] = False
        for stored, slot in self._into_out[i]:
            batch["target"][rows, slot] = part["target"][:, stored]
            mask = part["mask"][:, stored] if "mask" in part else torch.zeros(len(rows), dtype=torch.bool)
            batch["mask"][rows, slot] = mask if not self._body or mask.ndim > 1 else _spread(mask, self._shape)
        for column, name in enumerate(_scalar_names(self.datasets[i])):
            batch["scalars"][rows, self.scalars.index(name)] = part["scalars"][:, column]


class MixtureBatchSampler(ResumableBatchSampler):
    """Batches from several datasets, each drawn by its weight; batch k of an epoch depends on seed, epoch and k only.

    Of dataset i an epoch takes ``samples * weight_i / sum(weights)`` samples. Every dataset is gone through in shuffles
    of its own that go on from epoch to epoch: one of a large dataset comes again only when all others have come, and a
    small one with a large weight is gone through several times.

    Args:
        sizes: Number of samples of each dataset.
        batch_size: Samples in a batch of one rank.
        weights: How often each dataset is drawn, relative to the others.
        seed: Seed of the order.
        samples: Samples in an epoch; by default as many as there are.
        rank: This process among all.
        world: Number of processes.

    Raises:
        ConfigError: a weight is negative, all are 0, or there is not one for each dataset.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        batch_size: int,
        *,
        weights: Sequence[float],
        seed: int,
        samples: int | None = None,
        rank: int = 0,
        world: int = 1,
    ):
        if len(weights) != len(sizes) or min(weights, default=0) < 0 or not 0 < sum(weights) < np.inf:
            raise ConfigError(
                f"weights are {list(weights)} for {len(sizes)} datasets; expected one for each, none negative, not "
                "all 0."
            )
        self.sizes = tuple(sizes)
        size = sum(sizes) if samples is None else samples
        self.counts = _shares(size, np.asarray(weights, float))
        super().__init__(size, batch_size, seed=seed, rank=rank, world=world)

    def order(self) -> Int[np.ndarray, " sample"]:
        """The samples of the epoch, in the order in which they are drawn."""
        drawn = [
            first + self._draw(i, size, count)
            for i, (first, size, count) in enumerate(
                zip(np.cumsum((0, *self.sizes[:-1])), self.sizes, self.counts, strict=True)
            )
        ]
        return np.random.default_rng([self.seed, self.epoch]).permutation(np.concatenate(drawn))

    def _draw(self, dataset: int, size: int, count: int) -> Int[np.ndarray, " sample"]:
        begin = self.epoch * count
        first, last = begin // size, -(-(begin + count) // size)
        # The last number tells these streams from that of the order, whose seed has two numbers.
        shuffles = [np.random.default_rng([self.seed, r, dataset + 1]).permutation(size) for r in range(first, last)]
        stream = np.concatenate([np.empty(0, np.int64), *shuffles])
        return stream[begin - first * size :][:count]


def _shares(total: int, weights: np.ndarray) -> tuple[int, ...]:
    """Whole numbers in the ratio of the weights that add up to the total."""
    exact = total * weights / weights.sum()
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    return tuple(counts.tolist())


def _renamed(fields: Sequence[FieldSpec], new: Mapping[str, str]) -> dict[str, FieldSpec]:
    renamed = {new.get(field.name, field.name): field for field in fields}
    if len(renamed) < len(fields):
        raise ConfigError(
            f"rename={dict(new)} gives two of the channels {', '.join(f.name for f in fields)} the same name. Give "
            "every channel one of its own."
        )
    return renamed


def _union(described: Sequence[Mapping[str, FieldSpec]], asked: Sequence[str] | None) -> tuple[FieldSpec, ...]:
    known: dict[str, FieldSpec] = {}
    for fields in described:
        for name, field in fields.items():
            group = field.group if field.group != field.name else ""
            known.setdefault(name, replace(field, name=name, group=group))
    names = tuple(known if asked is None else asked)
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"channel {', '.join(map(repr, unknown))} is in no dataset; they have {', '.join(known)}.")
    return tuple(known[name] for name in names)


def _scalar_names(dataset: PairDataset) -> tuple[str, ...]:
    return tuple(scalar.name for scalar in dataset.scalars)


def _slots(stored: Mapping[str, FieldSpec], fields: Sequence[FieldSpec]) -> list[tuple[int, int]]:
    """Where each stored channel goes, as (position in the dataset, position in the mixture)."""
    names = [field.name for field in fields]
    return [(position, names.index(name)) for position, name in enumerate(stored) if name in names]


def _spread(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    return mask.reshape(-1, *(1,) * len(shape)).expand(-1, *shape)
