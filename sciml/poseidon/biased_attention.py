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
    qkv: Float[Tensor, "batch win token 3 head dim"],
    scale: Float[Tensor, " head"],
    bias: Float[Tensor, "win head token token"],
    *,
    dropout: float = 0.0,
) -> Float[Tensor, "batch win token head dim"]:
    """Attention by cosine similarity inside every window: softmax(scale * cos(q, k) + bias) v.

    Stock attention takes a slow path when the bias needs a gradient, and keeps several token x token matrices for the
    backward pass. On the CPU in single and double precision this one keeps none: the backward pass makes them again,
    a tile that fits the cache at a time. Everywhere else it is stock attention.

    Args:
        qkv: Queries, keys and values of every window, shape (batch, window, token, 3, head, dim).
        scale: Positive factor of the cosine, per head. Good values: 1 to 100.
        bias: Added to the scores, shape (window, head, query, key), the same for every sample.
        dropout: Probability of dropping an attention weight.

    Returns:
        Shape (batch, window, token, head, dim).

    Reference:
        arXiv:2111.09883, equation 2. The backward pass: arXiv:2205.14135, appendix B.
    """
    exact = qkv.dtype in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu")
    if qkv.device.type == "cpu" and exact and dropout == 0.0 and not torch.compiler.is_compiling():
        return _TiledCosineAttention.apply(qkv, scale, bias)  # type: ignore[return-value]
    return stock_cosine_attention(qkv, scale, bias, dropout=dropout)


def stock_cosine_attention(qkv: Tensor, scale: Tensor, bias: Tensor, *, dropout: float = 0.0) -> Tensor:
    """The same in stock operations, for any device and precision; see ``cosine_attention``."""
    q, k = F.normalize(qkv[..., :2, :, :], dim=-1, eps=_EPS).unbind(3)
    q = (q * scale[:, None]).to(qkv.dtype)
    windows = zip(q.unbind(1), k.unbind(1), qkv[..., 2, :, :].unbind(1), bias.to(qkv.dtype), strict=True)
    return torch.stack([_attend(*window, dropout=dropout) for window in windows], dim=1)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, *, dropout: float = 0.0) -> Tensor:
    """Attention of one window: (batch, token, head, dim), the bias (head, token, token)."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, bias[None], dropout_p=dropout, scale=1.0).transpose(1, 2)


class _TiledCosineAttention(torch.autograd.Function):
    """P = softmax(S) again in the backward pass: dV = P^T dO, dS = P * (dP - rowsum(P * dP)) with dP = dO V^T.

    Then dQ = dS K, dK = dS^T Q, and the bias gets dS summed over samples. A vector x that was scaled to length s, to
    y = s x / |x|, gets dx = s / |x| * (dy - y (y . dy) / s^2), and s gets y . dy / s.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx: Any, qkv: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        length = torch.stack([scale, torch.ones_like(scale)])[..., None]  # of the scaled queries and keys
        factor = length / torch.linalg.vector_norm(qkv[..., :2, :, :], dim=-1, keepdim=True).clamp_min(_EPS)
        q, k = (qkv[..., :2, :, :] * factor).unbind(3)
        out = torch.empty_like(q)
        for w in range(q.shape[1]):
            # Detached: the fused kernel is only chosen for a bias that wants no gradient.
            out[:, w] = _attend(q[:, w], k[:, w], qkv[:, w, :, 2], bias[w].detach())
        ctx.save_for_backward(qkv, length, factor, bias)
        return out

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        qkv, length, factor, bias = ctx.saved_tensors
        qk = qkv[..., :2, :, :] * factor
        d_qkv, d_bias = torch.empty_like(qkv), torch.zeros_like(bias)
        inputs = [x.transpose(2, 3) for x in (*qk.unbind(3), qkv[..., 2, :, :], d_out)]
        outputs = [x.transpose(2, 3) for x in d_qkv.unbind(3)]
        for w, samples, heads in _tiles(bias.shape, batch=qkv.shape[0]):
            q, k, v, d_o = (x[samples, w, heads].flatten(0, 1) for x in inputs)
            d_q, d_k, d_v = (x[samples, w, heads] for x in outputs)
            b = bias[w, heads]
            p = torch.softmax(b.repeat(len(q) // len(b), 1, 1).baddbmm_(q, k.mT), dim=-1)
            d_s = torch._softmax_backward_data(torch.bmm(d_o, v.mT), p, -1, p.dtype)
            d_q.copy_(torch.bmm(d_s, k).view(d_q.shape))
            d_k.copy_(torch.bmm(d_s.mT, q).view(d_k.shape))
            d_v.copy_(torch.bmm(p.mT, d_o).view(d_v.shape))
            d_bias[w, heads] += d_s.view(-1, *b.shape).sum(0)
        d_qk = d_qkv[..., :2, :, :]
        along = (qk * d_qk).sum(-1, keepdim=True)
        d_qk.addcmul_(qk, along / length.square(), value=-1).mul_(factor)
        d_scale = along[..., 0, :, 0].sum((0, 1, 2)) / length[0, :, 0]
        return d_qkv, d_scale, d_bias


def _tiles(shape: torch.Size, *, batch: int) -> Iterator[tuple[int, slice, slice]]:
    """Cut (window, head, token, token) scores of a batch into tiles: a window, some samples, some heads."""
    windows, heads, tokens, _ = shape
    matrices = max(1, _TILE * torch.get_num_threads() // tokens**2)
    some_heads = min(matrices, heads)
    some_samples = matrices // some_heads
    for w in range(windows):
        for h in range(0, heads, some_heads):
            for b in range(0, batch, some_samples):
                yield w, slice(b, b + some_samples), slice(h, h + some_heads)
