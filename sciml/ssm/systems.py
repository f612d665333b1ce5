"""Linear state-space systems: a diagonal one that a layer starts from, and what a layer is at any moment."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Complex, Complex128, Float, Float64
from torch import Tensor

from sciml.errors import ConfigError
from sciml.ssm.hippo import check_even, hippo_legs, legs_low_rank, normal_plus_low_rank

SYSTEMS = ("legs", "lin", "inv", "ptd")


@dataclass(frozen=True, kw_only=True)
class DiagonalSystem:
    """A linear system in the basis where its state matrix is diagonal: z' = diag(eigenvalues) z + input u.

    With ``conjugate``, one of each pair of complex conjugates is kept, the state in the original basis is
    ``x = 2 Re(vectors @ z)`` and an output is ``y = 2 Re(C z)``. Without, all eigenvalues are kept,
    ``x = Re(vectors @ z)`` and ``y = Re(C z)``. Either way a row c of the original basis becomes ``C = c @ vectors``.

    Args:
        eigenvalues: Shape (pair,), nondimensional.
        input: Input vector in the eigenbasis, shape (pair,).
        vectors: Eigenvectors as columns, shape (state, pair).
        conjugate: Whether one of each conjugate pair is kept.
    """

    eigenvalues: Complex128[Tensor, " pair"]
    input: Complex128[Tensor, " pair"]
    vectors: Complex128[Tensor, "state pair"]
    conjugate: bool

    @property
    def state(self) -> int:
        """Size of the state in the original basis."""
        return self.vectors.shape[0]

    def unpaired(self) -> DiagonalSystem:
        """The same system with both of each conjugate pair."""
        if not self.conjugate:
            return self
        return DiagonalSystem(
            eigenvalues=torch.cat([self.eigenvalues, self.eigenvalues.conj()]),
            input=torch.cat([self.input, self.input.conj()]),
            vectors=torch.cat([self.vectors, self.vectors.conj()], dim=1),
            conjugate=False,
        )

    def inverse(self) -> Complex128[Tensor, "pair state"]:
        """The matrix W, shape (pair, state), that leads into this basis: an input B of the original one becomes W B."""
        return torch.linalg.inv(self.unpaired().vectors)[: len(self.eigenvalues)]


@dataclass(frozen=True, kw_only=True)
class ContinuousSystem:
    """What a layer is at this moment, before it is discretised: a bank of independent linear systems.

    z' = diag(eigenvalues) z - low_rank low_rank^* z + input u;  y = output z, twice its real part with ``conjugate``.

    A single-input layer (S4D, S4) has one system a feature, each with one input and one output: channel = feature,
    inputs = outputs = 1. A multi-input layer (S5) is one system: channel = 1, inputs = outputs = feature. The backward
    half of a bidirectional layer adds its outputs behind those of the forward half. The skip is not part of it.

    Args:
        eigenvalues: Shape (channel, pair), nondimensional.
        input: Shape (channel, pair, inputs).
        output: Shape (channel, outputs, pair).
        step: Time step, shape (channel, 1), or (channel, pair) if every state has its own.
        conjugate: Whether one of each conjugate pair is kept.
        discretization: ``zoh`` or ``bilinear``.
        low_rank: p of a normal-plus-low-rank matrix (S4), shape (channel, pair); None if it is diagonal.
        vectors: Eigenvectors that the layer started from, which lead back to the basis of HiPPO-LegS, shape
            (state, pair); None if it did not start there, or if it has several inputs.
    """

    eigenvalues: Complex[Tensor, "channel pair"]
    input: Complex[Tensor, "channel pair inputs"]
    output: Complex[Tensor, "channel outputs pair"]
    step: Float[Tensor, "channel #pair"]
    conjugate: bool
    discretization: str = "zoh"
    low_rank: Complex[Tensor, "channel pair"] | None = None
    vectors: Complex128[Tensor, "state pair"] | None = None

    def on_cpu(self) -> ContinuousSystem:
        """The same system in double precision on the CPU, detached."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        tensors = {name: value.detach().cpu() for name, value in values.items() if isinstance(value, Tensor)}
        wide = {name: x.to(torch.complex128 if x.is_complex() else torch.float64) for name, x in tensors.items()}
        return dataclasses.replace(self, **wide)


class StateSpaceLayer(Protocol):
    """Anything that tells its continuous system: every layer of this package."""

    def continuous_system(self) -> ContinuousSystem:
        """The system with the layer's present parameters, in its own precision or better, detached."""
        ...


