"""Certificates: a bound of the distance from the solution, from residuals at points that no solver has seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.barron.boundary import check_boundary_values, check_flux
from sciml.barron.enumeration import first_missing_eigenvalue, lowest_frequencies
from sciml.barron.frequencies import distinct
from sciml.barron.jet import Jet, LatticeJet, Values, Vectors, jet_of
from sciml.barron.lattice import RankOneLattice
from sciml.barron.problem import EnergyProblem
from sciml.barron.residual import BLOCK
from sciml.barron.spectral import SpectralNet
from sciml.barron.transform import LatticeTransform, signed_copies
from sciml.errors import ConfigError, DataError

DECIMALS_AGREE = 0.2  # relative spread over the lattices above which the bound is called an estimate


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Bounds of the error of an approximate solution u of a problem with the solution u*.

    |u - u*|_H1 <= |rho|_H-1 / mu and E(u) - E(u*) <= |rho|_H-1^2 / (2 mu), where rho is the residual and mu the strong
    convexity of the energy. Norms of rho are means over random lattices: several of them, none used in solving, and the
    largest counts.

    Attributes:
        error: Bound of |u - u*|_H1, the largest over the lattices.
        mean: Mean of the bound over the lattices.
        spread: Largest minus smallest.
        relative: error / |u|_H1.
        energy_gap: Bound of E(u) - E(u*).
        mu: Strong convexity by which residuals were divided.
        form: "residual", or "flux" for a bound without second derivatives.
        lattices: Number of lattices.
        points: Points of each.
        caveats: Why the bound is only an estimate; empty if it is one up to the quadrature, which ``spread`` shows.
    """

    error: float
    mean: float
    spread: float
    relative: float
    energy_gap: float
    mu: float
    form: str
    lattices: int
    points: int
    caveats: tuple[str, ...]

    @property
    def estimate(self) -> bool:
        """Whether the bound is only an estimate."""
        return bool(self.caveats)

    def __str__(self) -> str:
        """The bound in words."""
        kind = "estimate" if self.estimate else "bound, up to quadrature"
        text = (
            f"H1 error at most {self.error:.3g} ({self.relative:.2g} of the norm; {kind}; {self.mean:.3g} on average "
            f"over {self.lattices} fresh lattices of {self.points} points, spread {self.spread:.2g}; mu {self.mu:.3g})"
        )
        return "; ".join([text, *self.caveats])


