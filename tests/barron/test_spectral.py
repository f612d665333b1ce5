import math

import pytest
import torch

import sciml
from sciml.barron.spectral import SpectralNet
from sciml.errors import CheckpointError, ConfigError, ShapeError
from tests.barron.networks import BOUNDARIES, assert_same, grid, random_net, random_points

BOX = (1.0, 2.0, 0.5)
every_boundary = pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
every_box = pytest.mark.parametrize("box", [None, BOX], ids=str)


def test_values_are_those_of_the_formulas():
    x, y = random_points(5, 2).unbind(1)
    points = torch.stack([x, y], dim=1)
    pi = math.pi
    periodic = SpectralNet([[1, -2], [0, 0]], [1 + 2j, 3], boundary="periodic")
    phase = 2 * pi * (x - 2 * y)
    assert_same(periodic(points), phase.cos() - 2 * phase.sin() + 3)
    neumann = SpectralNet([[1, 2]], [2.0], boundary="neumann", box=(1, 4))
    assert_same(neumann(points), 2 * (pi * x).cos() * (pi * y / 2).cos())
    dirichlet = SpectralNet([[1, 2]], [2.0], boundary="dirichlet")
    assert_same(dirichlet(points), 2 * (pi * x).sin() * (2 * pi * y).sin())
    mixed = SpectralNet([[1, 2]], [2.0], boundary=("dirichlet", "neumann"))
    assert_same(mixed(points), 2 * (pi * x).sin() * (2 * pi * y).cos())


def test_lists_of_numbers_keep_their_digits():
    assert SpectralNet([[1]], [0.1], boundary="neumann").coefficients.tolist() == [0.1]
    assert SpectralNet([[1]], [0.1j], boundary="periodic").coefficients.tolist() == [0.1j]


