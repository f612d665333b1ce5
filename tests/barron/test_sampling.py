import math

import pytest
import torch

from sciml.barron.sampling import draw, sample_product, sampling_bound, sampling_error
from sciml.barron.spectral import SpectralNet
from sciml.errors import ConfigError
from tests.barron.networks import BOUNDARIES, assert_same, random_net

every_boundary = pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_draws_follow_the_weights():
    weights = torch.tensor([1.0, 0.0, 3.0])
    counts = draw(weights, 40_000, generator=seeded())
    assert counts.sum() == 40_000
    assert counts[1] == 0
    assert abs(int(counts[2]) - 30_000) < 4 * math.sqrt(40_000 * 0.75 * 0.25)  # four standard deviations


def test_stratified_draws_are_within_one_of_the_mean():
    weights = torch.rand(50, generator=seeded())
    counts = draw(weights, 1000, generator=seeded(), stratified=True)
    assert counts.sum() == 1000
    # A weight covers a stretch of the strata and shares at most the two at its ends.
    assert float((counts - 1000 * weights / weights.sum()).abs().max()) < 2


@every_boundary
@pytest.mark.parametrize("norm", ["l2", "h1"])
def test_the_mean_over_all_draws_of_one_wave_is_the_network(boundary, norm):
    net = SpectralNet([[1, 2, 1], [2, 1, 3], [1, 1, 1]], [1.0, -0.5, 0.25], boundary=boundary)
    weights = net.coefficients.abs()
    if norm == "h1":
        weights = weights * (1 + net.wavenumbers.square().sum(1)).sqrt()
    probabilities = weights / weights.sum()
    mean, square = net * 0.0, 0.0
    draws = [net.sample(1, norm=norm, generator=seeded(seed)) for seed in range(50)]
    seen = {tuple(single.frequencies[0].tolist()): single for single in draws}
    for k, p in zip(net.frequencies, probabilities, strict=True):
        single = seen[tuple(k.tolist())]
        mean = mean + single * float(p)
        square += float(p) * float((single - net).norm(norm)) ** 2
    assert float((mean - net).norm(norm)) < 1e-14 * float(net.norm(norm))
    assert_same(sampling_error(net, 1, norm=norm), torch.tensor(square, dtype=torch.float64).sqrt())


@every_boundary
@pytest.mark.parametrize("norm", ["l2", "h1"])
def test_the_bound_is_above_the_error_and_both_fall_as_one_over_the_root(boundary, norm):
    net = random_net(boundary, modes=20, box=(1.0, 2.0, 0.5))
    assert float(sampling_error(net, 1, norm=norm)) <= float(sampling_bound(net, 1, norm=norm))
    for rate in (sampling_error, sampling_bound):
        assert_same(rate(net, 100, norm=norm), rate(net, 1, norm=norm) / 10)


def test_a_single_wave_is_sampled_without_error():
    net = SpectralNet([[1, 2]], [3 + 4j], boundary="periodic")
    assert float(sampling_error(net, 5)) < 1e-7  # the root of a difference of rounding errors
    assert float((net.sample(5, generator=seeded()) - net).l2()) < 1e-14


def test_repeated_draws_are_merged():
    net = random_net("neumann", modes=10)
    assert len(net.sample(1000, generator=seeded())) == len(net.merge())


@pytest.mark.parametrize(
    "boundaries",
    [
        ("periodic", "periodic"),
        ("neumann", "neumann"),
        ("dirichlet", "dirichlet"),
        ("dirichlet", "neumann"),
        (("dirichlet", "neumann", "dirichlet"), "dirichlet", "dirichlet"),
    ],
    ids=str,
)
def test_a_sampled_product_has_the_product_as_its_mean(boundaries):
    factors = [random_net(boundary, seed=i, top=2) for i, boundary in enumerate(boundaries)]
    product = factors[0]
    for factor in factors[1:]:
        product = product * factor
    n, runs = 1000, 20
    draws = [sample_product(factors, n, generator=seeded(seed)) for seed in range(runs)]
    assert {d.boundary for d in draws} == {product.boundary}
    assert len(draws[0]) <= n
    bound = math.prod(float(factor.wiener()) for factor in factors)
    assert math.sqrt(sum(float((d - product).l2()) ** 2 for d in draws) / runs) < bound / math.sqrt(n)
    mean = draws[0]
    for d in draws[1:]:
        mean = mean + d
    assert float((mean * (1 / runs) - product).l2()) < 2 * bound / math.sqrt(n * runs)


def test_what_cannot_be_drawn_is_refused():
    net = random_net("neumann")
    with pytest.raises(ConfigError, match="0 draws"):
        net.sample(0, generator=seeded())
    with pytest.raises(ConfigError, match="sum 0"):
        (net * 0.0).sample(3, generator=seeded())
    with pytest.raises(ConfigError, match="norm='barron' came"):
        net.sample(3, norm="barron", generator=seeded())
    with pytest.raises(ConfigError, match="takes one kind"):
        sample_product([net, random_net("periodic")], 3, generator=seeded())
