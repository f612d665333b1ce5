"""Deep Ritz: a network trained to minimise the energy, with a penalty on its Barron norm."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from sciml.barron.boundary_net import BoundaryNet
from sciml.barron.observe import Observer, conclude, energy
from sciml.barron.problem import EnergyProblem
from sciml.barron.quadrature import PointSet, Quadrature
from sciml.barron.solve import Solution
from sciml.barron.spectral import SpectralNet
from sciml.errors import SolverError

RECORDS = 20  # of the history of a training


def ritz_loss(
    problem: EnergyProblem, network: BoundaryNet | SpectralNet, points: PointSet, *, penalty: float = 0.0
) -> Float64[Tensor, ""]:
    """Ritz loss E(u) + penalty * Barron norm, E(u) = integral of L(x, u, grad u) - f u by quadrature.

    Its gradient is an unbiased one of the true loss if the points are drawn afresh at each step.

    Args:
        problem: The problem.
        network: u, with the boundary conditions of the problem.
        points: Points and weights of the integral.
        penalty: Weight of the Barron norm. Good values: 0, or 1e-3 to 1e-1 where points are few.

    Reference:
        E and Yu, arXiv:1710.00211 (Deep Ritz).
    """
    x = points.points

    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        value = network(x)
        return value.sum(), value

    gradient, (_, value) = torch.func.grad_and_value(total, has_aux=True)(x)
    loss = energy(problem, points, problem.load(x), value, gradient)
    return loss + penalty * network.barron() if penalty else loss


def train_ritz(
    problem: EnergyProblem,
    network: BoundaryNet,
    quadrature: Quadrature,
    observer: Observer,
    *,
    steps: int = 2000,
    learning_rate: float = 1e-2,
    penalty: float = 0.0,
) -> None:
    """Train a network in place by Adam, on fresh points at each step, the learning rate falling to 0 along a cosine.

    Args:
        problem: The problem.
        network: The network.
        quadrature: Source of the points.
        observer: Who records what has been reached.
        steps: Number of steps.
        learning_rate: That of the first step. Good values: 1e-3 to 2e-2.
        penalty: Weight of the Barron norm.

    Raises:
        SolverError: the loss is no longer finite.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        loss = ritz_loss(problem, network, quadrature.draw(), penalty=penalty)
        if not math.isfinite(float(loss.detach())):
            raise SolverError(
                f"the Ritz loss is {float(loss.detach())} at step {step}: the training diverges, or the source or the "
                "density is not finite in the box. Take a smaller learning rate, and look for roots and quotients."
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % max(1, steps // RECORDS) == 0 or step == steps - 1:
            observer.record(network)


def deep_ritz(
    problem: EnergyProblem,
    *,
    hidden: Sequence[int] = (64,),
    activation: str = "tanh",
    scale: float = 3.0,
    steps: int = 2000,
    learning_rate: float = 1e-2,
    penalty: float = 0.0,
    rule: str = "lattice",
    points: int = 2**10,
    seed: int = 0,
    device: str = "cpu",
) -> Solution:
    """Solve a problem by Deep Ritz: errors of about 1e-2; ``ritz_then_lsq`` goes on from there.

    Args:
        problem: The problem.
        hidden: Units of the hidden layers.
        activation: "tanh", or "cos" for one hidden layer.
        scale: Size of the inner weights at the start; see ``BoundaryNet.random``.
        steps: Steps of Adam.
        learning_rate: That of the first step; it falls to 0.
        penalty: Weight of the Barron norm.
        rule: Quadrature rule: "lattice", "sobol" or "gauss".
        points: Points of a step.
        seed: Of weights and points.
        device: Where to train.

    Returns:
        The solution; its network is a ``BoundaryNet``.

    Raises:
        SolverError: the training diverges.
        ConfigError: a setting is wrong, or L is not convex.
    """
    generator = torch.Generator().manual_seed(seed)
    place = {"boundary": problem.boundary, "box": problem.box, "generator": generator}
    network = BoundaryNet.random(problem.dimension, hidden=hidden, activation=activation, scale=scale, **place)
    network.to(device)
    quadrature = Quadrature(problem, rule=rule, size=points, generator=generator, device=device)
    observer = Observer(problem, quadrature.draw())
    settings = {"steps": steps, "learning_rate": learning_rate, "penalty": penalty}
    train_ritz(problem, network, quadrature, observer, **settings)
    return conclude(observer, network, verdict=f"trained for {steps} steps", generator=generator)