@every_boundary
@every_box
def test_derivatives_are_those_of_automatic_differentiation(boundary, box):
    net, x = random_net(boundary, box=box), random_points(7, box=box).requires_grad_()
    directions = random_points(7, seed=2)
    (gradient,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    hessian = torch.stack([torch.autograd.grad(g.sum(), x, retain_graph=True)[0] for g in gradient.unbind(1)], dim=1)
    assert_same(net.gradient(x), gradient)
    assert_same(net.laplacian(x), hessian.diagonal(dim1=1, dim2=2).sum(1))
    assert_same(net.second_derivatives(x, directions), torch.einsum("pi,pij,pj->p", directions, hessian, directions))
    assert_same(
        net.second_derivatives(x, directions[0]), torch.einsum("i,pij,j->p", directions[0], hessian, directions[0])
    )
    for axis in range(3):
        assert_same(net.derivative(axis)(x), gradient[:, axis])


def test_derivatives_do_not_divide_by_a_wave_that_vanishes():
    net = SpectralNet([[1, 2, 1]], [1.0], boundary="dirichlet")
    corner = torch.zeros(1, 3, dtype=torch.float64)
    direction = torch.ones_like(corner)
    assert net.gradient(corner).tolist() == [[0, 0, 0]]
    edge = torch.tensor([[0, 0, 0.5]], dtype=torch.float64)  # u = sin(pi x) sin(2 pi y): u_xy = 2 pi^2
    assert float(net.second_derivatives(edge, direction)) == pytest.approx(4 * math.pi**2, rel=1e-13)


def test_long_lists_of_points_and_of_waves_are_cut_into_blocks(monkeypatch):
    for boundary in ("periodic", "dirichlet"):
        net, x = random_net(boundary), random_points(50)
        whole = [net(x), net.gradient(x), net.second_derivatives(x, x)]
        monkeypatch.setattr("sciml.barron.waves.BLOCK", 40)
        for value, expected in zip([net(x), net.gradient(x), net.second_derivatives(x, x)], whole, strict=True):
            assert_same(value, expected)
        monkeypatch.undo()


@every_boundary
@every_box
def test_norms_and_integral_are_those_of_quadrature(boundary, box):
    net = random_net(boundary, box=box)
    x = grid(16, 3, box=box)  # exact for products of two waves of frequency 3, if periodic, or 7
    u, gradient = net(x), net.gradient(x)
    assert_same(net.l2(), ((u**2).mean() * net.volume) ** 0.5)
    assert_same(net.h1(), (((u**2) + (gradient**2).sum(1)).mean() * net.volume) ** 0.5)
    if boundary in ("periodic", "neumann"):
        assert float(net.integral()) == pytest.approx(float(u.mean() * net.volume), abs=1e-14, rel=1e-13)


def test_the_integral_of_sines_counts_odd_frequencies():
    net = SpectralNet([[1, 3], [1, 2]], [1.0, 5.0], boundary="dirichlet", box=(2, 1))
    assert float(net.integral()) == pytest.approx(2 * (2 / math.pi) * (2 / (3 * math.pi)), rel=1e-13)
    mixed = SpectralNet([[1, 0], [1, 2]], [1.0, 5.0], boundary=("dirichlet", "neumann"))
    assert float(mixed.integral()) == pytest.approx(2 / math.pi, rel=1e-13)


def test_wiener_and_barron_norms_are_sums_over_the_spectrum():
    net = SpectralNet([[3, 4], [0, 0]], [3 + 4j, 2], boundary="periodic", box=(2 * math.pi, 2 * math.pi))
    assert float(net.wiener()) == pytest.approx(5 + 2, rel=1e-13)
    assert float(net.barron()) == pytest.approx(5 * 6 + 2, rel=1e-13)
    assert float(net.barron(2)) == pytest.approx(5 * 36 + 2, rel=1e-13)
    assert float(SpectralNet([[0, 0]], [2 + 5j], boundary="periodic").wiener()) == 2  # a constant is real
    assert float(SpectralNet([[3, 4]], [-2.0], boundary="dirichlet").barron(0)) == 2


@every_boundary
def test_norms_bound_the_function_and_its_gradient(boundary):
    net, x = random_net(boundary), random_points(2000)
    assert float(net(x).abs().max()) <= float(net.wiener())
    assert float(net.gradient(x).norm(dim=1).max()) <= float(net.barron() - net.wiener())


@every_boundary
def test_norms_do_not_depend_on_how_the_sum_is_written(boundary):
    net, x = random_net(boundary), random_points(20)
    merged = net.merge()
    assert len(merged) < len(net)
    assert_same(merged(x), net(x))
    for kind in ("l2", "h1", "wiener", "barron"):
        assert_same(net.norm(kind), merged.norm(kind))
    assert torch.equal(merged.merge().frequencies, merged.frequencies)


def test_norms_can_be_minimised():
    net = random_net("periodic").requires_grad_()
    net.barron().backward()
    assert float(net.amplitudes.grad.abs().max()) > 0
    zero = SpectralNet([[1]], [0.0], boundary="neumann").requires_grad_()
    zero.l2().backward()
    assert zero.amplitudes.grad.tolist() == [0]  # and not NaN


@every_boundary
def test_sums_are_sums(boundary):
    u, v, x = random_net(boundary), random_net(boundary, seed=7), random_points(20)
    assert_same((u + 2 * v)(x), u(x) + 2 * v(x))
    assert_same((u - v * 0.5)(x), u(x) - v(x) / 2)
    assert float((u - u).wiener()) < 1e-15  # repeated waves are summed in two orders


@pytest.mark.parametrize(
    ("one", "other", "product"),
    [
        ("periodic", "periodic", "periodic"),
        ("neumann", "neumann", "neumann"),
        ("dirichlet", "dirichlet", "neumann"),
        ("dirichlet", "neumann", "dirichlet"),
        (("dirichlet", "neumann", "dirichlet"), "dirichlet", ("neumann", "dirichlet", "neumann")),
    ],
    ids=str,
)
def test_products_are_products(one, other, product):
    u, v, x = random_net(one, box=BOX), random_net(other, seed=7, box=BOX), random_points(20, box=BOX)
    assert (u * v).boundary == product
    assert_same((u * v)(x), u(x) * v(x))
    assert_same((v * u)(x), u(x) * v(x))
    assert_same((u * u * u)(x), u(x) ** 3)


@every_boundary
def test_the_resolvent_inverts_the_operator(boundary):
    net, x = random_net(boundary, box=BOX), random_points(20, box=BOX)
    v = net.resolvent(3.0, 2.0)
    assert_same(3 * v(x) - 2 * v.laplacian(x), net(x))


def test_without_a_mean_minus_the_laplacian_can_be_inverted():
    net = SpectralNet([[1, 0]], [1.0], boundary="neumann").resolvent(0, 1)
    assert float(net.coefficients[0]) == pytest.approx(1 / math.pi**2, rel=1e-13)
    with pytest.raises(ConfigError, match="take alpha > 0"):
        SpectralNet([[0, 0]], [1.0], boundary="neumann").resolvent(0, 1)


@every_boundary
@pytest.mark.parametrize("norm", ["l2", "h1", "wiener", "barron"])
def test_pruning_keeps_what_counts(boundary, norm):
    net = random_net(boundary, modes=20)
    few = net.prune(n=4, norm=norm)
    assert len(few) == 4
    error = float((net - few).norm(norm))
    # No other four waves are better: the dropped one of largest share against the kept one of smallest.
    shares = sorted(float(single.norm(norm)) for single in singles(net))
    assert sorted(float(single.norm(norm)) for single in singles(few)) == pytest.approx(shares[-4:], rel=1e-13)
    assert len(net.prune(tol=error * (1 + 1e-12), norm=norm)) == 4
    assert len(net.prune(tol=error * (1 - 1e-12), norm=norm)) == 5
    assert len(net.prune(tol=0, norm=norm)) == len(net.merge())


def singles(net):
    net = net.merge()
    for k, c in zip(net.frequencies, net.coefficients, strict=True):
        yield SpectralNet(k[None], c[None], boundary=net.boundary)


@every_boundary
def test_refitting_recovers_the_coefficients(boundary):
    net = random_net(boundary)
    x = random_points(60)
    wrong = SpectralNet(net.frequencies, 0 * net.coefficients.detach(), boundary=boundary)
    # Rounding times the condition of a least-squares problem with random points.
    torch.testing.assert_close(wrong.refit(x, net(x)).coefficients, net.merge().coefficients, rtol=1e-10, atol=1e-12)
    with pytest.raises(ShapeError, match="1 points came"):
        net.refit(x[:1], net(x[:1]))


@every_boundary
def test_the_cosine_network_is_the_same_function(boundary):
    net, x = random_net(boundary, box=BOX), random_points(20, box=BOX)
    ridge = net.to_cosine_network()
    assert_same(ridge(x), net(x))
    assert_same(ridge.gradient(x), net.gradient(x))
    assert_same(ridge.barron(), net.barron())


@every_boundary
def test_a_saved_network_is_the_same_network(boundary, tmp_path):
    net, x = random_net(boundary, box=BOX), random_points(5, box=BOX)
    loaded = SpectralNet.from_pretrained(net.save_pretrained(tmp_path / "net"))
    assert torch.equal(loaded(x), net(x))
    assert (loaded.boundary, loaded.box) == (net.boundary, net.box)


def test_sciml_load_gives_either_network(tmp_path):
    net, x = random_net("dirichlet"), random_points(5)
    assert torch.equal(sciml.load(net.save_pretrained(tmp_path / "waves"))(x), net(x))
    ridge = net.to_cosine_network()
    loaded = sciml.load(ridge.save_pretrained(tmp_path / "ridge"))
    assert torch.equal(loaded(x), ridge(x))
    assert not loaded.training
    with pytest.raises(ConfigError, match="a Barron network has no such option"):
        sciml.load(tmp_path / "waves", resolution=64)


def test_a_folder_with_another_network_is_refused(tmp_path):
    folder = random_net("neumann").to_cosine_network().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="a SpectralNet is expected"):
        SpectralNet.from_pretrained(folder)


