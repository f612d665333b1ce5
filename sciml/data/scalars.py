"""Parameters of the equation that a network reads beside the fields: by name, normalised like fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32, Float64

from sciml.data.normalise import Normaliser
from sciml.data.spec import FieldSpec
from sciml.data.trajectories import Trajectories
from sciml.errors import ConfigError

Source = tuple[Trajectories, Sequence[int] | range]


def scalar_specs(
    sources: Sequence[Source],
    names: Sequence[str],
    *,
    known: Mapping[str, Sequence[float | None]] | None = None,
) -> tuple[FieldSpec, ...]:
    """Describe scalars by their mean and standard deviation over trajectories and steps.

    Args:
        sources: Where to read, and which trajectories to use, normally those of the training set. A file that does not
            have a scalar does not count for it.
        names: Names of the scalars.
        known: (mean, standard deviation) of some of them, by which to normalise instead; None stands for the files'
            own number.

    Returns:
        One description for each name, in this order.

    Raises:
        ConfigError: no file has a scalar of this name, or it has one value everywhere, and its statistics are not
            given.
    """
    return tuple(_spec(sources, name, (known or {}).get(name, (None, None))) for name in names)


def normalised_scalars(
    trajectories: Trajectories,
    where: Sequence[int] | np.ndarray,
    steps: Sequence[int] | np.ndarray,
    scalars: Sequence[FieldSpec],
    *,
    given: Mapping[str, float] | None = None,
) -> Float32[np.ndarray, "frame scalar"]:
    """Scalars of frames, ``(value - mean) / std``.

    Args:
        trajectories: Where to read.
        where: Trajectory of every frame, shape (frame,).
        steps: Time step of every frame, shape (frame,).
        scalars: Which ones, with their statistics.
        given: Values of some of them, in their units, instead of those of the file.

    Returns:
        Shape (frame, scalar).

    Raises:
        ConfigError: the file does not have one of them.
    """
    given = given or {}
    require_scalars(trajectories, [scalar.name for scalar in scalars if scalar.name not in given])
    values = trajectories.scalars(where, steps) | {name: np.full(len(where), value) for name, value in given.items()}
    columns = np.stack([values[scalar.name] for scalar in scalars], axis=1)
    return Normaliser.from_fields(scalars, dims=0).encode(columns).astype(np.float32)


def require_scalars(trajectories: Trajectories, names: Sequence[str]) -> None:
    """Check that a file has some scalars.

    Raises:
        ConfigError: it has not.
    """
    held = trajectories.spec.scalars
    if missing := [name for name in names if name not in held]:
        raise ConfigError(
            f"scalar {', '.join(map(repr, missing))} is not in {trajectories.path}; it has "
            f"{', '.join(held) or '(none)'}. Name one that is there, or add a variable with one number for each "
            "trajectory to the file (docs/data.md)."
        )


def _spec(sources: Sequence[Source], name: str, known: Sequence[float | None]) -> FieldSpec:
    having = [source for source in sources if name in source[0].spec.scalars]
    if not having:
        require_scalars(sources[0][0], [name])
    mean, std = known
    if mean is None or std is None:
        values = np.concatenate([_values(trajectories, indices, name) for trajectories, indices in having])
        mean, std = (values.mean() if mean is None else mean), (values.std() if std is None else std)
        if not std > 1e-12 * abs(mean):  # equal values differ from their mean by round-off
            raise ConfigError(
                f"scalar {name!r} is {mean:.6g} in all training trajectories of {having[0][0].path}, so that nothing "
                f"can be learnt from it. Leave it out, or say by what to normalise it: data.statistics={{{name}: "
                "[MEAN, STD]}, or the pretrained model that knows it."
            )
    return FieldSpec(name, mean=float(mean), std=float(std))


def _values(trajectories: Trajectories, indices: Sequence[int] | range, name: str) -> Float64[np.ndarray, " frame"]:
    steps = trajectories.spec.steps
    frames = np.repeat(np.asarray(indices, np.int64), steps), np.tile(np.arange(steps), len(indices))
    return trajectories.scalars(*frames)[name]
