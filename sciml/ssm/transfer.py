"""Transfer functions: what a system does to every frequency, in closed form, in its eigenbasis, and as a layer."""

from __future__ import annotations

import math

import torch
from jaxtyping import Complex, Complex128, Float64
from torch import Tensor

from sciml.ssm.discretize import Discretization, discretize
from sciml.ssm.hippo import normal_plus_low_rank
from sciml.ssm.systems import ContinuousSystem, DiagonalSystem, StateSpaceLayer

_BLOCK = 1 << 22  # complex numbers at a time: 64 MB


def legs_phi(s: Complex[Tensor, "*points"], state: int) -> Complex128[Tensor, "*points"]:
    """The all-pass-like factor of HiPPO-LegS, by which its perturbations are known in closed form.

    phi(s) = prod_{k<N} (s - k) / (s + k + 1) = 1 - 2 P^T (s - A)^-1 P;  |phi(i w)| = w / sqrt(w^2 + N^2).
    ``A + tau P P^T`` with input B has the response X / (1 - tau/2 + (tau/2) phi).

    Args:
        s: Complex frequencies, any shape.
        state: Size of the state N.

    Returns:
        phi, the shape of ``s``.
    """
    s = s.to(torch.complex128)
    phi = torch.ones_like(s)
    for k in range(state):
        phi = phi * (s - k) / (s + k + 1)
    return phi


def legs_response(s: Complex[Tensor, "*points"], state: int) -> Complex128[Tensor, "*points state"]:
    """The response of the state of HiPPO-LegS, without any linear algebra.

    X_n(s) = [(s - A)^-1 B]_n = sqrt(2n + 1) prod_{k<n} (s - k) / prod_{k<=n} (s + k + 1).

    Args:
        s: Complex frequencies, any shape; ``1j * w`` for a signal cos(w t).
        state: Size of the state N.

    Returns:
        X, one more axis than ``s``, of length ``state``.
    """
    s = s.to(torch.complex128)
    factor = 1 / (s + 1)
    rows = [factor]
    for n in range(1, state):
        factor = factor * (s - (n - 1)) / (s + n + 1)
        rows.append(math.sqrt(2 * n + 1) * factor)
    return torch.stack(rows, dim=-1)


def critical_frequencies(state: int) -> Float64[Tensor, " pair"]:
    """The frequencies where S4D-LegS resonates and HiPPO-LegS does not, ascending, in radians per unit of time.

    They are the eigenfrequencies of the normal part of HiPPO-LegS. At the largest, about N^2 / pi, S4D is off by a
    factor that grows like N^2; a layer with time step dt meets it in the signal cos(w dt l).

    Args:
        state: Size of the state N, even.

    Returns:
        Shape (state / 2,).

    Reference:
        arXiv:2310.01698, theorem 2.
    """
    return normal_plus_low_rank(state).eigenvalues.imag


def frequency_grid(state: int, *, points: int = 6000) -> Float64[Tensor, " frequency"]:
    """Frequencies on which a supremum is taken: 0.01 to 10 N^2, evenly in the logarithm, and around the critical ones.

    Args:
        state: Size of the state N, even.
        points: How many besides those near the critical frequencies.

    Returns:
        Ascending, positive, shape (frequency,).
    """
    even = torch.logspace(-2, math.log10(10 * state**2 + 100), points, dtype=torch.float64)
    near = critical_frequencies(state)[:, None] + torch.linspace(-1.5, 1.5, 31, dtype=torch.float64)
    grid = torch.cat([even, near.flatten()]).sort().values
    return grid[grid > 0]


def transfer_function(
    system: DiagonalSystem,
    frequencies: Float64[Tensor, " frequency"],
    *,
    step: float | None = None,
    discretization: Discretization = "zoh",
) -> Complex128[Tensor, "frequency state"]:
    """The response of a diagonal system's state, in the original basis, to the input exp(i w t).

    X(i w) = V (i w - diag(eigenvalues))^-1 input; an output row c responds with ``X @ c``.

    Args:
        system: The system.
        frequencies: w in radians per unit of time, shape (frequency,).
        step: With a time step dt, what the discretised system does to exp(i w dt l) instead, l = 0, 1, ...
        discretization: How it is discretised: ``zoh`` or ``bilinear``.

    Returns:
        X, shape (frequency, state).
    """
    full = system.unpaired()
    # Re(V z) of a system without conjugates is half of it and its mirror image.
    mirrored = not system.conjugate
    w = frequencies.to(full.eigenvalues.device, torch.float64)

    def response(eigenvalues: Tensor, inputs: Tensor, vectors: Tensor) -> Tensor:
        if step is None:
            resolvent = 1 / (1j * w[:, None] - eigenvalues)
        else:
            steps = torch.full_like(eigenvalues.real, step)
            resolvent = _discrete_resolvent(eigenvalues, steps, w[:, None] * step, discretization)
        return (resolvent * inputs) @ vectors.T

    X = response(full.eigenvalues, full.input, full.vectors)
    return (X + response(full.eigenvalues.conj(), full.input.conj(), full.vectors.conj())) / 2 if mirrored else X


