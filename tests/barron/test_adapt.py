import re

import pytest
import torch

from sciml.barron.adapt import CONVERGED, AdaptiveFlow, points_needed
from sciml.barron.problems import cubic, reaction_diffusion
from sciml.barron.spectral import SpectralNet
from sciml.errors import ConfigError
from tests.barron.examples import relative_error, seeded, sines, waves


@pytest.mark.parametrize("u", [waves(4), sines(4)], ids=["periodic", "dirichlet"])
def test_the_frequencies_of_a_sparse_solution_are_found(u):
    problem = cubic(4, boundary=u.boundary).with_solution(u)
    flow = AdaptiveFlow(problem, generator=seeded(), tol=1e-12)
    assert relative_error(flow.run(), u) < 1e-12
    assert flow.verdict == CONVERGED
    assert [record.iteration for record in flow.history] == list(range(len(flow.history)))


def test_waves_that_only_hold_the_error_of_the_iteration_are_left_out():
    u = waves(4)
    flow = AdaptiveFlow(cubic(4, boundary="periodic").with_solution(u), generator=seeded(), tol=1e-8)
    found = flow.run()
    assert sorted(found.frequencies.tolist()) == sorted(u.frequencies.tolist())
    assert len(flow.net) > len(u)


@pytest.mark.parametrize(("boundary", "size"), [("periodic", 3000.0), ("neumann", 300.0)])
def test_frequencies_that_only_the_nonlinearity_makes_are_reached_by_sums(boundary, size):
    source = SpectralNet([[4, 3], [4, 2]], [size, size / 2], boundary=boundary)
    flow = AdaptiveFlow(cubic(2, boundary=boundary, source=source), generator=seeded(), tol=1e-4)
    u = flow.run()
    assert flow.verdict == CONVERGED
    assert [12, 9] in u.frequencies.tolist()  # three times (4, 3), far from the lowest 64
    seconds = [record.seconds for record in flow.history]
    assert seconds == sorted(seconds)  # one clock, however often the frequencies grow


def test_the_same_seed_gives_the_same_solution():
    problem = cubic(3, boundary="periodic").with_solution(waves(3))
    one, other = (AdaptiveFlow(problem, generator=seeded(5), tol=1e-6).run() for _ in range(2))
    assert torch.equal(one.coefficients, other.coefficients)


def test_no_source_has_the_solution_zero():
    flow = AdaptiveFlow(cubic(3), generator=seeded())
    assert float(flow.run().h1()) == 0
    assert flow.verdict == CONVERGED


def rough(x):
    """A source that jumps on a circle: its coefficients decay slowly."""
    return torch.where((x - 0.4).square().sum(1) < 0.05, 100.0, 0.0).double()


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        ({"max_modes": 80}, "80 frequencies were found and more are needed; 80 are allowed"),
        ({"max_points": 5000}, r"more than \d+ frequencies would need lattices of \d+ points; 5000 are allowed"),
    ],
)
def test_a_spectrum_that_decays_too_slowly_ends_with_the_reason(limit, verdict):
    flow = AdaptiveFlow(reaction_diffusion(2, source=rough), generator=seeded(), tol=1e-4, **limit)
    flow.run()
    assert flow.verdict != CONVERGED
    assert re.match(verdict, flow.verdict)
    assert flow.verdict.endswith("decays too slowly for this tolerance")


def test_refining_goes_on_to_half_the_tolerance_on_larger_lattices():
    problem = cubic(3, boundary="periodic").with_solution(waves(3))
    flow = AdaptiveFlow(problem, generator=seeded(), tol=1e-3)
    flow.run()
    points = flow.points
    flow.refine()
    flow.run()
    assert (flow.tol, flow.verdict) == (5e-4, CONVERGED)
    assert flow.points >= 2 * points


def test_lattices_grow_with_the_frequencies_and_their_signs():
    assert points_needed(torch.ones(10, 3, dtype=torch.int64), "periodic") == 400
    assert points_needed(torch.ones(10, 5, dtype=torch.int64), "dirichlet") == 10 * 4 * 2**4
    assert points_needed(torch.ones(10, 9, dtype=torch.int64), "dirichlet") == 10 * 2**8


def test_limits_that_are_not_positive_are_named():
    with pytest.raises(ConfigError, match="tol is 0; a positive number is expected"):
        AdaptiveFlow(cubic(2), generator=seeded(), tol=0)
