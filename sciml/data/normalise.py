"""Normalisation per channel, and the statistics that it needs, accumulated in float64."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float64

from sciml.data.spec import FieldSpec
from sciml.data.trajectories import Trajectories
from sciml.errors import ConfigError, DataError

Fields = TypeVar("Fields", np.ndarray, torch.Tensor)

SECONDS_WITHOUT_BAR = 2.0


class Normaliser:
    """Map fields to mean 0 and standard deviation 1, channel by channel, and back.

    ``encode(x) = (x - mean) / std``, ``decode(y) = y * std + mean``, for arrays and tensors of shape
    (..., channel, *space).

    Args:
        mean: Mean per channel, in the unit of the field, shape (channel,).
        std: Standard deviation per channel, shape (channel,).
        names: Names of the channels, for messages.
        dims: Number of spatial axes.

    Raises:
        DataError: a standard deviation is zero or not finite.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, names: Sequence[str] = (), dims: int = 2):
        self.mean = np.asarray(mean, np.float64)
        self.std = np.asarray(std, np.float64)
        self.names = tuple(names) or tuple(f"channel_{i}" for i in range(len(self.mean)))
        self.dims = dims
        for name, m, s in zip(self.names, self.mean, self.std, strict=True):
            if not (s > 0 and np.isfinite(s) and np.isfinite(m)):
                raise DataError(
                    f"channel {name!r} has mean {m:.6g} and standard deviation {s:.6g}: it cannot be normalised. A "
                    "constant channel carries no information: leave it out of the channels, or give its statistics."
                )

    @classmethod
    def from_fields(cls, fields: Sequence[FieldSpec], *, dims: int = 2) -> Normaliser:
        """Normalise by the statistics that the fields carry.

        Raises:
            DataError: the statistics of a field are not known, or its standard deviation is zero.
        """
        means = [f.mean for f in fields if f.mean is not None]
        stds = [f.std for f in fields if f.std is not None]
        if len(means) < len(fields) or len(stds) < len(fields):
            unknown = ", ".join(repr(f.name) for f in fields if f.mean is None or f.std is None)
            raise DataError(
                f"the statistics of channel {unknown} are not known. Compute them from the training trajectories: "
                "spec.with_statistics(*compute_statistics(trajectories, indices))."
            )
        return cls(means, stds, names=[f.name for f in fields], dims=dims)

    def encode(self, fields: Fields) -> Fields:
        """Normalised fields, ``(x - mean) / std``, of the same shape (..., channel, *space)."""
        return (fields - self._like(self.mean, fields)) * self._like(1 / self.std, fields)

    def decode(self, fields: Fields) -> Fields:
        """Fields in their units, ``y * std + mean``, of the same shape (..., channel, *space)."""
        return fields * self._like(self.std, fields) + self._like(self.mean, fields)

    def _like(self, values: Float64[np.ndarray, " channel"], fields: Fields) -> Fields:
        values = values.reshape(-1, *(1,) * self.dims)
        if isinstance(fields, torch.Tensor):
            return torch.as_tensor(values, dtype=fields.dtype, device=fields.device)
        return values.astype(fields.dtype)


def moments(
    frames: Float[np.ndarray, "time channel *space"],
) -> tuple[Float64[np.ndarray, " channel"], Float64[np.ndarray, " channel"]]:
    """Mean and variance of every channel of one trajectory, in float64.

    Args:
        frames: Fields of shape (time, channel, *space), in any unit.

    Returns:
        Mean and (biased) variance, each of shape (channel,).
    """
    mean, variance = np.empty(frames.shape[1]), np.empty(frames.shape[1])
    with np.errstate(invalid="ignore"):  # infinities make the variance NaN, which callers look for
        for channel in range(frames.shape[1]):
            values = frames[:, channel].astype(np.float64)
            mean[channel] = values.mean()
            values -= mean[channel]
            variance[channel] = np.square(values, out=values).mean()
    return mean, variance


def pool(
    means: Float64[np.ndarray, "trajectory channel"], variances: Float64[np.ndarray, "trajectory channel"]
) -> tuple[Float64[np.ndarray, " channel"], Float64[np.ndarray, " channel"]]:
    """Mean and standard deviation over trajectories of the same size, from the moments of each.

    ``mean = E[mean_k]``, ``std^2 = E[variance_k] + Var[mean_k]``: the law of total variance, which does not cancel as
    E[x^2] - E[x]^2 does where the mean is large.
    """
    return means.mean(0), np.sqrt(variances.mean(0) + means.var(0))


def compute_statistics(
    trajectories: Trajectories,
    indices: Sequence[int] | range | None = None,
    *,
    channels: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and standard deviation of every channel over trajectories, time and space.

    ``spec.with_statistics(*compute_statistics(trajectories, train))`` is a specification that carries them.

    Args:
        trajectories: Where to read.
        indices: Which trajectories to use, normally those of the training set; all by default.
        channels: Which channels; by default those that the file holds (made-up ones keep their published statistics).
        progress: Called with (done, total) after every trajectory. By default a bar appears when it takes over two
            seconds.

    Returns:
        Means and standard deviations by channel name, in the units of the file.

    Raises:
        ConfigError: no trajectory was given.
        DataError: a channel is not finite.
    """
    chosen = range(len(trajectories)) if indices is None else indices
    if len(chosen) == 0:
        raise ConfigError("no trajectory to compute statistics from; expected at least one training trajectory.")
    observed = (f.name for f in trajectories.spec.fields if f.observed)
    names = tuple(dict.fromkeys(observed if channels is None else channels))
    means, variances = np.empty((len(chosen), len(names))), np.empty((len(chosen), len(names)))
    for i, trajectory in enumerate(_visibly(chosen, progress)):
        means[i], variances[i] = moments(trajectories.read(trajectory, channels=names))
        if not np.isfinite(variances[i]).all():
            wrong = names[int(np.argmin(np.isfinite(variances[i])))]
            raise DataError(f"{trajectories.path}: trajectory {trajectory} has NaN or infinity in channel {wrong!r}.")
    mean, std = pool(means, variances)
    return dict(zip(names, mean.tolist(), strict=True)), dict(zip(names, std.tolist(), strict=True))


def _visibly(items: Sequence[int] | range, progress: Callable[[int, int], None] | None) -> Iterator[int]:
    """Go through the items, telling ``progress``, or showing a bar once two seconds have passed."""
    from rich.console import Console
    from rich.progress import Progress

    started = time.monotonic()
    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task("statistics", total=len(items))
    try:
        for done, item in enumerate(items, start=1):
            yield item
            if progress is not None:
                progress(done, len(items))
                continue
            bar.update(task, completed=done)
            if time.monotonic() - started > SECONDS_WITHOUT_BAR:
                bar.start()
    finally:
        if bar.live.is_started:
            bar.stop()
