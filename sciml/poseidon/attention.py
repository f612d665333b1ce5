"""Windowed cosine attention with a continuous, learned position bias (Swin V2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.poseidon.biased_attention import cosine_attention
from sciml.poseidon.precision import full_precision

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


def relative_index(size: tuple[int, int], window: int, device: torch.device) -> Int[Tensor, "query key"]:
    """Row of ``relative_coordinates(window)`` that belongs to every (query, key) pair of a height x width rectangle."""
    y, x = (torch.arange(n, device=device) for n in size)
    dy, dx = (p[:, None] - p[None, :] + window - 1 for p in (y, x))
    index = dy[:, None, :, None] * (2 * window - 1) + dx[None, :, None, :]
    return index.reshape(size[0] * size[1], size[0] * size[1])


def bands(size: int, window: int, shift: int) -> list[tuple[int, int]]:
    """How one axis of a grid that was rolled by -shift is cut into windows: (length, window) of every band.

    The roll makes neighbours, in the last window, of two strips from opposite ends of the grid. Published models mask
    them from each other; here they are two smaller windows, which is the same at about half the cost.

    Args:
        size: Tokens along the axis, a multiple of ``window``.
        window: Side of the windows in tokens.
        shift: How far the grid was rolled, in [0, window).
    """
    if shift == 0:
        return [(size, window)]
    strips = [(window, shift)] if window == 2 * shift else [(window - shift, window - shift), (shift, shift)]
    return [(size - window, window), *strips] if size > window else strips


class WindowAttention(nn.Module):
    """Multi-head attention inside the windows of a token grid, by cosine similarity.

    Per head: softmax(exp(min(s, ln 100)) * cos(q, k) + 16 sigmoid(MLP(offset)) + mask) v.

    Args:
        width: Token width, divisible by ``heads``.
        heads: Number of heads.
        window: Window side in tokens that the position bias is scaled for; None: the side of the windows that come.
        qkv_bias: Whether query and value have a bias.
        dropout: Dropout of the attention weights.

    Reference:
        arXiv:2111.09883, equations 2 to 5.
    """

    def __init__(self, width: int, *, heads: int, window: int | None, qkv_bias: bool, dropout: float):
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
        self._memo: tuple[object, list[Tensor]] | None = None

    def forward(
        self, x: Float[Tensor, "batch height width channel"], *, window: int, shift: int | tuple[int, int] = 0
    ) -> Float[Tensor, "batch height width channel"]:
        """Attend inside every window.

        Args:
            x: Tokens, shape (batch, height, width, channel); height and width are multiples of ``window``.
            window: Side of the windows in tokens.
            shift: Offset of the windows on the periodic grid, in [0, window), or (down, right).
        """
        down, right = (shift, shift) if isinstance(shift, int) else shift
        if down or right:
            x = torch.roll(x, (-down, -right), dims=(1, 2))
        rows, columns = bands(x.shape[1], window, down), bands(x.shape[2], window, right)
        sizes = [(h, w) for _, h in rows for _, w in columns]
        biases = iter(self._position_biases(window, sizes))
        scale = self.logit_scale.flatten().clamp(max=_LOGIT_SCALE_MAX).exp()
        out = []
        for band, (_, h) in zip(self._project(x).split([n for n, _ in rows], dim=1), rows, strict=True):
            row = []
            for part, (_, w) in zip(band.split([n for n, _ in columns], dim=2), columns, strict=True):
                qkv = rearrange(
                    part, "b (p h) (q w) (three n d) -> (b p q) (h w) three n d", h=h, w=w, three=3, n=self.heads
                )
                y = cosine_attention(qkv, scale, next(biases), dropout=self.dropout if self.training else 0.0)
                row.append(
                    rearrange(y, "(b p q) (h w) n d -> b (p h) (q w) (n d)", b=len(x), h=h, q=part.shape[2] // w)
                )
            out.append(_join(row, dim=2))
        x = _join(out, dim=1)
        return torch.roll(x, (down, right), dims=(1, 2)) if down or right else x

    def _project(self, tokens: Tensor) -> Tensor:
        weight = torch.cat([self.query.weight, self.key.weight, self.value.weight])
        if self.query.bias is None:
            return F.linear(tokens, weight)
        no_bias = torch.zeros_like(self.query.bias)
        return F.linear(tokens, weight, torch.cat([self.query.bias, no_bias, self.value.bias]))

    def _position_biases(self, window: int, sizes: list[tuple[int, int]]) -> list[Float[Tensor, "head token token"]]:
        """The bias of rectangles inside a window; remembered for inference as long as the weights stay the same."""
        weights = list(self.continuous_position_bias_mlp.parameters())
        changing = torch.is_grad_enabled() or self.training
        if changing or torch.compiler.is_compiling() or weights[0].is_inference():  # the last ones have no version
            return self._compute_position_biases(window, sizes)
        key = (window, *sizes, *((w.data_ptr(), w._version, w.dtype, w.device) for w in weights))
        if self._memo is None or self._memo[0] != key:
            self._memo = (key, self._compute_position_biases(window, sizes))
        return self._memo[1]

    def _compute_position_biases(self, window: int, sizes: list[tuple[int, int]]) -> list[Tensor]:
        device = self.logit_scale.device
        # Small, and what is remembered must not depend on whether the first to ask computes in half precision.
        with full_precision(device):
            table = self._position_table(window, device)
        indices = {size: relative_index(size, window, device) for size in sizes}
        biases = {size: table.index_select(1, i.flatten()).view(-1, *i.shape) for size, i in indices.items()}
        return [biases[size] for size in sizes]

    def _position_table(self, window: int, device: torch.device) -> Float[Tensor, "head offset"]:
        first, _, last = self.continuous_position_bias_mlp
        offsets = relative_coordinates(window, self.window or window, device).to(self.logit_scale.dtype)
        # Contiguous, because the gradient of a transposed 512 x 2 matrix is a product that BLAS is slow at.
        hidden = torch.addmm(first.bias, offsets, first.weight.t().contiguous()).relu_()  # type: ignore[arg-type]
        return 16.0 * torch.sigmoid(last(hidden)).t()

    def train(self, mode: bool = True) -> WindowAttention:
        """Change the mode and forget the bias: sharded weights change without a trace that ``_version`` would show."""
        self._memo = None
        return super().train(mode)

    def __getstate__(self):
        return {**self.__dict__, "_memo": None}


def _join(parts: list[Tensor], *, dim: int) -> Tensor:
    return torch.cat(parts, dim) if len(parts) > 1 else parts[0]
