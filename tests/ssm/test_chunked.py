import pytest
import torch

from sciml.ssm import chunked
from sciml.ssm.chunked import run_chunked


def problem(batch=3, length=23, features=3, pairs=2, *, seed=0):
    """Inputs of ``run_chunked``: u, exponent, input, output, skip and initial state."""
    draw = {"generator": torch.Generator().manual_seed(seed), "dtype": torch.float64}
    exponent = torch.complex(-torch.rand(features, pairs, **draw), torch.randn(features, pairs, **draw))
    draw_complex = {"generator": draw["generator"], "dtype": torch.complex128}
    B, C = torch.randn(2, features, pairs, **draw_complex)
    skip = torch.randn(features, **draw)
    u, initial = torch.randn(batch, length, features, **draw), torch.randn(batch, features, pairs, **draw_complex)
    return [t.detach().requires_grad_() for t in (u, exponent, B, C, skip, initial)]


def recurrence(u, exponent, B, C, skip, initial, lengths):
    x, last, outputs = initial, initial, []
    for i in range(u.shape[1]):
        x = torch.exp(exponent) * x + B * u[:, i, :, None]
        outputs.append((C * x).real.sum(-1) + skip * u[:, i])
        last = torch.where((lengths == i + 1)[:, None, None], x, last)
    return torch.stack(outputs, dim=1), last


@pytest.mark.parametrize(
    ("length", "chunk", "longest_loop", "samples"),
    [(23, 4, 64, 100), (23, 4, 2, 50), (24, 4, 2, 23), (5, 8, 64, 8), (40, 3, 3, 1), (1, 64, 64, 8)],
    ids=["plain", "two levels", "whole chunks", "less than a chunk", "many groups", "one sample"],
)
def test_outputs_states_and_gradients_are_those_of_the_recurrence(monkeypatch, length, chunk, longest_loop, samples):
    monkeypatch.setattr(chunked, "LONGEST_LOOP", longest_loop)
    monkeypatch.setattr(chunked, "BLOCK_FEATURES", 2)
    monkeypatch.setattr(chunked, "BLOCK_SAMPLES", samples)
    inputs, lengths = problem(length=length), torch.tensor([length, length // 2, 0])
    found = run_chunked(*inputs[:5], initial=inputs[5], lengths=lengths, chunk=chunk)
    expected = recurrence(*inputs, lengths)
    weights = [torch.randn(t.shape, dtype=t.dtype, generator=torch.Generator().manual_seed(9)) for t in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)

    def gradients(y, last):
        return torch.autograd.grad((y * weights[0]).sum() + (last * weights[1]).real.sum(), inputs)

    for one, other in zip(gradients(*found), gradients(*expected), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("longest_loop", [1, 64])
def test_gradients_match_finite_differences(monkeypatch, longest_loop):
    monkeypatch.setattr(chunked, "LONGEST_LOOP", longest_loop)
    inputs = problem(batch=2, length=7, features=1)

    def run(*args):
        return run_chunked(*args[:5], initial=args[5], lengths=torch.tensor([7, 3]), chunk=2)

    assert torch.autograd.gradcheck(run, inputs)


def test_gradients_of_the_last_state_alone_reach_the_first_sample():
    inputs = problem()
    _, last = run_chunked(*inputs[:5], initial=inputs[5], chunk=4)
    _, expected = recurrence(*inputs, torch.full((3,), 23))
    ours, theirs = (torch.autograd.grad(t.real.sum(), inputs[0])[0] for t in (last, expected))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)
    assert ours[:, 0].abs().min() > 0


def test_memory_kept_for_the_backward_pass_is_two_sequences():
    """Rows of inputs, and as many numbers of states if a chunk has as many samples as there are real states."""
    u, exponent, B, C, skip, _ = problem(batch=4, length=512, features=16, pairs=8)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel() * t.itemsize) or t, lambda t: t):
        run_chunked(u, exponent, B, C, skip, chunk=16)
    large = [size for size in kept if size > u.numel() * u.itemsize / 2]
    assert sum(large) < 2.1 * u.numel() * u.itemsize