def certify(
    problem: EnergyProblem,
    network: Callable[[Tensor], Tensor],
    *,
    generator: torch.Generator,
    flux: Callable[[Tensor], Tensor] | None = None,
    lattices: int = 3,
    points: int = 2**14,
) -> Certificate:
    """Bound the error of any function that satisfies the boundary conditions.

    With the residual rho = f + div L_p - L_u and its coefficients rho_k on a set of frequencies,
    |rho|_H-1^2 = sum |rho_k|^2 / (1 + |w_k|^2) + |rest|^2 / (1 + w), w the smallest eigenvalue outside the set. With a
    flux q, |rho|_H-1^2 <= |q - L_p|^2 + |f + div q - L_u|^2, which needs no second derivatives of u.

    Args:
        problem: The problem.
        network: u: a ``SpectralNet``, or any torch function of points (point, dimension) that returns (point,), twice
            differentiable (once with a flux).
        generator: Source of the lattices, not the one that a solver has used.
        flux: q, a function of points that returns (point, dimension), once differentiable; q.n = 0 on Neumann sides,
            and periodic if u is. Best close to L_p(x, u*, grad u*).
        lattices: Number of lattices, at least 3.
        points: Least number of points of each; a spectral network gets more if it has many frequencies.

    Raises:
        ConfigError: there are fewer than 3 lattices, or the boundary conditions are not satisfied, or L is not convex.
        DataError: the residual is not finite.
    """
    if lattices < 3:
        raise ConfigError(f"lattices is {lattices}; at least 3 are expected, or the spread of the bound is unknown.")
    check_boundary_values(problem, network, generator=generator)
    if flux is not None:
        check_flux(problem, flux, generator=generator)
    if isinstance(network, SpectralNet):
        network = network.merge()
        points = max(points, 8 * int(signed_copies(network.frequencies, problem.boundary).sum()))
    frequencies = _known_frequencies(problem, network, points)
    rest = first_missing_eigenvalue(frequencies, problem.boundary, problem.box)
    bounds, norms, constants, sure = [], [], [], True
    for _ in range(lattices):
        lattice = RankOneLattice.random(problem.dimension, points, generator, device=str(frequencies.device))
        x = lattice.points(problem.boundary, problem.box)
        transform = lattice.transform(frequencies, problem.boundary, problem.box)
        jet = _jet(network, x, transform)
        load = torch.cat([problem.load(block) for block in x.split(BLOCK)])
        if flux is None:
            square = transform.dual_norm_squared(problem.residual(jet, load), rest)
        else:
            square = _flux_square(problem, jet, load, flux)
        if not math.isfinite(square):
            raise DataError(
                "the residual is not finite: the network, the source or the density returns NaN or infinity at points "
                "of the box. Look for roots, logarithms and quotients in them."
            )
        ellipticity = problem.ellipticity(jet)
        constants.append(ellipticity.constants(problem).mu)
        bounds.append(math.sqrt(problem.volume * float(square)))
        norms.append(_norm(network, jet, problem.volume))
        sure &= ellipticity.global_below
    mu, norm = min(constants), sum(norms) / lattices
    errors = [bound / mu for bound in bounds]
    spread = max(errors) - min(errors)
    caveats = []
    if not sure:
        caveats.append("c or lam is not known for all u and was found on samples of this one")
    if spread > DECIMALS_AGREE * max(errors):
        caveats.append("the lattices differ: take more points")
    return Certificate(
        error=max(errors),
        mean=sum(errors) / lattices,
        spread=spread,
        relative=max(errors) / max(norm, math.ulp(0)),
        energy_gap=max(bounds) ** 2 / (2 * mu),
        mu=mu,
        form="residual" if flux is None else "flux",
        lattices=lattices,
        points=lattice.size,
        caveats=tuple(caveats),
    )


def _known_frequencies(problem: EnergyProblem, network: Callable[[Tensor], Tensor], points: int) -> Tensor:
    """Frequencies on which the residual is resolved: those of the network, and as many of the lowest as fit."""
    lowest = lowest_frequencies(problem.dimension, problem.boundary, problem.box, count=points // 64)
    if isinstance(network, SpectralNet):
        lowest = torch.cat([network.frequencies, lowest.to(network.frequencies)])
        lowest = lowest[distinct(lowest)[0]]
    waves = signed_copies(lowest, problem.boundary).cumsum(0)
    return lowest[: max(1, int((waves <= points / 4).sum()))]


def _jet(network: Callable[[Tensor], Tensor], x: Vectors, transform: LatticeTransform) -> Jet:
    if not isinstance(network, SpectralNet):
        return jet_of(network, x)
    coefficients = network.coefficients.detach()
    padding = coefficients.new_zeros(transform.modes - len(coefficients))
    return LatticeJet(x, transform, torch.cat([coefficients, padding]))


def _norm(network: Callable[[Tensor], Tensor], jet: Jet, volume: float) -> float:
    """H1 norm, in closed form if there is one."""
    if isinstance(network, SpectralNet):
        return float(network.h1())
    return math.sqrt(volume * float((jet.value.square() + jet.gradient.square().sum(1)).mean()))


def _flux_square(problem: EnergyProblem, jet: Jet, load: Values, flux: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean of |q - L_p|^2 + |f + div q - L_u|^2."""
    x = jet.points
    divergence = torch.zeros_like(load)
    for axis in range(x.shape[1]):
        direction = torch.zeros_like(x)
        direction[:, axis] = 1
        divergence += torch.func.jvp(flux, (x,), (direction,))[1][:, axis].detach()
    off = flux(x).detach() - problem.flux(jet)
    imbalance = load + divergence - problem.slope(jet)
    return (off.square().sum(1) + imbalance.square()).mean()
