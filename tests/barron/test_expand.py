import math

import pytest
import torch

from sciml.barron.enumeration import lowest_frequencies
from sciml.barron.expand import _median_projection, expand_on_grid, expand_on_lattices
from sciml.barron.lattice import RankOneLattice
from sciml.barron.spectral import SpectralNet
from tests.barron.networks import BOUNDARIES, assert_same, random_net, random_points


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
def test_a_grid_gives_all_waves_up_to_the_cutoff(boundary):
    net = random_net(boundary, top=4)
    found = expand_on_grid(net, 4, boundary, (1.0, 1.0, 1.0))
    assert len(found) == len(found.merge())
    first = 1 if boundary == "dirichlet" else 0
    assert found.frequencies.abs().amax(0).tolist() == [4, 4, 4]
    if boundary != "periodic":
        assert int(found.frequencies.min()) == first
    assert_same(found(random_points(20)), net(random_points(20)))


def test_the_alias_of_a_large_wave_is_not_the_median():
    generator = torch.Generator().manual_seed(4)
    lattices = [RankOneLattice.random(5, 101, generator) for _ in range(3)]
    large = SpectralNet([[7, -5, 3, 9, 2]], [1.0], boundary="periodic")
    candidates = lowest_frequencies(5, "periodic", count=60)
    values = [lattice.evaluate(large) for lattice in lattices]
    alone = [
        _median_projection([v], [lattice], candidates, "periodic") for v, lattice in zip(values, lattices, strict=True)
    ]
    assert max(float(found.abs().max()) for found in alone) == pytest.approx(1)  # one lattice takes it for a small wave
    assert float(_median_projection(values, lattices, candidates, "periodic").abs().max()) < 1e-12


def test_only_what_stands_out_of_the_noise_is_found():
    net = SpectralNet([[1, 0, 0, 0], [0, 1, 1, 0]], [1.0, 0.5], boundary="periodic")

    def noisy(x):  # white noise, of the same strength as the waves
        seed = int(1e6 * float(x.sum()))
        return net(x) + torch.randn(len(x), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))

    found = expand_on_lattices(noisy, "periodic", (1.0,) * 4, generator=torch.Generator().manual_seed(0))
    difference = float((found - net).l2())
    # A coefficient is known up to (2 / 2^17)^(1/2) = 0.004, and few of a thousand candidates exceed four times that.
    assert difference < 0.02 * math.sqrt(2)
    assert len(found) < 10
