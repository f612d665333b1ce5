"""S5: one layer in all its modes, which have to agree, and what is known of its response in closed form."""

import copy
import math

import pytest
import torch

from sciml.errors import ConfigError, ShapeError
from sciml.ssm.s5 import S5, S5PTD

FEATURES, BATCH, LENGTH = 3, 2, 37
LENGTHS = torch.tensor([37, 20])
VARIANTS = [
    {},
    {"conjugate": False},
    {"discretization": "bilinear"},
    {"init": "ptd", "blocks": 2},
    {"clip_eigenvalues": True, "step_rescale": 2.0},
]
variants = pytest.mark.parametrize("options", VARIANTS, ids=str)
# What the modes of a layer may differ by: rounding of float32 through 37 steps; of float64.
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}
precisions = pytest.mark.parametrize("dtype", TOLERANCES, ids=["float32", "float64"])


def make(dtype=torch.float64, seed=0, **options):
    options = {"state": 8, "generator": torch.Generator().manual_seed(seed), **options}
    return S5(FEATURES, **options).to(dtype)


def signal(dtype=torch.float64, length=LENGTH, seed=1):
    return torch.randn(BATCH, length, FEATURES, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def scales(length=LENGTH):
    return 3 * torch.rand(BATCH, length, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


class First(torch.nn.Module):
    """The outputs of a layer alone."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, u):
        return self.layer(u)[0]


def assert_near(found, expected, tolerance):
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * expected.abs().max().item())


@precisions
@pytest.mark.parametrize("irregular", [False, True])
@variants
def test_steps_are_the_sequence(options, irregular, dtype):
    layer, u, scale = make(dtype, **options), signal(dtype), scales().to(dtype)
    y, last = layer(u, step_scale=scale if irregular else None)
    state, outputs = layer.initial_state(BATCH), []
    for t in range(LENGTH):
        y_t, state = layer.step(u[:, t], state, step_scale=scale[:, t] if irregular else None)
        outputs.append(y_t)
    assert_near(torch.stack(outputs, dim=1), y, TOLERANCES[dtype])
    assert_near(state, last, TOLERANCES[dtype])


@precisions
@variants
def test_a_sequence_in_parts_is_the_whole(options, dtype):
    layer, u, scale = make(dtype, **options), signal(dtype), scales().to(dtype)
    whole, last = layer(u, step_scale=scale)
    state, outputs = None, []
    for part in (slice(0, 10), slice(10, 11), slice(11, LENGTH)):
        y, state = layer(u[:, part], state=state, step_scale=scale[:, part])
        outputs.append(y)
    assert_near(torch.cat(outputs, dim=1), whole, TOLERANCES[dtype])
    assert_near(state, last, TOLERANCES[dtype])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("irregular", [False, True])
def test_a_padded_sequence_is_what_it_is_alone(irregular, bidirectional):
    layer, u, scale = make(bidirectional=bidirectional), signal(), scales()
    garbage = torch.arange(LENGTH) >= LENGTHS[:, None]
    u[garbage], scale[garbage] = torch.nan, -1.0
    y, last = layer(u, LENGTHS, step_scale=scale if irregular else None)
    for i, n in enumerate(LENGTHS):
        one = slice(i, i + 1)
        alone, state = layer(u[one, :n], step_scale=scale[one, :n] if irregular else None)
        torch.testing.assert_close(y[one, :n], alone)
        if not bidirectional:
            torch.testing.assert_close(last[one], state)
    assert not y[garbage].any()
    y.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def test_a_sequence_that_has_ended_keeps_its_state():
    layer, state = make(), torch.randn(BATCH, 4, dtype=torch.complex128)
    y, last = layer(signal(), torch.tensor([0, 5]), state)
    assert torch.equal(last[0], state[0])
    assert not torch.equal(last[1], state[1])
    assert not y[0].any()


@pytest.mark.parametrize("irregular", [False, True])
def test_a_bidirectional_layer_does_not_know_which_end_is_the_first(irregular):
    layer = make(bidirectional=True)
    mirrored = copy.deepcopy(layer)
    mirrored.output.data = torch.cat(layer.output.chunk(2, dim=1)[::-1], dim=1)
    u, scale = signal(), scales()
    y, _ = layer(u, step_scale=scale if irregular else None)
    flipped, _ = mirrored(u.flip(1), step_scale=scale.flip(1) if irregular else None)
    torch.testing.assert_close(flipped.flip(1), y)


def test_a_bidirectional_layer_is_one_layer_a_direction():
    layer, u = make(bidirectional=True), signal()
    forward, backward = make(), make()
    for one, C in zip((forward, backward), layer.output.chunk(2, dim=1), strict=True):
        one.load_state_dict({**layer.state_dict(), "output": C})
    torch.nn.init.zeros_(backward.skip)
    expected = forward(u)[0] + backward(u.flip(1))[0].flip(1)
    torch.testing.assert_close(layer(u)[0], expected)


def test_conjugate_pairs_do_what_all_eigenvalues_do():
    pairs, full = make(), make(conjugate=False)
    mirror = torch.tensor([1.0, -1.0])  # conjugates a real pair
    for name, axis in (("eigenvalues", 0), ("input", 0), ("output", 1)):
        half = getattr(pairs, name).data
        getattr(full, name).data = torch.cat([half, half * mirror], dim=axis)
    full.log_step.data, full.skip.data = pairs.log_step.data.repeat(2), pairs.skip.data
    torch.testing.assert_close(full(signal())[0], pairs(signal())[0])


@pytest.mark.parametrize("irregular", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@variants
def test_both_methods_agree_in_values_and_gradients(options, bidirectional, irregular):
    results = []
    for method in ("scan", "associative"):
        layer = make(method=method, bidirectional=bidirectional, **options)
        u, scale = signal().requires_grad_(), scales().requires_grad_()
        y, last = layer(u, LENGTHS, step_scale=scale if irregular else None)
        loss = (y * signal(seed=3)).sum() + (0 if last is None else last.abs().square().sum())
        inputs = [u, *layer.parameters(), *([scale] if irregular else [])]
        results.append([y, *torch.autograd.grad(loss, inputs)])
    for fast, plain in zip(*results, strict=True):
        assert_near(fast, plain, 1e-10)


@variants
def test_equal_steps_are_regular_ones(options):
    layer, u = make(**options), signal()
    torch.testing.assert_close(layer(u, step_scale=torch.ones(BATCH, LENGTH))[0], layer(u)[0])
    tripled, _ = layer(u, step_scale=torch.full((BATCH, LENGTH), 3.0))
    layer.step_rescale *= 3
    torch.testing.assert_close(tripled, layer(u)[0])


def test_an_input_held_for_twice_the_time_is_the_same_input_twice():
    layer, u = make(), signal()
    held, last = layer(u, step_scale=torch.full((BATCH, LENGTH), 2.0))
    twice, last_twice = layer(u.repeat_interleave(2, dim=1))
    torch.testing.assert_close(held, twice[:, 1::2])
    torch.testing.assert_close(last, last_twice)


def test_no_time_changes_no_state():
    layer, state = make(), torch.randn(BATCH, 4, dtype=torch.complex128)
    _, last = layer(signal(), state=state, step_scale=torch.zeros(BATCH, LENGTH))
    torch.testing.assert_close(last, state, rtol=0, atol=0)


@pytest.mark.parametrize("discretization", ["zoh", "bilinear"])
def test_a_constant_input_ends_at_the_gain_of_the_continuous_system(discretization):
    layer = make(steps=(0.1, 0.5), discretization=discretization)
    system, u = layer.continuous_system(), torch.ones(1, 1000, FEATURES, dtype=torch.float64)
    y, _ = layer(u)
    gain = -2 * (system.output[0] / system.eigenvalues[0] @ system.input[0]).real
    # exp(-1/2 * 0.1 * 1000) of the start is left, far below rounding.
    torch.testing.assert_close(y[0, -1], gain.sum(1) + layer.skip.detach())


def test_the_backward_half_of_a_continuous_system_stands_behind_the_forward_half():
    system = make(bidirectional=True).continuous_system()
    assert system.output.shape == (1, 2 * FEATURES, 4)
    assert system.step.shape == system.eigenvalues.shape == (1, 4)


@pytest.mark.parametrize("irregular", [False, True])
@pytest.mark.parametrize("step", [1e-5, 10.0])
@pytest.mark.parametrize("discretization", ["zoh", "bilinear"])
def test_nothing_overflows_over_65536_steps(discretization, step, irregular):
    layer = make(torch.float32, state=4, init="ptd", steps=(step, step), discretization=discretization)
    u = torch.randn(1, 65536, FEATURES, generator=torch.Generator().manual_seed(0))
    y, last = layer(u, step_scale=torch.rand(1, 65536) if irregular else None)
    (y.square().mean() + last.abs().sum()).backward()
    assert y.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_that_of_inputs_and_outputs_alone(dtype):
    layer, u = make(torch.float32), signal(torch.float32).to(dtype)
    exact, _ = layer(u.float())
    y, last = layer(u)
    assert y.dtype == dtype
    assert last.dtype == torch.complex64
    assert torch.equal(y, exact.to(dtype))
    layer_low, _ = copy.deepcopy(layer).to(dtype)(u)
    assert layer_low.dtype == dtype


def test_autocast_leaves_the_recurrence_in_single_precision():
    results = []
    for enabled in (False, True):
        layer, u = make(torch.float32), signal(torch.float32).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y, _ = layer(u)
            y.square().sum().backward()
        results.append([y, u.grad, *(parameter.grad for parameter in layer.parameters())])
    for plain, cast in zip(*results, strict=True):
        assert torch.equal(plain, cast)


def test_the_input_matrix_is_drawn_in_the_basis_before_diagonalisation():
    state, drawn = 64, []
    for init in ("legs", "ptd"):
        layer = S5(50, state=state, init=init, generator=torch.Generator().manual_seed(0)).double()
        B = torch.view_as_complex(layer.input.detach())
        drawn.append(2 * (layer.vectors @ B).real)
    # Parameters are float32, and the eigenvectors of PTD are conditioned like 1.9 / tau = 19.
    torch.testing.assert_close(drawn[0], drawn[1], rtol=0, atol=1e-5)
    # 3200 numbers: their standard deviation scatters by 1 / sqrt(6400), 1.3 %.
    assert drawn[0].std().item() == pytest.approx(state**-0.5, rel=0.05)


@pytest.mark.parametrize(
    ("output_init", "std"),
    [("truncated_normal", 64**-0.5), ("lecun_normal", (64 * 50) ** -0.5), ("complex_normal", 0.5**0.5)],
)
def test_outputs_start_as_large_as_published(output_init, std):
    layer = S5(50, state=64, output_init=output_init, generator=torch.Generator().manual_seed(0))
    assert layer.output.std().item() == pytest.approx(std, rel=0.05)


def test_eigenvalues_and_steps_start_where_they_should():
    layer = make(state=12, blocks=3, steps=(1e-4, 1e-2))
    one, *others = layer.eigenvalues.detach().chunk(3)
    assert all(torch.equal(one, other) for other in others)
    torch.testing.assert_close(one[:, 0], torch.full((2,), -0.5, dtype=torch.float64))
    steps = S5(1, state=2000, blocks=1000, steps=(1e-4, 1e-2)).log_step.exp()
    assert 1e-4 <= steps.min() < 1.2e-4
    assert 0.8e-2 < steps.max() <= 1e-2
    assert steps.median().item() == pytest.approx(1e-3, rel=0.3)


def test_clipped_eigenvalues_cannot_be_unstable():
    layer = make(clip_eigenvalues=True)
    layer.eigenvalues.data[:, 0] = 3.0
    y, _ = layer(signal(length=5000))
    assert y.isfinite().all()
    assert layer.continuous_system().eigenvalues.real.max().item() == pytest.approx(-1e-4)


def test_parameters_are_real_and_have_one_role_each():
    layer = make(bidirectional=True)
    groups = layer.parameter_groups()
    assert set(groups) == {"eigenvalues", "step", "input", "output", "skip"}
    listed = [parameter for group in groups.values() for parameter in group]
    assert len(listed) == len(set(map(id, listed))) == len(list(layer.parameters()))
    assert not any(parameter.is_complex() for parameter in listed)


def test_the_same_generator_gives_the_same_layer_and_ptd_is_an_init():
    settings = {"state": 8, "tau": 0.2}
    one = S5PTD(FEATURES, generator=torch.Generator().manual_seed(7), **settings)
    two = S5(FEATURES, init="ptd", generator=torch.Generator().manual_seed(7), **settings)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert one.chosen_method(1024, 8) == "scan"


def test_a_layer_can_start_from_any_system():
    from sciml.ssm.systems import initial_system

    system = initial_system("lin", 4)
    layer = S5(FEATURES, state=8, blocks=2, init=system)
    torch.testing.assert_close(torch.view_as_complex(layer.eigenvalues.detach()).imag, torch.tensor([0, math.pi] * 2))
    with pytest.raises(ConfigError, match="system of size 4"):
        S5(FEATURES, state=8, init=system)


def test_gradients_flow_into_the_state_that_came_in():
    layer, state = make(), torch.randn(BATCH, 4, dtype=torch.complex128, requires_grad=True)
    layer(signal(), state=state)[0].sum().backward()
    assert state.grad.abs().min() > 0


def test_a_compiled_model_is_the_same():
    layer, u = make(), signal()
    model = torch.nn.Sequential(torch.nn.Linear(FEATURES, FEATURES).double(), First(layer), torch.nn.GELU())
    torch.testing.assert_close(torch.compile(model, backend="eager")(u), model(u))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": 7}, "7.*even"),
        ({"state": 12, "blocks": 5}, "5 blocks.*size 12"),
        ({"blocks": 0}, "0 blocks"),
        ({"init": "hippo"}, "hippo.*legs"),
        ({"init": "ptd", "tau": 0.0}, r"tau is 0.*\(0, 1\]"),
        ({"steps": (0.1, 0.01)}, "steps is"),
        ({"discretization": "euler"}, "euler.*zoh"),
        ({"output_init": "zeros"}, "zeros.*truncated_normal"),
        ({"method": "fft"}, "fft.*scan"),
    ],
)
def test_settings_that_cannot_work_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda layer, u: layer(u[..., :2]), "3 features"),
        (lambda layer, u: layer(u[0]), "batch axis"),
        (lambda layer, u: layer(u.long()), "int64.*real numbers"),
        (lambda layer, u: layer(u[:, :0]), "0 steps"),
        (lambda layer, u: layer(u, torch.tensor([38, 2])), "2 to 38.*37 steps"),
        (lambda layer, u: layer(u, torch.tensor([3])), "2 whole numbers"),
        (lambda layer, u: layer(u, torch.tensor([3.0, 2.0])), "float32.*whole numbers"),
        (lambda layer, u: layer(u, state=layer.initial_state(3)), r"\(3, 4\).*\(2, 4\)"),
        (lambda layer, u: layer(u, state=torch.zeros(2, 4)), "float32.*complex"),
        (lambda layer, u: layer(u, step_scale=torch.ones(37)), r"\(37,\).*\(2, 37\)"),
        (lambda layer, u: layer(u, step_scale=-torch.ones(2, 37)), "sorted"),
        (lambda layer, u: layer.step(u, layer.initial_state(2)), r"\(batch, feature\)"),
    ],
)
def test_arguments_that_do_not_fit_are_named(call, message):
    with pytest.raises((ShapeError, ConfigError), match=message):
        call(make(), signal())


@pytest.mark.parametrize(
    "call",
    [
        lambda layer, u: layer(u, state=layer.initial_state(BATCH)),
        lambda layer, u: layer.step(u[:, 0], layer.initial_state(BATCH)),
    ],
)
def test_a_bidirectional_layer_says_that_it_needs_the_whole_sequence(call):
    with pytest.raises(ConfigError, match="whole sequence"):
        call(make(bidirectional=True), signal())
