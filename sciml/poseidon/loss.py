"""The loss that scOT is trained on: channel groups, each relative to its own size."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_TINY = 1e-10


def grouped_relative_loss(
    prediction: Float[Tensor, "batch channel *space"],
    target: Float[Tensor, "batch channel *space"],
    *,
    slices: Sequence[int] | None = None,
    p: int = 1,
    mask: Bool[Tensor, "batch channel *space"] | Bool[Tensor, "batch channel"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over channel groups g of mean |pred_g - target_g|^p / (mean |target_g|^p + 1e-10).

    Both means run over the whole batch, so that a sample with a small target does not dominate. Without groups it is
    the plain mean of |pred - target|^p.

    Args:
        prediction: Normalised prediction, shape (batch, channel, *space).
        target: Normalised truth, same shape.
        slices: Boundaries of the groups, e.g. (0, 1, 3, 4) for rho, (u, v), p. None: the plain mean.
        p: 1 or 2.
        mask: True where the prediction counts as right; whole channels, shape (batch, channel), or every point.
            Masked entries stay in the means.

    Reference:
        arXiv:2405.19101, equation 7.
    """
    difference = prediction - target
    if mask is not None:
        mask = mask.reshape(*mask.shape, *[1] * (difference.ndim - mask.ndim))
        difference = torch.where(mask, torch.zeros_like(difference), difference)
    error, size = (difference.abs(), target.abs()) if p == 1 else (difference.square(), target.square())
    if slices is None:
        return error.mean()
    ratios = [error[:, a:b].mean() / (size[:, a:b].mean() + _TINY) for a, b in itertools.pairwise(slices)]
    return torch.stack(ratios).mean()
