"""One block of a sequence model: norm, state-space layer, activation, dropout and residual, one idea each."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor, nn
from torch.nn import functional as F

Sequence = Float[Tensor, "batch length feature"]
Mask = Bool[Tensor, "batch length"]


class MaskedBatchNorm(nn.BatchNorm2d):
    """Batch norm of each feature over the valid steps of all sequences: padding counts for nothing.

    The mean and variance over what a mask marks are those of the same sequences without their padding.

    Args:
        num_features: Number of features.
    """

    def forward(self, x: Sequence, mask: Mask | None = None) -> Sequence:  # type: ignore[override]
        """Normalise (batch, length, feature); padded steps become zero."""
        if mask is None:
            return self._normalise(x)
        valid = self._normalise(x[mask][None])[0]
        return valid.new_zeros(x.shape).index_put((mask,), valid)

    def _normalise(self, x: Sequence) -> Sequence:
        # A sequence is an image of one column in channels-last order, for which torch is fastest.
        return super().forward(x.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)


class StepwiseLayerNorm(nn.LayerNorm):
    """Layer norm over the features of each step, which no other step and so no mask concerns."""

    def forward(self, x: Float[Tensor, "*batch feature"], mask: Mask | None = None) -> Float[Tensor, "*batch feature"]:  # type: ignore[override]
        """Normalise each step on its own."""
        return super().forward(x)


NORMS = {"batch": MaskedBatchNorm, "layer": StepwiseLayerNorm}


class Activation(nn.Module):
    """What follows a state-space layer, step by step; g = dropout(gelu(x)).

    - ``gelu``: g.
    - ``half_glu1``: g sigmoid(W g + b).
    - ``half_glu2``: x sigmoid(W g + b).
    - ``full_glu``: (V g + c) sigmoid(W g + b).

    Args:
        kind: One of these.
        features: Number of features.
        dropout: Fraction of the features of a sequence that are dropped while training.

    Reference:
        arXiv:2208.04933, appendix on experiments (S5); ``full_glu`` as in arXiv:2111.00396 (S4).
    """

    def __init__(self, kind: str, features: int, *, dropout: float = 0.0):
        super().__init__()
        self.kind = kind
        self.dropout = StepTiedDropout(dropout)
        if kind != "gelu":
            self.mix = nn.Linear(features, 2 * features if kind == "full_glu" else features)

    def forward(self, x: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """Map (..., feature) to the same shape."""
        g = self.dropout(F.gelu(x))
        if self.kind == "gelu":
            return g
        if self.kind == "full_glu":
            return F.glu(self.mix(g))
        return (g if self.kind == "half_glu1" else x) * torch.sigmoid(self.mix(g))


class StepTiedDropout(nn.Dropout):
    """Dropout that drops a feature at all steps of a sequence or at none, so that it is no noise in time."""

    def forward(self, x: Float[Tensor, "batch *length feature"]) -> Float[Tensor, "batch *length feature"]:  # type: ignore[override]
        """Drop features of each sequence."""
        if not self.training or self.p == 0:
            return x
        return x * super().forward(torch.ones_like(x[:, :1] if x.ndim == 3 else x))


class SequenceBlock(nn.Module):
    """Residual block around a state-space layer.

    prenorm:  x + dropout(activation(layer(norm(x))));  else:  norm(x + dropout(activation(layer(x)))).

    Args:
        layer: ``y, state = layer(u, lengths, state)``, with ``step`` if it is causal.
        features: Number of features.
        norm: ``batch`` or ``layer``.
        prenorm: Whether the norm is applied before the layer or after the sum.
        activation: A kind of ``Activation``.
        dropout: Fraction of the features of a sequence that are dropped while training.
    """

    def __init__(self, layer: nn.Module, features: int, *, norm: str, prenorm: bool, activation: str, dropout: float):
        super().__init__()
        self.layer = layer
        self.norm = NORMS[norm](features)
        self.prenorm = prenorm
        self.activation = Activation(activation, features, dropout=dropout)
        self.dropout = StepTiedDropout(dropout)

    def forward(
        self,
        x: Sequence,
        lengths: Tensor | None = None,
        mask: Mask | None = None,
        state: Complex[Tensor, "batch *state"] | None = None,
        **options: Any,
    ) -> tuple[Sequence, Complex[Tensor, "batch *state"] | None]:
        """Map a padded batch of sequences to one of the same shape.

        Args:
            x: Shape (batch, length, feature).
            lengths: Valid steps of each sequence, shape (batch,); None: all.
            mask: True at these steps, shape (batch, length).
            state: What an earlier part of the sequences left, see the layer; None: zero.
            options: Further arguments of the layer, e.g. ``step_scale``.

        Returns:
            The sequences, and the layer's final state.
        """
        y, state = self.layer(self.norm(x, mask) if self.prenorm else x, lengths=lengths, state=state, **options)
        x = x + self.dropout(self.activation(y))
        return x if self.prenorm else self.norm(x, mask), state

    def step(
        self, x: Float[Tensor, "batch feature"], state: Complex[Tensor, "batch *state"], **options: Any
    ) -> tuple[Float[Tensor, "batch feature"], Complex[Tensor, "batch *state"]]:
        """Map one step (batch, feature); the recurrent form of ``forward``."""
        y, state = self.layer.step(self._normed(x) if self.prenorm else x, state, **options)  # type: ignore[operator]
        x = x + self.dropout(self.activation(y))
        return x if self.prenorm else self._normed(x), state

    def _normed(self, x: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch feature"]:
        return self.norm(x[:, None])[:, 0]
