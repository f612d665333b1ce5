"""S5: one state-space system that reads and writes all features of a sequence."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from sciml.errors import ConfigError, ShapeError
from sciml.ssm.checks import check_call, check_choice, checked_lengths, checked_step_scale
from sciml.ssm.discretize import Discretization, discretize
from sciml.ssm.frozen import Freezable
from sciml.ssm.irregular import increment, irregular_scan
from sciml.ssm.s5_init import OutputInit, block_system, draw_output, truncated_normal
from sciml.ssm.scan import (
    as_complex,
    as_real,
    associative_scan,
    directions,
    interleave_input,
    interleave_output,
    last_state,
    state_space_scan,
)
from sciml.ssm.systems import ContinuousSystem, DiagonalSystem

Method = Literal["auto", "scan", "associative"]
Signal = Float[Tensor, "batch length feature"]
State = Complex[Tensor, "batch pair"]

LARGEST_REAL_PART = -1e-4  # of clipped eigenvalues


class S5(Freezable):
    """State-space layer with many inputs and outputs.

    x' = diag(lam) x + B u;  y = 2 Re(C x) + D u (without conjugate pairs: Re(C x) + D u), discretised with a time step
    for every eigenvalue.

    Args:
        features: Inputs, and outputs, of the layer.
        state: Size N of the real state. Good values: 64 to 384.
        blocks: The eigenvalues start as those of this many copies of a system with N / blocks states.
        init: ``legs``, ``lin``, ``inv``, ``ptd`` (perturb-then-diagonalise, robust to noise) or the system of a block.
        tau: Size of the perturbation of ``ptd``, in (0, 1]. Good values: 0.03 to 0.2.
        conjugate: Whether one of each conjugate pair is kept, N / 2 eigenvalues, which halves memory and work.
        discretization: ``zoh`` or ``bilinear``.
        steps: Time steps are drawn log-uniformly from this range, nondimensional. Good values: (1e-3, 1e-1);
            (1e-4, 1e-1) for lengths of 10,000 and more.
        step_rescale: Multiplies all time steps, e.g. 2 where a signal is sampled half as densely as in training. An
            attribute that may be changed at any time.
        bidirectional: Whether half of the states run from the end to the start of a sequence.
        output_init: Distribution of C: ``truncated_normal`` (variance 1 / N in the basis of ``init``), ``lecun_normal``
            (1 / (N features)) or ``complex_normal`` (1, in the eigenbasis).
        clip_eigenvalues: Whether Re lam is kept at or below -1e-4, so that training cannot make the system unstable.
        method: ``scan`` (fast, differentiable once), ``associative`` (any number of times, for torch.func and
            Hessians) or ``auto``.
        generator: Draws the initial parameters.

    Raises:
        ConfigError: a setting cannot work.

    Reference:
        arXiv:2208.04933 (S5); arXiv:2310.01698 (``init="ptd"``: S5-PTD).
    """

    def __init__(
        self,
        features: int,
        *,
        state: int = 64,
        blocks: int = 1,
        init: str | DiagonalSystem = "legs",
        tau: float = 0.1,
        conjugate: bool = True,
        discretization: Discretization = "zoh",
        steps: tuple[float, float] = (1e-3, 1e-1),
        step_rescale: float = 1.0,
        bidirectional: bool = False,
        output_init: OutputInit = "truncated_normal",
        clip_eigenvalues: bool = False,
        method: Method = "auto",
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        check_choice("discretization", discretization, get_args(Discretization))
        check_choice("output_init", output_init, get_args(OutputInit))
        check_choice("method", method, get_args(Method))
        if not 0 < steps[0] <= steps[1]:
            raise ConfigError(
                f"steps is {tuple(steps)}; a range of positive time steps is expected, e.g. (1e-3, 1e-1)."
            )
        self.features, self.state, self.blocks = features, state, blocks
        self.conjugate, self.bidirectional = conjugate, bidirectional
        self.discretization: Discretization = discretization
        self.step_rescale, self.clip_eigenvalues, self.method = step_rescale, clip_eigenvalues, method

        system = block_system(init, state, blocks, tau, conjugate=conjugate)
        self.vectors = system.vectors if blocks == 1 and init not in ("lin", "inv") else None
        V, V_inverse = (torch.block_diag(*[matrix] * blocks) for matrix in (system.vectors, system.inverse()))
        lam = system.eigenvalues.repeat(blocks)
        B = V_inverse @ truncated_normal((state, features), state, generator).to(V.dtype)
        C = torch.cat([draw_output(output_init, features, V, generator) for _ in range(1 + bidirectional)], dim=1)
        position = torch.rand(len(lam), dtype=torch.float64, generator=generator)
        low, high = math.log(steps[0]), math.log(steps[1])
        self.eigenvalues = _parameter(torch.view_as_real(lam))
        self.log_step = _parameter(low + (high - low) * position)
        self.input = _parameter(torch.view_as_real(B))
        self.output = _parameter(torch.view_as_real(C.resolve_conj()))
        self.skip = _parameter(torch.randn(features, dtype=torch.float64, generator=generator))

    @torch.compiler.disable  # compilers know no complex numbers; the rest of a model is compiled around the layer
    def forward(
        self,
        u: Signal,
        lengths: Int[Tensor, " batch"] | None = None,
        state: State | None = None,
        *,
        step_scale: Float[Tensor, "batch length"] | None = None,
    ) -> tuple[Signal, State | None]:
        """Run the layer over a batch of sequences.

        Args:
            u: Input, shape (batch, length, feature).
            lengths: Valid steps of each sequence, shape (batch,); None: all. Outputs beyond are zero.
            state: What an earlier part of the sequences left, shape (batch, pair); None: zero.
            step_scale: What multiplies the time step at every step, for irregular sampling: the time for which an
                input is held over its typical value, shape (batch, length), not negative.

        Returns:
            Output, shape (batch, length, feature), and the state after the last valid step; None of a bidirectional
            layer.

        Raises:
            ShapeError: an argument has the wrong shape or type, or a length is larger than that of the batch.
            ConfigError: a state came for a bidirectional layer, or a step is negative.
        """
        self._check(u, "(batch, length, feature)", state)
        if u.shape[1] == 0:
            raise ShapeError("a sequence of 0 steps came; at least 1 is expected. Leave out what is empty.")
        if lengths is not None:
            lengths = checked_lengths(lengths, u)
        padding = None if lengths is None else torch.arange(u.shape[1], device=u.device) >= lengths[:, None]
        scale = None if step_scale is None else checked_step_scale(step_scale, u, padding)
        with torch.autocast(u.device.type, enabled=False):
            v = u.to(self._precision(u))
            scale = None if scale is None else scale.to(v)
            start = (self.initial_state(len(u)) if state is None else state).to(v.dtype.to_complex())
            if padding is not None:
                v = v.masked_fill(padding[..., None], 0)
            y, last = self._run(v, start, scale, lengths)
            if padding is not None:
                y = y.masked_fill(padding[..., None], 0)
            if lengths is not None and not self.bidirectional:
                last = torch.where(lengths[:, None] > 0, last, start)
        return y.to(u.dtype), None if self.bidirectional else last

    def step(
        self, u: Float[Tensor, "batch feature"], state: State, *, step_scale: Float[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch feature"], State]:
        """Advance by one step; the same outputs as ``forward`` on the whole sequence.

        Each call discretises the system anew; within ``frozen(layer)`` only the first does.

        Args:
            u: Input of this step, shape (batch, feature).
            state: Of ``initial_state``, ``forward`` or the step before, shape (batch, pair).
            step_scale: What multiplies the time step, shape (batch,).

        Returns:
            Output, shape (batch, feature), and the state to go on with.

        Raises:
            ShapeError: an argument has the wrong shape or type.
            ConfigError: the layer is bidirectional, or the step is negative.
        """
        self._check(u, "(batch, feature)", state)
        scale = None if step_scale is None else checked_step_scale(step_scale, u)
        with torch.autocast(u.device.type, enabled=False):
            v = u.to(self._precision(u))
            x = state.to(v.dtype.to_complex())
            transition, W_in, W_out, D = self._interleaved(v.dtype, irregular=scale is not None)
            drive = as_complex(v @ W_in)
            if scale is None:
                x = torch.addcmul(drive, transition, x)
            else:
                x = x + increment(transition, scale.to(v), self.discretization) * (x + drive)
            y = torch.addcmul(as_real(x) @ W_out, D, v)
        return y.to(u.dtype), x

    def initial_state(self, batch: int) -> State:
        """The zero state, shape (batch, pair)."""
        return torch.zeros(batch, len(self.eigenvalues), dtype=torch.complex64, device=self.skip.device)

    def chosen_method(self, length: int, batch: int) -> str:
        """The method that runs sequences of this length in batches of this size."""
        return "scan" if self.method == "auto" else self.method

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by role: ``eigenvalues``, ``step``, ``input``, ``output`` and ``skip``."""
        return {
            "eigenvalues": [self.eigenvalues],
            "step": [self.log_step],
            "input": [self.input],
            "output": [self.output],
            "skip": [self.skip],
        }

    @torch.no_grad()
    def continuous_system(self) -> ContinuousSystem:
        """The system with the layer's present parameters, detached; see ``ContinuousSystem``."""
        C = torch.view_as_complex(self.output)
        return ContinuousSystem(
            eigenvalues=self._eigenvalues()[None].clone(),
            input=torch.view_as_complex(self.input)[None].clone(),
            output=torch.cat(C.split(len(self.eigenvalues), dim=1))[None].clone(),
            step=self._steps()[None],
            conjugate=self.conjugate,
            discretization=self.discretization,
            vectors=self.vectors,
        )

    def extra_repr(self) -> str:
        """What printing the layer says of it."""
        return (
            f"features={self.features}, state={self.state}, blocks={self.blocks}, conjugate={self.conjugate}, "
            f"discretization={self.discretization!r}, bidirectional={self.bidirectional}"
        )

    def _eigenvalues(self, dtype: torch.dtype | None = None) -> Complex[Tensor, " pair"]:
        pairs = self.eigenvalues.to(dtype)
        if not self.clip_eigenvalues:
            return torch.view_as_complex(pairs)
        return torch.complex(pairs[:, 0].clamp(max=LARGEST_REAL_PART), pairs[:, 1])

    def _steps(self, dtype: torch.dtype | None = None) -> Float[Tensor, " pair"]:
        return self.step_rescale * torch.exp(self.log_step.to(dtype))

    def _precision(self, u: Tensor) -> torch.dtype:
        return torch.promote_types(torch.promote_types(u.dtype, self.skip.dtype), torch.float32)

    def _matrices(self, dtype: torch.dtype, *, irregular: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What ``state_space_scan`` or ``irregular_scan`` takes: transition or step times eigenvalue, B, C and D."""
        lam, step = self._eigenvalues(dtype), self._steps(dtype)
        B, C = (torch.view_as_complex(pairs.to(dtype)) for pairs in (self.input, self.output))
        if irregular:
            transition, B = lam * step, B / lam[:, None]
        else:
            exponent, gain = discretize(lam, step, self.discretization)
            transition, B = torch.exp(exponent), B * gain[:, None]
        return transition, B, 2 * C if self.conjugate else C, self.skip.to(dtype)

    def _interleaved(self, dtype: torch.dtype, *, irregular: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``_matrices``, with B and C as real matrices; kept while the layer is frozen."""

        def prepare() -> tuple[Tensor, Tensor, Tensor, Tensor]:
            transition, B, C, D = self._matrices(dtype, irregular=irregular)
            return transition, interleave_input(B), interleave_output(C), D

        return self._prepared((dtype, irregular, self.step_rescale), prepare)

    def _run(self, u: Tensor, start: Tensor, scale: Tensor | None, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Outputs, and the last states, those of both directions."""
        transition, B, C, D = self._matrices(u.dtype, irregular=scale is not None)
        backward_states = 0
        if self.bidirectional:
            backward_states = len(transition)
            transition, B, start = (torch.cat([t, t], dim=d) for t, d in ((transition, 0), (B, 0), (start, 1)))
        if self.chosen_method(u.shape[1], len(u)) == "associative":
            return self._run_associatively(u, transition, B, C, D, start, scale, lengths, backward_states)
        where = {"lengths": lengths, "backward_states": backward_states}
        if scale is None:
            return state_space_scan(u, transition, B, C, D, start, **where)
        return irregular_scan(u, transition, B, C, D, start, scale, method=self.discretization, **where)

    def _run_associatively(self, u, transition, B, C, D, start, scale, lengths, backward_states):
        drive = as_complex(u @ interleave_input(B))
        if scale is None:
            transition = transition.expand(1, u.shape[1], -1)
        else:
            change = increment(transition, scale, self.discretization)
            transition, drive = 1 + change, change * drive
        parts = []
        for part, reverse in directions(drive.shape[2], backward_states):
            a, b = transition[..., part], drive[..., part]
            if reverse:
                parts.append(associative_scan(a.flip(1), b.flip(1), start[:, part]).flip(1))
            else:
                parts.append(associative_scan(a, b, start[:, part]))
        x = torch.cat(parts, dim=2)
        return as_real(x) @ interleave_output(C) + D * u, last_state(x, lengths)

    def _check(self, u: Tensor, axes: str, state: Tensor | None) -> None:
        states = (len(self.eigenvalues),)
        check_call(u, state, axes=axes, features=self.features, states=states, bidirectional=self.bidirectional)


class S5PTD(S5):
    """S5 that starts from the perturb-then-diagonalise system, whose response to noise stays bounded.

    Args:
        features: Inputs, and outputs, of the layer.
        settings: Those of ``S5``, without ``init``.

    Reference:
        arXiv:2310.01698, section 4.
    """

    def __init__(self, features: int, **settings):
        super().__init__(features, init="ptd", **settings)


def _parameter(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.to(torch.get_default_dtype()).contiguous())
