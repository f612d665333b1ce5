"""Scans against the recurrence, step by step, and against closed forms; own backward passes against differences."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from sciml.ssm.irregular import increment, irregular_scan
from sciml.ssm.scan import associative_scan, chunk_length, scan_, state_space_scan

BATCH, FEATURES, STATES = 2, 2, 3
DOUBLE, COMPLEX = torch.float64, torch.complex128


def system(length, seed=0, **options):
    """u, eigenvalue times step, B, C, D and the start."""
    g = torch.Generator().manual_seed(seed)
    real, complex_ = {"dtype": DOUBLE, "generator": g}, {"dtype": COMPLEX, "generator": g}
    z = torch.complex(-torch.rand(STATES, **real), torch.randn(STATES, **real))
    return [
        tensor.requires_grad_(options.get("requires_grad", False))
        for tensor in (
            torch.randn(BATCH, length, FEATURES, **real),
            z,
            torch.randn(STATES, FEATURES, **complex_),
            torch.randn(FEATURES, STATES, **complex_),
            torch.randn(FEATURES, **real),
            torch.randn(BATCH, STATES, **complex_),
        )
    ]


def scales(length):
    return torch.rand(BATCH, length, dtype=DOUBLE, generator=torch.Generator().manual_seed(1)) * 2


def stepped(transitions, drive, start):
    """All states of the recurrence, one step after the other."""
    states = []
    for a, b in zip(transitions.unbind(1), drive.unbind(1), strict=True):
        start = a * start + b
        states.append(start)
    return torch.stack(states, dim=1)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("length", "chunk"), [(1, 1), (7, 1), (12, 4), (13, 4), (15, 4), (5, 8), (16, 16)])
def test_the_scan_is_the_recurrence_for_every_chunk(length, chunk, reverse):
    u, z, B, _, _, start = system(length)
    a, drive = torch.exp(z), u.to(COMPLEX) @ B.T
    transitions = a.expand(BATCH, length, STATES)
    expected = stepped(transitions, drive.flip(1) if reverse else drive, start)
    x = drive.clone()
    scan_(x, lambda t: a, start, chunk=chunk, reverse=reverse)
    torch.testing.assert_close(x.flip(1) if reverse else x, expected)


def test_chunks_are_near_the_square_root_and_never_longer_than_the_sequence():
    assert [chunk_length(n) for n in (1, 2, 3, 1024, 4096, 65536)] == [1, 1, 2, 32, 64, 256]
    assert all(chunk_length(n) <= n and 0.7 < chunk_length(n) / n**0.5 < 1.42 for n in range(1, 2000))


def test_a_constant_input_sums_a_geometric_series():
    u, z, B, C, D, _ = system(50)
    u, start, a = torch.ones_like(u), torch.zeros(BATCH, STATES, dtype=COMPLEX), torch.exp(z)
    y, last = state_space_scan(u, a, B, C, D, start)
    powers = torch.exp(z * torch.arange(1, 51)[:, None])
    x = (1 - powers) / (1 - a) * B.sum(1)
    torch.testing.assert_close(y[0], (x @ C.T).real + D)
    torch.testing.assert_close(last[0], x[-1])


@pytest.mark.parametrize("backward_states", [0, 1, STATES])
@pytest.mark.parametrize("length", [1, 2, 23])
def test_outputs_and_states_are_those_of_the_recurrence(length, backward_states):
    u, z, B, C, D, start = system(length)
    forward = STATES - backward_states
    drive, transitions = u.to(COMPLEX) @ B.T, torch.exp(z).expand(BATCH, length, STATES)
    x = stepped(transitions, drive, start)
    x[..., forward:] = stepped(transitions, drive.flip(1), start).flip(1)[..., forward:]
    y, last = state_space_scan(u, torch.exp(z), B, C, D, start, backward_states=backward_states)
    torch.testing.assert_close(y, (x @ C.T).real + D * u)
    torch.testing.assert_close(last, x[:, -1])


@pytest.mark.parametrize("method", ["zoh", "bilinear"])
@pytest.mark.parametrize("backward_states", [0, 1])
def test_irregular_steps_are_those_of_the_recurrence(backward_states, method):
    length = 23
    u, z, B, C, D, start = system(length)
    s, forward = scales(length), STATES - backward_states
    scaled = s[..., None] * z
    transitions = torch.exp(scaled) if method == "zoh" else (1 + scaled / 2) / (1 - scaled / 2)
    drive = (transitions - 1) * (u.to(COMPLEX) @ B.T)
    x = stepped(transitions, drive, start)
    x[..., forward:] = stepped(transitions.flip(1), drive.flip(1), start).flip(1)[..., forward:]
    y, last = irregular_scan(u, z, B, C, D, start, s, method=method, backward_states=backward_states)
    torch.testing.assert_close(y, (x @ C.T).real + D * u)
    torch.testing.assert_close(last, x[:, -1])


def test_last_states_are_taken_where_sequences_end():
    u, z, B, C, D, start = system(9)
    lengths = torch.tensor([9, 4])
    _, last = state_space_scan(u, torch.exp(z), B, C, D, start, lengths=lengths)
    for i, n in enumerate(lengths):
        _, alone = state_space_scan(u[i : i + 1, :n], torch.exp(z), B, C, D, start[i : i + 1])
        torch.testing.assert_close(last[i], alone[0])


@pytest.mark.parametrize("lengths", [None, torch.tensor([5, 2])], ids=["whole", "padded"])
@pytest.mark.parametrize("backward_states", [0, 1])
def test_gradients_of_the_regular_scan(backward_states, lengths):
    u, z, B, C, D, start = system(5, requires_grad=True)
    a = torch.exp(z.detach()).requires_grad_()
    where = {"lengths": lengths, "backward_states": backward_states}
    assert gradcheck(lambda *tensors: state_space_scan(*tensors, **where), (u, a, B, C, D, start))


@pytest.mark.parametrize("method", ["zoh", "bilinear"])
@pytest.mark.parametrize("backward_states", [0, 1])
def test_gradients_of_the_irregular_scan(backward_states, method):
    tensors = [*system(5, requires_grad=True), scales(5).requires_grad_()]
    where = {"lengths": torch.tensor([5, 2]), "backward_states": backward_states, "method": method}
    assert gradcheck(lambda *tensors: irregular_scan(*tensors, **where), tensors)


def test_doubling_agrees_with_the_recurrence_and_differentiates_twice():
    u, z, B, _, _, start = system(4)
    drive, transitions = u.to(COMPLEX) @ B.T, torch.exp(scales(4)[..., None] * z)
    torch.testing.assert_close(associative_scan(transitions, drive, start), stepped(transitions, drive, start))
    tensors = [tensor.requires_grad_() for tensor in (transitions, drive, start)]
    assert gradgradcheck(associative_scan, tensors)


def test_a_second_derivative_of_the_fast_scan_says_that_there_is_none():
    u, z, B, C, D, start = system(5, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        state_space_scan(u, torch.exp(z), B, C, D, start)[0].square().sum(), u, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


class Allocations(TorchDispatchMode):
    """Counts the tensors of at least so many bytes that operations allocate."""

    def __init__(self, smallest):
        super().__init__()
        self.smallest, self.found, self.kept = smallest, set(), []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().nbytes() >= self.smallest:
                self.found.add(tensor.untyped_storage().data_ptr())
                self.kept.append(tensor)  # no address is given twice
        return result


@pytest.mark.parametrize("irregular", [False, True])
@pytest.mark.parametrize("backward_states", [0, 1])
def test_training_allocates_the_states_and_their_gradient_and_nothing_else_as_large(backward_states, irregular):
    length = 400
    tensors = system(length, requires_grad=True)
    u, z, B, C, D, start = tensors
    large = BATCH * length * STATES * 16 * 3 // 4  # inputs and outputs are a third of the states
    with Allocations(large) as seen:
        if irregular:
            y, _ = irregular_scan(u, z, B, C, D, start, scales(length), backward_states=backward_states)
        else:
            y, _ = state_space_scan(u, torch.exp(z), B, C, D, start, backward_states=backward_states)
        torch.autograd.grad(y.sum(), tensors)
    assert len(seen.found) == 2


@pytest.mark.parametrize("method", ["zoh", "bilinear"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_increments_are_accurate_for_tiny_and_huge_steps(method, dtype):
    z = torch.complex(torch.tensor([-1e-9, -1e-3, -0.5, -50.0]), torch.tensor([1e-7, 1e-3, 2.0, 300.0])).to(COMPLEX)
    scale = torch.tensor([0.0, 1e-5, 1.0, 10.0], dtype=DOUBLE)
    scaled = scale[:, None] * z
    exact = torch.expm1(scaled) if method == "zoh" else scaled / (1 - scaled / 2)
    found = increment(z.to(dtype.to_complex()), scale.to(dtype), method).to(COMPLEX)
    # The largest angle, 3000, is off by 3000 eps in itself, but its transition is below e^-500.
    assert ((found - exact).abs() <= 4 * torch.finfo(dtype).eps * exact.abs()).all()
