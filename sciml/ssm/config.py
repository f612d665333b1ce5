"""The architecture of a sequence model as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sciml.errors import ConfigError

ENCODERS = ("continuous", "tokens", "pixels")
NORMS = ("layer", "batch")
ACTIVATIONS = ("gelu", "half_glu1", "half_glu2", "full_glu")
POOLINGS = ("mean", "last", "none")
# The state-space layers and how they are written in tables and figures.
LABELS = {"s4": "S4", "s4d": "S4D", "s4_ptd": "S4-PTD", "s5": "S5", "s5_ptd": "S5-PTD"}


@dataclass(frozen=True, kw_only=True)
class SequenceConfig:
    """Architecture of a sequence model.

    Args:
        encoder: ``continuous`` (signals), ``tokens`` (text) or ``pixels`` (images, read row by row).
        inputs: Values measured at every step, or the number of different tokens, or channels of the images.
        outputs: Number of classes, or of predicted values.
        layer: Name of the state-space layer: ``s4``, ``s4d``, ``s4_ptd``, ``s5`` or ``s5_ptd``.
        layer_options: Its settings, e.g. ``{"state": 64, "bidirectional": True}``.
        layers: Number of blocks. Good values: 4 to 8.
        features: Width of the model. Good values: 64 to 512.
        norm: ``layer`` or ``batch``; the latter counts valid steps only.
        prenorm: Whether a block is normalised at its start (with layer norm the model once more at its end) or at its
            end.
        activation: ``gelu``, ``half_glu1``, ``half_glu2`` or ``full_glu``, see ``sciml.ssm.blocks.Activation``.
        dropout: Fraction of the features of a sequence that are dropped while training. Good values: 0 to 0.1.
        pooling: ``mean`` or ``last`` of the valid steps give one output a sequence; ``none`` gives one at every step.
        pairs: Whether two sequences are encoded by the same blocks and compared.
        padding: Token that means nothing; None: there is none, the lengths tell where sequences end.

    Raises:
        ConfigError: a name is unknown, a number is out of range, or settings contradict each other.
    """

    encoder: str = "continuous"
    inputs: int = 1
    outputs: int = 1
    layer: str = "s5_ptd"
    layer_options: Mapping[str, Any] = field(default_factory=dict)
    layers: int = 4
    features: int = 128
    norm: str = "layer"
    prenorm: bool = True
    activation: str = "half_glu1"
    dropout: float = 0.0
    pooling: str = "mean"
    pairs: bool = False
    padding: int | None = None

    def __post_init__(self):
        choices = {"encoder": ENCODERS, "norm": NORMS, "activation": ACTIVATIONS, "pooling": POOLINGS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; {', '.join(allowed)} is expected.")
        for name in ("inputs", "outputs", "layers", "features"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} is {value!r}; a whole number of at least 1 is expected.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout!r}; a fraction in [0, 1) is expected.")
        if self.pairs and self.pooling == "none":
            raise ConfigError(
                "pairs=True compares one vector of each sequence, but pooling='none' makes none. Set pooling='mean'."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SequenceConfig:
        """Read the content of a ``config.json``; keys that a sequence model does not know are left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def to_dict(self) -> dict[str, Any]:
        """The content of a ``config.json``."""
        return {"architectures": ["SequenceModel"], "model_type": "sequence", **dataclasses.asdict(self)}
