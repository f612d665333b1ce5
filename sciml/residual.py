"""What a network that learns the change of its fields adds to its output: the input of the same name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.errors import ConfigError

Fields = Float[Tensor, "batch channel *space"]


def residual_channels(names_in: Sequence[str], names_out: Sequence[str]) -> tuple[int | None, ...] | None:
    """Position among the inputs of every predicted field, None for one that is not an input.

    Args:
        names_in: Names of the input fields.
        names_out: Names of the predicted fields.

    Returns:
        One entry for each predicted field; None instead of (0, 1, 2, ...), which needs no saying.
    """
    channels = tuple(names_in.index(name) if name in names_in else None for name in names_out)
    return None if channels == tuple(range(len(channels))) else channels


def add_residual(prediction: Fields, fields: Fields, channels: Sequence[int | None] | None) -> Fields:
    """Add to every predicted channel the input channel of the same name, where there is one.

    Args:
        prediction: Predicted change, shape (batch, channel_out, *space).
        fields: Input fields, shape (batch, channel_in, *space).
        channels: As ``residual_channels`` gives it; None: output j belongs to input j.
    """
    if channels is None:
        return prediction + fields[:, : prediction.shape[1]]
    nothing = torch.zeros_like(fields[:, 0])
    return prediction + torch.stack([nothing if j is None else fields[:, j] for j in channels], dim=1)


def check_residual(channels: Sequence[int | None] | None, *, channels_in: int, channels_out: int) -> None:
    """Check that a residual fits a network that reads and predicts so many channels.

    Raises:
        ConfigError: it does not.
    """
    if channels is None:
        fits, said = channels_in >= channels_out, ""
    else:
        fits = len(channels) == channels_out and all(j is None or 0 <= j < channels_in for j in channels)
        said = f", with residual_channels={list(channels)}"
    if not fits:
        raise ConfigError(
            f"learn_residual adds the input to the prediction, but {channels_in} channels are read and {channels_out} "
            f"predicted{said}. Read all fields that are predicted, or set learn_residual=false."
        )
