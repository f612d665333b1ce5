import math

import pytest
import torch

from sciml.barron.ridge import RidgeNet
from sciml.errors import CheckpointError, ConfigError, ShapeError
from tests.barron.networks import assert_same, random_net, random_points

ACTIVATIONS = ["cos", "sin", "tanh", "relu", "relu^2", "relu^3"]
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
bending = pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "relu"])


def random_ridge(activation, *, units=8, seed=0) -> RidgeNet:
    generator = torch.Generator().manual_seed(seed)
    weights, rest = torch.randn(units, 3, generator=generator), torch.randn(2, units, generator=generator)
    return RidgeNet(weights, rest[0], rest[1], activation).requires_grad_(False)


@pytest.mark.parametrize(
    ("activation", "value"),
    [("cos", math.cos(1.0)), ("sin", math.sin(1.0)), ("tanh", math.tanh(1.0)), ("relu", 1.0), ("relu^3", 1.0)],
)
def test_values_are_those_of_the_formula(activation, value):
    net = RidgeNet([[2.0, 1.0], [-1.0, 0.0]], [0.0, -3.0], [5.0, 1.0], activation)
    at = torch.tensor([[0.25, 0.5]])  # phases 1 and -3.25
    other = {"cos": math.cos(3.25), "sin": -math.sin(3.25), "tanh": -math.tanh(3.25)}.get(activation, 0.0)
    assert net(at).item() == pytest.approx(5 * value + other, rel=1e-14)


@every_activation
def test_the_gradient_is_that_of_automatic_differentiation(activation):
    net, x = random_ridge(activation), random_points(20).requires_grad_()
    assert_same(net.gradient(x), torch.autograd.grad(net(x).sum(), x)[0])


@bending
def test_second_derivatives_are_those_of_automatic_differentiation(activation):
    net, x, directions = random_ridge(activation), random_points(20).requires_grad_(), random_points(20, seed=3)
    gradient = net.gradient(x)
    hessian = torch.stack([torch.autograd.grad(g.sum(), x, retain_graph=True)[0] for g in gradient.unbind(1)], dim=1)
    assert_same(net.laplacian(x), hessian.diagonal(dim1=1, dim2=2).sum(1))
    assert_same(net.second_derivatives(x, directions), torch.einsum("pi,pij,pj->p", directions, hessian, directions))
    assert_same(
        net.second_derivatives(x, directions[0]), torch.einsum("i,pij,j->p", directions[0], hessian, directions[0])
    )


def test_relu_has_no_second_derivative():
    with pytest.raises(ConfigError, match="take 'relu\\^2'"):
        random_ridge("relu").laplacian(random_points(2))


def test_norms_are_those_of_the_formulas():
    weights, biases, outer = [[3.0, 4.0], [0.0, 1.0]], [1.0, -2.0], [2.0, -1.0]
    expected = {"cos": 2 * 6 + 2, "sin": 2 * 6 + 2, "tanh": 2 * 8 + 3, "relu": 2 * 8 + 3, "relu^2": 2 * 64 + 9}
    for activation, norm in expected.items():
        assert RidgeNet(weights, biases, outer, activation).barron().item() == pytest.approx(norm, rel=1e-14)
    assert RidgeNet(weights, biases, outer, "cos").barron(2).item() == pytest.approx(2 * 36 + 4, rel=1e-14)
    with pytest.raises(ConfigError, match="path norm has none"):
        RidgeNet(weights, biases, outer, "tanh").barron(2)


@pytest.mark.parametrize("activation", ["cos", "sin"])
def test_waves_that_cancel_have_no_norm(activation):
    # s(z + pi) = -s(z), and -w is the same wave as w.
    net = RidgeNet([[1.0, 2.0], [1.0, 2.0]], [0.3, 0.3 + math.pi], [1.0, 1.0], activation)
    assert net.barron().item() < 1e-14
    sign = 1.0 if activation == "cos" else -1.0
    mirrored = RidgeNet([[1.0, 2.0], [-1.0, -2.0]], [0.3, -0.3], [1.0, -sign], activation)
    assert mirrored.barron().item() < 1e-14


@every_activation
def test_merging_keeps_the_function(activation):
    one, other, x = random_ridge(activation), random_ridge(activation, seed=1), random_points(20)
    if activation in ("cos", "sin"):
        weights, biases = torch.cat([one.weights, -one.weights]), torch.cat([one.biases, other.biases])
    else:
        weights, biases = one.weights.repeat(2, 1), one.biases.repeat(2)
    twice = RidgeNet(weights, biases, torch.cat([one.outer, other.outer]), activation)
    merged = twice.merge()
    assert len(merged) == 8
    assert_same(merged(x), twice(x))


@every_activation
def test_refitting_recovers_the_outer_weights(activation):
    net, x = random_ridge(activation, units=4), random_points(60)
    wrong = RidgeNet(net.weights, net.biases, torch.zeros(4), activation)
    # Rounding times the condition number of the units on the points.
    torch.testing.assert_close(wrong.refit(x, net(x)).outer, net.outer, rtol=1e-9, atol=1e-9)
    with pytest.raises(ShapeError, match="3 points came to fit 4 units"):
        net.refit(x[:3], net(x[:3]))


def test_all_layers_are_trained_with_a_penalty_on_the_norm():
    for activation in ACTIVATIONS:
        net = random_ridge(activation).requires_grad_()
        (net(random_points(5)).square().mean() + net.barron()).backward()
        for parameter in net.parameters():
            assert parameter.grad is not None
            assert bool(parameter.grad.isfinite().all())


@every_activation
def test_a_saved_network_is_the_same_network(activation, tmp_path):
    net, x = random_ridge(activation), random_points(5)
    loaded = RidgeNet.from_pretrained(net.save_pretrained(tmp_path / "net"))
    assert torch.equal(loaded(x), net(x))


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="'gelu' came"):
        RidgeNet([[1.0]], [0.0], [1.0], "gelu")
    with pytest.raises(ShapeError, match=r"\(unit, dimension\)"):
        RidgeNet([[1.0]], [0.0, 1.0], [1.0], "cos")
    with pytest.raises(ShapeError, match=r"\(point, 3\) is expected"):
        random_ridge("cos")(torch.zeros(3))
    with pytest.raises(CheckpointError, match="a RidgeNet is expected"):
        RidgeNet.from_pretrained(random_net("neumann").save_pretrained(tmp_path))
