"""Several files of trajectories with different channels as one data set, as pretraining on many equations needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.loading import ResumableLoader, loader_settings, position
from datamodules.trajectories import TrajectoryData, given_statistics
from sciml.data.dataset import identity
from sciml.data.forecast import forecasts_of
from sciml.data.mixture import MixtureDataset
from sciml.data.normalise import Normaliser
from sciml.data.scalars import scalar_specs
from sciml.data.spec import FieldSpec, TrajectorySpec
from sciml.errors import ConfigError


class MixtureData(L.LightningDataModule):
    """Training pairs drawn from several files by weight; every file is validated and tested on its own.

    Channels are matched by name (``sciml.data.mixture.MixtureDataset``): one that a file does not have is 0 among the
    inputs and masked among the targets. Scalars are normalised by their statistics over all files that have them, and 0
    for the others. Forecasts are direct; what a file does not hold is not fed back.

    Args:
        parts: The files by name: settings of ``TrajectoryData``, besides ``weight``, how often the file is drawn
            relative to the others (default: as often as it has pairs), and ``rename``, new names of its channels, so
            that the same quantity has the same name everywhere, e.g. ``{"density": "rho"}``.
            None instead of settings leaves a part out.
        scalars: Names of the parameters of the equation that the network reads; None: none.
        batch_size: Pairs in a batch of one process.
        eval_batch_size: Trajectories in a batch of the evaluation.
        num_workers: Loader processes; 0 reads in the training process.
        seed: Seed of the sample order, which is a function of seed, epoch and step.
        settings: What holds for all files that do not say otherwise.

    Raises:
        ConfigError: there is no part, only some have weights, or the parts do not fit together.
    """

    def __init__(
        self,
        parts: Mapping[str, Mapping[str, Any] | None],
        *,
        scalars: Sequence[str] | None = None,
        batch_size: int = 16,
        eval_batch_size: int = 16,
        num_workers: int = 0,
        seed: int = 0,
        **settings: Any,
    ):
        super().__init__()
        described = {name: {**settings, **part} for name, part in parts.items() if part}
        if not described or any("path" not in part for part in described.values()):
            raise ConfigError(f"data.parts is {dict(parts)}; a name, and a path for each name, is expected.")
        if own := [name for name, part in described.items() if part.get("scalars")]:
            raise ConfigError(
                f"data.parts.{own[0]}.scalars names scalars for one file, but a network reads the same ones of every "
                "file. Name them for all with data.scalars=[NAMES]."
            )
        self.scalar_names = tuple(scalars or ())
        self.statistics: Any = settings.get("statistics")
        self.weights = [part.pop("weight", None) for part in described.values()]
        if None in self.weights and any(weight is not None for weight in self.weights):
            raise ConfigError(
                f"the weights of {', '.join(described)} are {self.weights}. Give every part of data.parts one, or none."
            )
        self.rename: list[Mapping[str, str]] = [part.pop("rename", None) or {} for part in described.values()]
        sizes = {"batch_size": batch_size, "eval_batch_size": eval_batch_size}
        self.files = {name: TrajectoryData(**sizes, **_merged(part, settings)) for name, part in described.items()}
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.seed = seed
        self.parts: dict[str, MixturePart] = {}

    def prepare_data(self) -> None:
        """Generate the files that are missing and say how they are made."""
        for file in self.files.values():
            file.prepare_data()

    def setup(self, stage: str) -> None:
        """Open the files and match their channels."""
        if self.parts:
            return
        for file in self.files.values():
            file.trainer = self.trainer
            file.setup(stage)
        scalars = self._scalars()
        for file in self.files.values():
            file.scalars = tuple(scalar for scalar in scalars if scalar.name in file.source.spec.scalars)
        self.pairs = self._mixed([f.dataset(f.training_pairs, f.train_indices) for f in self.files.values()])
        self.fields_in, self.fields_out = self.pairs.fields_in, self.pairs.fields_out
        self.scalars = tuple(sorted(scalars, key=lambda scalar: self.pairs.scalars.index(scalar.name)))
        self.shape = self.pairs.datasets[0].spec.shape
        first = self.pairs.datasets[0].spec
        self.spec: TrajectorySpec = replace(first, task=", ".join(self.files))
        self.parts = {
            name: MixturePart(file, self.fields_in, self.fields_out, rename)
            for (name, file), rename in zip(self.files.items(), self.rename, strict=True)
        }

    def train_dataloader(self) -> DataLoader:
        """Batches of training pairs of all files, from the current step of the run on."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        weights = None if None in self.weights else self.weights
        sampler = self.pairs.sampler(self.batch_size, weights=weights, seed=self.seed, rank=rank, world=world)
        return ResumableLoader(
            self.pairs,
            batch_sampler=sampler,
            collate_fn=identity,
            position=partial(position, self.trainer, len(sampler)),
            **loader_settings(self.trainer, self.num_workers),
        )

    def val_dataloader(self) -> list[DataLoader]:
        """Whole trajectories of the validation split of each file."""
        return self._forecasts([file.validation_indices for file in self.files.values()])

    def test_dataloader(self) -> list[DataLoader]:
        """Whole trajectories of the test split of each file."""
        return self._forecasts([file.test_indices for file in self.files.values()])

    def teardown(self, stage: str) -> None:
        """Let go of the files."""
        for file in self.files.values():
            file.teardown(stage)

    def _forecasts(self, indices: Sequence[range]) -> list[DataLoader]:
        files = self.files.values()
        mixture = self._mixed([f.dataset(f.forecast_pairs, i) for f, i in zip(files, indices, strict=True)])
        settings = {"collate_fn": identity, **loader_settings(self.trainer, self.num_workers)}
        datasets = [PartForecasts(mixture, part) for part in range(len(files))]
        return [DataLoader(dataset, batch_size=self.eval_batch_size, **settings) for dataset in datasets]

    def _scalars(self) -> tuple[FieldSpec, ...]:
        sources = [(file.source, file.train_indices) for file in self.files.values()]
        return scalar_specs(sources, self.scalar_names, known=given_statistics(self.statistics))

    def _mixed(self, datasets: list[Any]) -> MixtureDataset:
        return MixtureDataset(datasets, rename=self.rename)


