"""Scaled-dot-product attention with an additive bias that is learned."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def biased_attention(
    q: Float[Tensor, "batch head query dim"],
    k: Float[Tensor, "batch head key dim"],
    v: Float[Tensor, "batch head key dim"],
    bias: Float[Tensor, "head query key"],
    *,
    dropout: float = 0.0,
) -> Float[Tensor, "batch head query dim"]:
    """softmax(q k^T + bias) v, with a gradient for all four.

    Args:
        q: Queries, already scaled.
        k: Keys.
        v: Values.
        bias: Added to the scores of every sample.
        dropout: Probability of dropping an attention weight.
    """
    return F.scaled_dot_product_attention(q, k, v, bias.to(q.dtype)[None], dropout_p=dropout, scale=1.0)
