"""Barron's theorem: n waves drawn at random approximate a sum of waves up to its norm / sqrt(n), in any dimension.

The theorem speaks of the absolute error. A product of d sines of norm 1 has a Wiener norm of 2^(d/2), so that sampling
its plane waves needs 2^d / eps^2 draws for a relative error eps; a ``SpectralNet`` draws whole products instead.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.barron.box import boundary_name
from sciml.barron.frequencies import sample_pairs
from sciml.errors import ConfigError

if TYPE_CHECKING:
    from sciml.barron.spectral import SpectralNet


def draw(
    weights: Float[Tensor, " mode"], n: int, *, generator: torch.Generator, stratified: bool = False
) -> Int[Tensor, " mode"]:
    """How often each of some things comes in n draws with replacement.

    Args:
        weights: Probabilities up to a factor, shape (mode,).
        n: Number of draws.
        generator: Source of the randomness.
        stratified: One draw from each n-th part of the cumulative distribution instead of n from the whole.

    Returns:
        Counts that sum up to n, shape (mode,).

    Raises:
        ConfigError: n is not positive, or there is nothing to draw from.
    """
    if n < 1 or not bool(weights.sum() > 0):
        raise ConfigError(
            f"{n} draws from weights of sum {float(weights.sum()):g} came; at least one draw and a positive sum are "
            "expected."
        )
    cumulative = weights.detach().double().cumsum(0)
    places = torch.rand(n, dtype=torch.float64, generator=generator, device=generator.device).to(weights.device)
    if stratified:
        places = (torch.arange(n, dtype=torch.float64, device=weights.device) + places) / n
    chosen = torch.searchsorted(cumulative, places * cumulative[-1], right=True).clamp(max=len(weights) - 1)
    return torch.bincount(chosen, minlength=len(weights))


def sampling_error(net: SpectralNet, n: int, *, norm: str = "l2") -> Float[Tensor, ""]:
    """Root mean square, over all draws, of the error of ``net.sample(n)`` in the norm it draws for; exact.

    E ||u - u_n||^2 = ((sum_k s_k |c_k|) (sum_k m_k s_k |c_k|) - ||u||^2) / n, where m_k is the squared L2 norm of the
    k-th wave, and s_k = 1 (L2) or (1 + |w_k|^2)^(1/2) (H1).

    Args:
        net: The sum of waves.
        n: Number of draws.
        norm: "l2" or "h1".
    """
    net = net.merge()
    weights = sampling_weights(net, norm)
    mean_square = weights.sum() * (net.masses * weights).sum()
    return ((mean_square - net.norm(norm) ** 2).clamp(min=0) / n).sqrt()


def sampling_bound(net: SpectralNet, n: int, *, norm: str = "l2") -> Float[Tensor, ""]:
    """Bound of ``sampling_error`` by norms alone.

    ((V ||u||_A^2 - ||u||^2) / n)^(1/2) in L2, (V ||u||_B^2 / n)^(1/2) in H1, where V is the volume of the box.

    Args:
        net: The sum of waves.
        n: Number of draws.
        norm: "l2" or "h1".

    Reference:
        Barron, IEEE Trans. Inf. Theory 39 (1993), lemma 1 and theorem 1.
    """
    if norm == "h1":
        return net.barron() * (net.volume / n) ** 0.5
    return ((net.volume * net.wiener() ** 2 - net.l2() ** 2).clamp(min=0) / n).sqrt()


def sample_product(factors: Sequence[SpectralNet], n: int, *, generator: torch.Generator) -> SpectralNet:
    """Draw n waves of a product of networks without forming it; the mean over all draws is the product.

    A wave of each factor is drawn with probability ~ |c_k|, and of the waves of their product one is kept. The root
    mean square of the error in L2 is at most the product of the Wiener norms times sqrt(V / n), V being the volume.

    Args:
        factors: Networks on one box, all periodic or none.
        n: Number of draws.
        generator: Source of the randomness.

    Returns:
        A network of at most n waves, e.g. ``sample_product([u, u, u], n, generator=g)`` for u^3.

    Raises:
        ConfigError: the factors do not fit each other.
    """
    kinds = {(net.box, net.sine is None) for net in factors}
    if len(kinds) != 1:
        raise ConfigError(
            "factors on different boxes, or periodic and other ones, came; sample_product takes one kind."
        )

    def draws(net: SpectralNet):
        net = net.merge()
        size = net.coefficients.abs()
        counts = draw(size, n, generator=generator)
        row = torch.repeat_interleave(torch.arange(len(net), device=counts.device), counts)
        row = row[torch.randperm(n, generator=generator, device=generator.device).to(row.device)]
        return net.frequencies[row], net.coefficients[row] / size[row] * size.sum(), net.sine

    def product(one, other):
        sines = None if one[2] is None else (one[2], other[2])
        terms = sample_pairs(one[:2], other[:2], sines, generator=generator)
        return *terms, None if sines is None else sines[0] ^ sines[1]

    frequencies, coefficients, sine = functools.reduce(product, map(draws, factors))
    kind = type(factors[0])
    return kind(frequencies, coefficients / n, boundary=boundary_name(sine), box=factors[0].box).merge()


def sampling_weights(net: SpectralNet, norm: str) -> Float[Tensor, " mode"]:
    """Probabilities, up to a factor, by which waves are drawn: |c_k| ("l2") or (1 + |w_k|^2)^(1/2) |c_k| ("h1").

    Raises:
        ConfigError: the norm is another one.
    """
    if norm not in ("l2", "h1"):
        raise ConfigError(f"norm={norm!r} came; waves are drawn for 'l2' or 'h1'.")
    size = net.coefficients.abs()
    return size if norm == "l2" else size * (1 + net.wavenumbers.square().sum(1)).sqrt()
