import math

import pytest
import torch

from sciml.errors import ConfigError
from sciml.ssm.hippo import hippo_legs, legs_low_rank
from sciml.ssm.systems import SYSTEMS, ContinuousSystem, diagonalize, initial_system


def matrix(system):
    """The state matrix in the original basis: V diag(eigenvalues) V^-1."""
    full = system.unpaired()
    return (full.vectors * full.eigenvalues) @ torch.linalg.inv(full.vectors)


def test_lin_and_inv_have_their_published_eigenvalues():
    lin, inv = initial_system("lin", 6), initial_system("inv", 6)
    assert lin.eigenvalues.tolist() == pytest.approx([-0.5, -0.5 + 1j * math.pi, -0.5 + 2j * math.pi])
    # N / pi (N / (2n + 1) - 1) with N = 6: 30 / pi, 6 / pi, 1.2 / pi
    assert (inv.eigenvalues.imag * math.pi).tolist() == pytest.approx([30, 6, 1.2])
    assert lin.input.tolist() == inv.input.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("name", "weight", "gain"), [("legs", 1.0, 0.5), ("ptd", 0.1, 0.95), ("ptd", 0.03, 0.985)])
def test_legs_and_ptd_are_hippo_plus_a_rank_one_term(name, weight, gain):
    A, B = hippo_legs(32)
    P = legs_low_rank(32)
    system = initial_system(name, 32, tau=weight)
    expected = A + weight * torch.outer(P, P)
    # Rounding, times the condition number of the eigenvectors (at most 60), in units of the norm of A.
    torch.testing.assert_close(matrix(system).real, expected, rtol=0, atol=1e-13 * 60 * torch.linalg.norm(A).item())
    torch.testing.assert_close(2 * (system.vectors @ system.input).real, gain * B, rtol=1e-11, atol=0)
    assert system.conjugate
    assert (system.eigenvalues.imag > 0).all()


def test_tau_one_is_s4d_legs():
    legs, ptd = initial_system("legs", 16), initial_system("ptd", 16, tau=1.0)
    torch.testing.assert_close(ptd.eigenvalues, legs.eigenvalues, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ptd.input, legs.input, rtol=1e-10, atol=0)
    torch.testing.assert_close(ptd.vectors, legs.vectors, rtol=0, atol=1e-10)


@pytest.mark.parametrize("conjugate", [True, False])
@pytest.mark.parametrize("name", SYSTEMS)
def test_outputs_and_inputs_change_the_basis_and_nothing_else(name, conjugate):
    system = initial_system(name, 8, conjugate=conjugate)
    generator = torch.Generator().manual_seed(0)
    x, c = torch.randn(2, 8, dtype=torch.float64, generator=generator)
    z = system.inverse() @ x.to(torch.complex128)
    factor = 2 if conjugate else 1
    torch.testing.assert_close(factor * (system.vectors @ z).real, x)
    torch.testing.assert_close(factor * ((c.to(z.dtype) @ system.vectors) @ z).real, c @ x)
    assert len(system.eigenvalues) == (4 if conjugate else 8)
    assert system.state == 8


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_unpaired_system_is_the_same_system(name):
    pairs, full = initial_system(name, 8), initial_system(name, 8, conjugate=False)
    assert not full.conjugate
    assert full.unpaired() is full
    torch.testing.assert_close(full.eigenvalues, torch.cat([pairs.eigenvalues, pairs.eigenvalues.conj()]))
    torch.testing.assert_close((full.vectors @ full.input).real, 2 * (pairs.vectors @ pairs.input).real)


def test_real_eigenvalues_have_no_place_among_conjugate_pairs():
    with pytest.raises(ConfigError, match=r"tau=0\.001 and a state of size 16.* Raise tau"):
        initial_system("ptd", 16, tau=0.001)
    full = initial_system("ptd", 16, tau=0.001, conjugate=False)
    assert len(full.eigenvalues) == 16
    assert (full.eigenvalues.imag == 0).sum() == 2


@pytest.mark.parametrize(("state", "tau"), [(2, 0.2), (4, 0.2), (30, 0.2), (16, 0.01), (256, 0.01)])
def test_the_sizes_that_the_message_recommends_work(state, tau):
    assert len(initial_system("ptd", state, tau=tau).eigenvalues) == state // 2


@pytest.mark.parametrize("tau", [0.0, -0.1, 1.5, float("nan")])
def test_tau_outside_its_range_is_refused(tau):
    with pytest.raises(ConfigError, match=r"tau is .* \(0, 1\]"):
        initial_system("ptd", 8, tau=tau)


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_odd_state_is_refused(name):
    with pytest.raises(ConfigError, match=r"size 9 .* e.g. 10"):
        initial_system(name, 9)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="'hippo'; choose one of legs, lin, inv, ptd"):
        initial_system("hippo", 8)


def test_a_symmetric_matrix_keeps_all_of_its_real_eigenvalues():
    A = torch.tensor([[-2.0, 1.0], [1.0, -2.0]], dtype=torch.float64)
    system = diagonalize(A, torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert not system.conjugate
    assert sorted(system.eigenvalues.real.tolist()) == pytest.approx([-3, -1])
    torch.testing.assert_close(matrix(system).real, A)
    assert system.input.real.tolist() == pytest.approx([0.5**0.5] * 2)  # the phase is chosen so


def test_a_mode_that_the_input_does_not_reach_keeps_its_vector():
    A = torch.diag(torch.tensor([-1.0, -2.0], dtype=torch.float64))
    system = diagonalize(A, torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert system.input.real.sort().values.tolist() == [0, 1]
    torch.testing.assert_close(matrix(system).real, A)


def test_a_system_comes_to_the_cpu_in_double_precision_and_detached():
    ones = torch.ones(3, 2, dtype=torch.complex64, requires_grad=True)
    system = ContinuousSystem(
        eigenvalues=-ones, input=ones[..., None], output=ones[:, None], step=torch.ones(3, 1), conjugate=True
    ).on_cpu()
    assert system.eigenvalues.dtype == system.input.dtype == torch.complex128
    assert system.step.dtype == torch.float64
    assert not system.output.requires_grad
    assert system.vectors is None
    assert system.conjugate
