"""Diagonal plus low-rank systems (S4): bilinear discretisation in closed form, kernels from repeated squares."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from sciml.ssm.kernels import align_right, square_root


class LowRankTransition(NamedTuple):
    """One step z -> diagonal z - column Re(row . z) + input u of a discrete system, all of shape (feature, pair)."""

    diagonal: Complex[Tensor, "feature pair"]
    column: Complex[Tensor, "feature pair"]
    row: Complex[Tensor, "feature pair"]
    input: Complex[Tensor, "feature pair"]


def discretize_low_rank(
    eigenvalues: Complex[Tensor, "feature pair"],
    low_rank: Complex[Tensor, "feature pair"],
    input: Complex[Tensor, "feature pair"],
    step: Float[Tensor, "feature 1"],
) -> LowRankTransition:
    """Discretise z' = (diag(eigenvalues) - p p^*) z + input u by the bilinear rule, one of each conjugate pair kept.

    (1 - h A)^-1 is a diagonal matrix plus one of rank one as well (h = step / 2), and the transition is twice that
    minus one.

    Args:
        eigenvalues: Of the normal part.
        low_rank: p.
        input: Input vector.
        step: Time step.

    Returns:
        The transition of one step.

    Reference:
        arXiv:2111.00396, appendix C.2.
    """
    half = step / 2
    inverse = 1 / (1 - half * eigenvalues)
    column, row = low_rank * inverse, low_rank.conj() * inverse
    share = 2 * half / (1 + 2 * half * (row * low_rank).real.sum(-1, keepdim=True))
    entering = inverse * input - share * column * (row * input).real.sum(-1, keepdim=True)
    return LowRankTransition(2 * inverse - 1, 2 * share * column, row, step * entering)


def squares(transition: LowRankTransition, number: int) -> list[Float[Tensor, "feature state state"]]:
    """The powers 1, 2, 4, ... of the transition, as real matrices that act on (Re z, Im z).

    A and so its bilinear transition are dissipative in this basis: no power is larger than one, and rounding does
    not grow.
    """
    real, imag = torch.diag_embed(transition.diagonal.real), torch.diag_embed(transition.diagonal.imag)
    rotation = torch.cat([torch.cat([real, -imag], dim=-1), torch.cat([imag, real], dim=-1)], dim=-2)
    found = [rotation - as_column(transition.column) * as_row(transition.row)]
    while len(found) < number:
        found.append(found[-1] @ found[-1])
    return found


def as_column(z: Complex[Tensor, "*batch pair"]) -> Float[Tensor, "*batch state 1"]:
    """The vector (Re z, Im z)."""
    return torch.cat([z.real, z.imag], dim=-1)[..., None]


def as_row(c: Complex[Tensor, "*batch pair"]) -> Float[Tensor, "*batch 1 state"]:
    """What Re(c . z) is as a row that acts on (Re z, Im z)."""
    return torch.cat([c.real, -c.imag], dim=-1)[..., None, :]


def low_rank_kernel(
    squares: list[Tensor],
    input: Float[Tensor, "feature state column"],
    output: Float[Tensor, "feature row state"],
    length: int,
) -> Float[Tensor, "feature row column length"]:
    """K[l] = output A^l input, from about two square roots of the length powers of A and one matrix product.

    With l = a k + b: output A^(a k), for all a, times A^b input, for all b; each set is doubled with a square of A.

    Args:
        squares: A, A^2, A^4, ..., as many as ``squares_needed(length)``.
        input: Columns, e.g. the input vector, or states whose response is asked for.
        output: Rows.
        length: Samples of the kernel.

    Returns:
        The kernel of every row and column.
    """
    fine = square_root(length)
    count = -(-length // fine)
    near = _doubled(squares, input, fine)
    far = output
    for square in squares[fine.bit_length() - 1 :]:
        if far.shape[1] >= count * output.shape[1]:
            break
        far = torch.cat([far, far @ square], dim=1)
    kernel = far[:, : count * output.shape[1]] @ near
    kernel = kernel.unflatten(1, (count, -1)).unflatten(3, (fine, -1))
    return kernel.permute(0, 2, 4, 1, 3).flatten(3)[..., :length]


def squares_needed(length: int) -> int:
    """How many repeated squares ``low_rank_kernel`` and ``low_rank_last_state`` use."""
    return max(1, length.bit_length())


def _doubled(squares: list[Tensor], input: Tensor, number: int) -> Tensor:
    """A^b input for b = 0 ... number - 1, a power of two, side by side: shape (feature, state, number x column)."""
    powers = input
    for square in squares[: number.bit_length() - 1]:
        powers = torch.cat([powers, square @ powers], dim=2)
    return powers


def low_rank_last_state(
    squares: list[Tensor],
    input: Float[Tensor, "feature state 1"],
    u: Float[Tensor, "batch length feature"],
    initial: Float[Tensor, "feature state batch"] | None,
    lengths: Int[Tensor, " batch"],
) -> Float[Tensor, "feature state batch"]:
    """The state after each sequence's last valid sample: A^length initial + sum_l A^(length - 1 - l) input u[l].

    Chunks are absorbed by matrix products; pairs of neighbours are then joined until one is left.
    """
    chunk = square_root(u.shape[1])
    chunks = 1 << (-(-u.shape[1] // chunk) - 1).bit_length()
    absorb = _doubled(squares, input, chunk).flip(2)
    samples = align_right(u, lengths, chunk * chunks).unflatten(1, (chunks, chunk))
    states = torch.einsum("bkth,hst->hskb", samples, absorb)
    level = chunk.bit_length() - 1
    while states.shape[2] > 1:
        earlier, later = states[:, :, ::2], states[:, :, 1::2]
        states = later + (squares[level] @ earlier.flatten(2)).view_as(later)
        level += 1
    if initial is None:
        return states[:, :, 0]
    for bit, square in enumerate(squares):
        initial = torch.where((lengths >> bit) % 2 == 1, square @ initial, initial)
    return states[:, :, 0] + initial
