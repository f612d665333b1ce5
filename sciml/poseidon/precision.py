"""Parts of a network that compute in full precision whatever the rest does."""

from __future__ import annotations

from contextlib import nullcontext

import torch


def full_precision(device: torch.device) -> nullcontext[None] | torch.autocast:
    """Switch autocast off; without effect for tensors that have a shape but no values, which autocast refuses."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
