"""How far a prediction is from the truth."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

_TINY = 1e-10


def relative_error(
    prediction: Float[Tensor, "batch channel *space"],
    target: Float[Tensor, "batch channel *space"],
    *,
    slices: Sequence[int] | None = None,
    p: int = 1,
) -> Float[Tensor, "batch group"]:
    """Relative error of every sample and channel group, (sum |pred - target|^p / sum |target|^p)^(1/p).

    Args:
        prediction: Predicted fields, shape (batch, channel, *space).
        target: True fields, same shape.
        slices: Boundaries of the channel groups, e.g. (0, 1, 3, 4) for rho, (u, v), p. None: one group of all channels.
        p: 1 for the L1 norm (the figure of merit of Poseidon), 2 for L2.

    Returns:
        Errors as fractions (0.1 is 10 %), shape (batch, group). A target that vanishes counts as 1e-10.

    Reference:
        arXiv:2405.19101, equation 10.
    """
    slices = slices or (0, target.shape[1])
    error = (prediction - target).abs().pow(p).flatten(2)
    size = target.abs().pow(p).flatten(2)
    groups = [
        error[:, a:b].sum(dim=(1, 2)) / size[:, a:b].sum(dim=(1, 2)).clamp(min=_TINY)
        for a, b in itertools.pairwise(slices)
    ]
    return torch.stack(groups, dim=1).pow(1 / p)
