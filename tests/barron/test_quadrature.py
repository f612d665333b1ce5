import math

import pytest
import torch

from sciml.barron.problems import cubic
from sciml.barron.quadrature import RULES, Quadrature
from sciml.errors import ConfigError
from tests.barron.examples import seeded

every_rule = pytest.mark.parametrize("rule", RULES)


def smooth(x):
    """Of integral (e - 1)^2 on the unit square; not periodic."""
    return torch.exp(x.sum(1))


def integral(quadrature, function):
    drawn = quadrature.draw()
    return float(drawn.weights @ function(drawn.points))


@every_rule
@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet", ("dirichlet", "neumann")])
def test_weights_sum_to_the_volume_and_points_lie_in_the_box(rule, boundary):
    drawn = Quadrature(cubic(2, boundary=boundary, box=(2, 3)), rule=rule, size=100, generator=seeded()).draw()
    assert float(drawn.weights.sum()) == pytest.approx(6, rel=1e-14)
    assert len(drawn) == len(drawn.points) >= 100
    assert drawn.points.dtype == drawn.weights.dtype == torch.float64
    assert bool((drawn.points >= 0).all())
    assert bool((drawn.points <= torch.tensor([2, 3])).all())
    assert drawn.points.amax(0).tolist() == pytest.approx([2, 3], rel=0.05)


@pytest.mark.parametrize(("rule", "error"), [("lattice", 1e-5), ("sobol", 1e-3), ("gauss", 1e-13)])
def test_smooth_functions_are_integrated_accurately(rule, error):
    # 1024 points: folded lattices and Gauss rules use that the function is smooth; plain Monte Carlo is off by 3e-2.
    found = integral(Quadrature(cubic(2), rule=rule, size=1024, generator=seeded()), smooth)
    assert found == pytest.approx((math.e - 1) ** 2, rel=error)


def test_lattices_are_of_second_order_for_functions_that_are_not_periodic():
    errors = []
    for size in (101, 1617):
        quadrature = Quadrature(cubic(2), size=size, generator=seeded())
        errors.append(sum((integral(quadrature, smooth) - (math.e - 1) ** 2) ** 2 for _ in range(20)) ** 0.5)
    # 16 times the points: 256 times for order 2, with a logarithm and the luck of the lattice; 16 for order 1.
    assert errors[0] / errors[1] > 80


def test_gauss_points_are_exact_for_polynomials():
    # 4 points an axis: degree 7.
    quadrature = Quadrature(cubic(3, box=(1, 1, 2)), rule="gauss", size=64, generator=seeded())
    assert len(quadrature.draw()) == 64
    found = integral(quadrature, lambda x: x[:, 0] ** 7 * x[:, 1] ** 6 * x[:, 2] ** 5)
    assert found == pytest.approx(1 / 8 / 7 * 2**6 / 6, rel=1e-13)


@pytest.mark.parametrize("rule", ["lattice", "sobol"])
def test_every_draw_is_another_one_and_the_mean_is_unbiased(rule):
    quadrature = Quadrature(cubic(2), rule=rule, size=8, generator=seeded())
    first, second = quadrature.draw(), quadrature.draw()
    assert not torch.equal(first.points, second.points)
    found = torch.tensor([integral(quadrature, smooth) for _ in range(400)])
    # Four standard deviations of a mean of 400.
    assert abs(float(found.mean()) - (math.e - 1) ** 2) < 4 * float(found.std()) / 20


@every_rule
def test_the_same_seed_gives_the_same_points(rule):
    one, two = (Quadrature(cubic(2), rule=rule, size=50, generator=seeded(3)).draw() for _ in range(2))
    assert torch.equal(one.points, two.points)


def test_settings_that_cannot_work_are_named():
    with pytest.raises(ConfigError, match="quadrature rule 'simpson' came; one of lattice, sobol, gauss"):
        Quadrature(cubic(2), rule="simpson", generator=seeded())
    with pytest.raises(ConfigError, match="Gauss points came in dimension 4"):
        Quadrature(cubic(4), rule="gauss", generator=seeded())
    with pytest.raises(ConfigError, match="size=0 came"):
        Quadrature(cubic(2), size=0, generator=seeded())
