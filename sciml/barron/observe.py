"""What is recorded of a network while it is trained, and the solution that it ends as."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sciml.barron.boundary_net import BoundaryNet
from sciml.barron.calculus import lowest_eigenvalue
from sciml.barron.certify import certify
from sciml.barron.flow import Iterate
from sciml.barron.jet import Values, Vectors, jet_of
from sciml.barron.problem import EnergyProblem
from sciml.barron.quadrature import PointSet
from sciml.barron.solve import Solution


class Observer:
    """Keeps the records of a network that is trained: energy, residual and norm, on fixed points.

    The dual residual of a record is |rho|_L2 / sqrt(1 + lambda), lambda the lowest eigenvalue of minus the Laplacian,
    which bounds |rho|_H-1 up to quadrature.

    Args:
        problem: The problem.
        points: Where to look.
        history: Records of an earlier training, which this one goes on from.

    Attributes:
        history: The records.
    """

    def __init__(self, problem: EnergyProblem, points: PointSet, *, history: Sequence[Iterate] = ()):
        self.problem, self.points = problem, points
        self.load = problem.load(points.points)
        self.history = list(history)
        self._lowest = lowest_eigenvalue(problem.dimension, problem.boundary, box=problem.box)
        self._begin = time.perf_counter() - (self.history[-1].seconds if self.history else 0.0)

    @torch.no_grad()
    def record(self, network: BoundaryNet) -> Iterate:
        """Look at the network."""
        problem, weights = self.problem, self.points.weights
        jet = jet_of(network, self.points.points)
        residual = problem.residual(jet, self.load)
        dual_residual = float((weights @ residual.square() / (1 + self._lowest)).sqrt())
        self.history.append(
            Iterate(
                iteration=len(self.history),
                modes=len(network),
                energy=float(energy(problem, self.points, self.load, jet.value, jet.gradient)),
                dual_residual=dual_residual,
                certificate=dual_residual / problem.ellipticity(jet).constants(problem).mu,
                wiener=float("nan"),
                barron=float(network.barron()),
                one_step_bound=float("nan"),
                apriori_bound=float("nan"),
                seconds=time.perf_counter() - self._begin,
            )
        )
        return self.history[-1]


def energy(problem: EnergyProblem, points: PointSet, load: Values, value: Values, gradient: Vectors) -> Tensor:
    """E(u) = sum_j w_j (L(x_j, u, grad u) - f u), differentiable in u and grad u."""
    density: Callable[..., Tensor] = problem.density
    return points.weights @ (density(points.points, value, gradient) - load * value)


def conclude(
    observer: Observer, network: BoundaryNet, *, verdict: str, generator: torch.Generator, points: int = 2**14
) -> Solution:
    """The solution that a trained network is, with its certificate from fresh lattices.

    Args:
        observer: Who has watched the training.
        network: The network.
        verdict: How the training ended.
        generator: Source of the lattices.
        points: Points of each.
    """
    with torch.no_grad():
        certificate = certify(observer.problem, network, generator=generator, points=points)
    return Solution(
        network=network, certificate=certificate, history=observer.history, problem=observer.problem, verdict=verdict
    )
