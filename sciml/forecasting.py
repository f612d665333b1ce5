"""Forecast trajectories of a file with a saved model: no training code, no configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.data import open_trajectories
from sciml.data.normalise import Normaliser
from sciml.data.scalars import normalised_scalars
from sciml.data.spec import FieldSpec, TrajectorySpec, group_slices
from sciml.data.trajectories import Trajectories
from sciml.data.write import TrajectoryWriter
from sciml.errors import ConfigError
from sciml.hub import CONFIG, resolve_folder
from sciml.metrics import relative_error
from sciml.poseidon.network import ScOT
from sciml.poseidon.rollout import rollout
from sciml.pretrained import load
from sciml.version import __version__

_BATCH = 8  # trajectories that are forecast together


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a model says of some trajectories, in physical units.

    Attributes:
        fields: Predicted fields, the first frame being the given one, shape (trajectory, time, channel, *space); of a
            steady problem the one solution.
        truth: The same of the file; NaN beyond its last frame and inside a body.
        times: Physical time of every frame, shape (time,).
        channels: What was predicted.
        spec: What the file says of itself.
        trajectories: Which trajectories of the file.
        normaliser: Normalises the fields as the model sees them.
        licence: Licence of the weights, if one is known.
    """

    fields: Float[np.ndarray, "trajectory time channel *space"]
    truth: Float[np.ndarray, "trajectory time channel *space"]
    times: Float[np.ndarray, " time"]
    channels: tuple[FieldSpec, ...]
    spec: TrajectorySpec
    trajectories: tuple[int, ...]
    normaliser: Normaliser
    licence: str = ""

    def errors(self) -> dict[str, dict[str, Float[np.ndarray, " time"]]]:
        """Relative L1 error of normalised fields per frame, median over the trajectories.

        Returns:
            By method (``forecast``, and ``persistence``, or in a steady problem the ``mean`` of the training data) and
            channel group that the file holds; NaN beyond the file's last frame.
        """
        slices = group_slices(self.channels)
        methods = {"forecast": self.fields}
        if self.spec.steady:
            methods["mean"] = self.normaliser.decode(np.zeros_like(self.truth))
        else:
            methods["persistence"] = np.broadcast_to(self.truth[:, :1], self.truth.shape)
        truth = torch.from_numpy(self.normaliser.encode(self.truth)).flatten(0, 1)
        blank = truth.isnan()
        unknown = blank.flatten(2).all(2).any(1)
        found = {}
        for name, values in methods.items():
            values = torch.from_numpy(self.normaliser.encode(values)).flatten(0, 1)
            error = relative_error(values.masked_fill(blank, 0), truth.masked_fill(blank, 0), slices=slices)
            error[unknown] = torch.nan
            medians = error.unflatten(0, self.fields.shape[:2]).quantile(0.5, dim=0).numpy()
            found[name] = {
                self.channels[a].group: medians[:, i]
                for i, (a, b) in enumerate(pairwise(slices))
                if all(field.observed for field in self.channels[a:b])
            }
        return found

    def write(self, path: str | Path, **attributes: str) -> Path:
        """Write the predicted fields as NetCDF, which xarray and ``open_trajectories`` read.

        Fields that the file does not hold but its reader makes up are left out.

        Args:
            path: File to write; one that is there is replaced.
            attributes: What else the file should say of itself.
        """
        kept = [i for i, field in enumerate(self.channels) if field.observed]
        said = {"made_by": f"sciml {__version__}", "source_trajectories": list(self.trajectories), **attributes}
        said |= {"licence": self.licence} if self.licence else {}
        with TrajectoryWriter(
            path,
            task=f"forecast of {self.spec.task or 'a file'}",
            variable="forecast",
            channels=[self.channels[i].name for i in kept],
            trajectories=len(self.fields),
            times=self.times,
            coordinates=self.spec.coordinates,
            boundary=self.spec.boundary,
            attributes={**said, "channel_units": [self.channels[i].unit for i in kept]},
            overwrite=True,
        ) as writer:
            writer.write(0, np.ascontiguousarray(self.fields[:, :, kept], np.float32))
        return Path(path)


