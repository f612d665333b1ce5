import math

import pytest
import torch
from scipy.linalg import expm

from sciml.errors import ConfigError
from sciml.ssm.hippo import hippo_legs, legs_low_rank
from sciml.ssm.systems import ContinuousSystem, initial_system
from sciml.ssm.transfer import (
    critical_frequencies,
    dense_response,
    frequency_grid,
    layer_transfer_function,
    legs_phi,
    legs_response,
    transfer_error,
    transfer_function,
)

FREQUENCIES = torch.logspace(-2, 4, 200, dtype=torch.float64)


def random(*shape, seed=0, dtype=torch.complex128):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("state", [1, 5, 32])
def test_the_closed_form_of_the_state_solves_the_linear_system(state):
    A, B = hippo_legs(state)
    X = legs_response(1j * FREQUENCIES, state)
    solved = dense_response(A, B, 1j * FREQUENCIES)
    # Backward stable solves of a lower triangular matrix: a few roundings, of the largest component.
    torch.testing.assert_close(X, solved, rtol=0, atol=1e-13)


def test_the_closed_form_has_its_published_modulus():
    w, X = FREQUENCIES, legs_response(1j * FREQUENCIES, 9).abs()
    for n in range(1, 9):
        modulus = math.sqrt(2 * n + 1) * w / ((w**2 + n**2) * (w**2 + (n + 1) ** 2)).sqrt()
        torch.testing.assert_close(X[:, n], modulus, rtol=1e-12, atol=0)


def test_phi_is_a_ratio_of_determinants():
    state, tau = 6, 0.3
    A, _ = hippo_legs(state)
    P = legs_low_rank(state)
    s = 1j * FREQUENCIES[:, None, None] * torch.eye(state)
    ratio = torch.linalg.det(s - A - tau * torch.outer(P, P)) / torch.linalg.det(s - A)
    torch.testing.assert_close(1 - tau / 2 + tau / 2 * legs_phi(1j * FREQUENCIES, state), ratio, rtol=1e-9, atol=0)


def test_phi_is_a_contraction_with_a_known_modulus():
    w = FREQUENCIES
    torch.testing.assert_close(legs_phi(1j * w, 20).abs(), w / (w**2 + 400).sqrt(), rtol=1e-12, atol=0)
    assert legs_phi(torch.zeros((), dtype=torch.complex128), 20) == 0


def test_critical_frequencies_are_the_known_ones():
    # Largest eigenfrequency of the normal part; asymptotically N^2 / pi.
    for state, frequency in {16: 80.966, 32: 325.426, 64: 1303.274}.items():
        assert critical_frequencies(state)[-1].item() == pytest.approx(frequency, abs=1e-3)
    assert critical_frequencies(256)[-1].item() == pytest.approx(256**2 / math.pi, rel=1e-4)


def test_the_grid_contains_the_critical_frequencies():
    grid = frequency_grid(16, points=50)
    assert (grid.diff() >= 0).all()
    assert grid[0] == pytest.approx(0.01)
    for w in critical_frequencies(16):
        assert (grid - w).abs().min() < 1e-12


@pytest.mark.parametrize("conjugate", [True, False])
@pytest.mark.parametrize("name", ["legs", "ptd", "lin", "inv"])
def test_the_transfer_function_solves_the_system_in_the_original_basis(name, conjugate):
    system = initial_system(name, 8, conjugate=conjugate)
    full = system.unpaired()
    A = (full.vectors * full.eigenvalues) @ torch.linalg.inv(full.vectors)
    B = full.vectors @ full.input
    found = transfer_function(system, FREQUENCIES)
    torch.testing.assert_close(found, dense_response(A, B, 1j * FREQUENCIES), rtol=0, atol=1e-12)


def test_the_real_part_of_a_complex_system_responds_at_both_signs_of_the_frequency():
    """Re(V z) of a system whose eigenvalues are no conjugate pairs, against its real form of twice the size."""
    lam, b, v = torch.tensor([-1 + 3j]), torch.tensor([2 + 1j]), torch.tensor([[1 - 1j]])
    lam, b, v = (x.to(torch.complex128) for x in (lam, b, v))
    system = initial_system("lin", 2, conjugate=False)
    system = type(system)(eigenvalues=lam, input=b, vectors=v, conjugate=False)
    A = torch.tensor([[-1.0, -3.0], [3.0, -1.0]], dtype=torch.float64)  # of (Re z, Im z)
    X = dense_response(A, torch.tensor([2.0, 1.0]), 1j * FREQUENCIES)
    expected = X[:, :1] + X[:, 1:]  # Re((1 - i) z) = Re z + Im z
    torch.testing.assert_close(transfer_function(system, FREQUENCIES), expected, rtol=0, atol=1e-13)


def test_the_discrete_transfer_function_of_slow_signals_is_the_continuous_one():
    system, w = initial_system("ptd", 8), torch.tensor([0.3, 3.0], dtype=torch.float64)
    exact = transfer_function(system, w)
    errors = {
        m: (transfer_function(system, w, step=1e-3, discretization=m) - exact).abs().max() for m in ("zoh", "bilinear")
    }
    assert 0 < errors["zoh"] < 3e-3  # the hold delays by half a step, w dt / 2
    assert 0 < errors["bilinear"] < 3e-3  # x[l] contains u[l] in full: half a step ahead


