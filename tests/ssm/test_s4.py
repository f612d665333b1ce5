import pytest
import torch

from sciml.errors import ConfigError
from sciml.ssm.hippo import hippo_legs
from sciml.ssm.low_rank import as_column, as_row, discretize_low_rank, low_rank_kernel, squares, squares_needed
from sciml.ssm.s4 import S4

from .test_s4d import assert_close, signal, step_by_step

PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])


def layer(features=4, *, dtype=torch.float64, seed=0, **settings):
    settings = {"state": 16, **settings}
    return S4(features, generator=torch.Generator().manual_seed(seed), **settings).to(dtype)


def test_a_fresh_layer_is_hippo_legs_under_the_bilinear_rule():
    """Against the dense matrix of HiPPO in its own basis: an independent road to the same kernel."""
    state, length = 16, 40
    net = layer(3, state=state, skip=False)
    A, B = hippo_legs(state)
    impulse = torch.zeros(1, length, 3, dtype=torch.float64)
    impulse[:, 0] = 1
    found = net(impulse)[0][0]
    system, eye = net.continuous_system(), torch.eye(state, dtype=torch.float64)
    for h in range(3):
        inverse = torch.linalg.inv(eye - system.step[h] / 2 * A)
        x = system.step[h] * inverse @ B
        # y = 2 Re(c V^* x), with the rows of V^* that belong to the pairs that are kept.
        row = 2 * (system.output[h, 0].to(torch.complex128) @ net.vectors.mH).real
        for i in range(length):
            # The parameters were drawn in float32, of which eigenvalues are the largest.
            assert found[i, h].item() == pytest.approx((row @ x).item(), abs=1e-6)
            x = inverse @ (x + system.step[h] / 2 * (A @ x))


@PRECISIONS
@pytest.mark.parametrize("length", [1, 2, 33, 200])
def test_steps_and_sequences_give_the_same_outputs_and_state(dtype, tolerance, length):
    net, u = layer(dtype=dtype), signal(2, length, dtype=dtype)
    with torch.no_grad():
        y, state = net(u)
        expected, states = step_by_step(net, u)
    assert_close(y, expected, tolerance)
    assert_close(state, states[:, -1], tolerance)


@PRECISIONS
def test_a_sequence_in_parts_equals_the_whole(dtype, tolerance):
    net, u = layer(dtype=dtype), signal(2, 300, dtype=dtype)
    with torch.no_grad():
        whole, last = net(u)
        state, parts = None, []
        for part in u.split([130, 1, 64, 105], dim=1):
            y, state = net(part, state=state)
            parts.append(y)
    assert_close(torch.cat(parts, dim=1), whole, tolerance)
    assert_close(state, last, tolerance)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_padded_batch_equals_its_sequences_one_by_one(bidirectional):
    net, u = layer(bidirectional=bidirectional), signal(4, 150)
    start = None if bidirectional else torch.full_like(net.initial_state(4), 0.2 - 0.1j)
    lengths = torch.tensor([150, 97, 1, 0])
    y, state = net(u, lengths, start)
    for i, length in enumerate(lengths.tolist()):
        assert (y[i, length:] == 0).all()
        if length:
            alone, last = net(u[i : i + 1, :length], state=None if start is None else start[i : i + 1])
            torch.testing.assert_close(y[i, :length], alone[0], rtol=0, atol=1e-12)
            if not bidirectional:
                torch.testing.assert_close(state[i], last[0], rtol=0, atol=1e-12)
    if not bidirectional:
        torch.testing.assert_close(state[3], start[3], rtol=0, atol=0)


@pytest.mark.parametrize("length", [1, 2, 3, 16, 17, 100])
def test_the_kernel_is_the_powers_of_the_transition_one_by_one(length):
    net = layer(2)
    transition, C = net._discrete(torch.float64)
    matrices, B = squares(transition, squares_needed(length)), as_column(transition.input)
    found = low_rank_kernel(matrices, B, as_row(C)[:, :, 0], length)[:, 0, 0]
    x = B
    for i in range(length):
        torch.testing.assert_close(found[:, i], (as_row(C)[:, 0] @ x)[:, 0, 0], rtol=0, atol=1e-13)
        x = matrices[0] @ x


def test_no_power_of_the_transition_is_larger_than_one():
    transition, _ = layer(3, state=64, steps=(1e-3, 10.0))._discrete(torch.float64)
    for matrix in squares(transition, 17):
        assert torch.linalg.matrix_norm(matrix, 2).max() <= 1 + 1e-12


def test_gradients_match_finite_differences():
    generator = torch.Generator().manual_seed(0)
    lam, p, B = torch.randn(3, 2, 3, dtype=torch.complex128, generator=generator)
    step = torch.tensor([[0.3], [0.8]], dtype=torch.float64)

    def kernel(lam, p, B, step):
        transition = discretize_low_rank(torch.complex(-lam.real.abs(), lam.imag), p, B, step)
        return low_rank_kernel(squares(transition, 3), as_column(transition.input), as_row(p), 7)

    assert torch.autograd.gradcheck(kernel, [t.requires_grad_() for t in (lam, p, B, step)])


@pytest.mark.parametrize("step", [1e-5, 1e-3, 10.0])
def test_long_sequences_have_finite_outputs_and_gradients(step):
    net = layer(1, dtype=torch.float32, state=64, steps=(step, step))
    y, state = net(signal(1, 65536, 1, dtype=torch.float32))
    (y.square().mean() + state.abs().square().mean()).backward()
    assert y.isfinite().all()
    for parameter in net.parameters():
        assert parameter.grad.isfinite().all()


def test_parameters_are_real_and_each_has_one_role():
    net = layer(bidirectional=True)
    groups = net.parameter_groups()
    assert sorted(id(p) for group in groups.values() for p in group) == sorted(map(id, net.parameters()))
    assert not any(p.is_complex() for p in net.parameters())


def test_the_input_is_clipped_only_on_demand():
    assert torch.view_as_complex(layer(state=64).input).abs().max() > 20
    assert torch.view_as_complex(layer(state=64, clip_input=True).input).abs().max() <= 2


def test_another_init_is_refused_and_points_to_s4d():
    with pytest.raises(ConfigError, match="S4D"):
        layer(init="ptd")