def forecast(
    model: str | Path,
    file: str | Path | Trajectories,
    *,
    steps: int | None = None,
    stride: int | None = None,
    start: int = 0,
    trajectories: Sequence[int] = (0,),
    direct: bool = False,
    scalars: Mapping[str, float] | None = None,
    task: str | None = None,
    device: str = "cpu",
) -> Forecast:
    """Forecast trajectories of a file with a saved model.

    The fields and scalars that the model reads are found in the file by name and normalised as in its training. One
    step is ``stride`` frames of the file; the forecast may go on beyond its last frame. A model that was trained on
    several files, each normalised by its own statistics, takes those of this file for its fields.

    Args:
        model: Folder of a model or of a run, or a hub id.
        file: File, folder or pattern in any layout, or open trajectories.
        steps: How many steps; None: up to the last frame of the file. A steady problem has one.
        stride: Frames of the file that one step spans; None: the time of a step in the training, or one frame where the
            model does not say.
        start: Frame to start from.
        trajectories: Which trajectories of the file.
        direct: Predict every time from the first frame at once, instead of feeding predictions back.
        scalars: Parameters of the equation, by name and in their units, instead of those of the file: what would happen
            with another viscosity. They keep their value throughout.
        task: Name of the published task, if the file does not say it.
        device: Where to compute: cpu, cuda, cuda:1, mps.

    Raises:
        ConfigError: the file lacks a field or a scalar that the model reads, or has no such trajectory or frame, or the
            predictions cannot be fed back, or there is no such device.
        CheckpointError: there is no such model.

    Reference:
        arXiv:2405.19101, equation 9.
    """
    with nullcontext(file) if isinstance(file, Trajectories) else open_trajectories(file, task=task) as source:
        return _forecast(
            model,
            source,
            steps=steps,
            stride=stride,
            start=start,
            trajectories=trajectories,
            direct=direct,
            scalars=scalars or {},
            device=device,
        )


def _forecast(
    model: str | Path,
    source: Trajectories,
    *,
    steps: int | None,
    stride: int | None,
    start: int,
    trajectories: Sequence[int],
    direct: bool,
    scalars: Mapping[str, float],
    device: str,
) -> Forecast:
    spec = source.spec
    described = json.loads((resolve_folder(model) / CONFIG).read_text()).get("sciml", {})
    channels_in, channels_out = (_channels(described, key, spec, source.path) for key in ("fields_in", "fields_out"))
    names_in, names_out = ([field.name for field in channels] for channels in (channels_in, channels_out))
    unit = _frames_of_lead_time_1(described, spec)
    every: int = stride if stride is not None else max(round(described.get("step", 0.0) * unit), 1)
    _check(source, names_in, names_out, trajectories, start=start, stride=every, feed_back=not direct)
    steps = 1 if spec.steady else (spec.steps - 1 - start) // every if steps is None else steps
    if steps < 1:
        raise ConfigError(
            f"no step of {every} frame(s) fits after frame {start} of {spec.steps} frames, and none is asked for. "
            "Give the number of steps (--steps), an earlier start or a smaller stride."
        )
    net = _on_device(load(model), device).eval()
    dims = len(spec.shape)
    into, out_of = (Normaliser.from_fields(channels, dims=dims) for channels in (channels_in, channels_out))
    chosen = np.asarray(trajectories)
    numbers = _scalars(described, scalars, source, chosen, start)
    step, parts = 1.0 if spec.steady else every / unit, []
    for first in range(0, len(chosen), _BATCH):
        batch = chosen[first : first + _BATCH]
        given = source.read_frames(batch, np.full(len(batch), start), channels=names_in, normaliser=into)
        inputs = torch.from_numpy(given).to(device)
        read = None if numbers is None else numbers[first : first + _BATCH].to(device)
        with torch.inference_mode():
            if direct or spec.steady:
                predictions = [net(inputs, step * (k + 1), read) for k in range(steps)]
            else:
                predictions = list(rollout(net, inputs, step * steps, steps, scalars=read))  # type: ignore[arg-type]
        parts.append(torch.stack(predictions, 1).cpu().numpy())
    predicted = out_of.decode(np.concatenate(parts))
    frames = np.zeros(1, int) if spec.steady else start + every * np.arange(steps + 1)
    truth = np.full((len(chosen), len(frames), *predicted.shape[2:]), np.nan, np.float32)
    held = frames < spec.steps
    where = np.repeat(chosen, held.sum()), np.tile(frames[held], len(chosen))
    truth[:, held] = source.read_frames(*where, channels=names_out).reshape(len(chosen), -1, *predicted.shape[2:])
    if not spec.steady:
        predicted = np.concatenate([truth[:, :1], predicted], axis=1)
    if spec.solid:
        body = source.read_frames(chosen, np.full(len(chosen), start), channels=[spec.solid]) == 1
        truth = np.where(body[:, None], np.float32(np.nan), truth)
    return Forecast(
        fields=predicted.astype(np.float32),
        truth=truth,
        times=_times(spec, frames),
        channels=channels_out,
        spec=spec,
        trajectories=tuple(trajectories),
        normaliser=out_of,
        licence=net.card.licence
        if isinstance(net, ScOT)
        else "",  # the licence of published weights stands nowhere else
    )