class MixturePart:
    """One file of a mixture, seen with the channels of all, as the evaluation needs it.

    Args:
        file: The file.
        fields_in: Input channels of the mixture.
        fields_out: Target channels of the mixture.
        rename: New names of the channels of the file.
    """

    autoregressive = False

    def __init__(
        self,
        file: TrajectoryData,
        fields_in: Sequence[FieldSpec],
        fields_out: Sequence[FieldSpec],
        rename: Mapping[str, str],
    ):
        self.spec: Any = file.spec
        self.forecast_times: np.ndarray = file.forecast_times
        own_in = {rename.get(f.name, f.name) for f in file.fields_in}
        own_out = {rename.get(f.name, f.name): f for f in file.fields_out}
        self.fields_out = tuple(_seen(field, own_out.get(field.name)) for field in fields_out)
        self.normaliser_out = Normaliser.from_fields(self.fields_out, dims=len(self.spec.shape))
        names = [f.name for f in fields_in]
        given = own_out.keys() <= own_in and all(f.name in names for f in fields_out)
        self._carried = [names.index(f.name) for f in fields_out] if given and not self.spec.steady else None

    def carried(self, fields: Tensor) -> Tensor | None:
        """The predicted fields at the initial time; None if they are not given."""
        return None if self._carried is None else fields[:, self._carried]

    def baselines(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Persistence where the predicted fields are given, and otherwise the mean of the training data."""
        carried, targets = self.carried(batch["fields"]), batch["targets"]
        if carried is None:
            return {"mean": torch.zeros_like(targets)}
        return {"persistence": carried[:, None].expand_as(targets)}


class PartForecasts(Dataset):
    """The forecasts of one file of a mixture, with batches as those of ``ForecastDataset``.

    Args:
        mixture: Of datasets whose pairs all start at one step.
        part: Which of its datasets.
    """

    def __init__(self, mixture: MixtureDataset, part: int):
        self.mixture = mixture
        self.first = sum(mixture.sizes[:part])
        self.size = mixture.sizes[part]
        self.times = len(mixture.datasets[part].pairs)

    def __len__(self) -> int:
        return self.size // self.times

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """A batch of trajectories, already collated."""
        times = self.times
        pairs = [self.first + i * times + k for i in indices for k in range(times)]
        return forecasts_of(self.mixture.__getitems__(pairs), times)


def _merged(part: dict[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """How a file is made is settled by what holds for all files and what is its own, together."""
    recipe = {**(common.get("generate") or {}), **(part.get("generate") or {})}
    return part | {"generate": recipe or None}


def _seen(field: FieldSpec, own: FieldSpec | None) -> FieldSpec:
    """A channel of the mixture with the statistics of a file, or with none to speak of if the file does not hold it."""
    if own is None:
        return replace(field, mean=0.0, std=1.0, observed=False)
    return replace(field, mean=own.mean, std=own.std, observed=own.observed, unit=own.unit)
