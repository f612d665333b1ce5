"""What S4D and S4 have in common: one system with one input and one output for every feature of a sequence."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from sciml.errors import ConfigError, ShapeError
from sciml.ssm.checks import check_call, checked_lengths
from sciml.ssm.frozen import Freezable

Signal = Float[Tensor, "batch length feature"]
State = Complex[Tensor, "batch feature pair"]


class SingleInputLayer(Freezable, ABC):
    """A bank of single-input, single-output systems, batch first.

    Parameters, all real, complex numbers as pairs in the last axis: ``eigenvalues`` (feature, pair, 2), which hold
    log(-Re lam) and Im lam, so that training cannot make the system unstable; ``log_step`` (feature,); ``input``
    (feature, pair, 2); ``output`` (feature, 1, pair, 2), with a second row for the backward half of a bidirectional
    layer; ``skip`` (feature,).

    Args:
        eigenvalues: Those that every feature starts with, shape (pair,).
        input: Input vector, shape (pair,).
        vectors: What leads from a row of the original basis to an output vector, shape (state, pair).
        features: Sequences side by side, each with its own system.
        steps: Time steps are drawn log-uniformly from this range.
        bidirectional: Whether there is an output vector for the future, too.
        trainable_step: Whether the time steps are parameters; else they are a buffer.
        skip: Whether the input is added to the output, weighted for each feature.
        generator: Draws the initial parameters.
    """

    def __init__(
        self,
        eigenvalues: Complex[Tensor, " pair"],
        input: Complex[Tensor, " pair"],
        vectors: Complex[Tensor, "state pair"],
        *,
        features: int,
        steps: tuple[float, float],
        bidirectional: bool,
        trainable_step: bool,
        skip: bool,
        generator: torch.Generator | None,
    ):
        super().__init__()
        if not 0 < steps[0] <= steps[1]:
            raise ConfigError(
                f"steps is {tuple(steps)}; a range of positive time steps is expected, e.g. (1e-3, 1e-1)."
            )
        if eigenvalues.real.max() >= 0:
            raise ConfigError(
                f"An eigenvalue has real part {eigenvalues.real.max():.3g}; negative ones are expected, as the layer "
                "keeps their logarithm. Choose another init, or perturb the system less."
            )
        self.features, self.state, self.bidirectional, self.vectors = features, len(vectors), bidirectional, vectors
        draw = {"generator": generator, "dtype": torch.float64}
        output = torch.randn(features, 1 + bidirectional, len(vectors), **draw).to(vectors.dtype) @ vectors
        low, high = math.log(steps[0]), math.log(steps[1])
        log_step = low + (high - low) * torch.rand(features, **draw)
        self.eigenvalues = as_parameter(torch.stack([(-eigenvalues.real).log(), eigenvalues.imag], dim=-1), features)
        self.input = as_parameter(torch.view_as_real(input.resolve_conj()), features)
        self.output = as_parameter(torch.view_as_real(output))
        self.log_step = nn.Parameter(log_step.to(torch.get_default_dtype()), requires_grad=trainable_step)
        self.skip = as_parameter(torch.randn(features, **draw)) if skip else None

    def forward(
        self, u: Signal, lengths: Int[Tensor, " batch"] | None = None, state: State | None = None
    ) -> tuple[Signal, State | None]:
        """Run the layer over a batch of sequences.

        Args:
            u: Input, shape (batch, length, feature).
            lengths: Valid steps of each sequence, shape (batch,); None: all. Outputs beyond are zero.
            state: What an earlier part of the sequences left, shape (batch, feature, pair); None: zero.

        Returns:
            Output, shape (batch, length, feature), and the state after the last valid step; None of a bidirectional
            layer.

        Raises:
            ShapeError: an argument has the wrong shape or type, or a length is larger than that of the batch.
            ConfigError: a state came for a bidirectional layer.
        """
        self._check(u, "(batch, length, feature)", state)
        if u.shape[1] == 0:
            raise ShapeError("a sequence of 0 steps came; at least 1 is expected. Leave out what is empty.")
        with torch.autocast(u.device.type, enabled=False):
            v, padding = u.to(self._precision(u)), None
            if lengths is not None:
                lengths = checked_lengths(lengths, u)
                padding = (torch.arange(u.shape[1], device=u.device) >= lengths[:, None])[..., None]
                v = v.masked_fill(padding, 0)
            y, last = self._run(v, None if state is None else state.to(v.dtype.to_complex()), lengths)
            y = y if padding is None else y.masked_fill(padding, 0)
        return y.to(u.dtype), last

    def step(self, u: Float[Tensor, "batch feature"], state: State) -> tuple[Float[Tensor, "batch feature"], State]:
        """Advance by one step; the same outputs as ``forward`` on the whole sequence.

        Each call discretises the system anew; within ``frozen(layer)`` only the first does.

        Args:
            u: Input of this step, shape (batch, feature).
            state: Of ``initial_state``, ``forward`` or the step before, shape (batch, feature, pair).

        Returns:
            Output, shape (batch, feature), and the state to go on with.

        Raises:
            ShapeError: an argument has the wrong shape or type.
            ConfigError: the layer is bidirectional.
        """
        self._check(u, "(batch, feature)", state)
        with torch.autocast(u.device.type, enabled=False):
            v = u.to(self._precision(u))
            y, state = self._advance(v, state.to(v.dtype.to_complex()))
            y = y + self._skip(v.dtype) * v
        return y.to(u.dtype), state

    def initial_state(self, batch: int) -> State:
        """The zero state, shape (batch, feature, pair)."""
        dtype = torch.promote_types(self.log_step.dtype, torch.float32).to_complex()
        return torch.zeros(batch, *self.eigenvalues.shape[:2], dtype=dtype, device=self.log_step.device)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters by role: ``eigenvalues``, ``step``, ``input``, ``output`` and ``skip``."""
        return {
            "eigenvalues": [self.eigenvalues],
            "step": [self.log_step] if self.log_step.requires_grad else [],
            "input": [self.input],
            "output": [self.output],
            "skip": [] if self.skip is None else [self.skip],
        }

    @abstractmethod
    def _run(self, u: Tensor, state: Tensor | None, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Outputs, not yet masked, and last state (None if bidirectional), in the precision of u."""

    @abstractmethod
    def _advance(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Output of one step, without the skip, and the state after it."""

    def _continuous(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Eigenvalues and input (feature, pair), output (feature, direction, pair), step (feature, 1)."""
        decay, frequency = self.eigenvalues.to(dtype).unbind(-1)
        B, C = (torch.view_as_complex(pairs.to(dtype)) for pairs in (self.input, self.output))
        return torch.complex(-torch.exp(decay), frequency), B, C, torch.exp(self.log_step.to(dtype))[:, None]

    def _skip(self, dtype: torch.dtype) -> Tensor:
        return self.log_step.new_zeros(self.features, dtype=dtype) if self.skip is None else self.skip.to(dtype)

    def _precision(self, u: Tensor) -> torch.dtype:
        return torch.promote_types(torch.promote_types(u.dtype, self.log_step.dtype), torch.float32)

    def _check(self, u: Tensor, axes: str, state: Tensor | None) -> None:
        states = tuple(self.eigenvalues.shape[:2])
        check_call(u, state, axes=axes, features=self.features, states=states, bidirectional=self.bidirectional)


def as_parameter(values: Tensor, features: int | None = None) -> nn.Parameter:
    """A parameter in the default precision; one copy for each of ``features``."""
    values = values.to(torch.get_default_dtype())
    return nn.Parameter(values.clone() if features is None else values.repeat(features, *[1] * values.ndim))
