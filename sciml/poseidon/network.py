"""The scalable operator transformer: a U-Net of windowed attention that maps fields and a lead time to fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sciml.errors import ShapeError
from sciml.poseidon.blocks import (
    Block,
    Condition,
    ConditionalLayerNorm,
    ConvNeXtBlock,
    PatchMerging,
    PatchUnmerging,
    ResNetBlock,
    Tokens,
    make_norm,
)
from sciml.poseidon.card import ModelCard
from sciml.poseidon.config import ScOTConfig
from sciml.poseidon.resample import spectral_resample
from sciml.residual import add_residual

Fields = Float[Tensor, "batch channel height width"]
LeadTime = Float[Tensor, " batch"]
Scalars = Float[Tensor, "batch scalar"]


class Embedding(nn.Module):
    """Cut fields into patches, one token each: a convolution with kernel = stride = patch, then a norm."""

    def __init__(self, config: ScOTConfig):
        super().__init__()
        patch = config.patch_size
        projection = nn.Conv2d(config.num_channels, config.embed_dim, patch, stride=patch)
        self.patch_embeddings = nn.ModuleDict({"projection": projection})
        self.norm = make_norm(config, config.embed_dim, eps=1e-5)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.position_embeddings = None
        if config.use_absolute_embeddings:
            tokens = -(-config.grid[0] // patch) * -(-config.grid[1] // patch)
            self.position_embeddings = nn.Parameter(torch.zeros(1, tokens, config.embed_dim))
        self.patch = patch

    def forward(self, fields: Fields, condition: Condition) -> Tokens:
        """Map (batch, channel, height, width) to (batch, height / patch, width / patch, embed_dim)."""
        down, right = -fields.shape[-2] % self.patch, -fields.shape[-1] % self.patch
        if down or right:
            fields = F.pad(fields, (0, right, 0, down))
        x = rearrange(self.patch_embeddings["projection"](fields), "b c h w -> b h w c")
        x = self.norm(x, condition)
        if self.position_embeddings is not None:
            if x.shape[1] * x.shape[2] != self.position_embeddings.shape[1]:
                raise ShapeError(
                    f"{x.shape[1]}x{x.shape[2]} tokens came, but absolute position embeddings were made for "
                    f"{self.position_embeddings.shape[1]}. Use fields of the nominal size, or a network without them."
                )
            x = x + self.position_embeddings.view(1, *x.shape[1:])
        return self.dropout(x)


class Recovery(nn.Module):
    """Turn tokens back into fields: transposed convolution of one patch per token, then a 5x5 convolution."""

    def __init__(self, config: ScOTConfig):
        super().__init__()
        channels, patch = config.num_out_channels, config.patch_size
        self.projection = nn.ConvTranspose2d(config.embed_dim, channels, patch, stride=patch)
        self.mixup = nn.Conv2d(channels, channels, 5, padding=2, bias=False)

    def forward(self, x: Tokens, size: tuple[int, int]) -> Fields:
        """Map (batch, h, w, embed_dim) to (batch, channel, *size)."""
        fields = self.projection(rearrange(x, "b h w c -> b c h w"))
        return self.mixup(fields[..., : size[0], : size[1]])


class EncoderStage(nn.Module):
    """Blocks of one resolution, then patch merging of (output + input)."""

    def __init__(self, blocks: list[Block], downsample: PatchMerging | None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tokens, condition: Condition) -> tuple[Tokens, Tokens]:
        """Returns the stage's output before merging (the skip connection) and after it."""
        skip = x
        for block in self.blocks:
            skip = block(skip, condition)
        return skip, skip if self.downsample is None else self.downsample(skip + x, condition)


