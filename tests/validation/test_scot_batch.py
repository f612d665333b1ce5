"""A prediction does not depend on what else is in the batch, nor on where in the batch it is."""

import pytest
import torch

from sciml.poseidon import ScOT, ScOTConfig

pytestmark = pytest.mark.validation


@pytest.mark.parametrize("changes", [{}, {"image_size": (32, 48)}, {"learn_residual": True, "patch_size": 2}])
def test_a_batch_is_predicted_as_its_members_are(changes):
    torch.manual_seed(0)
    sizes = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "skip_connections": (1, 0), "window_size": 4}
    net = ScOT(ScOTConfig(**{"image_size": 32, "initial_norm_scale": 1.0, **sizes, **changes})).double().eval()
    fields, times = torch.randn(5, 4, *net.config.grid, dtype=torch.float64), torch.linspace(0, 1, 5).double()
    with torch.no_grad():
        together = net(fields, times)
        alone = torch.cat([net(fields[i : i + 1], times[i : i + 1]) for i in range(5)])
        order = torch.tensor([3, 0, 4, 1, 2])
        shuffled = net(fields[order], times[order])
    # Matrix products of other sizes sum in another order: rounding of float64 through a hundred layers.
    tolerance = 1e-12 * alone.abs().max().item()
    torch.testing.assert_close(together, alone, rtol=0, atol=tolerance)
    torch.testing.assert_close(shuffled, together[order], rtol=0, atol=tolerance)
