"""The parts of a sequence model against their formulas."""

import pytest
import torch
from torch.nn import functional as F

from sciml.ssm.blocks import Activation, MaskedBatchNorm, StepTiedDropout
from sciml.ssm.heads import PairHead, Pixels, Tokens, pool

LENGTHS = torch.tensor([5, 2, 7])


@pytest.fixture
def padded():
    torch.manual_seed(0)
    x = torch.randn(3, 7, 4, dtype=torch.float64)
    return x, torch.arange(7) < LENGTHS[:, None]


def test_batch_norm_of_padded_sequences_is_that_of_the_same_steps_without_padding(padded):
    x, mask = padded
    norm, plain = MaskedBatchNorm(4).double(), torch.nn.BatchNorm1d(4).double()
    for part in (norm, plain):
        torch.nn.init.normal_(part.weight, generator=torch.Generator().manual_seed(1))
    y, expected = norm(x, mask), plain(torch.cat([x[i, :n] for i, n in enumerate(LENGTHS)]))
    # Equal up to the order of summation in float64.
    torch.testing.assert_close(torch.cat([y[i, :n] for i, n in enumerate(LENGTHS)]), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.running_mean, plain.running_mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.running_var, plain.running_var, rtol=1e-12, atol=1e-12)
    assert (y[~mask] == 0).all()


def test_what_lies_in_the_padding_changes_neither_statistics_nor_gradients(padded):
    x, mask = padded
    gradients = []
    for filler in (0.0, 1e6):
        u = torch.where(mask[..., None], x, filler).requires_grad_()
        norm = MaskedBatchNorm(4).double()
        norm(u, mask).square().sum().backward()
        gradients.append((u.grad, norm.running_var))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)


def test_batch_norm_without_a_mask_is_that_of_torch(padded):
    x, _ = padded
    torch.testing.assert_close(
        MaskedBatchNorm(4).double()(x), torch.nn.BatchNorm1d(4).double()(x.transpose(1, 2)).transpose(1, 2)
    )


ACTIVATIONS = {
    "gelu": lambda x, g, W: g,
    "half_glu1": lambda x, g, W: g * torch.sigmoid(W(g)),
    "half_glu2": lambda x, g, W: x * torch.sigmoid(W(g)),
    "full_glu": lambda x, g, W: W(g)[..., :4] * torch.sigmoid(W(g)[..., 4:]),
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_are_their_formulas(kind, padded):
    x, _ = padded
    activation = Activation(kind, 4).double()
    expected = ACTIVATIONS[kind](x, F.gelu(x), getattr(activation, "mix", None))
    torch.testing.assert_close(activation(x), expected)


def test_dropout_keeps_or_drops_a_feature_at_all_steps_of_a_sequence():
    torch.manual_seed(0)
    y = StepTiedDropout(0.5)(torch.ones(200, 6, 10))
    assert (y == y[:, :1]).all()
    assert set(y.unique().tolist()) == {0.0, 2.0}
    # 2000 draws with probability one half: the fraction is within 0.05, more than four standard deviations.
    assert (y[:, 0] == 0).double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert (StepTiedDropout(0.5).eval()(torch.ones(2, 3, 4)) == 1).all()


def test_pooling_uses_valid_steps_alone(padded):
    x, mask = padded
    garbage = torch.where(mask[..., None], x, torch.nan)
    for kind, one in (("mean", lambda s: s.mean(0)), ("last", lambda s: s[-1])):
        expected = torch.stack([one(x[i, :n]) for i, n in enumerate(LENGTHS)])
        torch.testing.assert_close(pool(garbage, kind, LENGTHS, mask), expected)
        torch.testing.assert_close(pool(x, kind), torch.stack([one(s) for s in x]))


def test_images_are_read_row_by_row():
    pixels = Pixels(2, 3)
    images = torch.randn(4, 2, 5, 6)
    torch.testing.assert_close(pixels(images)[:, 8], pixels(images[:, :, 1, 2]))


def test_the_padding_token_is_and_stays_zero():
    tokens = Tokens(5, 3, padding=0)
    assert (tokens(torch.tensor([0, 0])) == 0).all()
    tokens(torch.tensor([[0, 1]])).sum().backward()
    assert (tokens.weight.grad[0] == 0).all()
    assert (tokens.weight.grad[1] == 1).all()


def test_pairs_are_compared_by_an_mlp_of_both_their_difference_and_their_product():
    head = PairHead(3, 2)
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    parts = [a, b, a - b, a * b]
    hidden = sum(part @ W.T for part, W in zip(parts, head.hidden.weight.split(3, dim=1), strict=True))
    torch.testing.assert_close(head(a, b), head.output(F.gelu(hidden + head.hidden.bias)))
