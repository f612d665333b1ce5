"""Inflows of a hydrothermal case: paths to train a policy on, and others to judge it with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.loading import ResumableLoader, loader_settings, position
from sciml.data.dataset import identity
from sciml.data.sampler import ResumableBatchSampler
from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.cases import open_case
from sciml.dispatch.inflow_models import AutoregressiveInflows, historical, openings_to_inflows, sample_openings
from sciml.errors import ConfigError

Batch = dict[str, Tensor]

SOURCES = ("openings", "autoregressive", "historical")
_TRAINING, _VALIDATION, _TEST = range(3)  # streams of chance, so that equal seeds give different scenarios


class InflowData(L.LightningDataModule):
    """A case, and scenarios of its inflows.

    A batch holds ``inflows`` (batch, stage, plant), m3/s, float64, and, if the openings of the case are the source,
    ``openings`` (batch, stage). Scenario n of the training is a function of the seed and of n only, whatever the batch
    size and the number of processes; each process has its share of every batch. Validation and test have scenarios of
    their own, one batch of them, the same for every ``seed``, so that policies are compared in pairs.

    Args:
        case: ``cascade``, a folder, or the name of one in the folder that ``SCIML_HYDRO_CASES`` names.
        stage_hours: Length of a stage, h; None: that of the case.
        load_scale: Factor of all loads.
        initial_volume: hm3 of every plant, or of all; None: those of the case.
        stages: Length of a scenario.
        first_stage: Stage of the case at which scenarios begin; ``case`` has it as its stage 0.
        batch_size: Scenarios in a batch of one process. Good values: 4 to 16.
        batches: Batches of an epoch.
        validation: Scenarios to choose by.
        test: Scenarios that no choice is made by.
        inflows: Source: ``openings`` of the case, drawn independently at every stage; ``autoregressive``, a process
            fitted to them; or ``historical``, openings taken as years, of which a fifth each is kept for validation and
            test.
        test_inflows: Source of the test; None: that of the training.
        persistence: Correlation of a stage with the one before, of ``autoregressive``; None: fitted.
        num_workers: Loader processes; 0 draws in the training process.
        seed: Of the training scenarios.
        validation_seed: Of the validation scenarios.
        test_seed: Of the test scenarios.

    Raises:
        ConfigError: a number is not positive, or a source is unknown.
    """

    def __init__(
        self,
        case: str = "cascade",
        *,
        stage_hours: float | None = None,
        load_scale: float = 1.0,
        initial_volume: float | Sequence[float] | None = None,
        stages: int = 24,
        first_stage: int = 0,
        batch_size: int = 8,
        batches: int = 100,
        validation: int = 32,
        test: int = 200,
        inflows: str = "openings",
        test_inflows: str | None = None,
        persistence: float | Sequence[float] | None = None,
        num_workers: int = 0,
        seed: int = 0,
        validation_seed: int = 0,
        test_seed: int = 0,
    ):
        super().__init__()
        numbers = {"stages": stages, "batch_size": batch_size, "batches": batches}
        for name, value in {**numbers, "validation": validation, "test": test}.items():
            if not (isinstance(value, int) and value >= 1):
                raise ConfigError(f"data.{name} is {value!r}; a whole number of at least 1 is expected.")
        for name, source in {"inflows": inflows, "test_inflows": test_inflows or inflows}.items():
            if source not in SOURCES:
                raise ConfigError(f"data.{name}={source} came; one of {', '.join(SOURCES)} is expected.")
        self._system = partial(
            open_case, case, stage_hours=stage_hours, load_scale=load_scale, initial_volume=initial_volume
        )
        self.stages, self.first_stage = stages, first_stage
        self.batch_size, self.batches, self.num_workers = batch_size, batches, num_workers
        self.validation, self.test = validation, test
        self.source, self.test_source, self.persistence = inflows, test_inflows or inflows, persistence
        self.seeds = (seed, validation_seed, test_seed)
        self._as_read: HydrothermalCase | None = None  # as it was read
        self._case: HydrothermalCase | None = None  # from the first stage on

    @property
    def case(self) -> HydrothermalCase:
        """The system, from the first stage on."""
        if self._case is None:
            raise ConfigError("the case is not open yet; call setup('fit') first.")
        return self._case

    @property
    def as_read(self) -> HydrothermalCase:
        """The system, from its own first stage on."""
        if self._as_read is None:
            raise ConfigError("the case is not open yet; call setup('fit') first.")
        return self._as_read

    def setup(self, stage: str) -> None:
        """Open the case."""
        if self._case is not None:
            return
        self._as_read = case = self._system()
        self._case = case.from_stage(self.first_stage)
        if self.source == "historical" and case.inflows.shape[2] < 3:
            raise ConfigError(
                f"data.inflows=historical, but {case.name} has {case.inflows.shape[2]} openings; at least 3 years, to "
                "train, to validate and to test with, are expected. Take data.inflows=openings."
            )
        self._check_years("validation", self.source, _VALIDATION)
        self._check_years("test", self.test_source, _TEST)
        self._print_summary()

    def train_dataloader(self) -> DataLoader:
        """Scenarios of one batch after the other, from the current step of the run on."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        size = self.batches * self.batch_size * world
        sampler = _ScenarioSampler(size, self.batch_size, seed=0, shuffle=False, rank=rank, world=world)
        return ResumableLoader(
            _Scenarios(self, self.source, _TRAINING),
            batch_sampler=sampler,
            collate_fn=identity,
            position=partial(position, self.trainer, len(sampler)),
            **loader_settings(self.trainer, self.num_workers),
        )

    def val_dataloader(self) -> DataLoader:
        """The validation scenarios, in one batch."""
        return self._judging(self.source, _VALIDATION, self.validation)

    def test_dataloader(self) -> DataLoader:
        """The test scenarios, in one batch."""
        return self._judging(self.test_source, _TEST, self.test)

    def _judging(self, source: str, stream: int, number: int) -> DataLoader:
        scenarios = _Scenarios(self, source, stream)
        return DataLoader([scenarios.__getitems__(list(range(number)))], batch_size=None)  # type: ignore[arg-type]

    def years(self, stream: int) -> range:
        """Openings of the stream's years: all of them where training was not on years."""
        number = self.case.inflows.shape[2]
        if self.source != "historical":
            return range(number)
        held = max(number // 5, 1)
        ends = (0, number - 2 * held, number - held, number)
        return range(ends[stream], ends[stream + 1])

    def _check_years(self, name: str, source: str, stream: int) -> None:
        """Repeated scenarios would pass for further evidence."""
        asked, there = getattr(self, name), len(self.years(stream))
        rows = len(self.case.inflows)
        if source == "historical" and asked > there and self.first_stage % rows + self.stages <= rows:
            raise ConfigError(
                f"data.{name}={asked}, but {self.case.name} has {there} different years for it. Set it to {there}, or "
                "let scenarios be longer than a year."
            )

    def _print_summary(self) -> None:
        if self.trainer is not None and not self.trainer.is_global_zero:
            return
        case = self.case
        source = self.source if self.test_source == self.source else f"{self.source} (test: {self.test_source})"
        print(
            f"Case: {case.name}, {len(case.buses.names)} buses, {len(case.plants.names)} hydro plants, "
            f"{len(case.thermals.names)} thermal units; {self.stages} stages of {case.stage_hours:g} h, inflows "
            f"{source}; {self.validation} scenarios to validate, {self.test} to test.",
            flush=True,
        )


class _Scenarios(Dataset):
    """Scenario n of a stream of chance, a function of the stream's seed and of n."""

    def __init__(self, data: InflowData, source: str, stream: int):
        # Openings that are years begin with the case, not with the scenarios.
        self._case, self._source = data.as_read, source
        self._place = (data.stages, data.first_stage)
        self._entropy = (stream, data.seeds[stream])
        self._as_reads = data.years(stream)
        if source == "autoregressive":
            self._process = AutoregressiveInflows.fit(data.as_read, persistence=data.persistence)

    def __getitems__(self, numbers: list[int]) -> Batch:
        drawn = [self._draw(n, np.random.default_rng([*self._entropy, n])) for n in numbers]
        return {key: torch.from_numpy(np.concatenate([scenario[key] for scenario in drawn])) for key in drawn[0]}

    def _draw(self, number: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        stages, first = self._place
        if self._source == "autoregressive":
            return {"inflows": self._process.sample(1, stages, rng, first)}
        if self._source == "historical":
            years = np.roll(self._as_reads, -number).tolist()
            return {"inflows": historical(self._case, 1, stages, rng, first, years=years)}
        openings = sample_openings(self._case, 1, stages, rng, first)
        return {"inflows": openings_to_inflows(self._case, openings, first), "openings": openings}


class _ScenarioSampler(ResumableBatchSampler):
    """Numbers of scenarios, which go on from epoch to epoch."""

    def order(self) -> np.ndarray:
        """The scenarios of the epoch."""
        return self.epoch * self.size + np.arange(self.size)
