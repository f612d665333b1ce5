import math

import pytest
import torch

import sciml
from sciml.barron.boundary import check_boundary_values
from sciml.barron.boundary_net import BoundaryNet
from sciml.barron.jet import AutogradJet
from sciml.barron.problems import cubic
from sciml.barron.ridge import RidgeNet
from sciml.errors import CheckpointError, ConfigError, ShapeError
from tests.barron.examples import seeded, sines
from tests.barron.networks import BOUNDARIES, assert_same, random_points

SHAPES = [("cos", (8,)), ("tanh", (8,)), ("tanh", (8, 5))]


def random_net(boundary, *, activation="tanh", hidden=(8,), dimension=3, box=None):
    place = {"boundary": boundary, "box": box, "generator": seeded()}
    net = BoundaryNet.random(dimension, hidden=hidden, activation=activation, **place).requires_grad_(False)
    net.outer.copy_(torch.randn(hidden[-1], generator=seeded(1)))
    return net


@pytest.mark.parametrize(("activation", "hidden"), SHAPES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_boundary_conditions_are_exact_on_any_box(boundary, activation, hidden):
    box = (0.3, 1.0, 7.0)
    net = random_net(boundary, activation=activation, hidden=hidden, box=box)
    check_boundary_values(cubic(3, boundary=boundary, box=box), net, generator=seeded())


@pytest.mark.parametrize("activation", ["cos", "tanh"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_derivatives_in_closed_form_are_those_of_autograd(boundary, activation):
    box = (0.3, 1.0, 7.0)
    net = random_net(boundary, activation=activation, box=box)
    x = random_points(20) * torch.tensor(box)
    closed, auto = net.jet(x), AutogradJet(x, net)
    # Rounding of second derivatives, which are of order 1000 along the short side.
    for name in ("value", "gradient", "laplacian"):
        torch.testing.assert_close(getattr(closed, name), getattr(auto, name), rtol=1e-12, atol=1e-9)
    for axis in range(3):
        torch.testing.assert_close(closed.hessian_column(axis), auto.hessian_column(axis), rtol=1e-12, atol=1e-9)


def test_values_are_those_of_the_formula():
    net = BoundaryNet(
        [torch.tensor([[2.0, 1.0], [0.0, 3.0]])],
        [torch.tensor([0.5, -1.0])],
        torch.tensor([2.0, -1.0]),
        "tanh",
        boundary=("dirichlet", "neumann"),
        dimension=2,
        box=(2.0, 1.0),
    )
    z = (2 * 0.6 / 2.0 - 1, math.cos(math.pi * 0.3))
    inner = 2 * math.tanh(2 * z[0] + z[1] + 0.5) - math.tanh(3 * z[1] - 1)
    expected = math.sqrt(2) * math.sin(math.pi * 0.3) * inner
    assert net(torch.tensor([[0.6, 0.3]], dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-14)


def test_features_times_outer_weights_are_the_network():
    net, x = random_net("dirichlet", hidden=(8, 5)), random_points(20)
    assert net.features(x).shape == (20, 5)
    assert_same(net.features(x) @ net.outer, net(x))


def test_the_factor_that_vanishes_on_the_boundary_has_mean_square_one():
    net = BoundaryNet.random(2, boundary="dirichlet", hidden=(1,), activation="cos", generator=seeded())
    net.requires_grad_(False)
    net.weights[0].zero_()
    net.biases[0].zero_()
    x = torch.cartesian_prod(*[(torch.arange(16, dtype=torch.float64) + 0.5) / 16] * 2)  # exact for sin^2
    assert float(net.features(x).square().mean()) == pytest.approx(1, rel=1e-13)


def test_norms_of_two_layers_are_those_of_a_ridge_network():
    for activation in ("cos", "tanh"):
        net = random_net("dirichlet", activation=activation)
        ridge = RidgeNet(net.weights[0], net.biases[0], net.outer, activation)
        assert_same(net.barron(), ridge.barron())


def test_the_norm_of_a_deep_network_bounds_its_values():
    net = random_net("neumann", hidden=(8, 6, 5))
    bound = float(net.barron())
    a, b = (weight.abs() for weight in net.weights[:2]), [bias.abs() for bias in net.biases]
    first, second = a
    third = net.weights[2].abs()
    path = net.outer.abs() @ (third @ (second @ (first.sum(1) + b[0]) + b[1]) + b[2])
    assert bound == pytest.approx(float(path), rel=1e-14)
    assert float(net(random_points(100)).abs().max()) < bound


def test_one_unit_more_leaves_the_function_alone():
    net, pool, x = random_net("dirichlet"), random_net("dirichlet", hidden=(30,)), random_points(20)
    larger = net.with_unit(pool, 7)
    assert len(larger) == 9
    assert_same(larger(x), net(x))
    assert_same(larger.features(x)[:, -1], pool.features(x)[:, 7])


@pytest.mark.parametrize(("activation", "hidden"), SHAPES)
def test_a_network_is_saved_and_loaded(tmp_path, activation, hidden):
    net, x = random_net(("dirichlet", "neumann", "dirichlet"), activation=activation, hidden=hidden), random_points(20)
    net.save_pretrained(tmp_path)
    loaded = sciml.load(tmp_path)
    assert isinstance(loaded, BoundaryNet)
    assert torch.equal(loaded(x), net(x))
    assert repr(loaded) == repr(net)


def test_another_network_in_the_folder_is_named(tmp_path):
    sines(2).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="a BoundaryNet is expected"):
        BoundaryNet.from_pretrained(tmp_path)


def test_layers_that_do_not_fit_are_named():
    layer, place = torch.ones(4, 3), {"boundary": "dirichlet", "dimension": 3}
    with pytest.raises(ShapeError, match=r"outer weights of shape \(5,\) came; \[\(4, 3\)\] and \(4,\) are expected"):
        BoundaryNet([layer], [torch.ones(4)], torch.ones(5), "tanh", **place)
    with pytest.raises(ShapeError, match=r"\[\(4, 6\)\] and \(4,\) are expected"):
        BoundaryNet([layer], [torch.ones(4)], torch.ones(4), "tanh", boundary="periodic", dimension=3)
    with pytest.raises(ShapeError, match=r"points of shape \(5, 2\) came; \(point, 3\) is expected"):
        random_net("neumann")(torch.rand(5, 2))


def test_activations_that_cannot_work_are_named():
    with pytest.raises(ConfigError, match="activation 'relu' came; 'cos' or 'tanh' is expected"):
        random_net("dirichlet", activation="relu")
    with pytest.raises(ConfigError, match="2 hidden layers of cosines came; one is expected"):
        random_net("dirichlet", activation="cos", hidden=(8, 8))
