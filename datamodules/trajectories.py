"""Trajectories of PDE solutions on disk: training pairs, and whole trajectories to forecast."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.loading import ResumableLoader, loader_settings, position
from sciml.data import open_trajectories
from sciml.data.dataset import PairDataset, identity
from sciml.data.forecast import ForecastDataset
from sciml.data.normalise import Normaliser, compute_statistics
from sciml.data.pairs import AllPairs, FixedInput, Pairs, SteadyPair, split
from sciml.data.sampler import ResumableBatchSampler
from sciml.data.scalars import scalar_specs
from sciml.data.spec import FieldSpec, TrajectorySpec
from sciml.errors import ConfigError
from sciml.pretrained import field_statistics

PUBLISHED_STEPS = 7


class TrajectoryData(L.LightningDataModule):
    """Training pairs (field at step i, field at step j) and evaluation forecasts from one file of trajectories.

    Training batches have the keys of ``sciml.data.dataset.PairDataset``, evaluation batches those of
    ``sciml.data.forecast.ForecastDataset``. Splits are cut from the end of the file: training trajectories first, then
    validation, test last, as the published data prescribe.

    Args:
        path: File in any layout that ``sciml.open_trajectories`` reads.
        task: Name of the task, if the file does not say.
        generate: Arguments of ``sciml.generate`` (with ``task``) to make a missing file; None: it must be there.
        channels: Names of the fields the network reads and predicts; None: those of the task.
        channels_in: Names of the fields it reads; None: ``channels``.
        channels_out: Names of the fields it predicts; None: ``channels``.
        scalars: Names of the parameters of the equation that the network reads; None: none.
        trajectories: How many to train on, from the start of the file; None: all of the training split.
        validation: How many to validate with; None: as published, or a tenth where the file has no room for that.
        test: How many to test with; None: the same.
        stride: Steps between the frames that are used. Published: 2.
        max_steps: Number of strides of the longest pair; None: as many as fit, at most the published 7.
        transitions: Numbers of strides that a training pair may span; None: all, 0 included.
        start: Only pairs that start at this step; None: all starts.
        statistics: What to normalise by instead of the file's own statistics: (mean, standard deviation) of fields and
            scalars by name, where None stands for that of the file; or a pretrained model (folder, run folder or hub
            id), whose statistics are used for all that it knows.
        baselines: Forecasts that the file holds, to compare with: for each name the channels that stand for the fields
            that are predicted, e.g. ``{"climatology": ["climatology"]}``.
        batch_size: Pairs in a batch of one process.
        eval_batch_size: Trajectories in a batch of the evaluation.
        num_workers: Loader processes; 0 reads in the training process.
        seed: Seed of the sample order, which is a function of seed, epoch and step.

    Raises:
        ConfigError: a number or name cannot work with the file.
        LayoutError: the file is missing, and ``generate`` does not say how to make it, or no reader knows it.
    """

    def __init__(
        self,
        path: str,
        *,
        task: str | None = None,
        generate: Mapping[str, Any] | None = None,
        channels: Sequence[str] | None = None,
        channels_in: Sequence[str] | None = None,
        channels_out: Sequence[str] | None = None,
        scalars: Sequence[str] | None = None,
        trajectories: int | None = None,
        validation: int | None = None,
        test: int | None = None,
        stride: int = 2,
        max_steps: int | None = None,
        transitions: Sequence[int] | None = None,
        start: int | None = None,
        statistics: Mapping[str, Sequence[float | None]] | str | None = None,
        baselines: Mapping[str, Sequence[str]] | None = None,
        batch_size: int = 16,
        eval_batch_size: int = 16,
        num_workers: int = 0,
        seed: int = 0,
    ):
        super().__init__()
        for name, value in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size), ("stride", stride)):
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"data.{name} is {value!r}; a whole number of at least 1 is expected.")
        self.path = Path(path)
        self.task = task
        self.generate = generate
        self.channels_in = channels_in or channels
        self.channels_out = channels_out or channels
        self.scalar_names = tuple(scalars or ())
        self.scalars: tuple[FieldSpec, ...] = ()
        self.trajectories_train, self.validation, self.test = trajectories, validation, test
        self.stride, self.longest, self.transitions, self.start = stride, max_steps, transitions, start
        self.statistics = statistics
        self.references = dict(baselines or {})
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.seed = seed
        self.spec: TrajectorySpec | None = None

    def prepare_data(self) -> None:
        """Generate the file if it is missing."""
        if not (self.generate or {}).get("task") or self.path.exists():
            return
        from sciml.pde.generate import InterruptedGeneration, generate

        print(f"Generating {self.path}", flush=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        arguments = dict(self.generate or {})
        try:
            generate(arguments.pop("task"), self.path, **arguments)
        except InterruptedGeneration as stop:
            print(stop, file=sys.stderr, flush=True)  # the trainer swallows what a KeyboardInterrupt says
            raise

    def setup(self, stage: str) -> None:
        """Open the file, cut the splits, find the statistics."""
        if self.spec is not None:
            return
        self.source = open_trajectories(self.path, task=self.task)
        spec = self.source.spec
        train, self.validation_indices, self.test_indices = self._split(spec)
        if self.trajectories_train is not None and self.trajectories_train > len(train):
            raise ConfigError(
                f"data.trajectories={self.trajectories_train}, but {self.path} has {len(self.source)} trajectories, of "
                f"which {len(train)} are left for training after {len(self.validation_indices)} for validation and "
                f"{len(self.test_indices)} for the test. Ask for fewer, or set aside fewer with "
                "data.validation and data.test."
            )
        self.train_indices = train[: self.trajectories_train]

        names_in = tuple(self.channels_in or spec.inputs)
        names_out = tuple(self.channels_out or spec.targets)
        unknown = [f.name for f in spec.select([*names_in, *names_out]) if f.mean is None or f.std is None]
        if unknown:
            spec = spec.with_statistics(*compute_statistics(self.source, self.train_indices, channels=unknown))
        given = given_statistics(self.statistics)
        self.scalars = scalar_specs([(self.source, self.train_indices)], self.scalar_names, known=given)
        self.spec = spec = self._with_given_statistics(spec, given)
        self.fields_in: tuple[FieldSpec, ...] = spec.select(names_in)
        self.fields_out: tuple[FieldSpec, ...] = spec.select(names_out)
        self.normaliser_out = Normaliser.from_fields(self.fields_out, dims=len(spec.shape))
        self._print_summary()

    @property
    def parts(self) -> dict[str, TrajectoryData]:
        """What is evaluated on its own, by name: here the one file."""
        return {"": self}

    @property
    def shape(self) -> tuple[int, ...]:
        """Grid points of the fields."""
        return self._spec.shape

    @property
    def max_steps(self) -> int:
        """Number of strides of the longest pair."""
        if self.longest is not None or self._spec.steady:
            return self.longest or 0
        fitting = (self._spec.steps - 1 - (self.start or 0)) // self.stride
        if fitting < 1:
            raise ConfigError(
                f"the trajectories of {self.path} have {self._spec.steps} steps: none lies {self.stride} steps "
                f"(data.stride) after step {self.start or 0}. Set data.stride=1, or an earlier data.start."
            )
        return min(fitting, PUBLISHED_STEPS)

    @property
    def forecast_steps(self) -> np.ndarray:
        """Steps that the evaluation forecasts."""
        if self._spec.steady:
            return np.zeros(1, dtype=int)
        return (self.start or 0) + self.stride * np.arange(1, self.max_steps + 1)

    @property
    def forecast_times(self) -> np.ndarray:
        """Physical time from the initial state to every forecast."""
        if self._spec.steady:
            return np.ones(1)
        times = np.asarray(self._spec.times)
        return times[self.forecast_steps] - times[self.start or 0]

    @property
    def autoregressive(self) -> bool:
        """Whether predictions can be fed back: the first input fields are the predicted ones, the others constant."""
        known = len(self.fields_out)
        names = [f.name for f in self.fields_in[:known]]
        fed_back = names == [f.name for f in self.fields_out]
        # The other inputs are carried along as they are, which is right only if they stay as they are.
        return not self._spec.steady and fed_back and not any(f.in_time for f in self.fields_in[known:])

    def carried(self, fields: Tensor) -> Tensor | None:
        """The predicted fields at the initial time, normalised as predictions are; None if they are not given."""
        names = [f.name for f in self.fields_in]
        if self._spec.steady or any(f.name not in names for f in self.fields_out):
            return None
        return fields[:, [names.index(f.name) for f in self.fields_out]]

    def baselines(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Forecasts to compare with, by name: persistence (nothing changes), and those that the file holds.

        Where the predicted fields are not given, as in a steady problem, it is the mean of the training data instead.

        Args:
            batch: Of the evaluation.

        Returns:
            Normalised fields of shape (batch, time, channel_out, *space).
        """
        targets, forecasts = batch["targets"], {}
        carried = self.carried(batch["fields"])
        if carried is not None:
            forecasts["persistence"] = carried[:, None].expand_as(targets)
        else:
            forecasts["mean"] = torch.zeros_like(targets)
        steps = self.forecast_steps
        trajectories = batch["trajectory"].cpu().numpy()
        for name, channels in self.references.items():
            where = np.repeat(trajectories, len(steps)), np.tile(steps, len(trajectories))
            fields = self.normaliser_out.encode(self.source.read_frames(*where, channels=channels))
            forecasts[name] = torch.from_numpy(fields).to(targets.device).view_as(targets)
        return forecasts

    def train_dataloader(self) -> DataLoader:
        """Batches of training pairs, from the current step of the run on."""
        dataset = self.dataset(self.training_pairs, self.train_indices)
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        sampler = ResumableBatchSampler(len(dataset), self.batch_size, seed=self.seed, rank=rank, world=world)
        return ResumableLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=identity,
            position=partial(position, self.trainer, len(sampler)),
            **loader_settings(self.trainer, self.num_workers),
        )

    def val_dataloader(self) -> DataLoader:
        """Whole trajectories of the validation split."""
        return self._forecasts(self.validation_indices)

    def test_dataloader(self) -> DataLoader:
        """Whole trajectories of the test split."""
        return self._forecasts(self.test_indices)

    def teardown(self, stage: str) -> None:
        """Let go of the file."""
        if self.spec is not None:
            self.source.close()

    @property
    def _spec(self) -> TrajectorySpec:
        if self.spec is None:
            raise ConfigError("the data are not open yet; call prepare_data() and setup('fit') first.")
        return self.spec

    def _with_given_statistics(
        self, spec: TrajectorySpec, given: Mapping[str, Sequence[float | None]]
    ) -> TrajectorySpec:
        """The specification with the statistics that are given in place of the file's own."""
        scalars = (*self.scalar_names, *spec.scalars)
        of_model = isinstance(self.statistics, str)  # which may know more than the file has
        given = {name: g for name, g in given.items() if name not in scalars and (name in spec.names or not of_model)}
        mean, std = {}, {}
        for name, field in zip(given, spec.select(list(given)), strict=True):
            own = (field.mean, field.std)
            mean[name], std[name] = (o if g is None else g for g, o in zip(given[name], own, strict=True))
        return spec.with_statistics(mean, std)

    def _split(self, spec: TrajectorySpec) -> tuple[range, range, range]:
        """Trajectories to train, to validate and to test with."""
        total = len(self.source)
        # A part of a published file, or a small one in its layout, has no room for the published numbers.
        room = total > (spec.validation or 0) + (spec.test or 0)
        published = (spec.validation, spec.test) if room else (None, None)
        tenth = max(total // 10, 1)
        validation = next(n for n in (self.validation, published[0], tenth) if n is not None)
        test = next(n for n in (self.test, published[1], tenth) if n is not None)
        return split(total, validation=validation, test=test)

    @property
    def training_pairs(self) -> Pairs:
        """The pairs of steps to train on."""
        if self._spec.steady:
            return SteadyPair()
        if self.start is not None:
            return FixedInput(self.max_steps, stride=self.stride, start=self.start)
        return AllPairs(self.max_steps, stride=self.stride, transitions=self.transitions)

    @property
    def forecast_pairs(self) -> Pairs:
        """The pairs of steps that the evaluation forecasts."""
        if self._spec.steady:
            return SteadyPair()
        return FixedInput(self.max_steps, stride=self.stride, start=self.start or 0)

    def _forecasts(self, indices: range) -> DataLoader:
        dataset = ForecastDataset(self.dataset(self.forecast_pairs, indices))
        return DataLoader(
            dataset,
            batch_size=self.eval_batch_size,
            collate_fn=identity,
            **loader_settings(self.trainer, self.num_workers),
        )

    def dataset(self, pairs: Pairs, indices: range) -> PairDataset:
        """Pairs of steps of some trajectories as samples."""
        return PairDataset(
            self.source,
            pairs,
            trajectory_indices=indices,
            channels_in=[f.name for f in self.fields_in],
            channels_out=[f.name for f in self.fields_out],
            spec=self._spec,
            scalars=self.scalars,
        )

    def _print_summary(self) -> None:
        if self.trainer is not None and not self.trainer.is_global_zero:
            return
        spec, size = self._spec, " x ".join(map(str, self.shape))
        names_in, names_out = (", ".join(f.name for f in fields) for fields in (self.fields_in, self.fields_out))
        names_in += "".join(f", {scalar.name} (scalar)" for scalar in self.scalars)
        pairs = len(self.training_pairs)
        time = "steady" if spec.steady else f"{self.max_steps} strides of {self.stride}"
        print(
            f"Data: {spec.task or self.path.name} on {size}, {names_in} -> {names_out}, {time}; "
            f"{len(self.train_indices)} trajectories to train on ({len(self.train_indices) * pairs} pairs), "
            f"{len(self.validation_indices)} to validate, {len(self.test_indices)} to test.",
            flush=True,
        )


def given_statistics(
    statistics: Mapping[str, Sequence[float | None]] | str | None,
) -> dict[str, Sequence[float | None]]:
    """(mean, standard deviation) by name from the setting ``statistics`` of the data."""
    if isinstance(statistics, str):
        return dict(field_statistics(statistics))
    for name, values in (statistics or {}).items():
        if len(values) != 2:
            raise ConfigError(
                f"data.statistics.{name} is {list(values)}; [mean, standard deviation] is expected, each a number, or "
                "null for that of the file."
            )
    return dict(statistics or {})
