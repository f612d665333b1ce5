import math

import pytest
import torch

from sciml.errors import ConfigError, ShapeError
from sciml.ssm.hippo import hippo_legs
from sciml.ssm.ptd import perturb_then_diagonalize
from sciml.ssm.systems import initial_system
from sciml.ssm.transfer import dense_response, transfer_error, transfer_function


def rebuilt(system):
    full = system.unpaired()
    return (full.vectors * full.eigenvalues) @ torch.linalg.inv(full.vectors)


def lagt(state):
    """HiPPO-LagT: -1/2 on the diagonal, -1 below; input 1. Passive with nothing to spare: A + A^T + B B^T = 0."""
    A = -torch.ones(state, state, dtype=torch.float64).tril(-1) - 0.5 * torch.eye(state, dtype=torch.float64)
    return A, torch.ones(state, dtype=torch.float64)


def random_system(state, seed=0):
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(state, state, dtype=torch.float64, generator=generator) / state**0.5
    return A - 1.5 * torch.eye(state), torch.randn(state, dtype=torch.float64, generator=generator)


def test_the_structured_method_is_what_layers_start_from():
    system, start = perturb_then_diagonalize(*hippo_legs(32), tau=0.05), initial_system("ptd", 32, tau=0.05)
    # Two roundings of the same matrix, times the condition number 35 of its eigenvectors and its norm 600.
    torch.testing.assert_close(system.eigenvalues, start.eigenvalues, rtol=0, atol=1e-10)
    torch.testing.assert_close(system.input, start.input, rtol=1e-10, atol=0)


def test_what_it_says_about_itself_is_measured_independently():
    A, B = hippo_legs(32)
    system = perturb_then_diagonalize(A, B, tau=0.1)
    V = torch.linalg.eig(A + system.perturbation)[1]
    assert system.condition == pytest.approx(torch.linalg.cond(V).item(), rel=1e-9)
    P = B / math.sqrt(2)
    torch.testing.assert_close(system.perturbation, 0.1 * torch.outer(P, P))
    assert system.relative_size == pytest.approx(0.1 * (P @ P).item() / torch.linalg.svdvals(A)[0].item(), rel=1e-12)
    assert system.margin == pytest.approx(-torch.linalg.eigvals(A + system.perturbation).real.max().item(), rel=1e-9)
    assert system.error_bound == pytest.approx(0.05 / 0.95 / (1 - 0.05 / 0.95))  # rho = tau / (2 - tau)


@pytest.mark.parametrize("system", [hippo_legs, lagt])
@pytest.mark.parametrize("tau", [0.03, 0.3])
def test_the_closed_form_bound_holds_for_passive_systems(system, tau):
    A, B = system(12)
    w = torch.logspace(-3, 4, 2000, dtype=torch.float64)
    perturbed = perturb_then_diagonalize(A, B, tau=tau)
    exact = dense_response(A, B, 1j * w)
    relative = (transfer_function(perturbed, w) - exact).norm(dim=1) / exact.norm(dim=1)
    # All rows have the same relative error, |1 / (1 + rho phi) - 1|; the bound is reached where phi = -1.
    assert relative.max() <= perturbed.error_bound * (1 + 1e-9)
    assert relative.max() > 0.8 * perturbed.error_bound


def test_dc_gain_is_exact():
    A, B = hippo_legs(16)
    zero = torch.zeros(1, dtype=torch.float64)
    torch.testing.assert_close(
        transfer_function(perturb_then_diagonalize(A, B), zero), dense_response(A, B, 1j * zero), rtol=0, atol=1e-12
    )


def test_tau_one_has_no_finite_bound():
    assert perturb_then_diagonalize(*hippo_legs(8), tau=1.0).error_bound == math.inf


def test_a_system_that_is_not_passive_is_sent_to_the_other_method():
    with pytest.raises(ConfigError, match=r"largest is .*\n?.*method='optimised'"):
        perturb_then_diagonalize(*random_system(6))
    A, B = hippo_legs(8)
    perturb_then_diagonalize(A, B / 2)
    with pytest.raises(ConfigError, match="scale B down"):
        perturb_then_diagonalize(A, 1.1 * B)


