import math

import mpmath
import pytest
import torch

from sciml.errors import ConfigError
from sciml.ssm.discretize import discretize

SIZES = (1e-12, 1e-6, 1e-3, 0.099, 0.101, 0.49, 0.51, 1.0, 1.99, 5.0, 100.0)
DIRECTIONS = (-1, complex(-1e-3, 1), complex(-0.7, 0.7), complex(-0.7, -0.7))


def exact(z, method):
    """Transition, gain and derivative of the gain at step 1, in 40 digits."""
    with mpmath.workdps(40):
        z = mpmath.mpc(z)
        if method == "zoh":
            gain = mpmath.expm1(z) / z
            values = mpmath.exp(z), gain, (mpmath.exp(z) - gain) / z
        else:
            gain = 1 / (1 - z / 2)
            values = (1 + z / 2) / (1 - z / 2), gain, gain**2 / 2
        return [complex(value) for value in values]


@pytest.mark.parametrize("method", ["zoh", "bilinear"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.complex64, 4e-6), (torch.complex128, 1e-14)])
def test_gains_and_their_gradients_keep_relative_accuracy_for_small_and_large_arguments(method, dtype, tolerance):
    z = torch.tensor([size * way for size in SIZES for way in DIRECTIONS], dtype=dtype, requires_grad=True)
    exponent, gain = discretize(z, torch.ones((), dtype=dtype.to_real()), method)
    (gradient,) = torch.autograd.grad(gain.real.sum(), z)
    expected = torch.tensor([exact(value, method) for value in z.tolist()], dtype=torch.complex128)
    # A few roundings each; those of the exponential of an angle of 100 are 100 times as large.
    torch.testing.assert_close(exponent.exp().to(expected), expected[:, 0], rtol=0, atol=100 * tolerance)
    torch.testing.assert_close(gain.detach().to(expected), expected[:, 1], rtol=tolerance, atol=0)
    torch.testing.assert_close(gradient.conj().to(expected), expected[:, 2], rtol=tolerance, atol=0)


@pytest.mark.parametrize("method", ["zoh", "bilinear"])
def test_slow_decay_survives_single_precision(method):
    """log(Abar) of a decay of 5e-6 a step would lose two digits to the rounding of 1 - 5e-6."""
    exponent, _ = discretize(torch.tensor([-0.5 + 20j]), torch.tensor(1e-5), method)
    w = 0.5e-5 * complex(-0.5, 20)
    expected = 1e-5 * -0.5 if method == "zoh" else math.log(abs((1 + w) / (1 - w)))
    assert exponent.real.item() == pytest.approx(expected, rel=1e-6)  # ten times the rounding of float32


@pytest.mark.parametrize("method", ["zoh", "bilinear"])
@pytest.mark.parametrize("step", [1e-5, 1e-2, 1.0, 10.0])
def test_values_and_gradients_are_finite_for_all_steps_also_where_the_transition_vanishes(method, step):
    lam = torch.tensor([0j, -2 / step, -2.0, -0.5 + 1300j, -1e4, -1e-30], dtype=torch.complex64, requires_grad=True)
    dt = torch.tensor(step, requires_grad=True)
    exponent, gain = discretize(lam, dt, method)
    powers = torch.exp(exponent[:, None] * torch.arange(5))
    total = (powers.real + gain[:, None].real).sum()
    for value in (exponent, gain, powers, *torch.autograd.grad(total, (lam, dt))):
        assert value.isfinite().all()


def test_the_transition_of_the_bilinear_rule_vanishes_at_minus_two():
    lam = torch.tensor([-2 + 0j], dtype=torch.complex128, requires_grad=True)
    exponent, _ = discretize(lam, torch.ones((), dtype=torch.float64), "bilinear")
    transition = torch.exp(exponent)
    assert transition.abs().item() < 1e-150
    (gradient,) = torch.autograd.grad(transition.real.sum(), lam)
    assert gradient.item() == pytest.approx(0.25)  # d/dz (1 + z/2) / (1 - z/2) at z = -2


@pytest.mark.parametrize("method", ["zoh", "bilinear"])
def test_gradients_match_finite_differences(method):
    lam = torch.tensor([-0.3 + 2j, -0.02 + 0.01j, -1.5 - 4j], dtype=torch.complex128, requires_grad=True)
    step = torch.tensor([0.5, 0.9, 1.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *args: discretize(*args, method), (lam, step))


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'euler'.*zoh, bilinear"):
        discretize(torch.tensor([-1 + 0j]), torch.tensor(1.0), "euler")
