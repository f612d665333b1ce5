"""The layers of scOT, each against its formula."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sciml.poseidon import ScOTConfig
from sciml.poseidon.blocks import Block, ConditionalLayerNorm, ConvNeXtBlock, DropPath, PatchMerging, PatchUnmerging
from sciml.poseidon.depthwise import depthwise_conv

CONFIG = ScOTConfig(image_size=16, embed_dim=8, depths=(1,), num_heads=(2,), skip_connections=(1,), window_size=4)
PLAIN = replace(CONFIG, use_conditioning=False)


def tokens(*shape):
    torch.manual_seed(0)
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("scalars", [0, 2])
def test_the_conditional_norm_is_affine_in_lead_time_and_scalars(scalars):
    norm, x = ConditionalLayerNorm(6, eps=1e-5, scalars=scalars).double(), tokens(2, 3, 4, 6)
    condition = torch.tensor([[0.0, -2.0, 0.4], [0.7, 1.0, 3.0]], dtype=torch.float64)[:, : 1 + scalars]
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0)
    a, b = (
        sum(condition[:, k, None] * layer.weight[:, k] for k in range(1 + scalars)) + layer.bias
        for layer in (norm.weight, norm.bias)
    )
    expected = a[:, None, None] * (x - mean) / (variance + 1e-5).sqrt() + b[:, None, None]
    torch.testing.assert_close(norm(x, condition), expected)


# The convolution's own backward pass; a rectangle, and fields smaller than the kernel.
@pytest.mark.parametrize("size", [(5, 8), (2, 3)])
def test_gradients_of_the_depthwise_convolution_are_exact(size):
    conv, x = torch.nn.Conv2d(3, 3, 7, padding=3, groups=3).double(), tokens(2, 3, *size)

    def run(x, weight, bias):
        return torch.func.functional_call(Depthwise(conv), {"conv.weight": weight, "conv.bias": bias}, (x,))

    assert torch.autograd.gradcheck(run, (x, conv.weight, conv.bias))


class Depthwise(torch.nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        return depthwise_conv(x, self.conv)


def test_the_depthwise_convolution_is_the_stock_one():
    conv, x = torch.nn.Conv2d(3, 3, 7, padding=3, groups=3).double(), tokens(4, 3, 8, 9)
    ours, stock = depthwise_conv(x, conv), conv(x)
    torch.testing.assert_close(ours, stock)
    inputs, cotangent = (x, conv.weight, conv.bias), torch.randn_like(ours)
    torch.testing.assert_close(
        torch.autograd.grad(ours, inputs, cotangent), torch.autograd.grad(stock, inputs, cotangent)
    )


def test_the_skip_block_starts_next_to_the_identity_and_follows_its_formula():
    block, x, t = ConvNeXtBlock(CONFIG, 8).double(), tokens(2, 8, 8, 8), torch.rand(2, 1, dtype=torch.float64)
    # The layer scale starts at 1e-6.
    torch.testing.assert_close(block(x, t), x, rtol=0, atol=1e-4)
    with torch.no_grad():
        block.weight.copy_(torch.linspace(-1, 1, 8))
    y = block.norm(block.dwconv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), t)
    torch.testing.assert_close(block(x, t), x + block.weight * block.pwconv2(F.gelu(block.pwconv1(y))))


@pytest.mark.parametrize("grid", [(4, 4), (8, 8), (6, 10), (3, 9)])
def test_a_block_takes_any_grid(grid):
    block, x = Block(CONFIG, 8, heads=2, window=4, shift=2, drop_path=0.0).double(), tokens(2, *grid, 8)
    out = block(x, torch.rand(2, 1, dtype=torch.float64))
    assert out.shape == x.shape
    (gradient,) = torch.autograd.grad(out.square().sum(), x)
    assert gradient.isfinite().all()
    assert (gradient != 0).all()


def test_a_shifted_block_on_a_periodic_grid_does_not_see_across_the_seam():
    block, x = Block(CONFIG, 8, heads=2, window=4, shift=2, drop_path=0.0).double(), tokens(1, 8, 8, 8)
    attended = block._attend(x)
    # Corner windows are 2 x 2 tokens: the first token sees its own quarter only.
    (seen,) = torch.autograd.grad(attended[0, 0, 0].sum(), x)
    touched = seen[0].abs().sum(-1) > 0
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[:2, :2] = True
    assert torch.equal(touched, expected)


def test_merging_concatenates_columns_slowest():
    merge, x = PatchMerging(PLAIN, 2).double(), tokens(1, 4, 6, 2)
    corners = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
    expected = merge.norm(merge.reduction(torch.cat(corners, dim=-1)), torch.zeros(1, 1))
    torch.testing.assert_close(merge(x, torch.zeros(1, 1)), expected)


def test_merging_and_unmerging_odd_grids_return_to_their_size():
    merge, unmerge = PatchMerging(PLAIN, 4).double(), PatchUnmerging(PLAIN, 8).double()
    small = merge(tokens(1, 5, 7, 4), torch.zeros(1, 1))
    assert small.shape == (1, 3, 4, 8)
    assert unmerge(small, torch.zeros(1, 1), (5, 7)).shape == (1, 5, 7, 4)


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop, x = DropPath(0.25), torch.ones(4000, 1, 1, 2)
    y = drop(x)
    assert y.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert torch.equal(y[..., 0], y[..., 1])
    # Standard error of the mean of 4000 draws of 0 or 4/3: 0.009.
    assert y.mean().item() == pytest.approx(1.0, abs=0.04)
    assert torch.equal(drop.eval()(x), x)


@pytest.mark.parametrize("resolution", ["spectral", "native"])
@pytest.mark.parametrize("wraps", [(True, True), (True, False), (False, True), (False, False)])
def test_shifted_windows_that_wrap_commute_with_a_turn_by_one_window(wraps, resolution):
    torch.manual_seed(0)
    config = replace(CONFIG, periodic_windows=wraps, resolution=resolution)
    block = Block(config, 8, heads=2, window=4, shift=2, drop_path=0.0).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x, t = tokens(1, 12, 16, 8), torch.ones(1, 1, dtype=torch.float64)
    for axis, wrap in zip((1, 2), wraps, strict=True):
        difference = (block(x.roll(4, axis), t) - block(x, t).roll(4, axis)).abs().max().item()
        assert (difference < 1e-10) == wrap, axis


def test_windows_do_not_wrap_where_they_do_not_fit_the_grid():
    torch.manual_seed(0)
    wrapped, masked = (
        Block(replace(CONFIG, periodic_windows=wrap), 8, heads=2, window=4, shift=2, drop_path=0.0).double()
        for wrap in (True, False)
    )
    masked.load_state_dict(wrapped.state_dict())
    x, t = tokens(1, 10, 14, 8), torch.ones(1, 1, dtype=torch.float64)
    assert torch.equal(wrapped(x, t), masked(x, t))
