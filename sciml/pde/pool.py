"""Where the blocks of a data set are solved: in threads of this process, or on a dask.distributed cluster."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakSet

import torch

from sciml.errors import ConfigError

Block = TypeVar("Block")
Solved = TypeVar("Solved")


@dataclass(frozen=True)
class Pool:
    """Something that computes.

    Args:
        submit: ``submit(function, block)`` starts a computation and returns a handle with a method ``result()``.
        ahead: How many blocks are under way or waiting to be collected at most.
    """

    submit: Callable[..., Any]
    ahead: int

    def in_order(
        self, solve: Callable[[Block], Solved], blocks: Iterable[Block]
    ) -> Generator[tuple[Block, Solved], None, None]:
        """Solve blocks side by side and give the results in order."""
        underway: deque[tuple[Block, Any]] = deque()
        for block in blocks:
            underway.append((block, self.submit(solve, block)))
            if len(underway) > self.ahead:
                done, handle = underway.popleft()
                yield done, handle.result()
        while underway:
            done, handle = underway.popleft()
            yield done, handle.result()


@contextmanager
def threads(workers: int) -> Iterator[Pool]:
    """Threads of this process, each with one core.

    Threads, because torch lets go of the interpreter while it computes; one core for each, because splitting the small
    arrays of a single step between cores costs more than it gains, and would make the last bits depend on their number.

    Args:
        workers: Blocks solved at the same time.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield Pool(pool.submit, workers)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)


@contextmanager
def cluster(address: str) -> Iterator[Pool]:
    """The workers of a dask.distributed cluster, which need sciml and the same versions as here.

    Args:
        address: Address of its scheduler, e.g. ``tcp://10.0.0.1:8786``, or the path of its scheduler file (``*.json``).

    Raises:
        ConfigError: dask.distributed is not installed, or there is no cluster with workers at that address.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError('--dask needs dask.distributed. Run: pip install "sciml-kit[cluster]"') from error
    where: dict[str, Any] = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    try:
        client: Any = Client(**where, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no dask scheduler answers at {address!r} ({error}). Start one with `dask scheduler` and workers with "
            "`dask worker ADDRESS --nthreads 1 --nworkers -1`."
        ) from error
    with client:
        workers = sum(client.nthreads().values())
        if not workers:
            raise ConfigError(f"the dask cluster at {address!r} has no workers. Start some: `dask worker {address}`.")
        underway = WeakSet()  # a result that was collected must not stay on the cluster

        def submit(solve: Callable, block: Any) -> Any:
            handle = client.submit(solve, block, pure=False)
            underway.add(handle)
            return handle

        try:
            yield Pool(submit, 2 * workers)
        finally:
            client.cancel(list(underway))


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
