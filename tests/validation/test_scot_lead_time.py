"""A prediction is a smooth function of the lead time: f(t + h) - f(t) = h f'(t) + O(h^2)."""

import pytest
import torch

from tests.poseidon.small import small_network

pytestmark = pytest.mark.validation
STEPS = (1e-2, 1e-3, 1e-4, 1e-5)


@pytest.mark.parametrize("time", [0.0, 0.35, 1.0])
def test_a_small_change_of_the_lead_time_changes_the_prediction_in_proportion(time):
    net, fields = small_network().double(), torch.randn(1, 2, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        start = net(fields, time)
        slopes = torch.stack([(net(fields, time + h) - start) / h for h in STEPS])
    assert slopes[-1].norm() > 1e-3 * start.norm()  # it does depend on the lead time
    # The quotients converge to a derivative, and linearly: a step ten times smaller leaves a tenth of the change.
    changes = slopes.diff(dim=0).flatten(1).norm(dim=1)
    assert changes[0] < 0.2 * slopes[-1].norm()
    assert (changes[1:] / changes[:-1]).tolist() == pytest.approx([0.1, 0.1], rel=0.2)