def test_an_empty_sum_is_zero():
    net = SpectralNet(torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0), boundary="dirichlet")
    x = random_points(4, 2)
    assert net(x).tolist() == [0] * 4
    assert net.gradient(x).tolist() == [[0, 0]] * 4
    assert float(net.barron() + net.l2()) == 0
    assert len(net * net) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[0.5]], [1.0], "neumann"), ShapeError, "integers of shape"),
        (([1, 2], [1.0, 2.0], "neumann"), ShapeError, r"shape \(2,\)"),
        (([[1, 2]], [1.0, 2.0], "neumann"), ShapeError, r"shape \(2,\) came for 1 wave"),
        (([[1, 2]], [1j], "neumann"), ConfigError, "waves are real"),
        (([[1, 2]], [1.0], "robin"), ConfigError, "'robin' came"),
        (([[1, 2]], [1.0], ("neumann",)), ConfigError, "in dimension 2"),
    ],
)
def test_terms_that_do_not_fit_are_refused(arguments, error, message):
    frequencies, coefficients, boundary = arguments
    with pytest.raises(error, match=message):
        SpectralNet(frequencies, coefficients, boundary=boundary)


def test_what_cannot_be_combined_is_refused():
    u = random_net("dirichlet")
    with pytest.raises(ConfigError, match="add their values"):
        u + random_net("neumann")
    with pytest.raises(ConfigError, match="one box for both"):
        u * random_net("dirichlet", box=BOX)
    with pytest.raises(ConfigError, match="Multiply their values"):
        u * random_net("periodic")
    with pytest.raises(ShapeError, match=r"\(point, 3\) is expected"):
        u(torch.zeros(4, 2))
    with pytest.raises(ConfigError, match="exactly one"):
        u.prune()
    with pytest.raises(ConfigError, match="norm 'l1' came"):
        u.norm("l1")
    with pytest.raises(ShapeError, match="2 sides"):
        random_net("periodic", box=(1, 1))
    with pytest.raises(ConfigError, match="positive"):
        random_net("periodic", box=(1, 1, 0))


def test_a_product_too_large_for_memory_is_refused_before_it_is_made():
    ones = torch.ones(10, 40, dtype=torch.int64) + torch.arange(10)[:, None]
    net = SpectralNet(ones, torch.ones(10), boundary="dirichlet")
    with pytest.raises(ConfigError, match=r"1.1e\+14 waves in dimension 40 need"):
        net * net
    with pytest.raises(ConfigError, match="the cosine network: "):
        net.to_cosine_network()
