"""S4D: a diagonal state-space system for every feature; S4-PTD is S4D that starts from another system."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from sciml.ssm.checks import check_choice
from sciml.ssm.chunked import run_chunked
from sciml.ssm.convolution import fft_convolution
from sciml.ssm.discretize import Discretization, discretize
from sciml.ssm.kernels import diagonal_kernel, diagonal_last_state
from sciml.ssm.single_input import SingleInputLayer
from sciml.ssm.systems import ContinuousSystem, DiagonalSystem, initial_system

Method = Literal["auto", "fft", "chunked"]

LONGEST_FFT = (
    2048  # samples, of a causal layer on a processor; from there on chunks are as fast, and leave a state for free
)


class S4D(SingleInputLayer):
    """State-space layer with one diagonal system for every feature.

    x' = diag(lam) x + B u;  y = 2 Re(C x) + D u, each feature with its own lam, B, C, D and time step.

    Args:
        features: Inputs, and outputs, of the layer.
        state: Size N of the real state. Good values: 16 to 64. Given by ``init`` if that is a system.
        init: ``legs``, ``lin``, ``inv``, ``ptd`` (perturb-then-diagonalise, robust to noise) or a system.
        tau: Size of the perturbation of ``ptd``, in (0, 1]. Good values: 0.03 to 0.2.
        discretization: ``zoh`` or ``bilinear``.
        steps: Time steps are drawn log-uniformly from this range, nondimensional. Good values: (1e-3, 1e-1);
            (1e-4, 1e-1) for lengths of 10,000 and more.
        bidirectional: Whether a second kernel, y[l] += sum_{s > l} kernel[s - l - 1] u[s], looks ahead.
        trainable_step: Whether the time steps are trained.
        skip: Whether there is the term D u.
        method: ``fft`` (kernel and convolution), ``chunked`` (matrix products and a state between chunks) or ``auto``,
            see ``chosen_method``. Both give the same numbers.
        generator: Draws the initial parameters.

    Raises:
        ConfigError: a setting cannot work.

    Reference:
        arXiv:2206.11893 (S4D); arXiv:2310.01698 (``init="ptd"``: S4-PTD).
    """

    def __init__(
        self,
        features: int,
        *,
        state: int = 64,
        init: str | DiagonalSystem = "legs",
        tau: float = 0.1,
        discretization: Discretization = "zoh",
        steps: tuple[float, float] = (1e-3, 1e-1),
        bidirectional: bool = False,
        trainable_step: bool = True,
        skip: bool = True,
        method: Method = "auto",
        generator: torch.Generator | None = None,
    ):
        check_choice("discretization", discretization, get_args(Discretization))
        check_choice("method", method, get_args(Method))
        system = initial_system(init, state, tau=tau) if isinstance(init, str) else init
        super().__init__(
            system.eigenvalues,
            system.input,
            system.vectors,
            features=features,
            steps=steps,
            bidirectional=bidirectional,
            trainable_step=trainable_step,
            skip=skip,
            generator=generator,
        )
        self.discretization: Discretization = discretization
        self.method, self.conjugate = method, system.conjugate
        if init in ("lin", "inv"):
            self.vectors = None

    def chosen_method(self, length: int, batch: int) -> str:
        """The method that runs sequences of this length in batches of this size, from the zero state.

        A state to start from is cheap for ``chunked`` and dear for ``fft``; then ``auto`` is ``chunked``.
        """
        if self.method != "auto":
            return self.method
        on_processor = self.log_step.device.type == "cpu"
        return "chunked" if on_processor and not self.bidirectional and length > LONGEST_FFT else "fft"

    @torch.no_grad()
    def continuous_system(self) -> ContinuousSystem:
        """The system with the layer's present parameters, detached; see ``ContinuousSystem``."""
        lam, B, C, step = self._continuous()
        return ContinuousSystem(
            eigenvalues=lam,
            input=B[..., None].clone(),
            output=C.clone(),
            step=step,
            conjugate=self.conjugate,
            discretization=self.discretization,
            vectors=self.vectors,
        )

    def extra_repr(self) -> str:
        """What printing the layer says of it."""
        return (
            f"features={self.features}, state={self.state}, discretization={self.discretization!r}, "
            f"bidirectional={self.bidirectional}, method={self.method!r}"
        )

    def _discrete(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Exponent and input (feature, pair), output (direction, feature, pair)."""
        lam, B, C, step = self._continuous(dtype)
        exponent, gain = discretize(lam, step, self.discretization)
        return exponent, gain * B, (2 if self.conjugate else 1) * C.transpose(0, 1)

    def _run(self, u: Tensor, state: Tensor | None, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        exponent, B, C = self._discrete(u.dtype)
        skip, length = self._skip(u.dtype), u.shape[1]
        chosen = self.chosen_method(length, len(u))
        if chosen == "chunked" or (state is not None and self.method == "auto"):
            y, last = run_chunked(u, exponent, B, C[0], skip, initial=state, lengths=lengths)
            if not self.bidirectional:
                return y, last
            ahead, _ = run_chunked(u.flip(1), exponent, B, C[1], torch.zeros_like(skip))
            return y + nn.functional.pad(ahead.flip(1)[:, 1:], (0, 0, 0, 1)), None

        kernels = diagonal_kernel(C * B, exponent, length)
        now = nn.functional.pad(skip[:, None], (0, length - 1))
        y = fft_convolution(u, kernels[0] + now, kernels[1] if self.bidirectional else None)
        if self.bidirectional:
            return y, None
        if lengths is None:
            lengths = torch.full((len(u),), length, device=u.device)
        if state is None:
            state = exponent.new_zeros(len(u), *exponent.shape)
        else:
            y = y + diagonal_kernel(C[0] * torch.exp(exponent) * state, exponent, length).mT
        return y, diagonal_last_state(u, exponent, B, state, lengths)

    def _advance(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        transition, B, C = self._prepared(u.dtype, lambda: self._matrices(u.dtype))
        state = torch.addcmul(B * u[..., None], transition, state)
        return (C * state).real.sum(-1), state

    def _matrices(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Transition, input and output of one step, shape (feature, pair)."""
        exponent, B, C = self._discrete(dtype)
        return torch.exp(exponent), B, C[0]


class S4PTD(S4D):
    """S4D that starts from the perturb-then-diagonalise system, whose response to noise stays bounded.

    Args:
        features: Inputs, and outputs, of the layer.
        settings: Those of ``S4D``, without ``init``.

    Reference:
        arXiv:2310.01698, section 4.
    """

    def __init__(self, features: int, **settings: Any):
        super().__init__(features, init="ptd", **settings)
