import math

import pytest
import torch

from sciml.barron.lattice import RankOneLattice, good_size, search_lattice
from sciml.errors import ConfigError, ShapeError

FREQUENCIES = torch.tensor([[1, 2, 1], [3, 1, 2], [1, 1, 1], [2, 4, 3]])
MIXED = ("neumann", "dirichlet", "neumann")
WITH_ZEROS = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 2, 1], [3, 1, 2]])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def direct(x, frequencies, coefficients, boundary, box):
    """The series by its definition."""
    sides = torch.tensor(box or (1.0,) * x.shape[1], dtype=torch.float64)
    waves = (2 if boundary == "periodic" else 1) * math.pi * frequencies.double() / sides
    if boundary == "periodic":
        return (torch.exp(1j * (x @ waves.T)) @ coefficients).real
    kinds = (boundary,) * x.shape[1] if isinstance(boundary, str) else boundary
    sine = torch.tensor([kind == "dirichlet" for kind in kinds])
    angles = x[:, None] * waves
    return torch.where(sine, angles.sin(), angles.cos()).prod(2) @ coefficients


def series(boundary):
    frequencies = {"periodic": torch.cat([WITH_ZEROS, torch.tensor([[1, -2, 0]])]), "neumann": WITH_ZEROS}
    frequencies[MIXED] = torch.tensor([[0, 1, 0], [1, 2, 0], [0, 3, 1], [3, 1, 2]])
    frequencies = frequencies.get(boundary, FREQUENCIES)
    dtype = torch.complex128 if boundary == "periodic" else torch.float64
    coefficients = torch.randn(len(frequencies), dtype=dtype, generator=seeded(1))
    if boundary == "periodic":
        coefficients = torch.where(torch.arange(len(frequencies)) > 0, coefficients, coefficients.real)
    return frequencies, coefficients


every_boundary = pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet", MIXED])
boxes = pytest.mark.parametrize("box", [None, (1.0, 2.0, 0.5)])


@every_boundary
@boxes
def test_values_and_derivatives_are_those_of_the_series(boundary, box):
    frequencies, coefficients = series(boundary)
    lattice = RankOneLattice.random(3, 200, seeded())
    transform = lattice.transform(frequencies, boundary, box)
    x = lattice.points(boundary, box)
    # Rounding: 5 modes of size 1, second derivatives up to (2 pi 4 / 0.5)^2 = 2500.
    assert torch.allclose(
        transform.evaluate(coefficients), direct(x, frequencies, coefficients, boundary, box), atol=1e-13
    )

    def value(point):
        return direct(point[None], frequencies, coefficients, boundary, box)[0]

    gradient = torch.func.vmap(torch.func.grad(value))(x)
    hessian = torch.func.vmap(torch.func.hessian(value))(x)
    assert torch.allclose(transform.gradient(coefficients), gradient, atol=1e-12)
    assert torch.allclose(transform.evaluate(coefficients, (0, 2)), hessian[:, 0, 2], atol=1e-10)
    assert torch.allclose(transform.evaluate(coefficients, (1, 1)), hessian[:, 1, 1], atol=1e-10)
    assert torch.allclose(transform.laplacian(coefficients), hessian.diagonal(dim1=1, dim2=2).sum(1), atol=1e-10)


@every_boundary
def test_projection_inverts_evaluation(boundary):
    frequencies, coefficients = series(boundary)
    lattice = search_lattice(frequencies, boundary, generator=seeded())
    values = lattice.transform(frequencies, boundary).evaluate(coefficients)
    assert torch.allclose(lattice.project(values, frequencies, boundary), coefficients, atol=1e-13)


