"""What the axes and channels of your own arrays are: said once, in a small YAML file beside them or as keywords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sciml.errors import ConfigError

ROLES = ("sample", "time", "channel")

EXAMPLE = 'axes: "sample time x y channel", channels: [u, v]'


@dataclass(frozen=True)
class ArrayMapping:
    """Names for the axes and channels of arrays; every key can stand in ``FILE.yaml``.

    Args:
        axes: Names of the axes of the array, in the order in which they are stored: ``sample``, ``time`` and
            ``channel``, any of which may be absent, and all others are spatial. Text such as "sample time x y channel",
            or, where the file has several arrays, one such text for each array to be read, by its name.
        channels: Names along the channel axis; by array where several have one. An array without a channel axis is
            one channel with the name of the array, or the name given here.
        times: Physical times of the steps, or the name of the array that holds them; step numbers by default.
        dt: Physical time between two steps, instead of ``times``.
        coordinates: Coordinates of every spatial axis, or the name of the array that holds them; [0, 1] by default.
        boundary: ``periodic``, ``wall`` or ``open`` for every spatial axis, or one for all; by axis, or in order.
        units: Unit of a channel, by its name.
        scalars: Parameters of the equation by name: a number, or the name of an array with one value a trajectory.
        inputs: Names of the channels that a network sees; all by default.
        targets: Names of the channels that it predicts; those that change in time by default.
        task: Name of the task.

    Raises:
        ConfigError: an axis appears twice, or a value is of the wrong kind.
    """

    axes: str | Sequence[str] | Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    channels: Sequence[str] | Mapping[str, Sequence[str] | str] = ()
    times: Sequence[float] | str | None = None
    dt: float | None = None
    coordinates: Mapping[str, Sequence[float] | str] = field(default_factory=dict)
    boundary: str | Sequence[str] | Mapping[str, str] = "open"
    units: Mapping[str, str] = field(default_factory=dict)
    scalars: Mapping[str, float | str] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    targets: Sequence[str] = ()
    task: str = ""

    @classmethod
    def from_dict(cls, given: Mapping[str, Any], *, where: str) -> ArrayMapping:
        """Make a mapping from keywords or from the content of a YAML file.

        Raises:
            ConfigError: a key is not known.
        """
        known = [f.name for f in fields(cls)]
        if not isinstance(given, Mapping) or (unknown := [key for key in given if key not in known]):
            found = ", ".join(map(repr, unknown)) if isinstance(given, Mapping) else f"a {type(given).__name__}"
            raise ConfigError(f"{where} has {found}; the keys are {', '.join(known)}. For example: {EXAMPLE}.")
        return cls(**given)

    def axes_of(self, arrays: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Names of the axes of every array that is to be read.

        Args:
            arrays: Names of the arrays that the file has.

        Raises:
            ConfigError: several arrays could be meant, one does not exist, or an axis appears twice.
        """
        if isinstance(self.axes, Mapping):
            named = dict(self.axes)
        elif len(arrays) == 1:
            named = {arrays[0]: self.axes}
        else:
            raise ConfigError(
                f"the file has the arrays {', '.join(arrays)}, but axes={self.axes!r} does not say which is meant. "
                "Name them: axes: {velocity: sample time x y channel}."
            )
        if missing := [name for name in named if name not in arrays]:
            raise ConfigError(f"there is no array {', '.join(map(repr, missing))}; the file has {', '.join(arrays)}.")
        split = {name: tuple(text.split() if isinstance(text, str) else text) for name, text in named.items()}
        for name, axes in split.items():
            if len(set(axes)) != len(axes) or not {"sample", "time"} & {*axes}:
                raise ConfigError(
                    f"the axes of {name or 'the array'} are {' '.join(axes)}: every name may stand once, and sample or "
                    f"time must be among them. For example: {EXAMPLE}."
                )
        return split

    def channels_of(self, array: str, count: int | None) -> tuple[str, ...]:
        """Names of the channels of an array with ``count`` channels, None where it has no channel axis.

        Raises:
            ConfigError: there are more or fewer names than channels.
        """
        given = self.channels.get(array, ()) if isinstance(self.channels, Mapping) else self.channels
        names = (given,) if isinstance(given, str) else tuple(map(str, given))
        if count is None and not names:
            return (array.rsplit("/", 1)[-1] or "u",)
        if not names:
            return tuple(f"channel_{i}" for i in range(count or 1))
        if len(names) != (count or 1):
            raise ConfigError(
                f"array {array!r} has {count or 1} channel(s), but they are named {', '.join(names)}. Give every "
                "channel one name."
            )
        return names

    def boundary_of(self, spatial: Sequence[str]) -> tuple[str, ...]:
        """Boundary condition of every spatial axis.

        Raises:
            ConfigError: there is not one for every axis.
        """
        if isinstance(self.boundary, Mapping):
            given = [self.boundary.get(axis, "open") for axis in spatial]
        else:
            given = self.boundary.split() if isinstance(self.boundary, str) else list(self.boundary)
            given = given * len(spatial) if len(given) == 1 else given
        if len(given) != len(spatial) or not {*given} <= {"periodic", "wall", "open"}:
            raise ConfigError(
                f"boundary is {self.boundary!r}; expected periodic, wall or open for each of the axes "
                f"{', '.join(spatial)}, or one for all."
            )
        return tuple(given)


def mapping_beside(path: Path) -> Path | None:
    """The YAML file that describes an array file: ``FILE.yaml``, or ``arrays.yaml`` in the same folder."""
    candidates = (path.with_name(path.name + ".yaml"), path.with_name("arrays.yaml"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def read_mapping(path: Path) -> dict[str, Any]:
    """The content of a YAML file that describes arrays.

    Raises:
        ConfigError: it is not YAML.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}. For example: {EXAMPLE}.") from error
