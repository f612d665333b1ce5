"""Perturb-then-diagonalise (PTD): a nearby matrix with usable eigenvectors instead of one that has none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from sciml.errors import ConfigError, ShapeError
from sciml.ssm.systems import DiagonalSystem, check_tau, diagonalize

_USELESS = 1e12  # condition number of eigenvectors from which float64 leaves less than four digits of a response

_MARGIN = 0.02  # of the size of an entry of A: how far left of zero the optimiser wants eigenvalues


@dataclass(frozen=True, kw_only=True)
class PerturbedSystem(DiagonalSystem):
    """A diagonal system close to one that cannot be diagonalised, and how close.

    Args:
        perturbation: The matrix E that was added, shape (state, state).
        condition: Condition number, in the 2-norm, of all eigenvectors with unit length.
        relative_size: ||E|| / ||A|| in the 2-norm.
        margin: -max Re of the eigenvalues: how fast the slowest mode decays.
        error_bound: What the relative error of the transfer function stays below at every frequency; None if there
            is no closed form.
    """

    perturbation: Float[Tensor, "state state"] | Complex[Tensor, "state state"]
    condition: float
    relative_size: float
    margin: float
    error_bound: float | None


def perturb_then_diagonalize(
    A: Float[Tensor, "state state"] | Complex[Tensor, "state state"],
    B: Float[Tensor, " state"] | Complex[Tensor, " state"],
    *,
    method: Literal["structured", "optimised"] = "structured",
    tau: float = 0.1,
    gamma: float = 10.0,
    steps: int = 1000,
    seed: int = 0,
    complex_valued: bool = False,
    perturbation: Tensor | None = None,
) -> PerturbedSystem:
    """Diagonalise a non-normal system after a small perturbation of its state matrix, in float64.

    ``A + E = V diag(eigenvalues) V^-1``, where E is one of three:

    - ``structured``: E = tau P P^*, P = B / sqrt(2), with the input (1 - tau / 2) B. For passive systems, those with
      A + A^* + B B^* <= 0 (HiPPO-LegS, HiPPO-LagT). Then ``P^* (s - A)^-1 P = (1 - phi(s)) / 2`` with |phi| <= 1 on the
      imaginary axis, the transfer function becomes X(s) / (1 + rho phi(s)), rho = tau / (2 - tau), and its relative
      error stays below rho / (1 - rho) at every frequency and for every size. Real, and needs no optimiser.
    - ``optimised``: Adam minimises the mean of ||v_i|| ||w_i||, the condition numbers of the eigenvalues (w_i: rows of
      V^-1), plus gamma ||E|| / ||A|| (Frobenius norms), plus a penalty on unstable eigenvalues. For any A. The
      published method has no such penalty, and minimises cond(V)^2, which depends on the lengths of the vectors.
    - ``perturbation``: a matrix of your own.

    Args:
        A: State matrix, nondimensional, shape (state, state).
        B: Input vector, shape (state,).
        method: ``structured`` or ``optimised``.
        tau: Size of the structured perturbation in (0, 1]. Good values: 0.03 to 0.2; the condition number is about
            1.9 / tau for HiPPO-LegS, where tau = 1 is S4D-LegS.
        gamma: Weight of the size of an optimised perturbation. Good values: 3 (closer to normal) to 100 (closer to A).
        steps: Steps of Adam. Good values: 1000 to 5000; a step takes about 2 ms for 32 states.
        seed: Where the optimisation starts.
        complex_valued: Whether an optimised perturbation may be complex; then eigenvalues come without conjugates.
        perturbation: E itself, shape (state, state); ``method`` is not looked at.

    Returns:
        The system in its eigenbasis; one of each conjugate pair, if the perturbed matrix is real and has no real
        eigenvalue.

    Raises:
        ShapeError: A is not square, or B or the perturbation does not fit.
        ConfigError: unknown method, tau outside (0, 1], a system that is not passive (structured), eigenvectors that
            float64 cannot hold, or a perturbed eigenvalue with a nonnegative real part.

    Reference:
        arXiv:2310.01698, section 3 (perturb-then-diagonalise) and theorem 3 (error of any perturbation).
    """
    _check_shapes(A, B, perturbation)
    A, B = _double(A), _double(B)
    error_bound = None
    if perturbation is not None:
        E = _double(perturbation)
    elif method == "structured":
        check_tau(tau)
        _check_passive(A, B)
        E, B = tau / 2 * torch.outer(B, B.conj()), (1 - tau / 2) * B
        error_bound = tau / (2 - 2 * tau) if tau < 1 else math.inf  # rho / (1 - rho)
    elif method == "optimised":
        E = _optimise(A, gamma, steps, seed, complex_valued)
    else:
        raise ConfigError(f"There is no method {method!r}; choose structured or optimised, or give a perturbation.")
    system = diagonalize(A + E, B)
    result = PerturbedSystem(
        eigenvalues=system.eigenvalues,
        input=system.input,
        vectors=system.vectors,
        conjugate=system.conjugate,
        perturbation=E,
        condition=float(torch.linalg.cond(system.unpaired().vectors)),
        relative_size=float(torch.linalg.matrix_norm(E, 2) / torch.linalg.matrix_norm(A, 2)),
        margin=-float(system.eigenvalues.real.max()),
        error_bound=error_bound,
    )
    _check_usable(result)
    return result


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.complex128 if tensor.is_complex() else torch.float64)


def _optimise(A: Tensor, gamma: float, steps: int, seed: int, complex_valued: bool) -> Tensor:
    """The perturbation that trades the conditioning of the eigenvalues against its own size."""
    n = len(A)
    unit = torch.linalg.norm(A) / n  # of one entry, so that Adam's steps do not depend on the scale of A
    dtype = torch.complex128 if complex_valued or A.is_complex() else torch.float64
    start = torch.rand(n, n, 2 if dtype.is_complex else 1, generator=torch.Generator().manual_seed(seed)).double() / 10
    E = torch.view_as_complex(start) if dtype.is_complex else start[..., 0]
    E = E.to(A.device).requires_grad_()
    adam = torch.optim.Adam([E], lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        eigenvalues, V = torch.linalg.eig(A + unit * E)
        conditions = V.norm(dim=0) * torch.linalg.inv(V).norm(dim=1)
        unstable = torch.relu(eigenvalues.real / unit + _MARGIN).sum()
        loss = conditions.mean() + gamma * torch.linalg.norm(E) / n + unstable
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    return unit * E.detach()


def _check_shapes(A: Tensor, B: Tensor, perturbation: Tensor | None) -> None:
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ShapeError(f"A has shape {tuple(A.shape)}; a square matrix (state, state) is expected.")
    if B.shape != A.shape[:1]:
        raise ShapeError(
            f"B has shape {tuple(B.shape)}; ({len(A)},) is expected, as A is {len(A)} x {len(A)}. "
            "Diagonalise for one input, then use system.inverse() @ B for a matrix of several."
        )
    if perturbation is not None and perturbation.shape != A.shape:
        raise ShapeError(
            f"The perturbation has shape {tuple(perturbation.shape)}; that of A, {tuple(A.shape)}, is expected."
        )


def _check_passive(A: Tensor, B: Tensor) -> None:
    energy = A + A.mH + torch.outer(B, B.conj())
    excess = float(torch.linalg.eigvalsh(energy).max())
    # 1e-9: far above rounding, far below what any other matrix of this size has.
    if excess > 1e-9 * float(torch.linalg.matrix_norm(A)):
        raise ConfigError(
            "The structured perturbation is for passive systems, where A + A^T + B B^T has no positive eigenvalue, as "
            f"HiPPO-LegS; here the largest is {excess:.3g}. Use method='optimised', which takes any A, scale B down, "
            "or give a perturbation."
        )


def _check_usable(system: PerturbedSystem) -> None:
    if system.margin <= 0:
        raise ConfigError(
            f"The perturbed matrix has an eigenvalue with real part {-system.margin:.3g}; for a stable system all must "
            "be negative. Make the perturbation smaller (tau, or a larger gamma), or take more steps or another seed."
        )
    if system.condition > _USELESS:
        raise ConfigError(
            f"The eigenvectors have condition number {system.condition:.1e}; beyond {_USELESS:.0e} float64 cannot hold "
            "them. Make the perturbation larger (tau, or a smaller gamma): the condition number falls like one over it."
        )
