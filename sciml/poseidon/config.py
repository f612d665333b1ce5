"""The settings of a scOT network, under the names that published ``config.json`` files use."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sciml.errors import ConfigError
from sciml.residual import check_residual

_PRESETS = {
    "T": {"depths": (4, 4, 4, 4), "embed_dim": 48},
    "S": {"depths": (8, 8, 8, 8), "embed_dim": 48},
    "B": {"depths": (8, 8, 8, 8), "embed_dim": 96},
    "L": {"depths": (8, 8, 8, 8), "embed_dim": 192},
}


@dataclass(frozen=True, kw_only=True)
class ScOTConfig:
    """Architecture and loss of a scalable operator transformer (scOT).

    Stage i works on a grid of ``image_size / patch_size / 2**i`` tokens of width ``embed_dim * 2**i``.

    Args:
        image_size: Side length in grid points of the fields the network works on, or (height, width).
        patch_size: Side of the square patch that becomes one token. Good values: 4 (published), 2 for small fields.
        num_channels: Channels of the input fields.
        num_out_channels: Channels of the predicted fields.
        embed_dim: Width of the first stage; divisible by ``num_heads[0]``. Published: 48 (T), 96 (B), 192 (L).
        depths: Attention blocks of every stage, encoder and decoder alike.
        num_heads: Attention heads of every stage.
        skip_connections: ConvNeXt blocks on every skip connection; 0 leaves the skip as it is.
        window_size: Side of the attention windows in tokens; stages with smaller grids attend globally.
        mlp_ratio: Hidden width of the MLP over its input width.
        qkv_bias: Whether query and value have a bias (the key never has one).
        hidden_dropout_prob: Dropout after the embedding, the attention output and the MLP.
        attention_probs_dropout_prob: Dropout of the attention weights.
        drop_path_rate: Stochastic depth of the last block; grows linearly from 0 through the network.
        hidden_act: Activation of the MLPs; only the exact ``gelu`` exists.
        use_absolute_embeddings: Whether a learned position is added to the tokens (ties the weights to one grid).
        use_conditioning: Whether norms depend on lead time and scalars. Without it the lead time is ignored.
        scalars: Names of parameters of the equation (a viscosity, a Reynolds number) that the norms depend on beside
            the lead time; normalised numbers, one for each sample. Published weights have none.
        learn_residual: Whether the input is added to the prediction.
        residual_channels: Input channel that is added to each predicted one, None for none. None instead of a list is
            the published behaviour, input j for prediction j; data and checkpoints that name their channels set it
            where names say otherwise.
        residual_model: Block of the skip connections, ``convnext`` or ``resnet``.
        layer_norm_eps: Epsilon of the norms inside blocks (embedding, merging and unmerging always use 1e-5).
        initializer_range: Standard deviation of the initial weights.
        initial_norm_scale: Scale of the conditional norms before training. 0 is the published start, where every block
            is nearly the identity; 1 learns several times faster on small budgets.
        p: 1 trains on the L1 loss, 2 on the mean squared error.
        channel_slice_list_normalized_loss: Boundaries of channel groups, each scored relative to its own size:
            [0, 1, 3, 4] for rho, (u, v), p. None trains on the plain loss.
        resolution: What happens to fields of another size than ``image_size``. ``spectral`` (published): those of the
            same aspect ratio are resampled to it by their Fourier series, and the prediction back, which is right for
            periodic fields; others keep their grid. ``native``: all run on their own grid, in windows chosen as if the
            network had been made for it and padded where need be; the position bias is continuous and goes along.
        periodic_windows: Whether shifted windows wrap round, on both axes or on (the first, the second), where the
            windows fit the grid exactly. Right for periodic domains; published weights were trained without.

    Raises:
        ConfigError: settings contradict each other.

    Reference:
        arXiv:2405.19101, section 2 and appendix A.
    """

    image_size: int | tuple[int, int] = 128
    patch_size: int = 4
    num_channels: int = 4
    num_out_channels: int = 4
    embed_dim: int = 48
    depths: tuple[int, ...] = (4, 4, 4, 4)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    skip_connections: tuple[int, ...] = (2, 2, 2, 0)
    window_size: int = 16
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    drop_path_rate: float = 0.0
    hidden_act: str = "gelu"
    use_absolute_embeddings: bool = False
    use_conditioning: bool = True
    scalars: tuple[str, ...] = ()
    learn_residual: bool = False
    residual_channels: tuple[int | None, ...] | None = None
    residual_model: str = "convnext"
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    initial_norm_scale: float = 0.0
    p: int = 1
    channel_slice_list_normalized_loss: tuple[int, ...] | None = None
    resolution: str = "spectral"
    periodic_windows: bool | tuple[bool, bool] = False

    def __post_init__(self):
        for name in ("depths", "num_heads", "skip_connections"):
            # Old configs say true / false for one or no skip block.
            object.__setattr__(self, name, tuple(int(value) for value in getattr(self, name)))
        if self.channel_slice_list_normalized_loss is not None:
            slices = tuple(self.channel_slice_list_normalized_loss)
            object.__setattr__(self, "channel_slice_list_normalized_loss", slices)
        object.__setattr__(self, "scalars", tuple(self.scalars))
        if self.residual_channels is not None:
            object.__setattr__(self, "residual_channels", tuple(self.residual_channels))
        if not isinstance(self.image_size, int):
            object.__setattr__(self, "image_size", tuple(self.image_size))
        if not isinstance(self.periodic_windows, bool):
            object.__setattr__(self, "periodic_windows", tuple(self.periodic_windows))
        stages = len(self.depths)
        if len(self.num_heads) != stages or len(self.skip_connections) != stages:
            raise ConfigError(
                f"depths has {stages} stages, num_heads {len(self.num_heads)}, skip_connections "
                f"{len(self.skip_connections)}. Give one entry per stage to each."
            )
        for stage, heads in enumerate(self.num_heads):
            if self.embed_dim * 2**stage % heads:
                raise ConfigError(
                    f"stage {stage} is {self.embed_dim * 2**stage} wide, which {heads} heads do not divide. "
                    "Choose embed_dim as a multiple of num_heads[0]."
                )
        if self.hidden_act != "gelu":
            raise ConfigError(f"hidden_act is {self.hidden_act!r}; only 'gelu' (the published one) exists.")
        if self.p not in (1, 2):
            raise ConfigError(f"p is {self.p}; 1 (L1) or 2 (mean squared error) is expected.")
        if self.residual_model not in ("convnext", "resnet"):
            raise ConfigError(f"residual_model is {self.residual_model!r}; 'convnext' or 'resnet' is expected.")
        if self.learn_residual:
            counts = {"channels_in": self.num_channels, "channels_out": self.num_out_channels}
            check_residual(self.residual_channels, **counts)
        if self.scalars and not self.use_conditioning:
            raise ConfigError(
                f"the scalars {', '.join(self.scalars)} enter through the conditional norms, which "
                "use_conditioning=false leaves out. Set it to true, or leave the scalars out."
            )
        if self.resolution not in ("spectral", "native"):
            raise ConfigError(f"resolution is {self.resolution!r}; 'spectral' or 'native' is expected.")

    @property
    def wraps(self) -> tuple[bool, bool]:
        """Whether shifted windows wrap round, by axis."""
        wrap = self.periodic_windows
        return (wrap, wrap) if isinstance(wrap, bool) else wrap

    @property
    def grid(self) -> tuple[int, int]:
        """Nominal size of the fields, (height, width)."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size

    @classmethod
    def preset(cls, size: str, **changes: Any) -> ScOTConfig:
        """The published sizes ``T`` (21 M parameters), ``S``, ``B`` (158 M) and ``L`` (629 M).

        Args:
            size: One of the letters.
            changes: Settings that differ from the published ones, e.g. ``num_channels=2``.
        """
        if size not in _PRESETS:
            raise ConfigError(f"there is no Poseidon-{size}; the sizes are {', '.join(_PRESETS)}.")
        published = {"channel_slice_list_normalized_loss": (0, 1, 3, 4)}
        return cls(**{**published, **_PRESETS[size], **changes})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScOTConfig:
        """Read the content of a ``config.json``; keys that scOT does not know are left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def to_dict(self) -> dict[str, Any]:
        """The content of a ``config.json``, as published checkpoints have it; what these lack is there only if used."""
        own = {"scalars": (), "residual_channels": None}
        settings = {k: v for k, v in dataclasses.asdict(self).items() if k not in own or v != own[k]}
        return {
            "architectures": ["ScOT"],
            "model_type": "swinv2",
            **{key: list(v) if isinstance(v, tuple) else v for key, v in settings.items()},
        }
