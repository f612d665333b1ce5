"""Last layer by least squares: the outer weights for which the strong residual is smallest, the rest being frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.barron.boundary_net import BoundaryNet
from sciml.barron.flow import Iterate
from sciml.barron.jet import jet_of
from sciml.barron.linearise import linearise
from sciml.barron.observe import Observer, conclude
from sciml.barron.problem import EnergyProblem
from sciml.barron.quadrature import PointSet, Quadrature
from sciml.barron.ritz import deep_ritz
from sciml.barron.solve import Solution
from sciml.errors import ConfigError

BLOCK = 2**12  # points whose rows are reduced at a time
POINTS = 2**12  # of a fit, at least
POINTS_PER_UNIT = 20  # of a fit: enough for the residual to be as small between the points as on them
ROUNDING = 1e-14  # singular values below it, relative to the largest, are those of directions without information
LINEAR = 1e-6  # relative difference of predicted and true residual below which the problem is linear
GAIN = 0.01  # part of the residual that a step must promise to take away
ENOUGH = 1e-12  # of the source: where rounding begins
HALVINGS = 20


@torch.no_grad()
def fit_outer_weights(problem: EnergyProblem, network: BoundaryNet, points: PointSet, *, iterations: int = 20) -> int:
    """Change the outer weights a in place so that sum_j w_j rho(x_j)^2 is smallest, rho = f + div L_p - L_u.

    Gauss-Newton with halved steps where the residual grows; one step if the problem is linear. Every step is a linear
    least-squares problem, reduced by QR block by block, so that memory does not grow with the points. As the residual
    itself is made small, not the energy, errors go down to rounding where the features can represent the solution.

    Args:
        problem: The problem.
        network: The network whose hidden layers are kept.
        points: Points x_j and weights w_j, more than units.
        iterations: Most steps.

    Returns:
        The number of steps taken.

    Raises:
        ConfigError: there are fewer points than units.
    """
    if len(points) < len(network):
        raise ConfigError(
            f"{len(points)} points came to fit {len(network)} outer weights; at least as many are expected, better "
            f"{POINTS_PER_UNIT} times as many."
        )
    load = problem.load(points.points)
    enough = ENOUGH * float((points.weights @ load.square()).sqrt())
    found = _residual_norm(problem, network, points, load)
    for step in range(iterations):
        target, predicted = _gauss_newton(problem, network, points, load)
        if predicted > (1 - GAIN) * found:
            return step
        before, best = network.outer.clone(), found
        for halving in range(HALVINGS):
            network.outer.copy_(before + (target - before) / 2**halving)
            found = _residual_norm(problem, network, points, load)
            if found < best:
                break
        else:
            network.outer.copy_(before)
            return step
        if found < enough or abs(found - predicted) < LINEAR * predicted:
            return step + 1
    return iterations


def random_features(
    problem: EnergyProblem,
    *,
    units: int = 400,
    activation: str = "cos",
    scale: float = 5.0,
    rule: str = "lattice",
    points: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Solution:
    """Solve a problem by random features: hidden layer at random, outer weights by least squares.

    Hard to beat in up to three dimensions; above, the number of units needed grows fast.

    Args:
        problem: The problem.
        units: Number of random features.
        activation: "cos" or "tanh".
        scale: Size of the inner weights; see ``BoundaryNet.random``.
        rule: Quadrature rule: "lattice", "sobol" or "gauss".
        points: Points of the fit; None for 20 times the units.
        seed: Of features and points.
        device: Where to compute.

    Returns:
        The solution; its network is a ``BoundaryNet``.

    Raises:
        ConfigError: a setting is wrong, or L is not convex.

    Reference:
        Rahimi and Recht, NeurIPS 2007; Chen, Chi, E and Yang, arXiv:2207.13380 (random features for PDEs).
    """
    generator = torch.Generator().manual_seed(seed)
    place = {"boundary": problem.boundary, "box": problem.box, "generator": generator}
    network = BoundaryNet.random(problem.dimension, hidden=(units,), activation=activation, scale=scale, **place)
    return _fitted(problem, network.to(device), generator=generator, rule=rule, points=points)


def ritz_then_lsq(
    problem: EnergyProblem, *, rule: str = "lattice", seed: int = 0, fit_points: int | None = None, **settings: Any
) -> Solution:
    """Solve a problem by Deep Ritz, then fit the outer weights by least squares.

    Adam finds features and stalls at errors of about 1e-2, whatever these features could represent; the fit takes
    seconds and gains orders of magnitude.

    Args:
        problem: The problem.
        rule: Quadrature rule: "lattice", "sobol" or "gauss".
        seed: Of weights and points.
        fit_points: Points of the fit; None for 20 times the units.
        settings: Those of ``deep_ritz``.

    Returns:
        The solution; its network is a ``BoundaryNet``. The last record of its history is that after the fit.

    Raises:
        SolverError: the training diverges.
        ConfigError: a setting is wrong, or L is not convex.
    """
    trained = deep_ritz(problem, rule=rule, seed=seed, **settings)
    network = trained.network
    assert isinstance(network, BoundaryNet)
    fresh = torch.Generator().manual_seed(seed + 1)
    return _fitted(problem, network, generator=fresh, rule=rule, points=fit_points, history=trained.history)


def _fitted(
    problem: EnergyProblem,
    network: BoundaryNet,
    *,
    generator: torch.Generator,
    rule: str,
    points: int | None,
    history: Sequence[Iterate] = (),
) -> Solution:
    """The solution after a fit of the outer weights."""
    size, device = points or max(POINTS, POINTS_PER_UNIT * len(network)), network.outer.device
    drawn = Quadrature(problem, rule=rule, size=size, generator=generator, device=device).draw()
    observer = Observer(problem, drawn, history=history)
    steps = fit_outer_weights(problem, network, drawn)
    observer.record(network)
    verdict = f"{len(network)} outer weights fitted in {steps} steps"
    return conclude(observer, network, verdict=verdict, generator=generator)


def _residual_norm(problem: EnergyProblem, network: BoundaryNet, points: PointSet, load: Tensor) -> float:
    """Square root of sum_j w_j rho(x_j)^2."""
    residual = problem.residual(jet_of(network, points.points), load)
    return float((points.weights @ residual.square()).sqrt())


def _gauss_newton(problem: EnergyProblem, network: BoundaryNet, points: PointSet, load: Tensor) -> tuple[Tensor, float]:
    """The smallest outer weights that make the linearised residual smallest, and the norm that is left of it."""
    units = len(network)
    triangle = load.new_zeros(0, units + 1)
    for x, f, w in zip(*(t.split(max(BLOCK, 4 * units)) for t in (points.points, load, points.weights)), strict=True):
        linear = linearise(problem, network, x, f)
        matrix = linear.of(network.features)
        right = matrix @ network.outer - linear.residual
        rows = torch.cat([matrix, right[:, None]], dim=1) * w.sqrt()[:, None]
        triangle = torch.linalg.qr(torch.cat([triangle, rows]), mode="r").R
    matrix, right = triangle[:, :-1].cpu(), triangle[:, -1].cpu()
    # Columns of one size, as units with steep features must not decide what counts as rounding.
    scale = torch.linalg.vector_norm(matrix, dim=0).clamp(min=torch.finfo(matrix.dtype).tiny)
    outer = torch.linalg.lstsq(matrix / scale, right[:, None], rcond=ROUNDING, driver="gelsd").solution[:, 0] / scale
    return outer.to(load), float(torch.linalg.vector_norm(matrix @ outer - right))
