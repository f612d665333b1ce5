"""What comes before and after the blocks: encoders of raw sequences, pooling over time, heads."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import ShapeError


class Tokens(nn.Embedding):
    """A learned vector for every token.

    Args:
        vocabulary: Number of different tokens, padding included.
        features: Size of the vectors.
        padding: Token whose vector is zero and stays so; None: all are learned.
    """

    def __init__(self, vocabulary: int, features: int, *, padding: int | None = None):
        super().__init__(vocabulary, features, padding_idx=padding)

    def forward(self, inputs: Int[Tensor, "batch *length"]) -> Float[Tensor, "batch *length feature"]:  # type: ignore[override]
        """Look up (batch, length), or one step (batch,)."""
        if inputs.is_floating_point() or inputs.ndim > 2:
            raise ShapeError(
                f"inputs of shape {tuple(inputs.shape)} and type {inputs.dtype} came; tokens are whole numbers of "
                "shape (batch, length). For continuous signals set encoder='continuous'."
            )
        return super().forward(inputs.long())


class Continuous(nn.Linear):
    """A linear map of the measured values at every step.

    Args:
        inputs: Number of values measured at every step.
        features: Number of features of the model.
    """

    def __init__(self, inputs: int, features: int):
        super().__init__(inputs, features)

    def forward(self, inputs: Float[Tensor, "batch *length input"]) -> Float[Tensor, "batch *length feature"]:  # type: ignore[override]
        """Map (batch, length, input), or one step (batch, input)."""
        if inputs.ndim not in (2, 3) or inputs.shape[-1] != self.in_features or not inputs.is_floating_point():
            raise ShapeError(
                f"inputs of shape {tuple(inputs.shape)} and type {inputs.dtype} came; real numbers of shape (batch, "
                f"length, {self.in_features}) are expected. A batch of one sequence is sequence[None], one measured "
                "value a step is values[..., None]."
            )
        return super().forward(inputs)


class Pixels(Continuous):
    """Images as sequences of pixels, row by row.

    Args:
        inputs: Channels of the images.
        features: Number of features of the model.
    """

    def forward(self, inputs: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch length feature"]:  # type: ignore[override]
        """Map images to sequences of height * width steps; one step is the pixels (batch, channel)."""
        if inputs.ndim == 2:
            return super().forward(inputs)
        if inputs.ndim != 4:
            raise ShapeError(
                f"inputs of shape {tuple(inputs.shape)} came; images of shape (batch, {self.in_features}, height, "
                "width) are expected."
            )
        return super().forward(inputs.flatten(2).transpose(1, 2))


def pool(
    x: Float[Tensor, "batch length feature"],
    kind: str,
    lengths: Int[Tensor, " batch"] | None = None,
    mask: Bool[Tensor, "batch length"] | None = None,
) -> Float[Tensor, "batch feature"]:
    """One vector for each sequence, from its valid steps alone.

    Args:
        x: Shape (batch, length, feature).
        kind: ``mean``, or ``last``: the last valid step.
        lengths: Valid steps of each sequence, shape (batch,); None: all.
        mask: True at these steps, shape (batch, length).

    Returns:
        Shape (batch, feature).
    """
    if lengths is None or mask is None:
        return x.mean(1) if kind == "mean" else x[:, -1]
    if kind == "mean":
        return x.masked_fill(~mask[..., None], 0).sum(1) / lengths[:, None]
    return x[torch.arange(len(x), device=x.device), lengths - 1]


class PairHead(nn.Module):
    """Compares two vectors: an MLP of a, b, a - b and a b.

    Args:
        features: Size of the vectors.
        outputs: Number of outputs.

    Reference:
        arXiv:2208.04933, appendix on experiments (document retrieval).
    """

    def __init__(self, features: int, outputs: int):
        super().__init__()
        self.hidden = nn.Linear(4 * features, features)
        self.output = nn.Linear(features, outputs)

    def forward(
        self, a: Float[Tensor, "batch feature"], b: Float[Tensor, "batch feature"]
    ) -> Float[Tensor, "batch output"]:
        """Outputs, e.g. logits of whether they belong together."""
        return self.output(F.gelu(self.hidden(torch.cat([a, b, a - b, a * b], dim=-1))))
