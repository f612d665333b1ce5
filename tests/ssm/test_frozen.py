"""Frozen models: the same steps, prepared once, and again whenever parameters change."""

import pytest
import torch

from sciml.errors import ConfigError, ShapeError
from sciml.ssm import S4, S4D, S5, frozen
from sciml.ssm.network import LAYERS

from .test_network import CLOSE, model, sequences


def make(name="s5_ptd", seed=0):
    torch.manual_seed(seed)
    return LAYERS[name](6, state=8).double()


def step(layer, **options):
    """Output of a step from a state that is not zero."""
    generator = torch.Generator().manual_seed(2)
    state = torch.randn(layer.initial_state(3).shape, dtype=torch.complex128, generator=generator)
    return layer.step(torch.randn(3, 6, dtype=torch.float64, generator=generator), state, **options)


@pytest.fixture
def prepared(monkeypatch):
    """Counts how often a layer prepares its matrices."""
    calls = []

    def counting(original):
        return lambda *args, **options: (calls.append(original), original(*args, **options))[1]

    for cls, name in ((S4, "_discrete"), (S4D, "_discrete"), (S5, "_matrices")):
        monkeypatch.setattr(cls, name, counting(getattr(cls, name)))
    return calls


@pytest.mark.parametrize("layer", LAYERS)
def test_steps_of_a_frozen_model_are_those_of_the_whole_sequence_to_the_last_bit_of_a_step(layer):
    net = model(layer, pooling="none")
    x = sequences()
    whole, state, left = net(x), net.initial_state(3), net.initial_state(3)
    with frozen(net):
        for k in range(x.shape[1]):
            y, state = net.step(x[:, k], state)
            with torch.enable_grad():  # which keeps nothing
                expected, left = net.step(x[:, k], left)
            torch.testing.assert_close((y, state), (expected, left), rtol=0, atol=0)
            torch.testing.assert_close(y, whole[:, k], **CLOSE)


@pytest.mark.parametrize("name", LAYERS)
def test_a_frozen_layer_prepares_once_and_a_layer_that_is_not_prepares_at_every_step(name, prepared):
    layer = make(name)
    with frozen(layer):
        for _ in range(4):
            step(layer)
    assert len(prepared) == 1
    for _ in range(4):
        step(layer)
    assert len(prepared) == 5
    with frozen(layer):
        step(layer)
    assert len(prepared) == 6


def in_place(layer):
    layer.output.mul_(2)


def by_an_optimiser(layer):
    layer.log_step.grad = torch.ones_like(layer.log_step)
    torch.optim.SGD([layer.log_step], lr=0.1).step()


def by_loading(layer):
    layer.load_state_dict(make("s5_ptd" if isinstance(layer, S5) else "s4d", seed=1).state_dict())


def by_another_precision(layer):
    layer.half()


@pytest.mark.parametrize("name", ["s4d", "s5_ptd"])
@pytest.mark.parametrize("change", [in_place, by_an_optimiser, by_loading, by_another_precision])
def test_a_change_of_parameters_is_noticed(name, change):
    layer = make(name)
    with frozen(layer):
        before, _ = step(layer)
        change(layer)
        after, _ = step(layer)
    assert (after - before).abs().max() > 1e-9
    torch.testing.assert_close(after, step(layer)[0], rtol=0, atol=0)


def test_a_rescaled_step_and_irregular_steps_are_kept_apart():
    layer, scale = make("s5"), torch.full((3,), 2.0, dtype=torch.float64)
    with frozen(layer):
        once, _ = step(layer)
        twice, _ = step(layer, step_scale=scale)
        layer.step_rescale = 2.0
        rescaled, _ = step(layer)
    torch.testing.assert_close(twice, rescaled, **CLOSE)
    assert (once - twice).abs().max() > 1e-6


def test_there_are_no_gradients_unless_they_are_switched_on_again():
    layer = make("s4d")
    with frozen(layer):
        assert not step(layer)[0].requires_grad
        with torch.enable_grad():
            step(layer)[0].sum().backward()
    expected = layer.input.grad.clone()
    assert step(layer)[0].requires_grad
    layer.zero_grad()
    step(layer)[0].sum().backward()
    torch.testing.assert_close(layer.input.grad, expected, rtol=0, atol=0)


def test_an_inner_context_and_an_error_leave_the_outer_one_as_it_was(prepared):
    layer = make()
    with frozen(layer):
        step(layer)
        with frozen(layer):
            step(layer)
        with pytest.raises(ShapeError), frozen(layer):
            layer.step(torch.zeros(3, 5), layer.initial_state(3))
        step(layer)
    assert len(prepared) == 2
    step(layer)
    assert len(prepared) == 3


def test_parameters_whose_changes_cannot_be_noticed_are_refused():
    with torch.inference_mode():
        layer = make()
    with pytest.raises(ConfigError, match=r"inference_mode.*outside"), frozen(layer):
        pass
