"""Processes that each keep an object and do tasks with it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from sciml.errors import ConfigError, SolverError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Task = tuple[Callable[..., Any], tuple]  # function of a module, and its arguments after the worker's object


class Workers:
    """Processes with one BLAS thread each, that stay until ``close``, or until this process or this object ends.

    After a crash or an interruption they are closed: make new ones.

    Args:
        factory: Makes the object of a worker; pickled.
        number: Of processes.

    Raises:
        ConfigError: the factory cannot be pickled.
        SolverError: a process could not start.
        Exception: what the factory raised.
    """

    def __init__(self, factory: Callable[[], Any], number: int):
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
            for _ in range(number):
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(there, pickled), daemon=True)
                process.start()
                there.close()
                connections.append(here)
                processes.append(process)
        self._connections: list[Connection] = connections
        self._processes: list[BaseProcess] = processes
        self._finalizer = weakref.finalize(self, _end, connections, processes, os.getpid())
        self._replies(self._everyone())  # that the object is made

    @property
    def closed(self) -> bool:
        """Whether there are no processes any more."""
        return not self._finalizer.alive

    def close(self) -> None:
        """End the processes."""
        self._finalizer()

    def share(self, tasks: Iterable[Task]) -> list[Any]:
        """Results of tasks, in their order; who is free takes the next one.

        Raises:
            SolverError: a process has died.
            Exception: of the first task that failed, as it was raised.
        """
        return self._replies({}, enumerate(tasks))

    def everyone(self, task: Task) -> list[Any]:
        """Results of one task that every worker does; raises as ``share``."""
        try:
            for connection in self._connections:
                connection.send(task)
        except ConnectionError:
            pass  # told by the missing reply
        return self._replies(self._everyone())

    def _everyone(self) -> dict[Connection, int]:
        return {connection: number for number, connection in enumerate(self._connections)}

    def _replies(self, busy: dict[Connection, int], tasks: Iterable[tuple[int, Task]] = ()) -> list[Any]:
        """Hand out tasks, and collect results in their order.

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
    """A worker: makes its object, then answers (True, result) or (False, error) to each task, until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the one that asks ends this one
    thing: Any = None
    try:
        try:
            thing = pickle.loads(pickled)()
            connection.send((True, None))
        except Exception as error:
            connection.send((False, _portable(error)))
        while True:
            function, arguments = connection.recv()
            try:
                answer = (True, function(thing, *arguments))
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


def _end(connections: list[Connection], processes: list[BaseProcess], owner: int) -> None:
    if os.getpid() != owner:
        return  # a fork of the owner
    for connection in connections:
        connection.close()
    for process in processes:
        process.terminate()
        process.join()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
