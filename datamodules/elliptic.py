"""Elliptic variational problems: a named one or the user's own, points to train on, and fresh points to test on."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.known_solutions import make_solution
from datamodules.loading import ResumableLoader, position
from sciml.barron.jet import jet_of
from sciml.barron.problem import EnergyProblem
from sciml.barron.problems import make_problem
from sciml.barron.quadrature import Quadrature
from sciml.barron.spectral import SpectralNet
from sciml.errors import ConfigError

Batch = dict[str, Tensor]


class EllipticData(L.LightningDataModule):
    """A problem, and points of its box.

    Training batches hold ``points`` (point, dimension) and quadrature ``weights`` (point,), drawn afresh at each step.
    The one batch of validation and test holds other points, and ``value`` (point,) and ``gradient`` (point, dimension)
    of the solution there, if it is known.

    Args:
        problem: A name (``sciml.barron.problems``), or "module.function" of a function of your own that takes the
            dimension and ``settings`` and returns an ``EnergyProblem``.
        dimension: Number of coordinates.
        boundary: "periodic", "neumann" or "dirichlet", or one of the latter two for every axis; None: what the problem
            has by itself.
        box: Sides of the box; None: the unit cube.
        settings: Further settings of the problem.
        solution: A solution from which f is made: a name (``datamodules.known_solutions``), or "module.function" of a
            function that takes the dimension and ``solution_settings`` and returns a function of points, twice
            differentiable by torch. None: f is that of the problem, or ``source``.
        solution_settings: Settings of the solution.
        source: "module.function" of f, which maps points (point, dimension) to values (point,).
        rule: Quadrature rule of the training points: "lattice", "sobol" or "gauss".
        points: Training points of a step.
        test_points: Points of validation and test.
        seed: Of all points.

    Raises:
        ConfigError: a number is not positive, or ``solution`` and ``source`` are both given.
    """

    def __init__(
        self,
        problem: str,
        *,
        dimension: int,
        boundary: str | Sequence[str] | None = None,
        box: Sequence[float] | None = None,
        settings: Mapping[str, Any] | None = None,
        solution: str | None = None,
        solution_settings: Mapping[str, Any] | None = None,
        source: str | None = None,
        rule: str = "lattice",
        points: int = 2**10,
        test_points: int = 2**12,
        seed: int = 0,
    ):
        super().__init__()
        for name, value in {"dimension": dimension, "points": points, "test_points": test_points}.items():
            if not (isinstance(value, int) and value >= 1):
                raise ConfigError(f"data.{name} is {value!r}; a whole number of at least 1 is expected.")
        if solution and source:
            raise ConfigError(
                f"data.solution={solution} and data.source={source} came; one of them is expected: a known solution "
                "makes its own right-hand side."
            )
        self.formula, self.dimension = problem, dimension
        place = {"boundary": boundary if boundary is None or isinstance(boundary, str) else tuple(boundary), "box": box}
        self.settings = {key: value for key, value in place.items() if value is not None} | dict(settings or {})
        self.asked = (solution, dict(solution_settings or {}), source)
        self.rule, self.points, self.test_points, self.seed = rule, points, test_points, seed
        self.solution: Callable[[Tensor], Tensor] | None = None
        self._problem: EnergyProblem | None = None

    @property
    def problem(self) -> EnergyProblem:
        """What is to be solved."""
        if self._problem is None:
            raise ConfigError("the problem is not made yet; call setup('fit') first.")
        return self._problem

    def setup(self, stage: str) -> None:
        """Make the problem and its right-hand side."""
        if self._problem is not None:
            return
        name, settings, source = self.asked
        own = {"source": _find(source, "data.source")} if source else {}
        if "." in self.formula:
            problem = _find(self.formula, "data.problem")(self.dimension, **self.settings, **own)
            if not isinstance(problem, EnergyProblem):
                raise ConfigError(
                    f"{self.formula} returned a {type(problem).__name__}; a sciml.barron.EnergyProblem is expected."
                )
        else:
            problem = make_problem(self.formula, self.dimension, **self.settings, **own)
        if name:
            make = _find(name, "data.solution") if "." in name else partial(make_solution, name)
            self.solution = make(problem.dimension, **settings)
            self._check_boundary(problem)
            problem = problem.with_solution(self.solution)  # type: ignore[arg-type]
        if problem.source is None:
            raise ConfigError(
                f"the problem {self.formula} has no right-hand side, so that its solution is 0. Give data.source="
                "MODULE.FUNCTION, or data.solution=NAME for one that is known."
            )
        self._problem = problem
        self._print_summary()

    def train_dataloader(self) -> DataLoader:
        """Points of one step after the other, from the current step of the run on."""
        steps = self.trainer.max_steps if self.trainer and self.trainer.max_steps > 0 else 100
        sampler = _Steps(steps)
        return ResumableLoader(
            _Draws(self.problem, self.rule, self.points, self.seed),
            batch_sampler=sampler,
            collate_fn=_only,
            position=partial(position, self.trainer, steps),
        )

    def val_dataloader(self) -> DataLoader:
        """Points that no step has seen, and the solution there."""
        return DataLoader([self._judging(self.seed + 1)], collate_fn=_only)  # type: ignore[arg-type]

    def test_dataloader(self) -> DataLoader:
        """Points that neither training nor validation has seen."""
        return DataLoader([self._judging(self.seed + 2)], collate_fn=_only)  # type: ignore[arg-type]

    def _judging(self, seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        drawn = Quadrature(self.problem, rule="sobol", size=self.test_points, generator=generator).draw()
        batch = {"points": drawn.points, "weights": drawn.weights}
        if self.solution is not None:
            jet = jet_of(self.solution, drawn.points)
            batch |= {"value": jet.value.detach(), "gradient": jet.gradient.detach()}
        return batch

    def _check_boundary(self, problem: EnergyProblem) -> None:
        found = (self.solution.boundary, self.solution.box) if isinstance(self.solution, SpectralNet) else None
        if found and found != (problem.boundary, problem.box):
            raise ConfigError(
                f"data.solution={self.asked[0]} has the boundary {found[0]!r} on the box {found[1]}, the problem "
                f"{problem.boundary!r} on {problem.box}; the same are expected. Set data.boundary={found[0]}."
            )

    def _print_summary(self) -> None:
        if self.trainer is not None and not self.trainer.is_global_zero:
            return
        problem, name = self.problem, self.asked[0]
        known = f"solution known ({name})" if name else "solution unknown"
        boundary = problem.boundary if isinstance(problem.boundary, str) else ", ".join(problem.boundary)
        print(f"Problem: {problem.name} in dimension {problem.dimension}, {boundary}, {known}.", flush=True)


class _Draws(Dataset):
    """The points of step i, a function of the seed and of i."""

    def __init__(self, problem: EnergyProblem, rule: str, points: int, seed: int):
        self._generator = torch.Generator().manual_seed(seed)
        self._seed = 1_000_003 * (seed + 1)
        self._quadrature = Quadrature(problem, rule=rule, size=points, generator=self._generator)

    def __getitem__(self, step: int) -> Batch:
        self._generator.manual_seed(self._seed + step)
        drawn = self._quadrature.draw()
        return {"points": drawn.points, "weights": drawn.weights}


class _Steps:
    """One step a batch, in order."""

    def __init__(self, count: int):
        self._count, self._first, self._epoch = count, 0, 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[int]]:
        yield from ([self._epoch * self._count + step] for step in range(self._first, self._count))

    def set_epoch(self, epoch: int) -> None:
        """Points of which pass."""
        self._epoch = epoch

    def start_at(self, step: int) -> None:
        """Step of the pass to begin with."""
        self._first = step


def _only(items: list[Batch]) -> Batch:
    return items[0]


def _find(path: str, setting: str) -> Callable[..., Any]:
    """The user's own function "module.function"."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{setting}={path} cannot be imported ({error}). MODULE.FUNCTION is expected, with MODULE.py in the folder "
            "of train.py, or on PYTHONPATH."
        ) from error
