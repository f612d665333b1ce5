"""The layers of scOT: conditional norm, attention block, skip blocks, patch merging and unmerging."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sciml.poseidon.attention import WindowAttention
from sciml.poseidon.config import ScOTConfig
from sciml.poseidon.depthwise import depthwise_conv

_EPS = 1e-5  # embedding, merging and unmerging do not follow layer_norm_eps

Tokens = Float[Tensor, "batch height width channel"]
Condition = Float[Tensor, "batch condition"]  # the lead time, and after it the scalars


class ConditionalLayerNorm(nn.Module):
    """Layer norm whose scale and shift are affine in the lead time and scalars s: (A s + b) * norm(x) + (C s + d).

    Args:
        width: Token width.
        eps: Added to the variance.
        scalars: Number of scalars beside the lead time.

    Reference:
        arXiv:2405.19101, equation 6, where s is the lead time alone.
    """

    def __init__(self, width: int, *, eps: float, scalars: int = 0):
        super().__init__()
        self.eps = eps
        self.weight = nn.Linear(1 + scalars, width)
        self.bias = nn.Linear(1 + scalars, width)

    def forward(self, x: Tokens, condition: Condition) -> Tokens:
        """Normalise tokens of shape (batch, height, width, channel) under conditions of shape (batch, 1 + scalars)."""
        s = condition[:, None, None].to(x.dtype)
        normed = F.layer_norm(x, x.shape[-1:], eps=self.eps)
        return torch.addcmul(self.bias(s), normed, self.weight(s))


class PlainLayerNorm(nn.LayerNorm):
    """Layer norm that ignores lead time and scalars."""

    def forward(self, x: Tokens, condition: Condition) -> Tokens:
        """Normalise tokens of shape (batch, height, width, channel)."""
        return super().forward(x)


def make_norm(config: ScOTConfig, width: int, *, eps: float) -> ConditionalLayerNorm | PlainLayerNorm:
    """The norm that a configuration asks for."""
    if config.use_conditioning:
        return ConditionalLayerNorm(width, eps=eps, scalars=len(config.scalars))
    return PlainLayerNorm(width, eps=eps)


class DropPath(nn.Module):
    """Stochastic depth: drop a residual branch for whole samples, scale the others by 1 / (1 - rate)."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tokens) -> Tokens:
        """Drop, in training only."""
        if not self.training or self.rate == 0.0:
            return x
        keep = torch.empty(x.shape[0], 1, 1, 1, device=x.device, dtype=x.dtype).bernoulli_(1 - self.rate)
        return x * keep / (1 - self.rate)


