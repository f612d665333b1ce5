import itertools
import math

import pytest
import torch

from sciml.barron.enumeration import first_missing_eigenvalue, lowest_frequencies


def by_hand(boundary, box, reach=10):
    """Eigenvalues of all wave vectors with components up to ``reach``, one of each pair."""
    unit = [(2 if boundary == "periodic" else 1) * math.pi / side for side in box]
    first = {"periodic": -reach, "neumann": 0, "dirichlet": 1}[boundary]
    vectors = itertools.product(range(first, reach + 1), repeat=len(box))
    if boundary == "periodic":
        vectors = (v for v in vectors if next((k for k in v if k), 1) > 0)
    return {v: sum((k * u) ** 2 for k, u in zip(v, unit, strict=True)) for v in vectors}


boundaries = pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet"])


@boundaries
@pytest.mark.parametrize("box", [(1.0, 1.0, 1.0), (1.0, 2.0, 0.7)])
def test_the_lowest_frequencies_are_all_those_below_an_eigenvalue(boundary, box):
    eigenvalues = by_hand(boundary, box)
    found = lowest_frequencies(3, boundary, box, count=60)
    largest = max(eigenvalues[tuple(v)] for v in found.tolist())
    below = {v for v, eigenvalue in eigenvalues.items() if eigenvalue <= largest + 1e-9}
    assert len(found) <= 60
    assert set(map(tuple, found.tolist())) == below
    above = min(eigenvalue for v, eigenvalue in eigenvalues.items() if v not in below)
    assert first_missing_eigenvalue(found, boundary, box) == pytest.approx(above, rel=1e-12)


@boundaries
def test_a_hole_in_a_set_is_found(boundary):
    found = lowest_frequencies(3, boundary, count=60)
    hole = found[7].tolist()
    rest = torch.tensor([v for v in found.tolist() if v != hole])
    expected = by_hand(boundary, (1.0, 1.0, 1.0))[tuple(hole)]
    assert first_missing_eigenvalue(rest, boundary) == pytest.approx(expected, rel=1e-12)


def test_in_a_hundred_dimensions_the_lowest_shells_are_counted():
    # 0, e_i, and e_i +- e_j for i < j.
    assert len(lowest_frequencies(100, "periodic", count=10_001)) == 1 + 100 + 100 * 99
    assert len(lowest_frequencies(100, "periodic", count=10_000)) == 1 + 100


def test_axes_with_different_boundaries_start_at_zero_or_one():
    # k_0^2 + k_1^2 = 1, 2, 4, 5: (0, 1), (1, 1), (0, 2), and (1, 2) with (2, 1).
    found = lowest_frequencies(2, ("neumann", "dirichlet"), count=4)
    assert found.tolist() == [[0, 1], [1, 1], [0, 2]]
