"""How the parameters of S5 start: the system of every block, and what is drawn at random."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.ssm.systems import DiagonalSystem, initial_system

OutputInit = Literal["truncated_normal", "lecun_normal", "complex_normal"]


def block_system(init: str | DiagonalSystem, state: int, blocks: int, tau: float, *, conjugate: bool) -> DiagonalSystem:
    """The system of one block, with one of each conjugate pair or with all eigenvalues."""
    size = init.state if isinstance(init, DiagonalSystem) else state // max(blocks, 1)
    if blocks < 1 or size * blocks != state:
        raise ConfigError(
            f"{blocks} blocks came for a state of size {state}"
            + (f" and an initial system of size {size}" if isinstance(init, DiagonalSystem) else "")
            + "; the state has to be the blocks times the size of one. Change state or blocks."
        )
    system = init if isinstance(init, DiagonalSystem) else initial_system(init, size, tau=tau)
    if conjugate == system.conjugate:
        return system
    if conjugate:
        raise ConfigError(
            "the initial system keeps all its eigenvalues, but the layer one of each conjugate pair. "
            "Set conjugate=False."
        )
    lam, B, V = (torch.cat([kept, kept.conj()], dim=-1) for kept in (system.eigenvalues, system.input, system.vectors))
    return DiagonalSystem(eigenvalues=lam, input=B, vectors=V, conjugate=False)


def truncated_normal(shape: tuple[int, ...], fan_in: int, generator: torch.Generator | None) -> Tensor:
    """Normal numbers of variance 1 / fan_in, none beyond two standard deviations of the normal that is cut."""
    cut = 0.87962566103423978  # standard deviation of a unit normal cut at +-2
    std = fan_in**-0.5 / cut
    empty = torch.empty(shape, dtype=torch.float64)
    return nn.init.trunc_normal_(empty, std=std, a=-2 * std, b=2 * std, generator=generator)


def draw_output(kind: str, features: int, V: Tensor, generator: torch.Generator | None) -> Tensor:
    """One output matrix in the eigenbasis, shape (feature, pair)."""
    state, pairs = V.shape
    if kind == "complex_normal":
        return torch.randn(features, pairs, dtype=V.dtype, generator=generator)
    fan_in = state if kind == "truncated_normal" else state * features
    return torch.view_as_complex(truncated_normal((features, state, 2), fan_in, generator)) @ V
