import pytest
import torch

from sciml.ssm.kernels import align_right, diagonal_kernel, diagonal_last_state, square_root


def random_system(features=3, pairs=4, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    exponent = torch.complex(-0.1 * torch.rand(features, pairs, **draw), 3 * torch.randn(features, pairs, **draw))
    B, C = torch.randn(2, features, pairs, generator=generator, dtype=torch.complex128)
    return exponent, B, C


@pytest.mark.parametrize("length", [1, 2, 3, 16, 17, 100, 1000])
def test_the_kernel_is_the_sum_over_modes_term_by_term(length):
    exponent, B, C = random_system()
    expected = (B * C)[..., None] * torch.exp(exponent[..., None] * torch.arange(length))
    found = diagonal_kernel(B * C, exponent, length)
    torch.testing.assert_close(found, expected.real.sum(1), rtol=0, atol=1e-12)  # angles up to 1e4, rounded


def test_a_long_kernel_of_fast_modes_keeps_its_phase_in_single_precision():
    """Angles of 1 radian a step add up to 65,536; rounded as such, they would be off by 4e-3."""
    exponent = torch.complex(torch.full((1, 1), -1e-5), torch.ones(1, 1))
    found = diagonal_kernel(torch.ones(1, 1, dtype=torch.complex64), exponent, 65536)
    expected = diagonal_kernel(torch.ones(1, 1, dtype=torch.complex128), exponent.to(torch.complex128), 65536)
    assert (found - expected).abs().max() < 5e-5  # 256 coarse steps, each off by the rounding of pi


def test_kernel_gradients_match_finite_differences():
    exponent, B, _ = random_system(2, 2)
    inputs = (B.requires_grad_(), exponent.requires_grad_())
    assert torch.autograd.gradcheck(lambda c, e: diagonal_kernel(c, e, 11), inputs)


def test_the_last_state_is_that_of_the_recurrence_at_every_length():
    exponent, B, _ = random_system()
    u = torch.randn(4, 37, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    initial = torch.randn(4, 3, 4, dtype=torch.complex128, generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([37, 0, 1, 20])
    found = diagonal_last_state(u, exponent, B, initial, lengths)
    for i, length in enumerate(lengths):
        x = initial[i]
        for sample in u[i, :length]:
            x = torch.exp(exponent) * x + B * sample[:, None]
        torch.testing.assert_close(found[i], x, rtol=0, atol=1e-12)


def test_sequences_are_aligned_at_their_ends():
    u = torch.arange(1.0, 7.0).reshape(2, 3, 1)
    found = align_right(u, torch.tensor([3, 1]), 4)[..., 0]
    assert found.tolist() == [[0, 1, 2, 3], [0, 0, 0, 4]]


def test_square_roots_are_powers_of_two_that_are_large_enough():
    for length in (1, 2, 4, 5, 16, 17, 1000, 65536):
        root = square_root(length)
        assert root & (root - 1) == 0
        assert length <= root**2 < 4 * length or length == 1
