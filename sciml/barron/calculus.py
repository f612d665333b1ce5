"""What the theory promises: rates of preconditioned gradient descent and how fast Barron norms can grow along it.

Descent for E(u) = integral of L(x, u, grad u) - f u steps u <- u - eta P DE(u), P = (alpha - beta Laplacian)^-1.
That such steps stay among functions of small Barron norm is the theorem of arXiv:2210.12101; these constants are sharp.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.barron.box import Boundary, check_box, sine_axes
from sciml.barron.frequencies import distinct
from sciml.errors import ConfigError

if TYPE_CHECKING:
    from sciml.barron.spectral import SpectralNet

# sup over s >= 0 of (1 + s) / (1 + s^2), and of s (1 + s) / (1 + s^2): by how much (1 - Laplacian)^-1 at most raises a
# Wiener norm to a Barron norm, from a function or from the divergence of a vector field.
KAPPA = (1 + math.sqrt(2)) / 2

# Largest ||P f||_A for which the Wiener norms of descent for -Laplacian u + u + u^3 = f stay bounded for all steps.
CUBIC_THRESHOLD = 2 / (3 * math.sqrt(3))


@dataclass(frozen=True)
class ConvexityConstants:
    """Bounds mu <= P D^2 E <= M of the preconditioned Hessian, and the rates that follow from them.

    Args:
        mu: Strong convexity, positive.
        M: Smoothness, at least mu.

    Raises:
        ConfigError: mu is not positive, or M is smaller than mu.
    """

    mu: float
    M: float

    def __post_init__(self):
        if not 0 < self.mu <= self.M:
            raise ConfigError(
                f"mu={self.mu:g} and M={self.M:g} came; 0 < mu <= M is expected. A periodic or Neumann problem needs a "
                "density that is strongly convex in u (c > 0)."
            )

    @property
    def best_step(self) -> float:
        """The step 2 / (mu + M), for which the error contracts fastest."""
        return 2 / (self.mu + self.M)

    @property
    def energy_rate(self) -> float:
        """Factor 1 - mu / M by which E - min E decreases in a step of size 1 / M."""
        return 1 - self.mu / self.M

    def contraction(self, step: float | None = None) -> float:
        """Factor by which the norm of the error decreases in a step; (M - mu) / (M + mu) for the best one.

        Args:
            step: Size eta of the step; None for the best. From 2 / M on the factor is at least 1.
        """
        step = self.best_step if step is None else step
        return max(abs(1 - step * self.mu), abs(1 - step * self.M))

    def iterations(self, error: float, tol: float, *, step: float | None = None) -> int:
        """Steps after which the error is at most ``tol``.

        Args:
            error: Norm of the first error.
            tol: Norm of the last error.
            step: Size of the step; None for the best.

        Raises:
            ConfigError: the step is too large to converge.
        """
        rate = self.contraction(step)
        if rate >= 1:
            raise ConfigError(f"a step of {step} came; descent converges for steps below 2 / M = {2 / self.M:g}.")
        if error <= tol:
            return 0
        return 1 if rate == 0 else math.ceil(math.log(error / tol) / -math.log(rate))


def convexity_constants(
    *, lam: float, Lam: float, c: float, c_max: float, lowest: float = 0.0, alpha: float = 1.0, beta: float = 1.0
) -> ConvexityConstants:
    """Sharp bounds of the preconditioned Hessian.

    mu = inf (c + lam s) / (alpha + beta s), M = sup (c_max + Lam s) / (alpha + beta s) over the spectrum s >= lowest of
    minus the Laplacian. P = (1, 1) gives the H^1 norm.

    Args:
        lam: Least eigenvalue of the Hessian of L in grad u.
        Lam: Largest one.
        c: Infimum of d^2 L / du^2, which may be 0 for Dirichlet problems.
        c_max: Supremum of it. Where L is only locally smooth, that on a level set: 1 + 3 wiener()^2 for
            u^2 / 2 + u^4 / 4.
        lowest: Smallest eigenvalue of minus the Laplacian, ``lowest_eigenvalue(...)``.
        alpha: Constant term of the preconditioner.
        beta: Its coefficient of the Laplacian.

    Raises:
        ConfigError: the Hessian is not positive definite.
    """
    # Both quotients are monotone in s: their extrema are at the ends of the spectrum.
    bottom = alpha + beta * lowest
    mu = min((c + lam * lowest) / bottom, lam / beta)
    return ConvexityConstants(mu, max((c_max + Lam * lowest) / bottom, Lam / beta))


def shifted_preconditioner(*, lam: float, Lam: float, c: float, c_max: float) -> tuple[float, float]:
    """Preconditioner (alpha, beta) = ((c + c_max) / 2, (lam + Lam) / 2), for which the step 1 is good.

    The error contracts by at least max((c_max - c) / (c_max + c), (Lam - lam) / (Lam + lam)).
    """
    return (c + c_max) / 2, (lam + Lam) / 2


def lowest_eigenvalue(dimension: int, boundary: Boundary, *, box: Sequence[float] | None = None) -> float:
    """Smallest eigenvalue of minus the Laplacian on a box: sum of (pi / L_i)^2 over Dirichlet axes, else 0.

    Args:
        dimension: Dimension of the box.
        boundary: "periodic", "neumann", "dirichlet", or one of the latter two for every axis.
        box: Sides of the box; None for the unit cube.
    """
    sine, sides = sine_axes(boundary, dimension), check_box(box, dimension)
    return (
        0.0
        if sine is None
        else sum((math.pi / side) ** 2 for side, yes in zip(sides, sine.tolist(), strict=True) if yes)
    )


def vector_wiener(field: Sequence[SpectralNet]) -> Float[Tensor, ""]:
    """Wiener norm sum_w |F^(w)|_2 of a vector field; that of grad u is sum_k |w_k| |c_k|.

    Args:
        field: Networks of the components.
    """
    field = [component.merge() for component in field]
    frequencies = torch.cat([component.frequencies for component in field])
    squares = torch.cat([component.coefficients.abs().square() for component in field])
    first, group = distinct(frequencies)
    return squares.new_zeros(len(first)).index_add(0, group, squares).sqrt().sum()


def one_step_bound(barron: float, *, step: float, source: float, reaction: float = 0.0, flux: float = 0.0) -> float:
    """Bound of the Barron norm after one step with P = (1 - Laplacian)^-1, from norms measured before it.

    With d_u L = u + r(u) and d_p L = grad u + R(grad u):
    W_{t+1} <= (1 - eta) W_t + eta (||P f||_B + kappa ||r(u_t)||_A + kappa ||R(grad u_t)||_A), kappa = (1 + sqrt 2) / 2.

    Args:
        barron: Barron norm W_t.
        step: Size eta of the step, in (0, 1].
        source: Barron norm of P f.
        reaction: Wiener norm of r(u_t).
        flux: Wiener norm of the vector field R(grad u_t), as ``vector_wiener`` gives it.
    """
    return (1 - step) * barron + step * (source + KAPPA * (reaction + flux))


@dataclass(frozen=True)
class NormBounds:
    """Bounds before the first and after every step; inf from the step on at which they say nothing any more.

    Args:
        wiener: Bounds of ||u_t||_A.
        barron: Bounds of ||u_t||_B.
    """

    wiener: list[float]
    barron: list[float]


def a_priori_bounds(
    source: SpectralNet,
    *,
    step: float,
    iterations: int,
    reaction: Callable[[float], float] = lambda a: 0.0,
    flux: Callable[[float], float] = lambda g: 0.0,
    initial: SpectralNet | None = None,
) -> NormBounds:
    """Bounds of all norms along descent with P = (1 - Laplacian)^-1, known before the first step.

    With d_u L = u + r(u), d_p L = grad u + R(grad u), A_t >= ||u_t||_A, G_t >= ||grad u_t||_A and W_t >= ||u_t||_B:
    A_{t+1} = (1 - eta) A_t + eta (||P f||_A + r(A_t) + R(G_t) / 2),
    G_{t+1} = (1 - eta) G_t + eta (||grad P f||_A + r(A_t) / 2 + R(G_t)),
    W_{t+1} = (1 - eta) W_t + eta (||P f||_B + kappa r(A_t) + kappa R(G_t)), and W <= A + G.

    Args:
        source: The network P f, ``f.resolvent()``.
        step: Size eta of the step, in (0, 1].
        iterations: Number of steps.
        reaction: Majorant of r: the function with the absolute values of its Taylor coefficients, e.g. a^3 for u^3,
            sinh(a) - a for sin(u) - u.
        flux: Majorant of R, e.g. g^3 for |grad u|^2 grad u.
        initial: The first iterate; None for 0.

    Returns:
        iterations + 1 bounds of either norm.
    """
    first = initial if initial is not None else source * 0.0
    source_a, source_b = float(source.wiener()), float(source.barron())
    a, w = float(first.wiener()), float(first.barron())
    g = w - a
    wiener, barron = [a], [w]
    for _ in range(iterations):
        r, R = _majorise(reaction, a), _majorise(flux, g)
        a, g, w = (
            (1 - step) * a + step * (source_a + r + R / 2),
            (1 - step) * g + step * (source_b - source_a + r / 2 + R),
            (1 - step) * w + step * (source_b + KAPPA * (r + R)),
        )
        w = min(w, a + g)
        g = min(g, w)
        if not math.isfinite(w):
            break
        wiener.append(a)
        barron.append(w)
    missing = [math.inf] * (iterations + 1 - len(barron))
    return NormBounds(wiener + missing, barron + missing)


def _majorise(function: Callable[[float], float], norm: float) -> float:
    try:
        return function(norm)
    except OverflowError:
        return math.inf


def cubic_wiener_bound(source: float) -> float:
    """Bound A = ||P f||_A + A^3 of the Wiener norms of all iterates for -Laplacian u + u + u^3 = f, started at 0.

    Args:
        source: Wiener norm of P f. Above ``CUBIC_THRESHOLD`` = 0.385 there is no such bound, and inf is returned.
    """
    if source > CUBIC_THRESHOLD:
        return math.inf
    return 2 / math.sqrt(3) * math.sin(math.asin(source / CUBIC_THRESHOLD) / 3)
