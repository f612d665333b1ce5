"""S4: the HiPPO-LegS system itself, normal plus low rank, for every feature."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.ssm.checks import check_choice
from sciml.ssm.convolution import fft_convolution
from sciml.ssm.hippo import NormalPlusLowRank, normal_plus_low_rank
from sciml.ssm.low_rank import (
    LowRankTransition,
    as_column,
    as_row,
    discretize_low_rank,
    low_rank_kernel,
    low_rank_last_state,
    squares,
    squares_needed,
)
from sciml.ssm.single_input import SingleInputLayer, as_parameter
from sciml.ssm.systems import ContinuousSystem

LARGEST_INPUT = 2.0  # of clipped input vectors


class S4(SingleInputLayer):
    """State-space layer with one diagonal plus low-rank system for every feature, by the bilinear rule.

    x' = (diag(lam) - p p^*) x + B u;  y = 2 Re(C x) + D u, each feature with its own lam, p, B, C, D and time step.

    Kernels come from repeated squares of the transition matrix, which is a contraction: a few batched matrix products,
    whatever the length. They need full float32 products: leave TensorFloat-32 off.

    Args:
        features: Inputs, and outputs, of the layer.
        state: Size N of the real state. Good values: 16 to 64.
        init: ``legs`` (HiPPO-LegS), or another normal-plus-low-rank system.
        steps: Time steps are drawn log-uniformly from this range, nondimensional. Good values: (1e-3, 1e-1).
        bidirectional: Whether a second kernel, y[l] += sum_{s > l} kernel[s - l - 1] u[s], looks ahead.
        trainable_step: Whether the time steps are trained.
        skip: Whether there is the term D u.
        clip_input: Whether |B| is cut at 2, as the original code does; the system is then no longer HiPPO-LegS.
        method: ``auto`` or ``fft``, which is the same.
        generator: Draws the initial parameters.

    Raises:
        ConfigError: a setting cannot work.

    Reference:
        arXiv:2111.00396.
    """

    def __init__(
        self,
        features: int,
        *,
        state: int = 64,
        init: Literal["legs"] | NormalPlusLowRank = "legs",
        steps: tuple[float, float] = (1e-3, 1e-1),
        bidirectional: bool = False,
        trainable_step: bool = True,
        skip: bool = True,
        clip_input: bool = False,
        method: Literal["auto", "fft"] = "auto",
        generator: torch.Generator | None = None,
    ):
        check_choice("method", method, ("auto", "fft"))
        if isinstance(init, str) and init != "legs":
            raise ConfigError(
                f"init is {init!r}; S4 starts from 'legs' or from a normal-plus-low-rank system. S4D takes the others."
            )
        system = normal_plus_low_rank(state) if isinstance(init, str) else init
        B = system.input / (system.input.abs() / LARGEST_INPUT).clamp(min=1) if clip_input else system.input
        super().__init__(
            system.eigenvalues,
            B,
            system.vectors,
            features=features,
            steps=steps,
            bidirectional=bidirectional,
            trainable_step=trainable_step,
            skip=skip,
            generator=generator,
        )
        self.low_rank = as_parameter(torch.view_as_real(system.low_rank), features)

    def chosen_method(self, length: int, batch: int) -> str:
        """The method that runs sequences of this length in batches of this size."""
        return "fft"

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters by role: ``eigenvalues``, ``step``, ``input``, ``output`` and ``skip``."""
        groups = super().parameter_groups()
        groups["eigenvalues"].append(self.low_rank)
        return groups

    @torch.no_grad()
    def continuous_system(self) -> ContinuousSystem:
        """The system with the layer's present parameters, detached; see ``ContinuousSystem``."""
        lam, B, C, step = self._continuous()
        return ContinuousSystem(
            eigenvalues=lam,
            input=B[..., None].clone(),
            output=C.clone(),
            step=step,
            conjugate=True,
            discretization="bilinear",
            low_rank=torch.view_as_complex(self.low_rank).clone(),
            vectors=self.vectors,
        )

    def extra_repr(self) -> str:
        """What printing the layer says of it."""
        return f"features={self.features}, state={self.state}, bidirectional={self.bidirectional}"

    def _discrete(self, dtype: torch.dtype) -> tuple[LowRankTransition, Tensor]:
        """The transition, and the output (feature, direction, pair)."""
        lam, B, C, step = self._continuous(dtype)
        return discretize_low_rank(lam, torch.view_as_complex(self.low_rank.to(dtype)), B, step), 2 * C

    def _run(self, u: Tensor, state: Tensor | None, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        transition, C = self._discrete(u.dtype)
        length = u.shape[1]
        powers, B, rows = squares(transition, squares_needed(length)), as_column(transition.input), as_row(C)[:, :, 0]
        kernels = low_rank_kernel(powers, B, rows, length)[:, :, 0]
        now = nn.functional.pad(self._skip(u.dtype)[:, None], (0, length - 1))
        y = fft_convolution(u, kernels[:, 0] + now, kernels[:, 1] if self.bidirectional else None)
        if self.bidirectional:
            return y, None
        if lengths is None:
            lengths = torch.full((len(u),), length, device=u.device)
        initial = None
        if state is not None:
            initial = as_column(state.transpose(0, 1))[..., 0].mT
            y = y + low_rank_kernel(powers, powers[0] @ initial, rows, length)[:, 0].permute(1, 2, 0)
        real, imag = low_rank_last_state(powers, B, u, initial, lengths).chunk(2, dim=1)
        return y, torch.complex(real, imag).permute(2, 0, 1)

    def _advance(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        transition, C = self._prepared(u.dtype, lambda: self._discrete(u.dtype))
        pull = (transition.row * state).real.sum(-1, keepdim=True)
        state = transition.diagonal * state - transition.column * pull + transition.input * u[..., None]
        return (C[:, 0] * state).real.sum(-1), state
