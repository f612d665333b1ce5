"""Perturb-then-diagonalise keeps the transfer function of HiPPO-LegS, for every state size; S4D-LegS does not."""

import math
from itertools import pairwise

import pytest
import torch
from scipy.linalg import expm

from sciml.ssm.hippo import hippo_legs
from sciml.ssm.ptd import perturb_then_diagonalize
from sciml.ssm.systems import DiagonalSystem, initial_system
from sciml.ssm.transfer import (
    critical_frequencies,
    dense_response,
    frequency_grid,
    legs_phi,
    legs_response,
    transfer_error,
    transfer_function,
)

pytestmark = pytest.mark.validation

SIZES = (16, 32, 64, 128, 256)
DTYPE = torch.complex128


def first_row(state):
    return torch.eye(state, dtype=torch.float64)[0]


def ptd(state, tau=0.1):
    return perturb_then_diagonalize(*hippo_legs(state), tau=tau)


# ---------------------------------------------------------------- closed forms


def test_the_closed_form_of_hippo_solves_the_linear_system():
    for state in (16, 64):
        w = frequency_grid(state, points=500)
        X = legs_response(1j * w, state)
        assert (X - dense_response(*hippo_legs(state), 1j * w)).abs().max() <= 1e-12


@pytest.mark.parametrize("state", SIZES)
def test_s4d_is_hippo_over_one_plus_phi(state):
    w = frequency_grid(state)
    closed = legs_response(1j * w, state) / (1 + legs_phi(1j * w, state))[:, None]
    found = transfer_function(initial_system("legs", state), w)
    # Of the response at each frequency. Rounding: 1 + phi cancels to pi^2 / (2 N^2) at the spikes.
    assert ((found - closed).norm(dim=1) / closed.norm(dim=1)).max() <= 1e-10


@pytest.mark.parametrize("tau", [0.03, 0.1, 0.3])
def test_ptd_is_hippo_over_one_plus_rho_phi(tau):
    w = frequency_grid(64)
    rho = tau / (2 - tau)
    closed = legs_response(1j * w, 64) / (1 + rho * legs_phi(1j * w, 64))[:, None]
    assert ((transfer_function(ptd(64, tau), w) - closed).norm(dim=1) / closed.norm(dim=1)).max() <= 1e-10


# ---------------------------------------------------------------- S4D: no convergence


@pytest.mark.parametrize(
    ("state", "frequency", "amplification"),
    [(16, 80.97, 53), (32, 325.43, 208), (64, 1303.27, 831), (128, 5214.67, 3321), (256, 20860.2, 13281)],
)
def test_s4d_has_spikes_at_the_critical_frequency(state, frequency, amplification):
    w = critical_frequencies(state)[-1:]
    assert w.item() == pytest.approx(frequency, rel=1e-4)
    exact = legs_response(1j * w, state)[0, 0].abs().item()
    s4d = transfer_function(initial_system("legs", state), w)[0, 0].abs().item()
    assert s4d / exact == pytest.approx(amplification, rel=0.01)


def test_s4d_does_not_converge_in_the_operator_norm():
    """Theorem 2: at about w = N^2 / pi, the error of the first output tends to 2 / pi, and the worst doubles with N."""
    spikes = [transfer_error(initial_system("legs", state), output=first_row(state)) for state in SIZES]
    assert spikes[-1] == pytest.approx(2 / math.pi, rel=0.01)
    assert critical_frequencies(256)[-1].item() == pytest.approx(256**2 / math.pi, rel=1e-3)
    worst = [transfer_error(initial_system("legs", state)) for state in SIZES]
    assert worst == pytest.approx([10.0, 20.3, 40.7, 81.5, 163.0], rel=0.01)


def test_s4d_converges_at_every_fixed_frequency():
    """Theorem 1: a fixed smooth input sees an error of order 1 / N."""
    w = torch.logspace(-2, 0.5, 100, dtype=torch.float64)
    errors = [transfer_error(initial_system("legs", state), frequencies=w) for state in (64, 128, 256)]
    rates = [math.log2(a / b) for a, b in pairwise(errors)]
    assert rates == pytest.approx([1, 1], abs=0.1)


# ---------------------------------------------------------------- PTD: convergence, independent of the size


def test_the_error_of_ptd_does_not_grow_with_the_state_size():
    systems = [ptd(state) for state in SIZES]
    errors = [transfer_error(system) for system in systems]
    assert max(errors) <= 0.028
    assert errors[-1] / errors[1] == pytest.approx(1, abs=0.05)
    for state, system in zip(SIZES, systems, strict=True):
        assert transfer_error(system, output=first_row(state)) <= 0.0033
        assert system.condition <= 20
        assert system.margin >= 0.5


