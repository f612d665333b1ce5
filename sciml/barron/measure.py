"""The Barron norm of a function that is given by its values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.barron.box import Boundary, check_box
from sciml.barron.expand import Function, WaveVectors, expand_on_grid, expand_on_lattices
from sciml.barron.lattice import RankOneLattice
from sciml.barron.spectral import SpectralNet
from sciml.errors import ConfigError, DataError, ShapeError

CUTOFFS = {1: 512, 2: 64, 3: 16}  # by dimension: at most 33,000 waves, under a second
FRESH = 2**13  # points on which the defect is measured


@dataclass(frozen=True)
class BarronMeasurement:
    """A measured Barron norm, and how much of it may be missing.

    Args:
        norm: Barron norm of ``network``.
        tail: Estimate of the norm of the waves that were not found, extrapolated from how the norm grew with the last
            two doublings of the set; inf if it does not decay: the function has no finite Barron norm of this order, or
            far more waves are needed.
        defect: L2 norm of the difference between function and network, estimated on points not used before.
        network: The waves that were found.
    """

    norm: float
    tail: float
    defect: float
    network: SpectralNet


@torch.no_grad()
def measure_barron_norm(
    function: Function,
    dimension: int,
    boundary: Boundary,
    *,
    box: Sequence[float] | None = None,
    order: float = 1,
    cutoff: int | None = None,
    frequencies: WaveVectors | None = None,
    generator: torch.Generator | None = None,
) -> BarronMeasurement:
    """Measure sum_k (1 + |w_k|)^order |c_k| of the periodic, even or odd extension of a function.

    Up to three dimensions all waves up to a cutoff are found from values on a tensor grid; above, or where a set of
    waves is given, those that stand out on three rank-one lattices. Above three dimensions the candidates start with
    the lowest frequencies and grow around the largest waves.

    Args:
        function: Maps points (point, dimension) to values (point,), in float64.
        dimension: Dimension of the box.
        boundary: "periodic", "neumann" (even extension), "dirichlet" (odd extension; the function is zero on the
            boundary), or one of the latter two for every axis.
        box: Sides of the box; None for the unit cube.
        order: Order of the norm; 1 is Barron's, 0 Wiener's.
        cutoff: Largest |k_i| on the grid. Good values: the default, and twice that to see the norm converge.
        frequencies: The only candidates k, shape (mode, dimension).
        generator: Source of the lattices; None for a fixed seed.

    Raises:
        ShapeError: the function does not return one number for every point.
        DataError: it is not finite everywhere.
        ConfigError: cutoff and frequencies are both given, or a cutoff above three dimensions.

    Reference:
        Barron, IEEE Trans. Inf. Theory 39 (1993), 930-945.
    """
    generator = generator or torch.Generator().manual_seed(0)
    box = check_box(box, dimension)
    if cutoff is not None and (frequencies is not None or dimension > 3):
        raise ConfigError(
            f"cutoff={cutoff} came {'with frequencies' if dimension <= 3 else f'in dimension {dimension}'}; it is for "
            "the grid in at most three dimensions. Pass either cutoff or frequencies."
        )

    def sample(x: Tensor) -> Tensor:
        values = function(x)
        if values.shape != x.shape[:1]:
            raise ShapeError(
                f"the function returned shape {tuple(values.shape)} for points of shape {tuple(x.shape)}; one number "
                f"for every point, ({len(x)},), is expected."
            )
        wrong = int((~values.isfinite()).sum())
        if wrong:
            raise DataError(
                f"the function is NaN or infinite at {wrong} of {len(x)} points; finite values are expected. Keep its "
                "singularities out of the box."
            )
        return values.double()

    if frequencies is None and dimension <= 3:
        cutoff = cutoff or CUTOFFS[dimension]
        net = expand_on_grid(sample, cutoff, boundary, box)
        level = net.frequencies.abs().amax(1) / cutoff
    else:
        net = expand_on_lattices(sample, boundary, box, frequencies=frequencies, generator=generator)
        level = None
    shares = (1 + net.wavenumbers.norm(dim=1)) ** order * net.coefficients.abs()
    net = net.prune(tol=0)
    fresh = RankOneLattice.random(dimension, FRESH, generator)
    values = sample(fresh.points(boundary, box))
    rest = float((values - fresh.evaluate(net)).square().mean().sqrt())
    if level is None:  # waves that were looked for are in no order but that of their shares
        exact = rest < 1e-12 * float(values.abs().max())
        level = torch.zeros(len(shares)) if exact else (1 + shares.argsort(descending=True).argsort()) / len(shares)
    tail = _extrapolate(shares, level)
    return BarronMeasurement(float(net.barron(order)), tail, rest * math.sqrt(net.volume), net)


def _extrapolate(shares: Tensor, level: Tensor) -> float:
    """Sum of the shares beyond level 1, if every doubling of the level adds a fixed fraction of the last one."""
    outer = float(shares[level > 0.5].sum())
    middle = float(shares[(level > 0.25) & (level <= 0.5)].sum())
    if outer == 0:
        return 0.0
    # Two doublings cannot tell a fraction of 0.9 from 1, for which the sum is infinite.
    return math.inf if outer > 0.9 * middle else outer**2 / (middle - outer)
