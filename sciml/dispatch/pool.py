"""Many solves of one parametric program, in this process or spread over several."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from sciml.dispatch.program import ParametricProgram
from sciml.errors import ConfigError, SciMLError, ShapeError, SolverError

Array = np.ndarray

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
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
        self._crew: _Crew | None = None

    @property
    def blocks(self) -> Mapping[str, slice]:
        """Where each named group of parameters lies."""
        return self._workers().blocks if self.workers else self._own().blocks

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
        tasks = [("solve", piece, end - len(piece), variables) for piece, end in zip(pieces, ends, strict=True)]
        return _joined(self._workers().share(tasks))

    def call(self, method: str, *arguments: Any, **options: Any) -> list[Any]:
        """Call a method of every worker's program, say ``add_cut``.

        A pool that was closed, interrupted or pickled starts again with programs as the factory makes them.

        Returns:
            What each program returned.
        """
        if not self.workers:
            return [getattr(self._own(), method)(*arguments, **options)]
        return self._workers().everyone(("call", method, arguments, options))

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

    def _workers(self) -> _Crew:
        if self._crew is None or self._crew.closed:
            self._crew = _Crew(self.factory, self.workers)
        return self._crew


def solve_all(program: ParametricProgram, parameters: Array, *, variables: bool = True, first: int = 0) -> Solutions:
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


class _Crew:
    """Running worker processes. They end with this object, with ``close``, and if this process dies."""

    def __init__(self, factory: Callable[[], ParametricProgram], workers: int):
        try:
            pickled = pickle.dumps(factory)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"the factory {factory!r} cannot be sent to worker processes ({error}). Give a function of a module, "
                "or functools.partial of one, or use workers=0."
            ) from error
        # Not forked: torch and BLAS have threads, whose locks a fork would copy as they are.
        context = multiprocessing.get_context("spawn")
        connections, processes = [], []
        with _environment(dict.fromkeys(_THREADS, "1")):
            for _ in range(workers):
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(there, pickled), daemon=True)
                process.start()
                there.close()
                connections.append(here)
                processes.append(process)
        self._connections: list[Connection] = connections
        self._processes: list[BaseProcess] = processes
        self._finalizer = weakref.finalize(self, _end, connections, processes)
        answers = self._replies({connection: number for number, connection in enumerate(connections)})
        self.blocks: Mapping[str, slice] = answers[0]

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        self._finalizer()

    def share(self, tasks: Iterable[tuple]) -> list[Any]:
        """Results of tasks, in their order; who is free takes the next one."""
        return self._replies({}, enumerate(tasks))

    def everyone(self, task: tuple) -> list[Any]:
        """Results of one task that every worker does."""
        for connection in self._connections:
            connection.send(task)
        return self._replies({connection: number for number, connection in enumerate(self._connections)})

    def _replies(self, busy: dict[Connection, int], tasks: Iterable[tuple[int, tuple]] = ()) -> list[Any]:
        """Hand out tasks and collect results in their order; raise the error of the first task that failed.

        Args:
            busy: Workers that have a task already, and its number.
            tasks: Numbers and tasks for who is free.
        """
        tasks = iter(tasks)
        free = [connection for connection in self._connections if connection not in busy]
        results: dict[int, Any] = {}
        errors: dict[int, Exception] = {}
        try:
            while True:
                while free and not errors and (task := next(tasks, None)):
                    connection = free.pop()
                    busy[connection], content = task
                    connection.send(content)
                if not busy:
                    break
                for connection in wait(list(busy)):
                    fine, reply = connection.recv()  # type: ignore[union-attr]
                    (results if fine else errors)[busy.pop(connection)] = reply  # type: ignore[arg-type]
                    free.append(connection)  # type: ignore[arg-type]
        except (EOFError, ConnectionError) as error:
            self.close()
            raise SolverError(
                "a worker process ended without an answer: it was killed, ran out of memory, or could not start. A "
                'script that uses workers does its work under `if __name__ == "__main__":`. workers=0 solves in this '
                "process, where errors show."
            ) from error
        except BaseException:
            self.close()  # whoever asks next would get the answer to the task that was interrupted
            raise
        if errors:
            raise errors[min(errors)]
        return [results[number] for number in sorted(results)]


def _serve(connection: Connection, pickled: bytes) -> None:
    """A worker: makes its program, then answers (True, result) or (False, error) to each task, until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the one that asks ends this one
    program = None
    tasks: dict[str, Callable[..., Any]] = {
        "solve": lambda p, first, variables: solve_all(program, p, variables=variables, first=first),  # type: ignore[arg-type]
        "call": lambda method, arguments, options: getattr(program, method)(*arguments, **options),
    }
    try:
        try:
            program = pickle.loads(pickled)()
            connection.send((True, dict(program.blocks)))
        except Exception as error:
            connection.send((False, _portable(error)))
        while True:
            kind, *arguments = connection.recv()
            try:
                answer = (True, tasks[kind](*arguments))
            except Exception as error:
                answer = (False, _portable(error))
            connection.send(answer)
    except (EOFError, ConnectionError):
        pass


def _portable(error: Exception) -> Exception:
    """The error itself if another process can read it, or one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return SolverError(f"{type(error).__name__}: {error}")
    return error


def _end(connections: list[Connection], processes: list[BaseProcess]) -> None:
    for connection in connections:
        connection.close()  # which a worker that waits for tasks takes as the end
    for process in processes:
        process.terminate()
        process.join()


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


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
