"""Many solves of one parametric program, in this process or spread over several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciml.dispatch.program import ParametricProgram
from sciml.dispatch.workers import Workers
from sciml.errors import ConfigError, SciMLError, ShapeError

Array = np.ndarray

_PIECES = 4  # a worker and batch: solves differ in length, and a free worker takes the next piece


@dataclass(frozen=True)
class Solutions:
    """Optima of a batch of parameters.

    Attributes:
        values: (batch,), optimal values Q(p).
        multipliers: (batch, parameter), dQ/dp.
        variables: Optimal variables by name, (batch, n) each.
        statuses: (batch,), what the solver said.
        attempts: (batch,), solves that it took.
    """

    values: Array
    multipliers: Array
    variables: dict[str, Array]
    statuses: tuple[str, ...]
    attempts: Array


class ProgramPool:
    """Solves a parametric program for batches of parameters, each worker with a program of its own.

    Workers are processes that start at the first solve and stay until ``close``. The order of the batch is kept, and as
    a program's solve depends on its parameters only, so are the numbers, whatever the number of workers. Within DDP
    every rank has its own pool.

    Args:
        factory: Makes the program; it is pickled if there are workers: a function of a module, or ``functools.partial``
            of one, say of ``make_stage_program``.
        workers: Processes; 0: solve in this one. Good values: the cores that are free.

    Raises:
        ConfigError: a negative number of workers, or a factory that cannot be pickled came.

    Example:
        >>> with ProgramPool(partial(make_stage_program, case, "dc"), workers=2) as pool:
        ...     values, multipliers, variables = pool.solve(parameters)
    """

    def __init__(self, factory: Callable[[], ParametricProgram], workers: int = 0):
        if workers < 0:
            raise ConfigError(f"workers={workers} came; 0 (solve in this process) or more is expected.")
        self.factory = factory
        self.workers = workers
        self._program: ParametricProgram | None = None
        self._crew: Workers | None = None
        self._crew_blocks: Mapping[str, slice] = {}

    @property
    def blocks(self) -> Mapping[str, slice]:
        """Where each named group of parameters lies."""
        if not self.workers:
            return self._own().blocks
        self._workers()
        return self._crew_blocks

    def solve(self, parameters: Array, *, variables: bool = True) -> tuple[Array, Array, dict[str, Array]]:
        """Optimal values, multipliers and variables of a batch.

        Args:
            parameters: (batch, parameter).
            variables: Whether variables are wanted; without them less is sent between processes.

        Returns:
            Values (batch,), multipliers (batch, parameter), variables by name, (batch, n) each.

        Raises:
            ShapeError: the program has another number of parameters.
            InfeasibleError, SolverError: as the program raises them, of the first scenario that failed; the message
                starts with its number in the batch, which the attribute ``scenario`` holds too.
        """
        solutions = self.solutions(parameters, variables=variables)
        return solutions.values, solutions.multipliers, solutions.variables

    def solutions(self, parameters: Array, *, variables: bool = True) -> Solutions:
        """As ``solve``, with what the solver said."""
        parameters = np.asarray(parameters, dtype=float)
        _check(parameters, self.blocks)
        if not self.workers:
            return solve_all(self._own(), parameters, variables=variables)
        pieces = np.array_split(parameters, max(1, min(len(parameters), _PIECES * self.workers)))
        ends = np.cumsum([len(piece) for piece in pieces]).tolist()
        tasks = [(solve_all, (piece, variables, end - len(piece))) for piece, end in zip(pieces, ends, strict=True)]
        return _joined(self._workers().share(tasks))

    def call(self, method: str, *arguments: Any, **options: Any) -> list[Any]:
        """Call a method of every worker's program, say ``add_cut``.

        A pool that was closed, interrupted or pickled starts again with programs as the factory makes them.

        Returns:
            What each program returned.
        """
        if not self.workers:
            return [_call(self._own(), method, arguments, options)]
        return self._workers().everyone((_call, (method, arguments, options)))

    def close(self) -> None:
        """End the processes; the next solve starts new ones."""
        if self._crew:
            self._crew.close()
        self._crew = self._program = None

    def __enter__(self) -> ProgramPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_program": None, "_crew": None}

    def _own(self) -> ParametricProgram:
        if self._program is None:
            self._program = self.factory()
        return self._program

    def _workers(self) -> Workers:
        if self._crew is None or self._crew.closed:
            self._crew = Workers(self.factory, self.workers)
            self._crew_blocks = self._crew.everyone((_blocks, ()))[0]
        return self._crew


def solve_all(program: ParametricProgram, parameters: Array, variables: bool = True, first: int = 0) -> Solutions:
    """Solve one program for a batch of parameters, one after the other.

    Args:
        program: Any parametric program.
        parameters: (batch, parameter).
        variables: Whether variables are wanted.
        first: Number of the first scenario, for messages.

    Raises:
        InfeasibleError, SolverError: as the program raises them; the message starts with the scenario.
    """
    outcomes = []
    for scenario, p in enumerate(parameters, first):
        try:
            outcomes.append(program.solve(p))
        except Exception as error:
            error.scenario = scenario  # type: ignore[attr-defined]
            if isinstance(error, SciMLError):
                error.args = (f"scenario {scenario}: {error}", *error.args[1:])
            raise
    names = outcomes[0].variables if outcomes and variables else ()
    return Solutions(
        np.array([outcome.value for outcome in outcomes]),
        np.array([outcome.multipliers for outcome in outcomes]).reshape(parameters.shape),
        {name: np.stack([outcome.variables[name] for outcome in outcomes]) for name in names},
        tuple(outcome.status for outcome in outcomes),
        np.array([outcome.attempts for outcome in outcomes], dtype=int),
    )


def _call(program: ParametricProgram, method: str, arguments: tuple, options: dict[str, Any]) -> Any:
    return getattr(program, method)(*arguments, **options)


def _blocks(program: ParametricProgram) -> dict[str, slice]:
    return dict(program.blocks)


def _joined(parts: list[Solutions]) -> Solutions:
    return Solutions(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.multipliers for part in parts]),
        {name: np.concatenate([part.variables[name] for part in parts]) for name in parts[0].variables},
        tuple(status for part in parts for status in part.statuses),
        np.concatenate([part.attempts for part in parts]),
    )


def _check(parameters: Array, blocks: Mapping[str, slice]) -> None:
    expected = max((block.stop for block in blocks.values()), default=0)
    if parameters.ndim != 2 or parameters.shape[1] != expected:
        named = ", ".join(f"{name} {block.stop - block.start}" for name, block in blocks.items())
        raise ShapeError(
            f"parameters of shape {parameters.shape} came; (batch, {expected}) is expected, in this order: {named}."
        )
