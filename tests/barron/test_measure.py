import math

import pytest
import torch

from sciml.barron.measure import measure_barron_norm
from sciml.barron.spectral import SpectralNet
from sciml.errors import ConfigError, DataError, ShapeError
from tests.barron.networks import BOUNDARIES, random_net

R = 0.3


def poisson_product(x):
    """prod_i sum_k R^(k-1) sin(pi k x_i); its Wiener norm is (1 - R)^-dimension."""
    return (torch.sin(math.pi * x) / (1 - 2 * R * torch.cos(math.pi * x) + R**2)).prod(1)


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
def test_a_network_is_found_again_on_a_grid(boundary):
    net = random_net(boundary, box=(1.0, 2.0, 0.5))
    measured = measure_barron_norm(net, 3, boundary, box=net.box, cutoff=6)
    assert measured.norm == pytest.approx(float(net.barron()), rel=1e-12)
    assert measured.tail == 0
    assert measured.defect < 1e-13
    assert len(measured.network) == len(net.merge())


@pytest.mark.parametrize(("boundary", "dimension"), [("periodic", 10), ("neumann", 6), ("dirichlet", 5)])
def test_a_network_is_found_again_on_lattices(boundary, dimension):
    frequencies = torch.eye(dimension, dtype=torch.int64)[:3] + (boundary == "dirichlet")
    frequencies[1:, 3] += 1  # sums of two low waves
    net = SpectralNet(frequencies, [1.0, -0.5, 0.25], boundary=boundary)
    measured = measure_barron_norm(net, dimension, boundary, order=2)
    assert measured.norm == pytest.approx(float(net.barron(2)), rel=1e-10)
    assert measured.tail == 0


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_an_analytic_function_has_its_norm(dimension):
    exact = (1 - R) ** -dimension
    measured = measure_barron_norm(poisson_product, dimension, "dirichlet", order=0)
    # Up to R^16 is on the grid in three dimensions, all of double precision in one and two.
    assert abs(measured.norm - exact) < 1e-12 + 2 * measured.tail
    assert measured.tail < (1e-5 if dimension == 3 else 1e-12)


def test_growing_candidates_find_waves_far_from_the_lowest():
    def function(x):  # e^a cos: its Wiener norm is e^2
        return torch.exp(torch.cos(2 * math.pi * x[:, 0] + 1) + torch.cos(2 * math.pi * (x[:, 1] - x[:, 5])))

    measured = measure_barron_norm(function, 6, "periodic", order=0)
    assert measured.norm == pytest.approx(math.exp(2), rel=1e-10)
    assert float(measured.network.frequencies.abs().max()) > 6


def test_a_kink_has_a_wiener_norm_but_no_barron_norm():
    def tent(x):  # 1/4 plus cosines of odd k with coefficients 2 / (pi k)^2
        return (x[:, 0] - 0.5).abs()

    wiener = measure_barron_norm(tent, 1, "periodic", order=0)
    # The tail is extrapolated from two octaves, of coefficients that carry aliases of a few percent.
    assert 0.5 < (0.5 - wiener.norm) / wiener.tail < 1.5
    assert wiener.tail < 1e-3
    assert measure_barron_norm(tent, 1, "periodic").tail == math.inf


def test_the_defect_is_what_the_waves_leave_out():
    net = SpectralNet([[1, 0], [0, 9]], [1.0, 0.5], boundary="neumann", box=(1, 4))
    measured = measure_barron_norm(net, 2, "neumann", box=(1, 4), cutoff=5)
    assert measured.norm == pytest.approx(1 + math.pi, rel=1e-12)
    assert measured.defect == pytest.approx(0.5 * math.sqrt(4 / 2), rel=0.05)  # mean over random points


def test_given_candidates_are_the_only_ones():
    net = random_net("periodic", modes=5).merge()
    measured = measure_barron_norm(net, 3, "periodic", frequencies=net.frequencies[:2])
    assert len(measured.network) == 2
    # What is not among the candidates is noise to the lattices, which have 2^17 points.
    assert measured.norm == pytest.approx(float(net.prune(n=5).barron() - left_out(net)), rel=0.05)


def left_out(net):
    return SpectralNet(net.frequencies[2:], net.coefficients[2:], boundary="periodic").barron()


def test_the_same_seed_gives_the_same_number():
    one, other = (measure_barron_norm(poisson_product, 4, "dirichlet").norm for _ in range(2))
    assert one == other


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ShapeError, match=r"returned shape \(\d+, 1\)"):
        measure_barron_norm(lambda x: x[:, :1], 2, "periodic")
    with pytest.raises(DataError, match="infinite at 1 of"):
        measure_barron_norm(lambda x: 1 / x[:, 0], 1, "periodic")
    with pytest.raises(ConfigError, match="in dimension 4"):
        measure_barron_norm(poisson_product, 4, "dirichlet", cutoff=3)
    with pytest.raises(ConfigError, match="with frequencies"):
        measure_barron_norm(poisson_product, 2, "dirichlet", cutoff=3, frequencies=torch.ones(1, 2).long())
