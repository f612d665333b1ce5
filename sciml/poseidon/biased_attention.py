"""Cosine attention with a learned additive bias, fast in training on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

# Scores worked on at a time, per thread: 1 MiB in float32, so that a tile stays in the cache of its core.
_TILE = 2**18
_EPS = 1e-12  # of the norm of queries and keys; published models were trained with it


def cosine_attention(
    qkv: Float[Tensor, "batch token 3 head dim"],
    scale: Float[Tensor, " head"],
    bias: Float[Tensor, "head token token"],
    *,
    dropout: float = 0.0,
) -> Float[Tensor, "batch token head dim"]:
    """Attention by cosine similarity with an additive bias: softmax(scale * cos(q, k) + bias) v.

    Stock attention takes a slow path when the bias needs a gradient, and keeps several token x token matrices for the
    backward pass. On the CPU in single and double precision this one keeps none: the backward pass makes them again,
    a tile that fits the cache at a time. Tensors without content (``meta``) are treated alike, since they stand for
    those on the CPU. Everywhere else it is stock attention.

    Args:
        qkv: Queries, keys and values, shape (batch, token, 3, head, dim).
        scale: Positive factor of the cosine, per head. Good values: 1 to 100.
        bias: Added to the scores of every sample, shape (head, query, key).
        dropout: Probability of dropping an attention weight.

    Returns:
        Shape (batch, token, head, dim).

    Reference:
        arXiv:2111.09883, equation 2. The backward pass: arXiv:2205.14135, appendix B.
    """
    exact = qkv.dtype in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu")
    if qkv.device.type in ("cpu", "meta") and exact and dropout == 0.0 and not torch.compiler.is_compiling():
        return _TiledCosineAttention.apply(qkv, scale, bias)  # type: ignore[return-value]
    return stock_cosine_attention(qkv, scale, bias, dropout=dropout)


def stock_cosine_attention(qkv: Tensor, scale: Tensor, bias: Tensor, *, dropout: float = 0.0) -> Tensor:
    """The same in stock operations, for any device and precision; see ``cosine_attention``."""
    q, k, v = qkv.unbind(2)
    # Norms in single precision: in half precision epsilon is zero, and a token without content would be 0 / 0.
    q, k = (x if x.dtype == torch.float64 else x.float() for x in (q, k))
    q = F.normalize(q, dim=-1, eps=_EPS) * scale[:, None]
    k = F.normalize(k, dim=-1, eps=_EPS)
    return _attend(q.to(v.dtype), k.to(v.dtype), v, bias.to(v.dtype), dropout=dropout)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, *, dropout: float = 0.0) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, bias[None], dropout_p=dropout, scale=1.0).transpose(1, 2)


class _TiledCosineAttention(torch.autograd.Function):
    """P = softmax(S) again in the backward pass: dV = P^T dO, dS = P * (dO V^T - rowsum(O * dO)).

    Then dQ = dS K, dK = dS^T Q, and the bias gets dS summed over samples. A vector x that was scaled to length s, to
    y = s x / |x|, gets dx = s / |x| * (dy - y (y . dy) / s^2), and s gets y . dy / s.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx: Any, qkv: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        length = torch.stack([scale, torch.ones_like(scale)])[..., None]  # of the scaled queries and keys
        qk = qkv[:, :, :2]
        factor = length / _dot(qk, qk).sqrt_().clamp_min_(_EPS)
        q, k = (qk * factor).unbind(2)
        # Detached: the fused kernel is only chosen for a bias that wants no gradient.
        out = _attend(q, k, qkv[:, :, 2], bias.detach())
        ctx.save_for_backward(qkv, length, factor, bias, out)
        return out

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        qkv, length, factor, bias, out = ctx.saved_tensors
        qk = qkv[:, :, :2] * factor
        d_qkv, d_bias = torch.empty_like(qkv), torch.zeros_like(bias)
        inputs = [x.transpose(1, 2) for x in (*qk.unbind(2), qkv[:, :, 2], d_out, _dot(out, d_out))]
        outputs = [x.transpose(1, 2) for x in d_qkv.unbind(2)]
        heads, tokens = bias.shape[:2]
        matrices = max(1, _TILE * torch.get_num_threads() // tokens**2)
        # Overwritten by every tile: fresh memory would cost as much as the arithmetic.
        buffers = qkv.new_empty(2, min(matrices, len(qkv) * heads), tokens, tokens)
        for tile in _tiles(len(qkv), heads, matrices):
            q, k, v, d_o, mean = (x[tile].flatten(0, 1) for x in inputs)
            d_q, d_k, d_v = (x[tile] for x in outputs)
            b, d_b = bias[tile[1]], d_bias[tile[1]]
            s, p = buffers[:, : len(q)]
            s.view(-1, *b.shape).copy_(b)
            torch.softmax(s.baddbmm_(q, k.mT), dim=-1, out=p)
            d_s = torch.bmm(d_o, v.mT, out=s).sub_(mean).mul_(p)
            d_q.copy_(torch.bmm(d_s, k).view(d_q.shape))
            # The narrow matrix first: BLAS is faster at x^T P than at P^T x.
            d_k.copy_(torch.bmm(q.mT, d_s).mT.unflatten(0, d_k.shape[:2]))
            d_v.copy_(torch.bmm(d_o.mT, p).mT.unflatten(0, d_v.shape[:2]))
            for d in d_s.view(-1, *b.shape):
                d_b += d
        d_qk = d_qkv[:, :, :2]
        along = _dot(qk, d_qk)
        d_qk.addcmul_(qk, along / length.square(), value=-1).mul_(factor)
        d_scale = along[:, :, 0, :, 0].sum((0, 1)) / length[0, :, 0]
        return d_qkv, d_scale, d_bias


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """Scalar products of vectors along the last axis, which is kept; summing 16 numbers is faster as a product."""
    return (x * y) @ x.new_ones(x.shape[-1], 1)


def _tiles(samples: int, heads: int, matrices: int) -> Iterator[tuple[slice, slice]]:
    """Some samples and some heads at a time, at most ``matrices`` of their products."""
    some_heads = min(heads, matrices)
    some_samples = matrices // some_heads
    for h in range(0, heads, some_heads):
        for b in range(0, samples, some_samples):
            yield slice(b, b + some_samples), slice(h, h + some_heads)
