"""Autoregressive prediction: feed the network its own output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.errors import ConfigError
from sciml.poseidon.network import Fields, LeadTime, Scalars, ScOT


def rollout(
    net: ScOT,
    fields: Fields,
    lead_time: LeadTime | float,
    steps: int | Sequence[float],
    *,
    scalars: Scalars | None = None,
) -> Iterator[Float[Tensor, "batch channel height width"]]:
    """Reach a lead time in several steps and yield the prediction after each.

    Input channels that the network does not predict (a wave speed, a forcing) are carried along unchanged.

    Args:
        net: The network; it predicts the first ``num_out_channels`` of its input channels.
        fields: Normalised initial fields, shape (batch, num_channels, height, width).
        lead_time: Total lead time, shape (batch,) or one number.
        steps: n steps of lead_time / n each, or the fraction of the lead time that every step takes.
        scalars: Normalised scalars, the same at every step, shape (batch, scalar); None if the network reads none.

    Yields:
        Normalised fields after every step, shape (batch, num_out_channels, height, width).

    Raises:
        ConfigError: there is no step, or the network predicts more channels than it reads.

    Reference:
        arXiv:2405.19101, equation 9.
    """
    fractions = [1.0 / steps] * steps if isinstance(steps, int) and steps > 0 else steps
    if isinstance(fractions, int) or not len(fractions):
        raise ConfigError(f"steps is {steps!r}; a number of steps of at least 1, or a list of fractions, is expected.")
    known = net.config.num_out_channels
    if known > net.config.num_channels:
        raise ConfigError(
            f"the network reads {net.config.num_channels} channels and predicts {known}, so its output cannot be fed "
            "back. Use direct predictions with a longer lead time."
        )
    lead_time = torch.as_tensor(lead_time, dtype=fields.dtype, device=fields.device)
    for fraction in fractions:
        prediction = net(fields, lead_time * fraction, scalars)
        yield prediction
        fields = torch.cat([prediction, fields[:, known:]], dim=1)
