"""Samples for operator learning: fields at one step, fields at another, and the lead time between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sciml.data.normalise import Normaliser
from sciml.data.pairs import Pairs
from sciml.data.scalars import normalised_scalars
from sciml.data.spec import BOUNDARIES, FieldSpec, TrajectorySpec
from sciml.data.trajectories import Trajectories
from sciml.errors import DataError


def identity(batch: Any) -> Any:
    """Collate function for datasets whose ``__getitems__`` returns a finished batch."""
    return batch


class PairDataset(Dataset):
    """Pairs of frames, normalised: sample k is pair ``k % len(pairs)`` of trajectory ``k // len(pairs)``.

    A whole batch is read in one call, straight from the file into the tensors that are handed out. Use it as
    ``DataLoader(dataset, batch_sampler=..., collate_fn=identity)``. A batch is a dict:

    - ``fields``: what the network sees, float32, shape (batch, channel_in, *space);
    - ``target``: what it is to predict, float32, shape (batch, channel_out, *space);
    - ``lead_time``: (stop - start) / spec.time_scale, 1 for steady problems, float32, shape (batch,);
    - ``trajectory``: which trajectory of the file, int64, shape (batch,);
    - ``boundary``: the conditions at the two ends of every spatial axis, 0 wall, 1 open, 2 periodic, int64, shape
      (batch, axis, 2);
    - ``scalars``: the parameters of the equation at the input step, float32, shape (batch, scalar). Absent where there
      are none;
    - ``mask``: True where the target says nothing and the loss must not look, bool, shape (batch, channel_out), or
      (batch, channel_out, *space) where a body lies in the flow. Absent where everything counts.

    Args:
        trajectories: Where to read.
        pairs: Which steps make a sample.
        trajectory_indices: Which trajectories to use, e.g. one part of ``split``; all by default.
        channels_in: Names of the input channels; ``spec.inputs`` by default.
        channels_out: Names of the target channels; ``spec.targets`` by default.
        spec: Whose statistics to normalise by; ``trajectories.spec`` by default.
        scalars: Which parameters of the equation, normalised by their statistics; by default all ``spec.scalars``, in
            their units.

    Attributes:
        normaliser_in: Normalises inputs.
        normaliser_out: Normalises targets; its ``decode`` turns predictions back into units.

    Raises:
        ConfigError: a pair reaches beyond the last step, or a channel is not in the file.
        DataError: the statistics of a channel are not known.
    """

    def __init__(
        self,
        trajectories: Trajectories,
        pairs: Pairs,
        *,
        trajectory_indices: Sequence[int] | range | None = None,
        channels_in: Sequence[str] | None = None,
        channels_out: Sequence[str] | None = None,
        spec: TrajectorySpec | None = None,
        scalars: Sequence[FieldSpec] | None = None,
    ):
        self.trajectories = trajectories
        self.pairs = pairs
        self.spec = trajectories.spec if spec is None else spec
        pairs.check(self.spec)
        chosen = range(len(trajectories)) if trajectory_indices is None else trajectory_indices
        self.trajectory_indices = np.asarray(chosen, np.int64)
        self.channels_in = tuple(channels_in or self.spec.inputs)
        self.channels_out = tuple(channels_out or self.spec.targets)
        in_units = (FieldSpec(name, mean=0.0, std=1.0) for name in self.spec.scalars)
        self.scalars = tuple(in_units if scalars is None else scalars)
        dims = len(self.spec.shape)
        self.normaliser_in = Normaliser.from_fields(self.spec.select(self.channels_in), dims=dims)
        self.normaliser_out = Normaliser.from_fields(self.spec.select(self.channels_out), dims=dims)
        self._boundary = torch.tensor([[BOUNDARIES.index(end) for end in ends] for ends in self.spec.faces])
        self._masked = torch.tensor([field.masked for field in self.spec.select(self.channels_out)])

    def __len__(self) -> int:
        return len(self.trajectory_indices) * len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One sample, with the keys of a batch and no batch axis."""
        return {key: value[0] for key, value in self.__getitems__([range(len(self))[index]]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """One batch, already collated: torch's DataLoader calls this with all indices of a batch."""
        place, pair = np.divmod(np.asarray(indices, np.int64), len(self.pairs))
        trajectories = self.trajectory_indices[place]
        start, stop = self.pairs.table[pair].T
        if self.channels_in == self.channels_out:
            frames = self._read(np.tile(trajectories, 2), np.concatenate([start, stop]), self.normaliser_in)
            fields, target = frames.split(len(start))
        else:
            fields = self._read(trajectories, start, self.normaliser_in)
            target = self._read(trajectories, stop, self.normaliser_out)
        lead_time = np.ones(len(start)) if self.spec.steady else (stop - start) / self.spec.time_scale
        batch = {
            "fields": fields,
            "target": target,
            "lead_time": torch.from_numpy(lead_time.astype(np.float32)),
            "trajectory": torch.from_numpy(trajectories),
            "boundary": self._boundary.expand(len(start), -1, -1),
        }
        if self.scalars:
            scalars = normalised_scalars(self.trajectories, trajectories, start, self.scalars)
            batch["scalars"] = torch.from_numpy(scalars)
        if self.spec.solid:
            body = self.trajectories.read_frames(trajectories, stop, channels=(self.spec.solid,))
            inside = torch.from_numpy(body) == 1
            target.masked_fill_(inside, 1.0)
            batch["mask"] = inside | self._masked.reshape(-1, *(1,) * len(self.spec.shape))
        elif self._masked.any():
            batch["mask"] = self._masked.repeat(len(start), 1)
        return batch

    def _read(self, trajectories: np.ndarray, steps: np.ndarray, normaliser: Normaliser) -> Tensor:
        names = normaliser.names
        frames = torch.from_numpy(
            self.trajectories.read_frames(trajectories, steps, channels=names, normaliser=normaliser)
        )
        stored = [i for i, field in enumerate(self.spec.select(names)) if field.observed]
        # A sum is not finite if one of its terms is not: much cheaper than looking at every value.
        if not frames[:, stored[0] : stored[-1] + 1].flatten(2).sum(2).isfinite().all():
            self._report(frames, trajectories, steps, names)
        return frames

    def _report(self, frames: Tensor, trajectories: np.ndarray, steps: np.ndarray, names: tuple[str, ...]) -> None:
        wrong = ~frames.flatten(2).isfinite().all(-1)
        if wrong.any():  # otherwise the values are finite and only their sum was not
            frame, channel = wrong.nonzero()[0].tolist()
            raise DataError(
                f"{self.trajectories.path}: trajectory {trajectories[frame]}, step {steps[frame]} has NaN or infinity "
                f"in channel {names[channel]!r}. Leave the trajectory out, or generate the file again."
            )
