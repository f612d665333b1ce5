"""Sums of Gaussian bumps, from which several tasks draw their random fields."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor


def bumps(
    points: Float64[Tensor, " point"],
    *,
    centres: Float64[Tensor, "2 bump"],
    widths: Float64[Tensor, " bump"],
    heights: Float64[Tensor, " bump"],
) -> Float64[Tensor, "point point"]:
    """The field sum_i a_i exp(-|x - c_i|^2 / (2 s_i^2)) on the square grid of the points.

    Args:
        points: Grid points, the same along both axes, shape (point,).
        centres: Centres c, shape (2, bump).
        widths: Widths s, in the unit of the points, shape (bump,).
        heights: Heights a, in the unit of the field, shape (bump,).

    Returns:
        The field, shape (point, point).
    """
    along_x, along_y = torch.exp(-(((points - centres[..., None]) / widths[:, None]) ** 2) / 2)
    return (heights[:, None] * along_x).T @ along_y