class Recomputable(nn.Module):
    """A block that can recompute its activations in the backward pass instead of keeping them."""

    recompute = False

    def forward(self, x: Tokens, condition: Condition) -> Tokens:
        """Map tokens of shape (batch, height, width, channel) to the same shape."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._transform, x, condition, use_reentrant=False)  # type: ignore[return-value]
        return self._transform(x, condition)

    def _transform(self, x: Tokens, condition: Condition) -> Tokens:
        raise NotImplementedError


def recompute_activations(net: nn.Module, *, on: bool = True) -> None:
    """Let the blocks of a network keep only their input for the backward pass, and compute the rest once more.

    Args:
        net: The network; blocks with batch statistics, which a second pass would change, stay as they are.
        on: False keeps all activations again.

    Reference:
        arXiv:1604.06174.
    """
    for module in net.modules():
        if isinstance(module, Recomputable):
            module.recompute = on


class Block(Recomputable):
    """Residual-post-norm transformer block: x += norm(attention(x)); x += norm(MLP(x)).

    The module names are those of published checkpoints.

    Args:
        config: The network's settings.
        width: Token width.
        heads: Attention heads.
        window: Window side for the nominal grid; the largest one for ``resolution="native"``.
        shift: Roll of windows of this size, 0 or window // 2.
        drop_path: Stochastic depth rate.

    Reference:
        arXiv:2405.19101, equation 5.
    """

    def __init__(self, config: ScOTConfig, width: int, *, heads: int, window: int, shift: int, drop_path: float):
        super().__init__()
        self.window = window
        self.shift = shift
        self.native = config.resolution == "native"
        self.wraps = config.wraps
        hidden = int(config.mlp_ratio * width)
        attention = WindowAttention(
            width,
            heads=heads,
            window=None if self.native else window,
            qkv_bias=config.qkv_bias,
            dropout=config.attention_probs_dropout_prob,
        )
        self.attention = nn.ModuleDict({"self": attention, "output": nn.ModuleDict({"dense": nn.Linear(width, width)})})
        self.layernorm_before = make_norm(config, width, eps=config.layer_norm_eps)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, hidden)})
        self.output = nn.ModuleDict({"dense": nn.Linear(hidden, width)})
        self.layernorm_after = make_norm(config, width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.drop_path = DropPath(drop_path)

    def _transform(self, x: Tokens, condition: Condition) -> Tokens:
        x = x + self.drop_path(self.layernorm_before(self._attend(x), condition))
        return x + self.drop_path(self.layernorm_after(self._mlp(x), condition))

    def _attend(self, x: Tokens) -> Tokens:
        height, width = x.shape[1:3]
        window = min(self.window, height, width)
        shift = 0
        if max(height, width) > window:
            shift = min(self.shift, window // 2) if self.native else self.shift % window
        # An axis that wraps is turned here, so that the attention finds nothing to keep apart on it.
        turn = [shift if wrap and n % window == 0 else 0 for wrap, n in zip(self.wraps, (height, width), strict=True)]
        x = torch.roll(x, (-turn[0], -turn[1]), dims=(1, 2)) if any(turn) else x
        down, right = -height % window, -width % window
        # Padded tokens are seen like any other, as in published models.
        x = F.pad(x, (0, 0, 0, right, 0, down)) if down or right else x
        x = self.attention["self"](x, window=window, shift=(shift - turn[0], shift - turn[1]))[:, :height, :width]
        x = torch.roll(x, (turn[0], turn[1]), dims=(1, 2)) if any(turn) else x
        return self.dropout(self.attention["output"]["dense"](x))  # type: ignore[index]

    def _mlp(self, x: Tokens) -> Tokens:
        return self.dropout(self.output["dense"](F.gelu(self.intermediate["dense"](x))))


class ConvNeXtBlock(Recomputable):
    """Skip block: x += s * MLP(norm(depthwise 7x7 convolution(x))).

    Args:
        config: The network's settings.
        width: Token width.

    Reference:
        arXiv:2201.03545, figure 4; the norm is conditioned on the lead time.
    """

    def __init__(self, config: ScOTConfig, width: int):
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = make_norm(config, width, eps=config.layer_norm_eps)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)
        self.weight = nn.Parameter(torch.full((width,), 1e-6))

    def _transform(self, x: Tokens, condition: Condition) -> Tokens:
        y = rearrange(depthwise_conv(rearrange(x, "b h w c -> b c h w"), self.dwconv), "b c h w -> b h w c")
        y = self.pwconv2(F.gelu(self.pwconv1(self.norm(y, condition))))
        return torch.addcmul(x, self.weight, y)


class ResNetBlock(nn.Module):
    """Skip block: x += norm(convolution(leaky ReLU(norm(convolution(x))))), not conditioned on the lead time."""

    def __init__(self, config: ScOTConfig, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tokens, condition: Condition) -> Tokens:
        """Map tokens of shape (batch, height, width, channel) to the same shape."""
        y = F.leaky_relu(self.bn1(self.conv1(rearrange(x, "b h w c -> b c h w"))))
        return x + rearrange(self.bn2(self.conv2(y)), "b c h w -> b h w c")


class PatchMerging(nn.Module):
    """Halve the grid and double the width: concatenate 2x2 neighbours, project 4c -> 2c, norm.

    Args:
        config: The network's settings.
        width: Width c of the incoming tokens.
    """

    def __init__(self, config: ScOTConfig, width: int):
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = make_norm(config, 2 * width, eps=_EPS)

    def forward(self, x: Tokens, condition: Condition) -> Tokens:
        """Map (batch, h, w, c) to (batch, ceil(h / 2), ceil(w / 2), 2 c)."""
        height, width = x.shape[1:3]
        if height % 2 or width % 2:
            x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        # The column offset runs slowest.
        x = rearrange(x, "b (h i) (w j) c -> b h w (j i c)", i=2, j=2)
        return self.norm(self.reduction(x), condition)


class PatchUnmerging(nn.Module):
    """Double the grid and halve the width: project c -> 2c, deal out to 2x2 neighbours, norm, mix.

    Args:
        config: The network's settings.
        width: Width c of the incoming tokens.
    """

    def __init__(self, config: ScOTConfig, width: int):
        super().__init__()
        self.upsample = nn.Linear(width, 2 * width, bias=False)
        self.mixup = nn.Linear(width // 2, width // 2, bias=False)
        self.norm = make_norm(config, width // 2, eps=_EPS)

    def forward(self, x: Tokens, condition: Condition, grid: tuple[int, int]) -> Tokens:
        """Map (batch, h, w, c) to (batch, *grid, c / 2); grid is the size before merging, 2h or 2h - 1."""
        x = rearrange(self.upsample(x), "b h w (i j c) -> b (h i) (w j) c", i=2, j=2)
        return self.mixup(self.norm(x[:, : grid[0], : grid[1]], condition))
