"""n waves drawn at random have an error of norm / sqrt(n) whatever the dimension: Barron's theorem, in L2 and in H1."""

import math

import pytest
import torch

from sciml.barron.sampling import sample_product, sampling_bound, sampling_error
from sciml.barron.spectral import SpectralNet
from tests.barron.networks import random_points

pytestmark = pytest.mark.validation
WIDTHS = (16, 64, 256, 1024)
DRAWS = 100


def decaying_net(boundary, dimension, *, modes=3000, power=1.5, seed=0) -> SpectralNet:
    """Distinct random waves whose coefficients decay as a power of their rank."""
    generator = torch.Generator().manual_seed(seed)
    frequencies = torch.randint(1, 4 if dimension > 5 else 60, (modes, dimension), generator=generator)
    coefficients = torch.arange(1, modes + 1, dtype=torch.float64) ** -power
    return SpectralNet(frequencies, coefficients, boundary=boundary).merge()


def mean_square_error(net, n, norm):
    draws = (net.sample(n, norm=norm, generator=torch.Generator().manual_seed(seed)) for seed in range(DRAWS))
    return sum(float((draw - net).norm(norm)) ** 2 for draw in draws) / DRAWS


@pytest.mark.parametrize("norm", ["l2", "h1"])
@pytest.mark.parametrize(("boundary", "dimension"), [("periodic", 2), ("periodic", 50), ("dirichlet", 10)])
def test_the_error_falls_with_slope_one_half_and_never_exceeds_the_bound_in_the_mean(boundary, dimension, norm):
    net = decaying_net(boundary, dimension)
    errors = [mean_square_error(net, n, norm) ** 0.5 for n in WIDTHS]
    slope, _ = fit_line([math.log(n) for n in WIDTHS], [math.log(error) for error in errors])
    assert slope == pytest.approx(-0.5, abs=0.05)
    for n, error in zip(WIDTHS, errors, strict=True):
        assert error <= float(sampling_bound(net, n, norm=norm))
        # The mean of a hundred squares, each of which varies by less than its mean.
        assert error == pytest.approx(float(sampling_error(net, n, norm=norm)), rel=0.2)


def test_the_error_does_not_depend_on_the_dimension():
    errors = [float(sampling_error(decaying_net("periodic", dimension), 64)) for dimension in (10, 50, 100)]
    assert max(errors) / min(errors) == pytest.approx(1, rel=1e-3)  # a few waves coincide in ten dimensions


def test_stratified_draws_and_fitted_coefficients_are_better_and_the_best_waves_are_best():
    net, n = decaying_net("periodic", 10, modes=2000), 256
    x = random_points(1500, 10)
    generator = torch.Generator().manual_seed(0)
    plain = net.sample(n, generator=generator)
    networks = {
        "sampled": plain,
        "stratified": net.sample(n, generator=generator, stratified=True),
        "refitted": plain.refit(x, net(x)),
        "largest": net.prune(n=n, norm="l2"),
    }
    errors = {name: float((candidate - net).l2()) for name, candidate in networks.items()}
    assert errors["largest"] < errors["refitted"] < errors["sampled"]
    assert errors["largest"] < errors["stratified"] < errors["sampled"]
    assert len(networks["stratified"]) < n  # large waves are drawn more than once


def test_descent_with_sampled_cubes_comes_close_to_the_solution_in_fifty_dimensions():
    dimension, width = 50, 1024
    frequencies = torch.eye(dimension, dtype=torch.int64)[:10]
    frequencies[5:, 0] = 1
    # A wave of frequency 1 has an H^1 norm of about 6: coefficients for an H^1 norm of 1 in all.
    exact = SpectralNet(frequencies, torch.arange(1, 11, dtype=torch.float64) ** -1.0, boundary="periodic")
    exact = exact * (1 / float(exact.h1()))
    source = exact + (exact * exact * exact).resolvent()  # that of -Laplacian u + u + u^3 = f
    generator = torch.Generator().manual_seed(0)
    u = source.prune(n=width)
    first = float((u - exact).h1())
    for _ in range(12):
        cube = sample_product([u, u, u], width, generator=generator)
        u = (0.5 * u + 0.5 * (source - cube.resolvent())).prune(n=width)
    error = float((u - exact).h1())
    # One step's noise, halved by the step: half the cube's Wiener norm over sqrt(n), of which the resolvent leaves 1/6.
    noise = 0.5 * float(u.wiener()) ** 3 / math.sqrt(width) / 6
    assert error < first
    assert error < 2 * noise


def fit_line(x, y):
    """Slope and intercept by least squares."""
    matrix = torch.stack([torch.tensor(x), torch.ones(len(x))], dim=1)
    return torch.linalg.lstsq(matrix, torch.tensor(y)[:, None]).solution[:, 0].tolist()