def test_frequencies_that_share_a_bin_are_reported_and_left_alone():
    frequencies = torch.tensor([[1, 0], [0, 1], [2, 0]])
    lattice = RankOneLattice(15, torch.tensor([1, 1]), torch.zeros(2, dtype=torch.float64))  # (1, 0) and (0, 1) alias
    transform = lattice.transform(frequencies, "periodic")
    assert transform.resolved.tolist() == [False, False, True]
    coefficients = torch.tensor([1.0, 2.0, 3.0], dtype=torch.complex128)
    projected = transform.project(transform.evaluate(coefficients))
    assert torch.allclose(projected, torch.tensor([0, 0, 3.0], dtype=torch.complex128), atol=1e-14)
    with pytest.raises(ConfigError, match="2 of 3 frequencies cannot be told apart on this lattice of 15 points"):
        lattice.project(transform.evaluate(coefficients), frequencies, "periodic")


def test_a_wave_that_looks_constant_on_the_lattice_is_not_resolved():
    lattice = RankOneLattice(5, torch.tensor([1, 1]), torch.tensor([0.1, 0.2], dtype=torch.float64))
    assert lattice.transform(torch.tensor([[1, -1]]), "periodic").resolved.tolist() == [False]


@every_boundary
def test_the_dual_norm_of_a_series_is_its_sum_over_modes(boundary):
    frequencies, coefficients = series(boundary)
    lattice = RankOneLattice.random(3, 1000, seeded())  # so many points that every signed copy has its own bin
    transform = lattice.transform(frequencies, boundary)
    active = (frequencies != 0).sum(1)
    share = torch.where(active > 0, 0.5, 1.0) if boundary == "periodic" else 0.5**active
    expected = (share * coefficients.abs().square() / (1 + transform.eigenvalues)).sum()
    values = transform.evaluate(coefficients)
    assert float(transform.dual_norm_squared(values, rest=0.0)) == pytest.approx(float(expected), rel=1e-12)


def test_what_is_not_among_the_modes_counts_with_the_eigenvalue_of_the_rest():
    frequencies, coefficients = series("periodic")
    lattice = search_lattice(frequencies, "periodic", generator=seeded())
    values = lattice.transform(frequencies, "periodic").evaluate(coefficients)
    known = lattice.transform(frequencies[:1], "periodic")
    rest = 4 * math.pi**2
    expected = coefficients[0].abs() ** 2 + coefficients[1:].abs().square().sum() / 2 / (1 + rest)
    # One bin of size / 2 holds the known mode, and the others stand for it too.
    assert float(known.dual_norm_squared(values, rest)) == pytest.approx(float(expected), rel=2 / (lattice.size // 2))


def test_the_mean_over_the_lattice_is_the_integral_of_what_it_resolves():
    frequencies, coefficients = series("neumann")
    lattice = search_lattice(frequencies, "neumann", generator=seeded())
    values = lattice.transform(frequencies, "neumann").evaluate(coefficients)
    assert float(values.mean()) == pytest.approx(float(coefficients[0]), abs=1e-14)


def test_sizes_are_odd_and_short_to_transform():
    assert [good_size(n) for n in (2, 8, 106, 1000)] == [3, 9, 125, 1029]


def test_a_set_too_large_for_memory_is_refused_with_the_number():
    frequencies = torch.ones(1000, 40, dtype=torch.int64)
    lattice = RankOneLattice.random(40, 100, seeded())
    with pytest.raises(
        ConfigError, match=r"1000 dirichlet frequencies: 5.5e\+14 waves in dimension 40 need 2.31e\+08 GB"
    ):
        lattice.transform(frequencies, "dirichlet")


def test_shapes_that_do_not_fit_are_named():
    lattice = RankOneLattice.random(3, 100, seeded())
    with pytest.raises(ShapeError, match=r"frequencies of shape \(4, 2\) came; \(mode, 3\) is expected"):
        lattice.transform(FREQUENCIES[:, :2], "periodic")
    with pytest.raises(ShapeError, match=r"shapes \(2,\) and \(3,\)"):
        RankOneLattice(5, torch.tensor([1, 2]), torch.zeros(3, dtype=torch.float64))


def test_a_search_without_success_says_what_to_do():
    with pytest.raises(
        ConfigError, match=r"no lattice of up to 9 points tells these 4 frequencies apart\. Raise largest"
    ):
        search_lattice(FREQUENCIES, "periodic", generator=seeded(), largest=9, tries=1)