@pytest.mark.parametrize("complex_valued", [False, True])
def test_the_optimised_method_trades_conditioning_against_size(complex_valued):
    options = {"method": "optimised", "steps": 300, "complex_valued": complex_valued}
    small = perturb_then_diagonalize(*hippo_legs(8), gamma=100.0, **options)
    large = perturb_then_diagonalize(*hippo_legs(8), gamma=10.0, **options)
    assert small.relative_size < large.relative_size
    assert small.condition > large.condition
    # gamma = 10: 5.2 and 5.7 % from any start, measured; HiPPO-LegS itself has 8e4.
    assert large.condition == pytest.approx(5.25, rel=0.03)
    assert large.relative_size == pytest.approx(0.057, rel=0.05)
    assert large.error_bound is None
    assert large.margin > 0
    torch.testing.assert_close(
        rebuilt(large), (hippo_legs(8)[0] + large.perturbation).to(torch.complex128), rtol=0, atol=1e-11
    )


def test_the_optimiser_steers_clear_of_unstable_eigenvalues():
    """Without its penalty on unstable eigenvalues it ends at a real part of +9 here."""
    assert perturb_then_diagonalize(*hippo_legs(32), method="optimised", steps=150).margin > 0


def test_the_optimised_method_takes_any_matrix_and_repeats_itself():
    A, B = random_system(6)
    first, again, other = (perturb_then_diagonalize(A, B, method="optimised", steps=50, seed=s) for s in (0, 0, 1))
    assert torch.equal(first.perturbation, again.perturbation)
    assert not torch.equal(first.perturbation, other.perturbation)


def test_the_optimum_does_not_depend_on_units():
    A, B = hippo_legs(6)
    one, thousand = (perturb_then_diagonalize(s * A, B, method="optimised", steps=100) for s in (1, 1000))
    torch.testing.assert_close(1000 * one.perturbation, thousand.perturbation, rtol=1e-6, atol=1e-6)


def test_a_given_perturbation_is_used_as_it_is():
    A, B = hippo_legs(8)
    E = torch.zeros_like(A)
    E[0, -1] = -0.5
    system = perturb_then_diagonalize(A, B, perturbation=E)
    assert torch.equal(system.perturbation, E)
    torch.testing.assert_close(rebuilt(system).real, A + E, rtol=0, atol=1e-10)
    full = system.unpaired()
    torch.testing.assert_close((full.vectors @ full.input).real, B)
    assert transfer_error(system, (A + E, B)) < 1e-10


def test_a_complex_perturbation_keeps_all_eigenvalues():
    A, B = hippo_legs(4)
    system = perturb_then_diagonalize(A, B, perturbation=0.1j * torch.ones_like(A))
    assert not system.conjugate
    assert len(system.eigenvalues) == 4


def test_single_precision_comes_out_in_double():
    A, B = hippo_legs(8)
    assert perturb_then_diagonalize(A.float(), B.float()).eigenvalues.dtype == torch.complex128


def test_an_unstable_spectrum_is_refused_with_its_real_part():
    A, B = hippo_legs(4)
    with pytest.raises(ConfigError, match=r"real part 4; .* smaller"):
        perturb_then_diagonalize(A, B, perturbation=5 * torch.eye(4))


def test_eigenvectors_that_float64_cannot_hold_are_refused():
    A, B = hippo_legs(32)
    with pytest.raises(ConfigError, match=r"condition number .* larger"):
        perturb_then_diagonalize(A, B, perturbation=torch.zeros_like(A))


def test_wrong_shapes_and_names_are_refused():
    A, B = hippo_legs(4)
    with pytest.raises(ShapeError, match="square"):
        perturb_then_diagonalize(A[:3], B)
    with pytest.raises(ShapeError, match=r"\(4,\) is expected.*inverse\(\) @ B"):
        perturb_then_diagonalize(A, B[:, None])
    with pytest.raises(ShapeError, match="that of A"):
        perturb_then_diagonalize(A, B, perturbation=A[:2])
    with pytest.raises(ConfigError, match="'newton'; choose structured or optimised"):
        perturb_then_diagonalize(A, B, method="newton")
    with pytest.raises(ConfigError, match="tau is 0"):
        perturb_then_diagonalize(A, B, tau=0)
