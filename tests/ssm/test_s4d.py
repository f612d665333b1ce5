import pytest
import torch

from sciml.errors import ConfigError, ShapeError
from sciml.ssm.s4d import LONGEST_FFT, S4D, S4PTD
from sciml.ssm.systems import DiagonalSystem, initial_system

METHODS = pytest.mark.parametrize("method", ["fft", "chunked"])
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])


def layer(features=4, *, dtype=torch.float64, seed=0, **settings):
    settings = {"state": 16, **settings}
    return S4D(features, generator=torch.Generator().manual_seed(seed), **settings).to(dtype)


def signal(batch, length, features=4, *, dtype=torch.float64, seed=1):
    return torch.randn(batch, length, features, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def step_by_step(net, u, state=None):
    """Outputs of ``step`` on every sample, and the state after each."""
    state, outputs, states = net.initial_state(len(u)) if state is None else state, [], []
    for i in range(u.shape[1]):
        y, state = net.step(u[:, i], state)
        outputs.append(y)
        states.append(state)
    return torch.stack(outputs, dim=1), torch.stack(states, dim=1)


def assert_close(found, expected, tolerance):
    """Largest difference against the largest value."""
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@METHODS
@PRECISIONS
@pytest.mark.parametrize("discretization", ["zoh", "bilinear"])
@pytest.mark.parametrize("init", ["legs", "lin", "inv", "ptd"])
def test_steps_and_sequences_give_the_same_outputs_and_state(method, dtype, tolerance, discretization, init):
    net = layer(dtype=dtype, method=method, discretization=discretization, init=init)
    u = signal(2, 100, dtype=dtype)
    with torch.no_grad():
        y, state = net(u)
        expected, states = step_by_step(net, u)
    assert_close(y, expected, tolerance)
    assert_close(state, states[:, -1], tolerance)


@METHODS
@PRECISIONS
def test_a_sequence_in_parts_equals_the_whole(method, dtype, tolerance):
    net, u = layer(dtype=dtype, method=method), signal(2, 500, dtype=dtype)
    with torch.no_grad():
        whole, last = net(u)
        state, parts = None, []
        for part in u.split([130, 1, 64, 305], dim=1):
            y, state = net(part, state=state)
            parts.append(y)
    assert_close(torch.cat(parts, dim=1), whole, tolerance)
    assert_close(state, last, tolerance)


@METHODS
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_padded_batch_equals_its_sequences_one_by_one(method, bidirectional):
    net, u = layer(method=method, bidirectional=bidirectional), signal(4, 150)
    lengths = torch.tensor([150, 97, 1, 0])
    padded = u.masked_fill((torch.arange(150) >= lengths[:, None])[..., None], float("nan"))
    y, state = net(padded, lengths)
    for i, length in enumerate(lengths.tolist()):
        assert (y[i, length:] == 0).all()
        if length:
            alone, last = net(u[i : i + 1, :length])
            torch.testing.assert_close(y[i, :length], alone[0], rtol=0, atol=1e-12)
            if not bidirectional:
                torch.testing.assert_close(state[i], last[0], rtol=0, atol=1e-12)
    if bidirectional:
        assert state is None
    else:
        assert (state[3] == 0).all()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_both_methods_agree_in_outputs_and_gradients(bidirectional):
    u, lengths = signal(3, 200).requires_grad_(), torch.tensor([200, 130, 7])
    found = []
    for method in ("fft", "chunked"):
        net = layer(method=method, bidirectional=bidirectional)
        state = None if bidirectional else torch.full_like(net.initial_state(3), 0.3 + 0.1j)
        y, last = net(u, lengths, state)
        loss = (y * torch.cos(torch.arange(200.0))[:, None]).sum() + (0 if last is None else last.real.sum())
        found.append([y, *torch.autograd.grad(loss, [u, *net.parameters()])])
    for one, other in zip(*found, strict=True):
        assert_close(one, other, 1e-11)


def test_the_second_kernel_of_a_bidirectional_layer_starts_at_the_next_sample():
    net = layer(bidirectional=True, skip=False)
    impulse = torch.zeros(1, 9, 4, dtype=torch.float64)
    impulse[:, 4] = 1
    causal, ahead = layer(skip=False), layer(skip=False)
    for one, row in ((causal, 0), (ahead, 1)):
        one.load_state_dict({**net.state_dict(), "output": net.output[:, row : row + 1]})
    first = impulse.roll(-4, dims=1)
    torch.testing.assert_close(net(impulse)[0][:, 4:], causal(first)[0][:, :5], rtol=0, atol=1e-13)
    torch.testing.assert_close(net(impulse)[0][:, :4].flip(1), ahead(first)[0][:, :4], rtol=0, atol=1e-13)


@METHODS
@pytest.mark.parametrize("step", [1e-5, 1e-3, 10.0])
def test_long_sequences_have_finite_outputs_and_gradients(method, step):
    net = layer(1, dtype=torch.float32, state=64, init="ptd", steps=(step, step), method=method)
    y, state = net(signal(1, 65536, 1, dtype=torch.float32))
    (y.square().mean() + state.abs().square().mean()).backward()
    assert y.isfinite().all()
    for parameter in net.parameters():
        assert parameter.grad.isfinite().all()


@METHODS
def test_the_core_runs_in_single_precision_under_autocast(method):
    net, u = layer(dtype=torch.float32, method=method), signal(2, 100, dtype=torch.float32).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = net(u)
    assert y.dtype == torch.bfloat16
    assert state.dtype == torch.complex64
    # The only rounding is that of the output: half a unit in the last of 8 bits.
    assert ((y.float() - net(u.float())[0]).abs() <= 2**-8 * net(u.float())[0].abs() + 1e-6).all()


def test_auto_says_what_it_picks():
    assert layer().chosen_method(1024, 8) == "fft"
    assert layer().chosen_method(LONGEST_FFT + 1, 8) == "chunked"
    assert layer(bidirectional=True).chosen_method(65536, 8) == "fft"
    assert layer(method="fft").chosen_method(65536, 8) == "fft"


def test_parameters_are_real_and_each_has_one_role():
    net = layer(bidirectional=True)
    groups = net.parameter_groups()
    assert list(groups) == ["eigenvalues", "step", "input", "output", "skip"]
    assert sorted(id(p) for group in groups.values() for p in group) == sorted(map(id, net.parameters()))
    assert not any(p.is_complex() for p in net.parameters())
    assert layer(trainable_step=False).parameter_groups()["step"] == []
    assert layer(skip=False).parameter_groups()["skip"] == []


def test_a_fresh_layer_is_the_system_it_was_asked_for():
    system = initial_system("ptd", 32, tau=0.2)
    found = layer(3, state=32, init="ptd", tau=0.2).continuous_system()
    # The parameters are float32 when they are drawn.
    torch.testing.assert_close(found.eigenvalues[2], system.eigenvalues, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.input[1, :, 0], system.input, rtol=1e-6, atol=0)
    assert found.output.shape == (3, 1, 16)
    assert found.vectors.shape == (32, 16)
    assert S4PTD(3, state=32, tau=0.2).eigenvalues.equal(
        layer(3, state=32, init=system, dtype=torch.float32).eigenvalues
    )


def test_a_system_of_unpaired_eigenvalues_gives_the_same_layer_as_its_pairs():
    pairs = initial_system("legs", 8)
    one, other = layer(init=pairs), layer(init=pairs.unpaired())
    with torch.no_grad():
        for name in ("input", "output", "eigenvalues"):
            mine = getattr(one, name)
            conjugate = mine * torch.tensor([1.0, 1.0 if name == "eigenvalues" else -1.0])
            if name == "eigenvalues":
                conjugate = torch.stack([mine[..., 0], -mine[..., 1]], dim=-1)
            getattr(other, name).copy_(torch.cat([mine, conjugate], dim=-2))
        u = signal(2, 50)
        torch.testing.assert_close(one(u)[0], other(u)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: layer(state=15), ConfigError, "even"),
        (lambda: layer(init="ptd", tau=1.5), ConfigError, "tau"),
        (lambda: layer(steps=(0.1, 0.01)), ConfigError, "steps"),
        (lambda: layer(method="magic"), ConfigError, "fft, chunked"),
        (lambda: layer(discretization="euler"), ConfigError, "zoh, bilinear"),
        (lambda: layer()(signal(2, 10, 5)), ShapeError, "4 features"),
        (lambda: layer()(signal(2, 0)), ShapeError, "0 steps"),
        (lambda: layer()(signal(2, 10), torch.tensor([10, 11])), ShapeError, "11"),
        (lambda: layer()(signal(2, 10), state=layer().initial_state(3)), ShapeError, r"\(2, 4, 8\)"),
        (
            lambda: layer(bidirectional=True)(signal(2, 10), state=layer().initial_state(2)),
            ConfigError,
            "bidirectional",
        ),
        (lambda: layer(bidirectional=True).step(signal(2, 1)[:, 0], layer().initial_state(2)), ConfigError, "step"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_unstable_system_is_refused():
    system = initial_system("legs", 4)
    unstable = DiagonalSystem(
        eigenvalues=system.eigenvalues + 1, input=system.input, vectors=system.vectors, conjugate=True
    )
    with pytest.raises(ConfigError, match=r"real part 0\.5"):
        layer(init=unstable)
