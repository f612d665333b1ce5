import pytest
import torch

from sciml.ssm import convolution
from sciml.ssm.convolution import fast_length, fft_convolution


def direct(u, kernel, backward_kernel):
    """The two sums of the definition, sample by sample."""
    y = torch.zeros_like(u)
    for now in range(u.shape[1]):
        for then in range(u.shape[1]):
            if then <= now:
                y[:, now] += kernel[:, now - then] * u[:, then]
            elif backward_kernel is not None:
                y[:, now] += backward_kernel[:, then - now - 1] * u[:, then]
    return y


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("length", [1, 2, 13, 16])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_convolution_is_the_sum_of_its_definition(length, bidirectional):
    u, kernel = random(2, length, 3), random(3, length, seed=1)
    ahead = random(3, length, seed=2) if bidirectional else None
    torch.testing.assert_close(fft_convolution(u, kernel, ahead), direct(u, kernel, ahead), rtol=0, atol=1e-13)


def test_blocks_do_not_change_the_result(monkeypatch):
    u, kernel, ahead = random(5, 12, 7), random(7, 12, seed=1), random(7, 12, seed=2)
    inputs = [t.requires_grad_() for t in (u, kernel, ahead)]
    weight = random(5, 12, 7, seed=3)

    def run():
        y = fft_convolution(*inputs)
        return [y, *torch.autograd.grad((y * weight).sum(), inputs)]

    whole = run()
    monkeypatch.setattr(convolution, "BLOCK_FEATURES", 3)
    monkeypatch.setattr(convolution, "BLOCK_SAMPLES", 24)
    for one, other in zip(whole, run(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_match_finite_differences(bidirectional):
    inputs = [random(2, 6, 2), random(2, 6, seed=1), *([random(2, 6, seed=2)] if bidirectional else [])]
    assert torch.autograd.gradcheck(fft_convolution, [t.requires_grad_() for t in inputs])


def test_transform_lengths_are_even_and_have_small_prime_factors():
    assert [fast_length(n) for n in (1, 2, 7, 11, 31, 121, 2047, 131071)] == [2, 2, 8, 12, 32, 128, 2048, 131072]