def diagonalize(A: Float64[Tensor, "state state"] | Complex128[Tensor, "state state"], B: Tensor) -> DiagonalSystem:
    """Diagonalise any matrix whose eigenvectors are well enough conditioned, in float64.

    Vectors have unit length, and the phase that makes the input real and positive. Of a real matrix without real
    eigenvalues one of each conjugate pair is kept, in order of its frequency; else all eigenvalues are.

    Args:
        A: State matrix, shape (state, state).
        B: Input vector, shape (state,).

    Returns:
        The system in its eigenbasis.
    """
    eigenvalues, V = torch.linalg.eig(A)
    z = torch.linalg.solve(V, B.to(V.dtype))
    phase = torch.where(z == 0, torch.ones_like(z), torch.sgn(z))
    V, z = V * phase, z.abs().to(V.dtype)
    conjugate = not A.is_complex() and bool((eigenvalues.imag != 0).all())
    kept = eigenvalues.imag.argsort()
    if conjugate:
        kept = kept[len(kept) // 2 :]
    return DiagonalSystem(eigenvalues=eigenvalues[kept], input=z[kept], vectors=V[:, kept], conjugate=conjugate)


def initial_system(name: str, state: int, *, tau: float = 0.1, conjugate: bool = True) -> DiagonalSystem:
    """The system that a layer starts from.

    - ``legs``: the normal part of HiPPO-LegS with half its input (S4D-LegS).
    - ``lin``: -1/2 + i pi n (S4D-Lin).  ``inv``: -1/2 + i (N / pi) (N / (2n + 1) - 1) (S4D-Inv). Both with input 1.
    - ``ptd``: perturb-then-diagonalise, ``A + tau P P^T`` with input ``(1 - tau / 2) B``.

    Args:
        name: legs, lin, inv or ptd.
        state: Size of the state N, even. Good values: 16 to 256.
        tau: Size of the perturbation in (0, 1], for ``ptd`` alone. Good values: 0.03 to 0.2.
        conjugate: Whether to keep one of each conjugate pair.

    Returns:
        The system: state / 2 eigenvalues of positive imaginary part (``lin`` has one that is real), ascending except
        for ``inv``; with ``conjugate=False`` their conjugates follow.

    Raises:
        ConfigError: unknown name, odd size, tau outside (0, 1] or too small for conjugate pairs.

    Reference:
        arXiv:2206.11893, section 4 (S4D); arXiv:2310.01698, section 3 (PTD).
    """
    if name not in SYSTEMS:
        raise ConfigError(f"There is no initial system {name!r}; choose one of {', '.join(SYSTEMS)}.")
    pairs = _legs(state) if name == "legs" else _ptd(state, tau) if name == "ptd" else _uniform(name, state)
    if not conjugate:
        return pairs.unpaired()
    if not pairs.conjugate:
        raise ConfigError(
            f"With tau={tau:g} and a state of size {state}, some eigenvalues are real, and a layer that keeps "
            "conjugate pairs has no place for them. Raise tau (0.2 always works, 0.01 from 16 states on)."
        )
    return pairs


def _legs(state: int) -> DiagonalSystem:
    normal = normal_plus_low_rank(state)
    return DiagonalSystem(
        eigenvalues=normal.eigenvalues, input=normal.input / 2, vectors=normal.vectors, conjugate=True
    )


def _ptd(state: int, tau: float) -> DiagonalSystem:
    check_tau(tau)
    check_even(state)
    A, B = hippo_legs(state)
    P = legs_low_rank(state)
    return diagonalize(A + tau * torch.outer(P, P), (1 - tau / 2) * B)


def _uniform(name: str, state: int) -> DiagonalSystem:
    """S4D-Lin or S4D-Inv. No other basis is behind these: the state is sqrt(2) (Re z, Im z)."""
    check_even(state)
    n = torch.arange(state // 2, dtype=torch.float64)
    frequency = math.pi * n if name == "lin" else state / math.pi * (state / (2 * n + 1) - 1)
    identity = torch.eye(state // 2, dtype=torch.complex128)
    return DiagonalSystem(
        eigenvalues=torch.complex(torch.full_like(n, -0.5), frequency),
        input=torch.ones_like(identity[0]),
        vectors=torch.cat([identity, -1j * identity]) / math.sqrt(2),
        conjugate=True,
    )


def check_tau(tau: float) -> None:
    """Raise a ConfigError if tau is outside (0, 1]."""
    if not 0 < tau <= 1:
        raise ConfigError(
            f"tau is {tau:g}; a number in (0, 1] is expected. Good values are 0.03 to 0.2; 1 is S4D-LegS, and 0 would "
            "be HiPPO-LegS itself, whose eigenvectors no floating-point number can hold."
        )