def test_error_and_condition_number_scale_with_tau():
    for state in (16, 64, 256):
        for tau in (0.001, 0.01, 0.03, 0.1, 0.2):
            system = ptd(state, tau)
            assert transfer_error(system) <= 0.31 * tau, (state, tau)
            assert system.condition <= 2.1 / tau, (state, tau)


def test_the_spectrum_stays_left_of_minus_one_half():
    for tau in (0.001, 0.1, 0.5, 1.0):
        # The numerical range allows for equality at tau = 1, up to rounding of a matrix of norm 2600.
        assert ptd(64, tau).margin >= 0.5 - 1e-9


def test_the_error_of_any_perturbation_is_bounded_by_its_size():
    """Theorem 3: sup |G_E - G| <= (2 ln N + 4) ||E|| to first order, for random E and unit output rows."""
    generator = torch.Generator().manual_seed(0)
    for state in (16, 32):
        A, B = hippo_legs(state)
        w = frequency_grid(state, points=500)
        exact = dense_response(A, B, 1j * w)
        for _ in range(3):
            E = torch.randn(state, state, dtype=torch.float64, generator=generator)
            E *= 1e-4 / torch.linalg.matrix_norm(E, 2)
            # The dense response, because eigenvectors of so small a perturbation are of no use. The input has length
            # N, and the theorem is for one of length 1.
            error = (dense_response(A + E, B, 1j * w) - exact).norm(dim=1).max() / state
            assert error <= (2 * math.log(state) + 4) * 1e-4


@pytest.mark.parametrize(("tau", "tolerance"), [(0.1, 3e-6), (0.01, 1.2e-5)])
def test_parameters_in_single_precision_are_enough(tau, tolerance):
    system = ptd(32, tau)
    w = frequency_grid(32)
    exact = transfer_function(system, w)
    lam, b, V = (x.to(torch.complex64) for x in (system.eigenvalues, system.input, system.vectors))
    rounded = DiagonalSystem(eigenvalues=lam.to(DTYPE), input=b.to(DTYPE), vectors=V.to(DTYPE), conjugate=True)
    assert (transfer_function(rounded, w) - exact).norm(dim=1).max() <= tolerance
    # And with single-precision arithmetic: a rounding error, 6e-8, amplified by the condition number.
    s = (1j * w).to(torch.complex64)[:, None]
    single = (b / (s - lam)) @ V.T + (b.conj() / (s - lam.conj())) @ V.mH
    assert (single.to(DTYPE) - exact).norm(dim=1).max() <= 2 * 2**-24 * system.condition


def test_at_the_conditioning_of_the_published_matrix_the_error_is_a_tenth():
    """The authors' matrix for 32 states has condition number 8.3 and an error of 1.28 (worst output of unit length)."""
    system = ptd(32, 0.2)
    assert system.condition <= 8.5
    assert transfer_error(system) <= 1.28 / 10


def test_the_optimised_perturbation_has_a_larger_error_at_the_same_conditioning():
    optimised = perturb_then_diagonalize(*hippo_legs(32), method="optimised")
    structured = ptd(32, 0.2)
    assert optimised.condition == pytest.approx(structured.condition, rel=0.1)
    assert transfer_error(optimised) > 5 * transfer_error(structured)


# ---------------------------------------------------------------- discretised: noise without training


@pytest.mark.parametrize("state", [32, 64])
def test_noise_of_the_critical_frequency_passes_ptd_as_it_passes_hippo(state):
    step = 1e-3
    w = critical_frequencies(state)[-1:]
    A, B = hippo_legs(state)
    transition = torch.from_numpy(expm(step * A.numpy()))
    gain = torch.linalg.solve(A, transition @ B - B)
    z = torch.exp(1j * w * step)
    exact = torch.linalg.solve(z * torch.eye(state, dtype=DTYPE) - transition, gain.to(DTYPE))
    perturbed = transfer_function(ptd(state), w, step=step)[0]
    s4d = transfer_function(initial_system("legs", state), w, step=step)[0]
    for measure in (lambda x: x[0].abs().item(), lambda x: x.norm().item()):  # first output, worst output
        assert measure(perturbed) == pytest.approx(measure(exact), rel=0.1)
        assert measure(s4d) >= 100 * measure(exact)


def test_discrete_gains_are_the_known_ones():
    w = critical_frequencies(32)[-1:]
    for step, s4d, perturbed in ((1e-3, 0.637, 0.0033), (1e-2, 0.395, 0.0052)):  # the second is aliased
        assert transfer_function(initial_system("legs", 32), w, step=step)[0, 0].abs() == pytest.approx(s4d, rel=5e-3)
        # Known to two digits.
        assert transfer_function(ptd(32), w, step=step)[0, 0].abs() == pytest.approx(perturbed, rel=0.02)
