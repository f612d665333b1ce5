"""Named tasks: equation, parameters, initial data and saved frames, one file per family."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from sciml.data.stored import StoredVariable
from sciml.errors import ConfigError
from sciml.pde.tasks import airfoil, elliptic, euler, gravity, ns, reaction, wave


class Task(Protocol):
    """A PDE with its random initial data: a frozen dataclass whose fields are the parameters.

    Attributes:
        name: Name of the task and of its file, e.g. ``NS-PwC``.
        equation: The equation, as text.
        initial_data: The initial data in a few words.
        solver: The numerical method in a few words.
        boundary: One boundary condition per axis.
        transposed: True where the published file holds x and y exchanged.
    """

    name: ClassVar[str]
    equation: ClassVar[str]
    initial_data: ClassVar[str]
    solver: ClassVar[str]
    boundary: ClassVar[tuple[str, str]]
    transposed: ClassVar[bool]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def variables(self) -> tuple[StoredVariable, ...]:
        """What the file holds: its variables and their channels."""
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the stored channels, in order over the variables."""
        ...

    @property
    def times(self) -> np.ndarray:
        """Times of the saved frames, shape (frames,); one in a steady problem."""
        ...

    def coordinates(self, resolution: int) -> dict[str, np.ndarray]:
        """One coordinate array per axis, by name."""
        ...

    def simulate(
        self, trajectories: Sequence[int], *, resolution: int, seed: int, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Solve for the trajectories with these indices, shape (trajectory, frame, channel, x, y).

        Channels that do not change in time are the same in all frames.

        Raises:
            BlowUpError: a trajectory cannot be continued (see ``sciml.pde.retry``).
        """
        ...


# fmt: off
_KINDS: tuple[type[Task], ...] = (
    *ns.TASKS,
    *euler.TASKS,
    *gravity.TASKS,
    *wave.TASKS,
    *reaction.TASKS,
    *elliptic.TASKS,
    *airfoil.TASKS,
)
# fmt: on

TASKS: Mapping[str, type[Task]] = {kind.name: kind for kind in _KINDS}
"""Every task by name."""


def find_task(name: str) -> type[Task]:
    """The kind of task of that name; upper and lower case are the same.

    Raises:
        ConfigError: there is no such task.
    """
    by_lower = {known.lower(): kind for known, kind in TASKS.items()}
    if name.lower() not in by_lower:
        near = [by_lower[match].name for match in difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)]
        raise ConfigError(f"there is no task {name!r}.{_hint(near)} The tasks are {', '.join(TASKS)}.")
    return by_lower[name.lower()]


def make_task(name: str, /, **parameters: Any) -> Task:
    """The task of that name, with some of its parameters changed.

    Args:
        name: A key of ``TASKS``, e.g. ``NS-PwC``.
        **parameters: Fields of the task.

    Raises:
        ConfigError: there is no such task or parameter, or a parameter's value cannot work.
    """
    kind = find_task(name)
    known = [field.name for field in fields(kind)]
    for parameter in parameters:
        if parameter not in known:
            near = difflib.get_close_matches(parameter, known, n=1)
            raise ConfigError(f"{kind.name} has no parameter {parameter!r}.{_hint(near)} It has {', '.join(known)}.")
    return kind(**parameters)


def _hint(near: Sequence[str]) -> str:
    return f" Did you mean {near[0]}?" if near else ""