def bank(conjugate=True, discretization="zoh", low_rank=False, per_state=False):
    """Three systems of two pairs, with two outputs and two inputs."""
    step = torch.tensor([[0.01], [0.1], [0.5]], dtype=torch.float64)
    return ContinuousSystem(
        eigenvalues=torch.complex(-random(3, 2, seed=1).abs() - 0.1, 5 * random(3, 2, seed=2).real),
        input=random(3, 2, 2, seed=3),
        output=random(3, 2, 2, seed=4),
        step=step * torch.tensor([[1.0, 3.0]]) if per_state else step,
        conjugate=conjugate,
        discretization=discretization,
        low_rank=random(3, 2, seed=5) / 2 if low_rank else None,
    )


def dense_recurrence(system, channel, method):
    """Full real-time matrices (A, B, C) of one channel after discretisation, by dense linear algebra."""
    lam, step = system.eigenvalues[channel], system.step[channel].expand(2)
    A = torch.diag(torch.cat([lam, lam.conj()]))
    if system.low_rank is not None:
        p = torch.cat([system.low_rank[channel], system.low_rank[channel].conj()])
        A = A - torch.outer(p, p.conj())
    B = torch.cat([system.input[channel], system.input[channel].conj()])
    C = torch.cat([system.output[channel], system.output[channel].conj()], dim=1)
    dt = torch.diag(step.repeat(2)).to(A.dtype)
    identity = torch.eye(4, dtype=A.dtype)
    if method == "zoh":
        Abar = torch.from_numpy(expm((dt @ A).numpy()))  # torch's own is good to 1e-10 only
        return Abar, torch.linalg.solve(A, (Abar - identity) @ B), C * (1 if system.conjugate else 0.5)
    half = identity - dt @ A / 2
    return (
        torch.linalg.solve(half, identity + dt @ A / 2),
        torch.linalg.solve(half, dt @ B),
        C * (1 if system.conjugate else 0.5),
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"conjugate": False},
        {"discretization": "bilinear"},
        {"per_state": True},
        {"discretization": "bilinear", "low_rank": True},
        {"discretization": "bilinear", "low_rank": True, "conjugate": False},
    ],
    ids=str,
)
def test_a_layer_does_to_a_cosine_what_its_transfer_function_says(options):
    """The recurrence itself, run until the transient has died away."""
    system, theta = bank(**options), torch.tensor(0.7, dtype=torch.float64)
    G = layer_transfer_function(system, theta.reshape(1, 1))
    for channel in range(3):
        A, B, C = dense_recurrence(system, channel, system.discretization)
        steps = int(40 / -math.log(torch.linalg.eigvals(A).abs().max()))  # e^-40: below rounding
        x = torch.zeros(4, 2, dtype=A.dtype)
        for step in range(-steps, 1):
            x = A @ x + B * torch.exp(1j * theta * step)  # the last input is 1
        # Column i is the answer to exp(i theta l) at input i. Some thousand steps of rounding, 1e-16 each.
        torch.testing.assert_close(C @ x, G[0, channel], rtol=0, atol=1e-11 * G.abs().max().item())


def test_every_channel_may_have_its_own_frequency():
    system = bank()
    angles = torch.tensor([[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]], dtype=torch.float64)
    together = layer_transfer_function(system, angles)
    for row in range(2):
        for channel in range(3):
            alone = layer_transfer_function(system, angles[row, channel].reshape(1, 1))[0, channel]
            torch.testing.assert_close(together[row, channel], alone)


def test_the_bilinear_low_rank_response_is_finite_at_the_highest_frequency():
    G = layer_transfer_function(bank(discretization="bilinear", low_rank=True), torch.tensor([[math.pi]]))
    assert G.isfinite().all()


def test_a_layer_is_asked_for_its_system():
    class Layer:
        def continuous_system(self):
            return bank()

    angles = torch.tensor([[0.3]], dtype=torch.float64)
    assert torch.equal(layer_transfer_function(Layer(), angles), layer_transfer_function(bank(), angles))


def test_the_error_of_a_system_against_itself_is_zero_and_of_another_the_largest_difference():
    A, B = hippo_legs(4)
    legs = initial_system("legs", 4)
    full = legs.unpaired()
    itself = ((full.vectors * full.eigenvalues @ full.vectors.mH).real, (full.vectors @ full.input).real)
    assert transfer_error(legs, itself) < 1e-13
    w = torch.tensor([1.0, 7.0], dtype=torch.float64)
    difference = transfer_function(legs, w) - dense_response(A, B, 1j * w)
    assert transfer_error(legs, frequencies=w) == pytest.approx(difference.norm(dim=1).max().item())
    assert transfer_error(legs, (A, B)) == pytest.approx(transfer_error(legs), rel=1e-9)
    row = torch.tensor([0.0, 0, 0, 2], dtype=torch.float64)
    assert transfer_error(legs, output=row, frequencies=w) == pytest.approx(2 * difference[:, 3].abs().max().item())


def test_an_unknown_discretisation_is_refused():
    with pytest.raises(ConfigError, match="euler"):
        transfer_function(initial_system("lin", 4), FREQUENCIES, step=0.1, discretization="euler")