class DecoderStage(nn.Module):
    """Blocks of one resolution, then patch unmerging."""

    def __init__(self, blocks: list[Block], upsample: PatchUnmerging | None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.upsample = upsample

    def forward(self, x: Tokens, condition: Condition, grid: tuple[int, int]) -> Tokens:
        """Map tokens to those of the next finer stage, whose grid is given."""
        for block in self.blocks:
            x = block(x, condition)
        return x if self.upsample is None else self.upsample(x, condition, grid)


class ScOT(nn.Module):
    """Scalable operator transformer: predicts fields after a lead time, for any lead time in [0, 1].

    A multiscale U-Net of windowed cosine attention; every norm is an affine function of the lead time, which makes
    the network continuous in time, and of the scalars that ``config.scalars`` names. Fields whose size differs from
    ``config.image_size`` are resampled spectrally on the way in and out if their aspect ratio is the same (as
    published); others, and all with ``resolution="native"``, run on their own grid, padded to patches and windows.

    Args:
        config: Architecture; ``ScOTConfig.preset("T")`` is Poseidon-T.

    Attributes:
        card: Names and normalisation of the channels, origin and licence of the weights.

    Raises:
        ShapeError: fields, lead times or scalars do not fit the network.

    Reference:
        arXiv:2405.19101, section 2, figure 1.
    """

    def __init__(self, config: ScOTConfig):
        super().__init__()
        self.config = config
        self.card = ModelCard()
        stages = range(len(config.depths))
        rates = torch.linspace(0, config.drop_path_rate, 2 * sum(config.depths), device="cpu").tolist()
        encoder_rates, decoder_rates = iter(rates[: len(rates) // 2]), iter(rates[len(rates) // 2 :])

        self.embeddings = Embedding(config)
        encoder = [
            EncoderStage(
                [_block(config, i, odd=j % 2 == 1, drop_path=next(encoder_rates)) for j in range(config.depths[i])],
                PatchMerging(config, _width(config, i)) if i < stages[-1] else None,
            )
            for i in stages
        ]
        # Deepest stage first, and inside a stage the shift pattern of the encoder in reverse.
        decoder = [
            DecoderStage(
                [
                    _block(config, i, odd=j % 2 == 1, drop_path=next(decoder_rates))
                    for j in reversed(range(config.depths[i]))
                ],
                PatchUnmerging(config, _width(config, i)) if i > 0 else None,
            )
            for i in reversed(stages)
        ]
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(encoder)})
        self.decoder = nn.ModuleDict({"layers": nn.ModuleList(decoder)})
        skip = ConvNeXtBlock if config.residual_model == "convnext" else ResNetBlock
        self.residual_blocks = nn.ModuleList(
            nn.ModuleList(skip(config, _width(config, i)) for _ in range(config.skip_connections[i])) for i in stages
        )
        self.patch_recovery = Recovery(config)
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, ConditionalLayerNorm):  # comes after its own linear layers
            nn.init.constant_(module.weight.bias, self.config.initial_norm_scale)
            for linear in (module.weight, module.bias):
                nn.init.zeros_(linear.weight[:, 1:])  # training starts from a network that ignores the scalars

    def forward(self, fields: Fields, lead_time: LeadTime | float, scalars: Scalars | None = None) -> Fields:
        """Predict the fields after a lead time.

        Args:
            fields: Normalised fields, shape (batch, num_channels, height, width).
            lead_time: Time between input and prediction, in units in which a whole trajectory is about 1;
                shape (batch,) or one number for all samples.
            scalars: Normalised scalars in the order of ``config.scalars``, shape (batch, scalar); None if there are
                none. ``card.scalars`` has the mean and standard deviation to normalise by.

        Returns:
            Normalised fields, shape (batch, num_out_channels, height, width).
        """
        condition = self._check(fields, lead_time, scalars)
        size = (fields.shape[-2], fields.shape[-1])
        nominal = self.config.grid
        resample = size != nominal and size[0] * nominal[1] == size[1] * nominal[0]
        resample = resample and self.config.resolution == "spectral"
        x = spectral_resample(fields, nominal) if resample else fields

        tokens = self.embeddings(x, condition)
        skips: list[Tensor] = []
        for stage, residual_blocks in zip(self.encoder["layers"], self.residual_blocks, strict=True):  # type: ignore[arg-type]
            skip, tokens = stage(tokens, condition)
            for block in residual_blocks:
                skip = block(skip, condition)
            skips.append(skip)

        tokens = skips.pop()
        for stage in self.decoder["layers"]:  # type: ignore[union-attr]
            grid = tuple(skips[-1].shape[1:3]) if skips else tuple(tokens.shape[1:3])
            tokens = stage(tokens, condition, grid)
            if skips:
                tokens = tokens + skips.pop()

        prediction = self.patch_recovery(tokens, (x.shape[-2], x.shape[-1]))
        if self.config.learn_residual and self.config.use_conditioning:
            prediction = add_residual(prediction, x, self.config.residual_channels)
        return spectral_resample(prediction, size) if resample else prediction

    def _check(self, fields: Tensor, lead_time: Tensor | float, scalars: Tensor | None) -> Condition:
        expected = self.config.num_channels
        if fields.ndim != 4:
            raise ShapeError(
                f"fields of shape {tuple(fields.shape)} came; (batch, channel, height, width) is expected. "
                "Add a batch axis with fields[None]."
            )
        if fields.shape[1] != expected:
            raise ShapeError(
                f"the fields have {fields.shape[1]} channels, the network expects {expected}. Load it with "
                f"in_channels={fields.shape[1]} or channels_in=[NAMES], or name the channels to keep with "
                "data.channels=[...]."
            )
        lead_time = torch.as_tensor(lead_time, dtype=fields.dtype, device=fields.device)
        if lead_time.ndim == 0:
            lead_time = lead_time.expand(fields.shape[0])
        if lead_time.shape != fields.shape[:1]:
            raise ShapeError(
                f"lead times of shape {tuple(lead_time.shape)} came for a batch of {fields.shape[0]} fields; "
                "one number per sample, or one for all, is expected."
            )
        names = self.config.scalars
        if scalars is None and not names:
            return lead_time[:, None]
        if scalars is None or scalars.shape != (len(fields), len(names)):
            came = "none" if scalars is None else f"some of shape {tuple(scalars.shape)}"
            raise ShapeError(
                f"the network reads the scalars {', '.join(names) or '(none)'}, but {came} came for a batch of "
                f"{len(fields)}; shape ({len(fields)}, {len(names)}) is expected. Give it normalised scalars, from "
                "data with data.scalars=[NAMES], or load it with scalars=[NAMES]."
            )
        return torch.cat([lead_time[:, None], scalars.to(lead_time)], dim=1)

    @classmethod
    def from_pretrained(cls, id_or_folder: str | Path, **options: Any) -> ScOT:
        """Load published or own weights; see ``sciml.poseidon.checkpoint.from_pretrained`` for the options."""
        from sciml.poseidon.checkpoint import from_pretrained

        return from_pretrained(id_or_folder, **options)

    def save_pretrained(self, folder: str | Path, *, extra: dict[str, Any] | None = None) -> Path:
        """Write ``config.json`` and ``model.safetensors``; see ``sciml.poseidon.checkpoint.save_pretrained``."""
        from sciml.poseidon.checkpoint import save_pretrained

        return save_pretrained(self, folder, extra=extra)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters in the four groups that fine-tuning treats differently.

        Returns:
            ``embedding_recovery`` (decayed), ``backbone`` (decayed), ``time_embedding`` (not decayed: the conditional
            norms) and ``no_decay`` (biases, plain norms and the position bias of the attention).

        Reference:
            arXiv:2405.19101, section 3 and appendix C.
        """
        conditional, plain = set(), set()
        for module in self.modules():
            if isinstance(module, ConditionalLayerNorm):
                conditional.update(map(id, module.parameters()))
            elif isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
                plain.update(map(id, module.parameters()))
        groups: dict[str, list[nn.Parameter]] = {
            "embedding_recovery": [],
            "backbone": [],
            "time_embedding": [],
            "no_decay": [],
        }
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            if name.startswith(("embeddings.", "patch_recovery.")):
                groups["embedding_recovery"].append(parameter)
            elif id(parameter) in conditional:
                groups["time_embedding"].append(parameter)
            elif id(parameter) in plain or "bias" in name:
                groups["no_decay"].append(parameter)
            else:
                groups["backbone"].append(parameter)
        return groups


def _width(config: ScOTConfig, stage: int) -> int:
    return config.embed_dim * 2**stage


def _block(config: ScOTConfig, stage: int, *, odd: bool, drop_path: float) -> Block:
    """One block of a stage: odd ones have their windows shifted by half, where there is more than one window."""
    grid = [max(side // config.patch_size // 2**stage, 1) for side in config.grid]
    native = config.resolution == "native"  # the grid that comes decides
    window = config.window_size if native else min(config.window_size, *grid)
    shift = window // 2 if odd and (native or max(grid) > window) else 0
    return Block(
        config, _width(config, stage), heads=config.num_heads[stage], window=window, shift=shift, drop_path=drop_path
    )
