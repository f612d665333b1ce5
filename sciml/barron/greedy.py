"""Orthogonal greedy algorithm: a two-layer network that grows by the unit that explains most of the residual."""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.barron.boundary_net import BoundaryNet
from sciml.barron.least_squares import BLOCK, POINTS, POINTS_PER_UNIT, fit_outer_weights
from sciml.barron.linearise import linearise
from sciml.barron.observe import Observer, conclude
from sciml.barron.problem import EnergyProblem
from sciml.barron.quadrature import PointSet, Quadrature
from sciml.barron.solve import Solution

RECORDS = 16  # of the history


def orthogonal_greedy(
    problem: EnergyProblem,
    *,
    units: int = 64,
    activation: str = "cos",
    scale: float = 5.0,
    candidates: int = 256,
    rule: str = "lattice",
    points: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Solution:
    """Solve a problem by the orthogonal greedy algorithm (OGA) in the norm of the residual.

    Each step draws candidates phi, takes the one with the largest |<rho, A phi>| / |A phi|, A the linearised operator,
    and fits all outer weights anew. It needs fewer units than random features, and far more time for each.

    Args:
        problem: The problem.
        units: Number of units of the final network.
        activation: "cos" or "tanh".
        scale: Size of the candidates' inner weights; see ``BoundaryNet.random``.
        candidates: Number of random units from which each step chooses. Good values: 100 to 1000.
        rule: Quadrature rule: "lattice", "sobol" or "gauss".
        points: Points of fits and scores; None for 20 times the units. Few points and many units give a network that
            is a solution on the points only.
        seed: Of candidates and points.
        device: Where to compute.

    Returns:
        The solution; its network is a ``BoundaryNet``, its history has records of growing networks.

    Raises:
        ConfigError: a setting is wrong, or L is not convex.

    Reference:
        Siegel, Hong, Jin, Hao and Xu, arXiv:2107.04466.
    """
    generator = torch.Generator().manual_seed(seed)
    place = {"boundary": problem.boundary, "box": problem.box, "generator": generator}

    def draw(count: int) -> BoundaryNet:
        settings = {"hidden": (count,), "activation": activation, "scale": scale}
        return BoundaryNet.random(problem.dimension, **settings, **place).to(device)

    size = points or max(POINTS, POINTS_PER_UNIT * units)
    drawn = Quadrature(problem, rule=rule, size=size, generator=generator, device=device).draw()
    observer = Observer(problem, drawn)
    network = draw(0)
    for count in range(1, units + 1):
        pool = draw(candidates)
        best = int(_scores(problem, network, pool, drawn, observer.load).argmax())
        network = network.with_unit(pool, best)
        fit_outer_weights(problem, network, drawn)
        if count % max(1, units // RECORDS) == 0 or count == units:
            observer.record(network)
    return conclude(observer, network, verdict=f"grown to {units} units", generator=generator)


@torch.no_grad()
def _scores(problem: EnergyProblem, network: BoundaryNet, pool: BoundaryNet, points: PointSet, load: Tensor) -> Tensor:
    """|<rho, A phi>| / |A phi| of every unit phi of a pool, shape (unit,)."""
    products = squares = load.new_zeros(len(pool))
    for x, f, w in zip(*(t.split(BLOCK) for t in (points.points, load, points.weights)), strict=True):
        linear = linearise(problem, network, x, f)
        columns = linear.of(pool.features)
        products = products + (w * linear.residual) @ columns
        squares = squares + w @ columns.square()
    return products.abs() / squares.sqrt()
