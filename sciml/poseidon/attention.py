"""Windowed cosine attention with a continuous, learned position bias (Swin V2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sciml.poseidon.biased_attention import cosine_attention

_LOGIT_SCALE_MAX = math.log(100.0)


def relative_coordinates(window: int, nominal: int, device: torch.device) -> Float[Tensor, "offset 2"]:
    """Offsets between two tokens of a window on a logarithmic scale, sign(c) log2(1 + |c|) / 3, c = 8 d / (nominal-1).

    Args:
        window: Side of the window in tokens.
        nominal: Side of the window that the weights were trained for, which fixes the scale: a bias learned on
            ``nominal`` is continued to other windows.
        device: Where to make the tensor.

    Returns:
        Coordinates of all (2 * window - 1)**2 offsets, row-major.
    """
    d = torch.arange(1 - window, window, device=device, dtype=torch.float32) * (8.0 / max(nominal - 1, 1))
    d = torch.sign(d) * torch.log2(d.abs() + 1.0) / math.log2(8)
    return torch.stack(torch.meshgrid(d, d, indexing="ij"), dim=-1).reshape(-1, 2)


def relative_index(window: int, device: torch.device) -> Int[Tensor, "query key"]:
    """Row of ``relative_coordinates`` that belongs to every (query, key) pair of a window."""
    position = torch.arange(window, device=device)
    d = position[:, None] - position[None, :] + window - 1
    index = d[:, None, :, None] * (2 * window - 1) + d[None, :, None, :]
    return index.reshape(window * window, window * window)


def same_region(grid: tuple[int, int], window: int, shift: int, device: torch.device) -> Bool[Tensor, "win query key"]:
    """Which tokens of a rolled window were neighbours before the roll and may therefore see each other.

    Args:
        grid: Height and width of the padded token grid, multiples of ``window``.
        window: Side of the windows in tokens.
        shift: How far the grid was rolled.
        device: Where to make the tensor.
    """

    def region(size: int) -> Tensor:
        position = torch.arange(size, device=device)
        return (position >= size - window).int() + (position >= size - shift).int()

    regions = 3 * region(grid[0])[:, None] + region(grid[1])[None, :]
    regions = rearrange(regions, "(a h) (b w) -> (a b) (h w)", h=window, w=window)
    return regions[:, :, None] == regions[:, None, :]


class WindowAttention(nn.Module):
    """Multi-head attention inside the windows of a token grid, by cosine similarity.

    Per head: softmax(exp(min(s, ln 100)) * cos(q, k) + 16 sigmoid(MLP(offset)) + mask) v.

    Args:
        width: Token width, divisible by ``heads``.
        heads: Number of heads.
        window: Window side in tokens that the position bias is scaled for.
        qkv_bias: Whether query and value have a bias.
        dropout: Dropout of the attention weights.

    Reference:
        arXiv:2111.09883, equations 2 to 5.
    """

    def __init__(self, width: int, *, heads: int, window: int, qkv_bias: bool, dropout: float):
        super().__init__()
        self.heads = heads
        self.window = window
        self.dropout = dropout
        self.logit_scale = nn.Parameter(torch.full((heads, 1, 1), math.log(10.0)))
        self.continuous_position_bias_mlp = nn.Sequential(
            nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, heads, bias=False)
        )
        self.query = nn.Linear(width, width, bias=qkv_bias)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=qkv_bias)
        self._memo: tuple[object, Tensor] | None = None

    def forward(
        self, tokens: Float[Tensor, "batch win token width"], visible: Bool[Tensor, "win token token"] | None = None
    ) -> Float[Tensor, "batch win token width"]:
        """Attend inside every window.

        Args:
            tokens: Tokens sorted by window, shape (batch, windows, tokens per window, width).
            visible: Which keys a query may see, per window; None lets all see all.
        """
        bias = self._position_bias(math.isqrt(tokens.shape[2]))[None]
        windows = tokens.shape[1]
        if visible is None:
            tokens = tokens.flatten(0, 1)[:, None]  # windows that share a bias are just more samples
        else:
            # -200: what published models were trained with. exp(-200) is zero in float32.
            bias = bias + torch.where(visible[:, None], 0.0, -200.0).to(bias.dtype)
        qkv = rearrange(self._project(tokens), "b win n (three h d) -> b win n three h d", three=3, h=self.heads)
        scale = self.logit_scale.flatten().clamp(max=_LOGIT_SCALE_MAX).exp()
        out = cosine_attention(qkv, scale, bias, dropout=self.dropout if self.training else 0.0)
        return rearrange(out, "(b g) win n h d -> b (g win) n (h d)", g=windows if visible is None else 1)

    def _project(self, tokens: Tensor) -> Tensor:
        weight = torch.cat([self.query.weight, self.key.weight, self.value.weight])
        if self.query.bias is None:
            return F.linear(tokens, weight)
        no_bias = torch.zeros_like(self.query.bias)
        return F.linear(tokens, weight, torch.cat([self.query.bias, no_bias, self.value.bias]))

    def _position_bias(self, window: int) -> Float[Tensor, "head token token"]:
        """The bias of a window of this side; remembered for inference as long as the weights stay the same."""
        remember = not (torch.is_grad_enabled() or self.training or torch.compiler.is_compiling())
        if not remember:
            return self._compute_position_bias(window)
        weights = list(self.continuous_position_bias_mlp.parameters())
        key = (window, *((w.data_ptr(), w._version, w.dtype, w.device) for w in weights))
        if self._memo is None or self._memo[0] != key:
            self._memo = (key, self._compute_position_bias(window))
        return self._memo[1]

    def _compute_position_bias(self, window: int) -> Tensor:
        device = self.logit_scale.device
        offsets = relative_coordinates(window, self.window, device).to(self.logit_scale.dtype)
        table = 16.0 * torch.sigmoid(self.continuous_position_bias_mlp(offsets))
        index = relative_index(window, device)
        return table.t().index_select(1, index.flatten()).view(self.heads, *index.shape)

    def __getstate__(self):
        return {**self.__dict__, "_memo": None}
