import pytest
import torch

from sciml.errors import ConfigError
from sciml.ssm.hippo import hippo_legs, legs_low_rank, normal_plus_low_rank


def test_three_states_by_hand():
    A, B = hippo_legs(3)
    expected = torch.tensor([[1, 0, 0], [3**0.5, 2, 0], [5**0.5, 15**0.5, 3]], dtype=torch.float64)
    torch.testing.assert_close(A, -expected)
    torch.testing.assert_close(B, torch.tensor([1, 3, 5], dtype=torch.float64).sqrt())


@pytest.mark.parametrize("state", [1, 2, 64])
def test_a_rank_one_term_leaves_a_skew_matrix_minus_one_half(state):
    A, B = hippo_legs(state)
    P = legs_low_rank(state)
    skew = A + torch.outer(P, P) + 0.5 * torch.eye(state)
    torch.testing.assert_close(skew, -skew.T, rtol=0, atol=1e-12)  # entries up to 2 state
    torch.testing.assert_close(B, 2**0.5 * P)


@pytest.mark.parametrize("state", [2, 32])
def test_the_pairs_make_up_the_matrix(state):
    A, B = hippo_legs(state)
    normal = normal_plus_low_rank(state)
    V, lam, p = normal.vectors, normal.eigenvalues, normal.low_rank
    P = 2 * (V @ p).real
    rebuilt = 2 * (V * lam @ V.mH).real - torch.outer(P, P)
    torch.testing.assert_close(rebuilt, A, rtol=0, atol=1e-12 * state**2)  # the norm of A grows like state^2
    torch.testing.assert_close(2 * (V @ normal.input).real, B)


def test_vectors_are_orthonormal_and_products_real_and_positive():
    normal = normal_plus_low_rank(16)
    V = torch.cat([normal.vectors, normal.vectors.conj()], dim=1)
    torch.testing.assert_close(V.mH @ V, torch.eye(16, dtype=V.dtype), rtol=0, atol=1e-13)
    assert (normal.low_rank.imag == 0).all()
    assert (normal.low_rank.real > 0).all()
    assert (normal.eigenvalues.imag.diff() > 0).all()


def test_an_odd_state_has_no_conjugate_pairs():
    with pytest.raises(ConfigError, match=r"size 7 .* even size, e.g. 8"):
        normal_plus_low_rank(7)
    with pytest.raises(ConfigError, match="size 0; at least 1"):
        hippo_legs(0)
