"""Windowed cosine attention: the backward pass of its own, windows cut from shifted grids, the position bias."""

import copy
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from sciml.poseidon import biased_attention, rollout
from sciml.poseidon.attention import WindowAttention, bands, relative_index
from sciml.poseidon.biased_attention import cosine_attention, stock_cosine_attention
from tests.poseidon.small import small_network


def problem(*, batch=3, tokens=6, heads=5, dim=4, dtype=torch.float64):
    torch.manual_seed(0)
    qkv = torch.randn(batch, tokens, 3, heads, dim, dtype=torch.float64)
    scale = torch.linspace(1, 20, heads, dtype=torch.float64)
    bias = torch.randn(heads, tokens, tokens, dtype=torch.float64)
    return [x.to(dtype).requires_grad_() for x in (qkv, scale, bias)]


def plainly(qkv, scale, bias):
    """The formula, written out."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    cosine = torch.einsum("bhid,bhjd->bhij", q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True))
    weights = torch.softmax(scale[:, None, None] * cosine + bias, dim=-1)
    return torch.einsum("bhij,bhjd->bihd", weights, v)


def gradients(function, inputs):
    out = function(*inputs)
    return out, torch.autograd.grad(out, inputs, torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out))


# Matrices a tile holds: less than one, some of the five heads, all heads of one sample, of two samples, everything.
@pytest.fixture(params=[0, 2, 5, 11, 100])
def tile(request, monkeypatch):
    monkeypatch.setattr(biased_attention, "_TILE", request.param * 36 // torch.get_num_threads())


def test_gradients_of_queries_keys_values_scale_and_bias_are_exact(tile):
    assert torch.autograd.gradcheck(cosine_attention, problem())


def test_output_and_gradients_are_those_of_the_formula(tile):
    out, ours = gradients(cosine_attention, problem())
    expected, theirs = gradients(plainly, problem())
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(ours, theirs)


def test_stock_operations_give_the_same():
    out, ours = gradients(cosine_attention, problem())
    expected, theirs = gradients(stock_cosine_attention, problem())
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(ours, theirs)


def test_single_precision_loses_no_more_than_rounding():
    exact = gradients(plainly, problem(tokens=64))[1]
    ours = gradients(cosine_attention, problem(tokens=64, dtype=torch.float32))[1]
    for a, b in zip(ours, exact, strict=True):
        # Sums of up to 64 x 64 terms in float32, each good to 6e-8: some 1e-6 of the largest.
        assert (a - b).abs().max() < 1e-5 * b.abs().max()


def test_a_token_without_a_key_gets_cosine_zero():
    qkv, scale, bias = problem()
    with torch.no_grad():
        qkv[:, -1, :2] = 0  # padding: queries and keys have no content there
    out = cosine_attention(qkv, scale, bias)
    weights = torch.softmax(bias[:, -1], dim=-1)
    torch.testing.assert_close(out[:, -1], torch.einsum("hj,bjhd->bhd", weights, qkv[:, :, 2]))


def test_no_scores_are_kept_for_the_backward_pass():
    batch, heads, tokens = 8, 4, 32
    kept = []
    inputs = problem(batch=batch, heads=heads, tokens=tokens, dtype=torch.float32)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        cosine_attention(*inputs).sum()
    assert kept
    assert max(kept) < batch * heads * tokens**2


def test_the_bias_may_be_frozen_and_inference_records_nothing():
    qkv, scale, bias = problem()
    expected = gradients(plainly, problem())[1][0]
    out = cosine_attention(qkv, scale.detach(), bias.detach())
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    torch.testing.assert_close(torch.autograd.grad(out, qkv, weights)[0], expected)
    with torch.no_grad():
        silent = cosine_attention(qkv, scale, bias)
    assert silent.grad_fn is None
    torch.testing.assert_close(silent, out)


def test_autocast_computes_in_single_precision():
    inputs = problem(dtype=torch.float32)
    expected = gradients(cosine_attention, inputs)
    half = [inputs[0].detach().bfloat16().requires_grad_(), *inputs[1:]]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, found = gradients(cosine_attention, half)
    assert out.dtype == torch.float32
    # Only the inputs were rounded, to 8 bits: 2**-8, amplified by scores of up to 20.
    torch.testing.assert_close(out, expected[0], rtol=0, atol=0.1)
    for a, b in zip(found, expected[1], strict=True):
        assert (a - b).norm() < 0.1 * b.norm()


def test_dropout_and_compilation_use_stock_operations(monkeypatch):
    inputs = problem(dtype=torch.float32)
    torch.manual_seed(1)
    dropped = cosine_attention(*inputs, dropout=0.5)
    torch.manual_seed(1)
    torch.testing.assert_close(dropped, stock_cosine_attention(*inputs, dropout=0.5))
    assert not torch.allclose(dropped, cosine_attention(*inputs))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert "Tiled" not in type(cosine_attention(*inputs).grad_fn).__name__


@pytest.mark.parametrize(
    ("size", "window", "shift", "expected"),
    [
        (8, 4, 0, [(8, 4)]),
        (12, 4, 2, [(8, 4), (4, 2)]),
        (4, 4, 2, [(4, 2)]),
        (10, 5, 2, [(5, 5), (3, 3), (2, 2)]),
        (7, 7, 3, [(4, 4), (3, 3)]),
    ],
)
def test_bands_of_an_axis(size, window, shift, expected):
    assert bands(size, window, shift) == expected


def attention(*, heads=2, window=4, width=8, seed=0):
    torch.manual_seed(seed)
    module = WindowAttention(width, heads=heads, window=window, qkv_bias=True, dropout=0.0).double()
    with torch.no_grad():
        module.logit_scale.copy_(torch.tensor([0.5, 5.0]).view(2, 1, 1))  # the second is above the clamp at ln 100
        module.continuous_position_bias_mlp[2].weight.mul_(10)
    return module


def masked(module, x, *, window, shift):
    """As published: whole windows of the rolled grid, tokens of different regions hidden from each other."""
    height, width = x.shape[1:3]

    def region(size):
        p = torch.arange(size)
        return (p >= size - window).int() + (p >= size - shift).int()

    def cut(y):
        return rearrange(y, "b (p h) (q w) c -> b (p q) (h w) c", h=window, w=window)

    ids = cut((3 * region(height)[:, None] + region(width))[None, ..., None])[0, ..., 0]
    bias = module._compute_position_biases(window, [(window, window)])[0]
    scores = bias + torch.zeros(()).where(ids[:, None, :, None] == ids[:, None, None, :], -math.inf)
    tokens = cut(torch.roll(x, (-shift, -shift), (1, 2)))
    q, k, v = (
        rearrange(layer(tokens), "b g n (h d) -> b g h n d", h=module.heads)
        for layer in (module.query, module.key, module.value)
    )
    scale = module.logit_scale.clamp(max=math.log(100)).exp()
    weights = torch.softmax(scale * F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT + scores, dim=-1)
    y = rearrange(weights @ v, "b g h n d -> b g n (h d)")
    y = rearrange(y, "b (p q) (h w) c -> b (p h) (q w) c", h=window, p=height // window)
    return torch.roll(y, (shift, shift), (1, 2))


@pytest.mark.parametrize(
    ("height", "width", "window", "shift"), [(8, 8, 4, 0), (8, 12, 4, 2), (4, 8, 4, 2), (10, 15, 5, 2), (6, 6, 3, 1)]
)
def test_smaller_windows_are_masked_shifted_windows(height, width, window, shift):
    module, x = attention(window=window), torch.randn(2, height, width, 8, dtype=torch.float64)
    expected = masked(module, x, window=window, shift=shift)
    torch.testing.assert_close(module(x, window=window, shift=shift), expected)


def test_gradients_pass_through_shifted_windows():
    module, x = attention(window=4), torch.randn(1, 8, 8, 8, dtype=torch.float64)
    parameters = list(module.parameters())
    cotangent = torch.randn_like(x)
    ours = torch.autograd.grad(module(x, window=4, shift=2), parameters, cotangent)
    theirs = torch.autograd.grad(masked(module, x, window=4, shift=2), parameters, cotangent)
    torch.testing.assert_close(ours, theirs)


def test_the_bias_of_a_rectangle_is_a_block_of_the_bias_of_its_window():
    whole = relative_index((4, 4), 4, torch.device("cpu")).view(4, 4, 4, 4)
    part = relative_index((2, 3), 4, torch.device("cpu")).view(2, 3, 2, 3)
    assert torch.equal(part, whole[2:, 1:, 2:, 1:])


def test_the_position_bias_is_remembered_until_the_weights_change():
    module, x = attention().eval(), torch.randn(1, 4, 4, 8, dtype=torch.float64)
    with torch.no_grad():
        first = module(x, window=4)
        memo = module._memo
        assert torch.equal(module(x, window=4), first)
        assert module._memo is memo
        module.continuous_position_bias_mlp[0].bias.add_(1.0)
        assert not torch.allclose(module(x, window=4), first)
    assert copy.deepcopy(module)._memo is None
    assert pickle.loads(pickle.dumps(module))._memo is None


def count_biases(monkeypatch):
    """A list that grows with every position bias that is computed."""
    computed, compute = [], WindowAttention._compute_position_biases

    def counted(module, window, sizes):
        computed.append(window)
        return compute(module, window, sizes)

    monkeypatch.setattr(WindowAttention, "_compute_position_biases", counted)
    return computed


@pytest.mark.parametrize("quiet", [torch.no_grad, torch.inference_mode])
def test_a_rollout_computes_every_position_bias_once(monkeypatch, quiet):
    net, computed = small_network(), count_biases(monkeypatch)
    with quiet():
        for _ in rollout(net, torch.randn(1, 2, 16, 16), 1.0, 20):
            pass
    assert len(computed) == sum(isinstance(module, WindowAttention) for module in net.modules())


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.load_state_dict({k: 1.5 * v for k, v in net.state_dict().items()}),
        lambda net: net.load_state_dict({k: 1.5 * v for k, v in net.state_dict().items()}, assign=True),
        lambda net: [p.data.mul_(1.5) for p in net.parameters()] and net.train().eval(),
        lambda net: net.double().float().double(),
    ],
    ids=["loaded", "assigned", "changed behind the back, then train() and eval()", "another precision"],
)
def test_what_is_remembered_is_forgotten_with_the_weights(change):
    net, fields = small_network(), torch.randn(1, 2, 16, 16)
    with torch.no_grad():
        net(fields, 0.5)
        change(net)
        twin = copy.deepcopy(net)  # remembers nothing
        fields = fields.to(next(net.parameters()).dtype)
        assert torch.equal(net(fields, 0.5), twin(fields, 0.5))


def test_autocast_leaves_no_trace_in_what_is_remembered():
    net, fields = small_network(), torch.randn(1, 2, 16, 16)
    with torch.no_grad():
        expected = copy.deepcopy(net)(fields, 0.5)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            net(fields, 0.5)
        assert torch.equal(net(fields, 0.5), expected)


def test_a_network_made_in_inference_mode_runs():
    with torch.inference_mode():
        net, fields = small_network(), torch.randn(1, 2, 16, 16)
        torch.testing.assert_close(net(fields, 0.5), net(fields, 0.5))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_stock_attention_in_half_precision_loses_no_more_than_its_rounding(dtype):
    exact = gradients(plainly, problem(tokens=16))
    out, found = gradients(stock_cosine_attention, [x.detach().to(dtype).requires_grad_() for x in problem(tokens=16)])
    assert out.dtype == dtype
    # Queries and keys are rounded to eps / 2, which scores of up to 20 multiply.
    tolerance = 20 * torch.finfo(dtype).eps
    for a, b in zip((out, *found), (exact[0], *exact[1]), strict=True):
        assert (a - b).norm() < tolerance * b.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_token_without_content_is_finite_in_half_precision(dtype):
    qkv, scale, bias = (x.detach().to(dtype) for x in problem())
    qkv[:, -1] = 0
    assert stock_cosine_attention(qkv, scale, bias).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_off_the_cpu_every_step_keeps_precision_and_device(dtype):
    net, fields = small_network().train(), torch.empty(2, 2, 16, 16, device="meta", dtype=dtype, requires_grad=True)
    net.to("meta", dtype)  # shapes and types without data, by the path of any device that is not the CPU
    prediction = net(fields, 0.5)
    prediction.sum().backward()
    assert prediction.shape == fields.shape
    for tensor in (prediction, fields.grad, *(parameter.grad for parameter in net.parameters())):
        assert (tensor.device.type, tensor.dtype) == ("meta", dtype)


def test_training_leaves_the_module_as_it_is():
    module = attention().train()
    module(torch.randn(1, 4, 4, 8, dtype=torch.float64), window=4)
    assert module._memo is None
