"""HiPPO-LegS: the state matrix that remembers a signal in Legendre polynomials, and its closed forms."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Complex128, Float64
from torch import Tensor

from sciml.errors import ConfigError


class NormalPlusLowRank(NamedTuple):
    """HiPPO-LegS in the eigenbasis of its normal part: ``A = V (diag(eigenvalues) - p p^*) V^*``.

    The vectors with positive frequency are kept; the others are their complex conjugates. Their phase is chosen so
    that ``low_rank`` and ``input`` are real and positive.

    Args:
        eigenvalues: -1/2 + i w of ``A + P P^T``, w > 0 ascending, shape (state / 2,).
        low_rank: p = V^* P, shape (state / 2,).
        input: V^* B = sqrt(2) p, shape (state / 2,).
        vectors: Orthonormal columns of V, shape (state, state / 2).
    """

    eigenvalues: Complex128[Tensor, " pair"]
    low_rank: Complex128[Tensor, " pair"]
    input: Complex128[Tensor, " pair"]
    vectors: Complex128[Tensor, "state pair"]


def hippo_legs(state: int) -> tuple[Float64[Tensor, "state state"], Float64[Tensor, " state"]]:
    """State matrix and input vector of HiPPO-LegS, x' = A x + B u.

    A[n, k] = -sqrt((2n + 1) (2k + 1)) for n > k, -(n + 1) for n = k, 0 above;  B[n] = sqrt(2n + 1).

    Args:
        state: Size of the state N. Good values: 16 to 256.

    Returns:
        A, shape (state, state), and B, shape (state,), both nondimensional.

    Raises:
        ConfigError: ``state`` is not positive.

    Reference:
        arXiv:2008.07669, theorem 2.
    """
    if state < 1:
        raise ConfigError(f"The state has size {state}; at least 1 is expected. Good values are 16 to 256.")
    n = torch.arange(state, dtype=torch.float64)
    B = (2 * n + 1).sqrt()
    return -torch.outer(B, B).tril(-1) - torch.diag(n + 1), B


def legs_low_rank(state: int) -> Float64[Tensor, " state"]:
    """The vector P that makes HiPPO-LegS normal: A + P P^T = -1/2 + a skew matrix.

    P[n] = sqrt(n + 1/2) = B[n] / sqrt(2).

    Args:
        state: Size of the state.

    Returns:
        P, shape (state,).

    Reference:
        arXiv:2111.00396, appendix C.1.
    """
    return (torch.arange(state, dtype=torch.float64) + 0.5).sqrt()


def normal_plus_low_rank(state: int) -> NormalPlusLowRank:
    """Diagonalise the normal part of HiPPO-LegS, which is well-conditioned; A itself is not diagonalisable in practice.

    Args:
        state: Size of the state, even.

    Returns:
        Eigenvalues, low-rank factor, input and vectors; one of each conjugate pair.

    Raises:
        ConfigError: ``state`` is odd or not positive.

    Reference:
        arXiv:2111.00396, theorem 1.
    """
    check_even(state)
    A, P = hippo_legs(state)[0], legs_low_rank(state)
    normal = A + torch.outer(P, P)
    w, V = torch.linalg.eigh(-0.5j * (normal - normal.T))
    w, V = w[w > 0], V[:, w > 0]
    p = V.mH @ P.to(V.dtype)
    V, p = V * (p / p.abs()), p.abs()
    half = torch.full_like(w, -0.5)
    return NormalPlusLowRank(torch.complex(half, w), p.to(V.dtype), 2**0.5 * p.to(V.dtype), V)


def check_even(state: int) -> None:
    """Raise a ConfigError if a state of this size does not consist of conjugate pairs."""
    if state < 2 or state % 2:
        raise ConfigError(
            f"A state of size {state} cannot be kept as conjugate pairs, of which there is one for every two states. "
            f"Choose an even size, e.g. {max(2, state + state % 2)}."
        )
