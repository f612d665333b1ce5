"""The gradients of the whole network are those of finite differences, in double precision."""

import pytest
import torch

from tests.poseidon.small import small_network

pytestmark = pytest.mark.validation


@pytest.mark.parametrize("changes", [{}, {"periodic_windows": True, "resolution": "native"}, {"learn_residual": True}])
def test_the_derivative_along_any_direction_is_a_difference_quotient(changes):
    net = small_network(**changes).double().train()
    fields = torch.randn(2, 2, 16, 16, dtype=torch.float64, requires_grad=True)
    time = torch.tensor([0.3, 0.8], dtype=torch.float64, requires_grad=True)
    inputs = {"fields": fields, "lead time": time, **dict(net.named_parameters())}
    weights = torch.randn_like(fields)

    def value():
        return (weights * net(fields, time)).sum()

    gradients = torch.autograd.grad(value(), list(inputs.values()))
    for (name, x), gradient in zip(inputs.items(), gradients, strict=True):
        direction = torch.randn_like(x)
        expected = (gradient * direction).sum().item()
        quotient = difference_quotient(value, x.data, direction, step=1e-6)
        # Second order in the step, 1e-12 times third derivatives of up to 1e3 here; rounding of a value of about 100,
        # 1e-14 / 1e-6. A larger step would carry some of the thousands of ReLU of the position bias over their kinks.
        assert quotient == pytest.approx(expected, rel=1e-6, abs=1e-6), name


def difference_quotient(value, x, direction, *, step):
    """Central; x is as before afterwards."""
    start, values = x.clone(), []
    with torch.no_grad():
        for sign in (-1, 1):
            x.copy_(start + sign * step * direction)
            values.append(value().item())
        x.copy_(start)
    return (values[1] - values[0]) / (2 * step)
