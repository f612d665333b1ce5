"""A small network for tests of what happens around it."""

import torch

from sciml.poseidon import ScOT, ScOTConfig

# Shifted windows, a stage that is one window, skip blocks, merging and unmerging take part.
SMALL = {
    "image_size": 16,
    "patch_size": 2,
    "embed_dim": 8,
    "depths": (2, 1),
    "num_heads": (2, 4),
    "skip_connections": (1, 0),
    "window_size": 4,
    "num_channels": 2,
    "num_out_channels": 2,
}


def small_network(**changes) -> ScOT:
    """In evaluation mode, with weights far from their near-zero start, so that everything takes part."""
    torch.manual_seed(0)
    net = ScOT(ScOTConfig(**{**SMALL, **changes}))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net.eval()