def layer_transfer_function(
    layer: StateSpaceLayer | ContinuousSystem, angles: Float64[Tensor, "frequency #channel"]
) -> Complex128[Tensor, "frequency channel outputs inputs"]:
    """What a layer does to a signal exp(i theta l), its skip connection aside, exactly as it is discretised.

    Args:
        layer: A layer, or the system that it is: ``layer.continuous_system()``.
        angles: theta in radians per sample, one for all channels, shape (frequency, 1), or each its own, shape
            (frequency, channel). A layer with time step dt meets the frequency w at theta = w dt.

    Returns:
        Shape (frequency, channel, outputs, inputs), in float64.
    """
    system = layer if isinstance(layer, ContinuousSystem) else layer.continuous_system()
    channels, pairs = system.eigenvalues.shape
    eigenvalues, inputs = _both(system.eigenvalues), _both(system.input)
    outputs = _both(system.output.mT) * (1 if system.conjugate else 0.5)
    step = system.step.double().expand(channels, pairs).repeat(1, 2)
    low_rank = None if system.low_rank is None else _both(system.low_rank)
    angles = angles.to(step).expand(-1, channels)
    parts = []
    for theta in angles.split(max(1, _BLOCK // (2 * channels * pairs * outputs.shape[-1]))):
        if low_rank is None:
            R = _discrete_resolvent(eigenvalues, step, theta[..., None], system.discretization)
            states = R[..., None] * inputs
        else:
            states = _low_rank_states(eigenvalues, low_rank, inputs, step, theta[..., None])
        parts.append(torch.einsum("cpo,fcpi->fcoi", outputs, states))
    return torch.cat(parts)


def transfer_error(
    system: DiagonalSystem,
    reference: tuple[Tensor, Tensor] | None = None,
    *,
    output: Float64[Tensor, " state"] | None = None,
    frequencies: Float64[Tensor, " frequency"] | None = None,
) -> float:
    """The largest error of a transfer function over all frequencies (the H-infinity distance, on a grid).

    sup_w |c X(i w) - c X_exact(i w)|, for a given output row c or for the worst one of unit length.

    Args:
        system: The system, perturbed or normal.
        reference: The matrix A and the input B that it stands for; HiPPO-LegS in closed form if left out.
        output: Output row c in the original basis, shape (state,); the worst of unit length if left out.
        frequencies: Where to look; :func:`frequency_grid` if left out.

    Returns:
        The error, in units of the output for an input of size 1.
    """
    w = frequency_grid(system.state) if frequencies is None else frequencies
    exact = legs_response(1j * w, system.state) if reference is None else dense_response(*reference, 1j * w)
    error = transfer_function(system, w) - exact
    if output is not None:
        return float((error @ output.to(error.dtype)).abs().max())
    return float(error.norm(dim=-1).max())


def dense_response(A: Tensor, B: Tensor, s: Complex[Tensor, " points"]) -> Complex128[Tensor, "points state"]:
    """X(s) = (s - A)^-1 B of any matrix, by solving a linear system for each point.

    Args:
        A: Shape (state, state).
        B: Shape (state,).
        s: Complex frequencies, shape (points,).

    Returns:
        Shape (points, state).
    """
    A, B = A.to(torch.complex128), B.to(torch.complex128)
    identity = torch.eye(len(A), dtype=A.dtype, device=A.device)
    blocks = s.to(A.dtype).split(max(1, _BLOCK // len(A) ** 2))
    return torch.cat([torch.linalg.solve(block[:, None, None] * identity - A, B) for block in blocks])


def _both(values: Tensor) -> Tensor:
    """Values along the second axis, and their conjugates behind them, in double precision."""
    values = values.detach().to(torch.complex128)
    return torch.cat([values, values.conj()], dim=1)


def _discrete_resolvent(eigenvalues: Tensor, step: Tensor, angles: Tensor, method: str) -> Tensor:
    """What x[l] = exp(exponent) x[l-1] + gain u[l] does to exp(i theta l)."""
    exponent, gain = discretize(eigenvalues, step, method)  # pyright: ignore[reportArgumentType]
    return -gain / torch.expm1(exponent - 1j * angles)


def _low_rank_states(eigenvalues: Tensor, p: Tensor, inputs: Tensor, step: Tensor, angles: Tensor) -> Tensor:
    """The states of A = diag(eigenvalues) - p p^*, discretised by the bilinear rule: Woodbury's formula.

    With the delay d = exp(-i theta) they are 2 step [2 (1 - d) - step (1 + d) A]^-1 inputs.
    """
    delay = torch.exp(-1j * angles)
    weight = step[:, :1] * (1 + delay)
    resolvent = 1 / (2 * (1 - delay) - weight * eigenvalues)
    along = resolvent * p
    feedback = weight / (1 + weight * (p.conj() * along).sum(-1, keepdim=True))
    plain = resolvent[..., None] * inputs
    removed = (feedback * along)[..., None] * (p.conj()[..., None] * plain).sum(-2, keepdim=True)
    return 2 * step[:, :1, None] * (plain - removed)
