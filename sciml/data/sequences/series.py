"""Time series from any file of arrays with a time axis: forecasting, regression, classification; irregular times."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int

from sciml.data import open_trajectories
from sciml.data.normalise import Normaliser
from sciml.data.pairs import split
from sciml.data.sequences.ragged import Sequences, SequenceTask
from sciml.data.sequences.storage import statistics
from sciml.data.trajectories import Trajectories
from sciml.errors import ConfigError, DataError

EQUAL_STEPS = 1e-4
"""Relative deviation of time steps that counts as equal: times are often stored in single precision."""

SERIES_TO_SPLIT = 10
WINDOW = 128


def open_series(
    *,
    path: str | os.PathLike | None = None,
    folder: str | os.PathLike | None = None,
    inputs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    ahead: int = 1,
    every: Literal["step", "window"] = "step",
    scalars: Sequence[str] | None = None,
    label: str | None = None,
    window: int | None = None,
    stride: int | None = None,
    by: Literal["series", "time"] | None = None,
    validation: float = 0.1,
    test: float = 0.1,
    **mapping: Any,
) -> SequenceTask:
    """Windows of time series, and what follows them.

    What is predicted is one of

    - ``every="step"``: at every step of the window, the targets ``ahead`` steps later (0: at the same time);
    - ``every="window"``: after the window, the targets of the next ``ahead`` steps, all at once;
    - ``scalars``: numbers that belong to the whole series;
    - ``label``: the class of the whole series.

    Times of unequal steps are given to the network as ``steps``, relative to the mean of the training part.

    Args:
        path: File, folder or pattern that ``sciml.open_trajectories`` reads, without spatial axes.
        folder: Not used: nothing is generated.
        inputs: Names of the channels that are read; those of the file by default.
        targets: Names of the channels that are predicted; those of the file by default.
        ahead: How many steps to look ahead.
        every: Whether each step has a target, or the window as a whole.
        scalars: Names of the scalars to predict instead.
        label: Name of the scalar that is the class, 0, 1, 2, ..., to predict instead.
        window: Steps of a window; by default as many as a whole series has, or 128 where time is split.
        stride: Steps between the starts of two windows; the window by default.
        by: Whether whole series are set aside for validation and test, or the last part of the time of all series; by
            default series, if there are at least 10 of them.
        validation: Share that is set aside for validation, before the test part.
        test: Share that is set aside for the test, at the end.
        mapping: What the axes and channels of the arrays are (``sciml.data.mapping.ArrayMapping``), e.g.
            ``axes="sample time channel"``, ``times="t"``.

    Raises:
        ConfigError: no file was given, it has spatial axes, or a setting does not fit it.
        DataError: a series is not finite, a channel of the training part is constant, or times do not increase.
    """
    if path is None:
        raise ConfigError("there is no file to read. Give one with data.path=FILE.")
    if every not in ("step", "window") or ahead < (every == "window") or by not in ("series", "time", None):
        raise ConfigError(
            f"every is {every!r}, ahead {ahead}, by {by!r}; expected every step (ahead 0, 1, ...) or window (ahead 1, "
            "2, ...), and series, time or nothing to split by."
        )
    asked = [label] if label else list(scalars or ())
    with open_trajectories(path, **mapping) as series:
        _check(series, asked)
        names_in, names_out = tuple(inputs or series.spec.inputs), tuple(targets or series.spec.targets)
        values = _read(series, names_in)
        goals = values if names_out == names_in else _read(series, names_out)
        steps = _time_steps(series)
        if asked:
            known = series.scalars(np.arange(len(series)))
            goals = np.stack([known[name] for name in asked], 1)
    count, length = values.shape[:2]
    after = 0 if asked else ahead
    by = by or ("series" if asked or count >= SERIES_TO_SPLIT else "time")
    width = window or (length - after if by == "series" else WINDOW)
    parts = _parts(count, length, by=by, validation=validation, test=test)
    starts = [_windows(part, width, stride or width, after, length) for part in parts]
    training = np.ix_(*parts[0])
    if steps is not None:
        steps = (steps / np.nanmean(steps[training])).astype(np.float32)
        steps = np.nan_to_num(steps, nan=1.0).ravel()
    if label:
        kind, outputs, target_normaliser = "classification", _classes(goals, label), None
        goals = goals[:, 0].astype(np.int64)
    else:
        kind = "regression" if asked or every == "window" else "sequence"
        outputs = goals.shape[-1] * (ahead if kind == "regression" and not asked else 1)
        seen = goals[parts[0][0]] if asked else goals[training].reshape(-1, goals.shape[-1])
        target_normaliser = Normaliser(*statistics(seen), names=asked or names_out, dims=0)
        goals = goals.reshape(-1, goals.shape[-1]).astype(np.float32)
    flat = values.reshape(count * length, -1)

    def examples(starts: Int[np.ndarray, " window"]) -> Sequences:
        windows = starts[:, None], np.full((len(starts), 1), width)
        if asked:
            return Sequences(flat, *windows, goals[starts // length], steps)
        offset, span = (ahead, width) if every == "step" else (width, ahead)
        return Sequences(flat, *windows, Sequences(goals, windows[0] + offset, np.full_like(windows[1], span)), steps)

    train, unseen, last = (examples(each) for each in starts)
    return SequenceTask(
        source_name(path),
        kind,
        train=train,
        validation=unseen,
        test=last,
        outputs=outputs,
        normaliser=Normaliser(*statistics(values[training].reshape(-1, values.shape[-1])), names=names_in, dims=0),
        target_normaliser=target_normaliser,
    )


def source_name(path: str | os.PathLike) -> str:
    """Name of the data in a file."""
    return os.path.splitext(os.path.basename(os.path.normpath(path)))[0]


def _check(series: Trajectories, asked: Sequence[str]) -> None:
    if series.spec.shape:
        raise ConfigError(
            f"{series.path} has spatial axes ({', '.join(series.spec.coordinates)}); a time series has the axes "
            'sample, time and channel. Name them, e.g. axes: "sample time channel", or use data=file.'
        )
    if unknown := [name for name in asked if name not in series.spec.scalars]:
        raise ConfigError(
            f"{', '.join(map(repr, unknown))} is no scalar of {series.path}, which has "
            f"{', '.join(series.spec.scalars) or 'none'}. Name its array: scalars: {{{unknown[0]}: ARRAY}}."
        )


def _read(series: Trajectories, names: Sequence[str]) -> Float32[np.ndarray, "series time channel"]:
    values = np.stack([series.read(i, channels=names) for i in range(len(series))])
    if not np.isfinite(values).all():
        which, step, channel = np.argwhere(~np.isfinite(values))[0].tolist()
        raise DataError(
            f"{series.path}: series {which}, step {step} has NaN or infinity in channel {names[channel]!r}. Fill the "
            "gaps, or leave these steps out: times need not be equally spaced."
        )
    return values


def _time_steps(series: Trajectories) -> np.ndarray | None:
    """Time from the step before, NaN for the first step, shape (series, time); None where all are equal."""
    times = np.stack([series.times(i) for i in range(len(series))])
    steps = np.diff(times, axis=1, prepend=np.nan)
    if (steps[:, 1:] <= 0).any():
        which = int(np.argwhere(steps[:, 1:] <= 0)[0, 0])
        raise DataError(f"{series.path}: the times of series {which} do not increase. Sort the steps by time.")
    mean = np.nanmean(steps)
    return None if (np.abs(steps[:, 1:] - mean) <= EQUAL_STEPS * mean).all() else steps


def _parts(count: int, length: int, *, by: str, validation: float, test: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Series and steps of the training, validation and test part."""
    total = count if by == "series" else length
    sizes = [max(round(share * total), 1) for share in (validation, test)]
    try:
        cut = split(total, validation=sizes[0], test=sizes[1])
    except ConfigError as error:
        raise ConfigError(
            f"{total} {'series' if by == 'series' else 'steps'} cannot be split into {sizes[0]} for validation, "
            f"{sizes[1]} for the test and some for training. Set smaller shares aside, or split by the other (by)."
        ) from error
    every = np.arange(length if by == "series" else count)
    return [(np.asarray(part), every) if by == "series" else (every, np.asarray(part)) for part in cut]


def _windows(
    part: tuple[np.ndarray, np.ndarray], window: int, stride: int, after: int, length: int
) -> Int[np.ndarray, " window"]:
    """First positions of the windows of a part; neither they nor what follows them leaves the part."""
    series, steps = part
    first = steps[: max(len(steps) - window - after + 1, 0) : stride]
    if window < 1 or stride < 1 or not len(first):
        raise ConfigError(
            f"a part of {len(steps)} steps has no window of {window} steps, every {stride}, with {after} more to "
            "predict. Take a shorter window, or set more aside for validation and test."
        )
    return (series[:, None] * length + first).ravel()


def _classes(goals: np.ndarray, label: str) -> int:
    if (goals != np.rint(goals)).any() or goals.min() < 0:
        raise DataError(f"the classes {label!r} are {np.unique(goals)[:5].tolist()} ...; 0, 1, 2, ... are expected.")
    return int(goals.max()) + 1
