"""Norms of a sum of distinct waves, from what every wave adds to them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.barron.frequencies import Coefficients, Sine, WaveVectors
from sciml.errors import ConfigError

Shares = Float[Tensor, " mode"]

NORMS = ("l2", "h1", "wiener", "barron")


def wave_masses(frequencies: WaveVectors, sine: Sine | None, volume: float) -> Shares:
    """Squared L2 norm of every wave over the box, shape (mode,): the volume, halved for each oscillating factor."""
    oscillating = frequencies != 0
    halvings = oscillating.any(1) if sine is None else oscillating.sum(1)
    return volume * torch.exp2(-halvings.double())


def wave_integrals(frequencies: WaveVectors, sine: Sine | None, volume: float) -> Shares:
    """Integral of every wave over the box, shape (mode,)."""
    factors = (frequencies == 0).double()
    if sine is not None:
        odd = torch.where(frequencies % 2 == 1, 2 / (torch.pi * frequencies.double()), 0.0)
        factors = torch.where(sine, odd, factors)
    return volume * factors.prod(1)


def norm_shares(coefficients: Coefficients, squares: Shares, masses: Shares, kind: str, order: float = 1) -> Shares:
    """What every wave adds to a norm; squares add to squares in "l2" and "h1", in which waves are orthogonal.

    Args:
        coefficients: Coefficients c_k, shape (mode,).
        squares: Squared wavenumbers |w_k|^2, shape (mode,).
        masses: Squared L2 norms of the waves, shape (mode,).
        kind: "l2", "h1", "wiener" or "barron".
        order: Order of the Barron norm.

    Raises:
        ConfigError: the norm is another one.
    """
    if kind not in NORMS:
        raise ConfigError(f"norm {kind!r} came; one of {', '.join(NORMS)} is expected.")
    weights = {
        "l2": lambda: masses.sqrt(),
        "h1": lambda: (masses * (1 + squares)).sqrt(),
        "wiener": lambda: torch.ones_like(squares),
        "barron": lambda: (1 + squares.sqrt()) ** order,
    }
    return weights[kind]() * coefficients.abs()


def total(shares: Shares, kind: str) -> Float[Tensor, ""]:
    """The norm of all waves together."""
    return torch.linalg.vector_norm(shares) if kind in ("l2", "h1") else shares.sum()


def count_needed(shares: Shares, kind: str, tol: float) -> int:
    """Fewest waves without which the norm of the others is at most ``tol``."""
    # Summed from the smallest, so that rounding does not hide small waves.
    smallest = shares.sort().values
    rest = smallest.square().cumsum(0).sqrt() if kind in ("l2", "h1") else smallest.cumsum(0)
    return int((rest > tol).sum())
