"""In 50 dimensions one lattice takes aliases for frequencies and misjudges its error; two lattices do not."""

import pytest

from sciml.barron.adapt import AdaptiveFlow
from sciml.barron.problems import cubic
from tests.barron.examples import relative_error, seeded, waves

pytestmark = pytest.mark.validation


def run(lattices):
    """The error, and what the flow takes it for, relative to the norm."""
    u = waves(50)
    problem = cubic(50, boundary="periodic").with_solution(u)
    limits = {"max_points": 2**15, "max_modes": 3000}
    flow = AdaptiveFlow(problem, generator=seeded(), tol=1e-6, lattices=lattices, **limits)
    error = relative_error(flow.run(), u)
    return error, flow.history[-1].certificate / float(u.h1())


def test_one_lattice_misses_the_solution_without_noticing():
    error, believed = run(lattices=1)
    assert error > 1e-2
    assert believed < error / 10


def test_two_lattices_find_it():
    error, believed = run(lattices=2)
    assert error < believed < 1e-6
