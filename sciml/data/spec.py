"""What a file of trajectories holds: its fields by name, grid, times, boundary conditions and statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from sciml.errors import ConfigError

Boundary = Literal["periodic", "wall", "open"]
BOUNDARIES: tuple[Boundary, ...] = ("wall", "open", "periodic")  # in the order of the codes that batches carry


@dataclass(frozen=True)
class FieldSpec:
    """One scalar field (one channel) of a trajectory.

    Args:
        name: The field's name in the literature: ``rho``, ``u``, ``v``, ``p``, ``tracer``, ...
        group: Fields of one group share one relative error; ``u`` and ``v`` both belong to ``velocity``.
            Defaults to the name, a group of its own.
        unit: Physical unit, or ``nondimensional``.
        mean: Mean over the training data, in ``unit``; None where no statistics are known.
        std: Standard deviation over the training data, in ``unit``.
        observed: False for a field that the file does not hold and the reader makes up (density 1 and pressure 0 of an
            incompressible flow). Losses mask such fields when ``masked`` is set.
        masked: True where the made-up value is not what the equation would give (pressure 0), so that it must not be
            trained on.
        in_time: False for a field that does not change along a trajectory: a wave speed, a topography.
    """

    name: str
    group: str = ""
    unit: str = "nondimensional"
    mean: float | None = None
    std: float | None = None
    observed: bool = True
    masked: bool = False
    in_time: bool = True

    def __post_init__(self):
        if not self.group:
            object.__setattr__(self, "group", self.name)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FieldSpec:
        """Read what ``dataclasses.asdict`` wrote; keys that this version does not know are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})


@dataclass(frozen=True, eq=False)
class TrajectorySpec:
    """What all trajectories of a file have in common.

    Args:
        layout: Name of the file layout, e.g. ``poseidon``.
        task: Name of the PDE task, e.g. ``NS-PwC``; empty if unknown.
        fields: The channels in the order in which ``read`` returns them.
        steps: Saved time steps of a trajectory; 1 for a steady problem.
        times: Physical time of every step, shape (steps,).
        coordinates: One coordinate array per spatial axis, by name, in array order.
        boundary: One boundary condition per spatial axis; ``open`` where the two ends of an axis differ.
        time_scale: Number of steps that count as lead time 1 when fed to a network: lead time = (j - i) / time_scale.
        inputs: Names of the fields that a network sees; all of them by default.
        targets: Names of the fields that a network predicts; all of them by default. They differ from ``inputs`` in
            steady problems (source -> solution), where the lead time is 1.
        validation: Number of trajectories that the publishers set aside for validation (None: not published).
        test: The same for the test set. Splits are cut from the end: train first, then validation, test last.
        solid: Name of a field that is 1 inside a body, where the equation does not hold: targets are set to 1 (after
            normalisation) and masked there. Empty if there is no body.
        attributes: Everything else the file says of itself: parameters of the equation, seed, solver, version.
        faces: Boundary condition at the first and the last end of every spatial axis; those of ``boundary`` by default.
        scalars: Names of the parameters of the equation that ``Trajectories.scalars`` gives for every trajectory.
    """

    layout: str
    task: str
    fields: tuple[FieldSpec, ...]
    steps: int
    times: np.ndarray
    coordinates: Mapping[str, np.ndarray]
    boundary: tuple[Boundary, ...]
    time_scale: float
    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    validation: int | None = None
    test: int | None = None
    solid: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    faces: tuple[tuple[Boundary, Boundary], ...] = ()
    scalars: tuple[str, ...] = ()

    def __post_init__(self):
        names = self.names
        if len(self.boundary) != len(self.coordinates):
            raise ConfigError(
                f"{len(self.boundary)} boundary conditions ({', '.join(self.boundary)}) came for the axes "
                f"{', '.join(self.coordinates)}. Give one for every spatial axis."
            )
        object.__setattr__(self, "faces", self.faces or tuple((b, b) for b in self.boundary))
        object.__setattr__(self, "inputs", self.inputs or names)
        object.__setattr__(self, "targets", self.targets or names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels, in order."""
        return tuple(f.name for f in self.fields)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of grid points along every spatial axis."""
        return tuple(len(c) for c in self.coordinates.values())

    @property
    def steady(self) -> bool:
        """Whether the problem has no time: one input, one solution."""
        return self.steps == 1

    @property
    def replica(self) -> bool:
        """Whether the file was generated by a re-implementation of the task, not downloaded from its publishers."""
        return bool(self.attributes.get("replica", False))

    def index(self, names: Sequence[str]) -> tuple[int, ...]:
        """Positions of the named channels.

        Raises:
            ConfigError: a name is not a channel of this file.
        """
        unknown = [name for name in dict.fromkeys(names) if name not in self.names]
        if unknown:
            raise ConfigError(
                f"channel {', '.join(map(repr, unknown))} is not in the file; it has {', '.join(self.names)}. "
                "Name the channels to keep with data.channels=[...]."
            )
        return tuple(self.names.index(name) for name in names)

    def select(self, names: Sequence[str]) -> tuple[FieldSpec, ...]:
        """The named fields, in the order asked for."""
        return tuple(self.fields[i] for i in self.index(names))

    def with_statistics(self, mean: Mapping[str, float], std: Mapping[str, float]) -> TrajectorySpec:
        """The same specification with other means and standard deviations, given by field name."""
        fields = tuple(
            replace(f, mean=float(mean[f.name]), std=float(std[f.name])) if f.name in mean else f for f in self.fields
        )
        return replace(self, fields=fields)


def group_slices(fields: Sequence[FieldSpec]) -> tuple[int, ...]:
    """Boundaries of the groups of neighbouring fields, e.g. (0, 1, 3, 4) for rho, u, v, p.

    The relative errors and the training loss are computed per group, because a velocity component that happens to
    vanish has no relative error of its own.
    """
    cuts = [i for i in range(1, len(fields)) if fields[i].group != fields[i - 1].group]
    return (0, *cuts, len(fields))