def _frames_of_lead_time_1(described: dict[str, Any], spec: TrajectorySpec) -> float:
    """How many frames of the file make lead time 1: by physical time, where the model knows it."""
    if "horizon" in described and not spec.steady:
        return float(described["horizon"]) * (spec.steps - 1) / float(spec.times[-1] - spec.times[0])
    return float(described.get("time_scale", spec.time_scale))


def _on_device(net: nn.Module, device: str) -> nn.Module:
    try:
        return net.to(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # a torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ConfigError(f"cannot compute on device {device!r}: {reason}. See `sciml doctor` for devices.") from error


def _channels(described: dict[str, Any], key: str, spec: TrajectorySpec, path: Path) -> tuple[FieldSpec, ...]:
    """Fields that a model reads or predicts: as it says itself, or else all that the file has."""
    if key not in described:
        return spec.select(spec.inputs if key == "fields_in" else spec.targets)
    channels = [FieldSpec.from_dict(field) for field in described[key]]
    if missing := [field.name for field in channels if field.name not in spec.names]:
        raise ConfigError(
            f"the model {'reads' if key == 'fields_in' else 'predicts'} {', '.join(f.name for f in channels)}, but "
            f"{path} has {', '.join(spec.names)}: {', '.join(missing)} is missing. Fields are matched by name; a file "
            "of your own can name its channels in a YAML file beside it (docs/data.md)."
        )
    held = spec.select([field.name for field in channels])
    if described.get("normalised_by") == "file":
        channels = [replace(field, mean=own.mean, std=own.std) for field, own in zip(channels, held, strict=True)]
    return tuple(replace(field, observed=own.observed) for field, own in zip(channels, held, strict=True))


def _scalars(
    described: dict[str, Any], given: Mapping[str, float], source: Trajectories, trajectories: np.ndarray, start: int
) -> Float[Tensor, "trajectory scalar"] | None:
    """Normalised scalars that the model reads beside the fields; None if it reads none."""
    scalars = [FieldSpec.from_dict(scalar) for scalar in described.get("scalars", ())]
    names = [scalar.name for scalar in scalars]
    if unknown := [name for name in given if name not in names]:
        raise ConfigError(
            f"scalar {', '.join(map(repr, unknown))} came, but the model reads {', '.join(names) or 'no scalars'}. "
            "Leave it out, or train a model that reads it with data.scalars=[NAMES]."
        )
    if not scalars:
        return None
    steps = np.full(len(trajectories), start)
    return torch.from_numpy(normalised_scalars(source, trajectories, steps, scalars, given=given))


def _check(
    source: Trajectories,
    names_in: list[str],
    names_out: list[str],
    trajectories: Sequence[int],
    *,
    start: int,
    stride: int,
    feed_back: bool,
) -> None:
    spec = source.spec
    if wrong := [i for i in trajectories if not 0 <= i < len(source)]:
        raise ConfigError(f"there is no trajectory {wrong[0]}; {source.path} has {len(source)}, counted from 0.")
    if stride < 1 or not 0 <= start < spec.steps:
        raise ConfigError(
            f"start {start} and stride {stride} do not fit {source.path}, which has the frames 0 to {spec.steps - 1}; "
            "a stride is at least 1."
        )
    if feed_back and not spec.steady:
        moving = [f.name for f in spec.select(names_in[len(names_out) :]) if f.in_time]
        if names_in[: len(names_out)] != names_out or moving:
            raise ConfigError(
                f"the model reads {', '.join(names_in)} and predicts {', '.join(names_out)}, so that predictions "
                "cannot be fed back: what it reads must be what it predicts and, after that, fields that do not "
                "change. Predict every time at once with direct (--direct)."
            )


def _times(spec: TrajectorySpec, frames: np.ndarray) -> np.ndarray:
    """Times of frames, continued with the last step of the file beyond its end."""
    times = np.asarray(spec.times, float)
    if len(times) < 2:
        return times[:1]
    beyond = np.maximum(frames - len(times) + 1, 0)
    return times[np.minimum(frames, len(times) - 1)] + beyond * (times[-1] - times[-2])
