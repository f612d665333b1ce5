"""Sums of waves by their integer wave vectors: merge equal ones, multiply two sums.

A periodic wave is Re(c exp(i w.x)), kept for one of each pair +-k. Any other wave is c prod_i g_i(w_i x_i), k_i >= 0,
where g_i is a sine (k_i >= 1) on the axes that ``sine`` marks and a cosine on the others; ``sine`` is None if periodic.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from sciml.errors import ConfigError, ShapeError

WaveVectors = Int[Tensor, "mode dimension"]
Coefficients = Shaped[Tensor, " mode"]
Sine = Bool[Tensor, " dimension"]
Terms = tuple[WaveVectors, Coefficients]

MEMORY_LIMIT = 8e9  # bytes that a list of waves may take, with what is computed of them


def check_memory(
    waves: float,
    dimension: int,
    *,
    what: str,
    hint: str = "Prune the networks first: u.prune(n=...) or u.prune(tol=...).",
) -> None:
    """Refuse to make a list of waves that would not fit into memory, before anything is allocated.

    Args:
        waves: How many.
        dimension: Integers of each wave vector.
        what: What has them, for the message.
        hint: What to do about it.

    Raises:
        ConfigError: they would take more than ``MEMORY_LIMIT`` bytes; the message has the number.
    """
    needed = waves * (8 * dimension + 100)  # the wave vectors, their coefficients and work space
    if needed > MEMORY_LIMIT:
        raise ConfigError(
            f"{what}: {waves:.3g} waves in dimension {dimension} need {needed / 1e9:.3g} GB; at most "
            f"{MEMORY_LIMIT / 1e9:g} GB are allowed. {hint}"
        )


def check_terms(frequencies: Tensor, coefficients: Tensor) -> None:
    """Check that wave vectors are integers, with one coefficient for each.

    Raises:
        ShapeError: they are not.
    """
    if frequencies.ndim != 2 or frequencies.is_floating_point() or frequencies.shape[1] == 0:
        raise ShapeError(
            f"frequencies of shape {tuple(frequencies.shape)} and type {frequencies.dtype} came; integers of shape "
            "(mode, dimension) are expected: wave vectors k, without the factor pi / L."
        )
    if coefficients.shape != frequencies.shape[:1]:
        raise ShapeError(
            f"coefficients of shape {tuple(coefficients.shape)} came for {len(frequencies)} wave vectors; one number "
            "for each is expected."
        )


def distinct(frequencies: WaveVectors) -> tuple[Int[Tensor, " group"], Int[Tensor, " mode"]]:
    """Distinct wave vectors, in the order of their first appearance.

    Args:
        frequencies: Wave vectors, integer or not, shape (mode, dimension).

    Returns:
        Row of the first appearance of each, shape (group,), and the group of every row, shape (mode,).
    """
    rows = torch.arange(len(frequencies), device=frequencies.device)
    if frequencies.is_floating_point():
        frequencies = (frequencies + 0.0).view(torch.int64)  # + 0.0: there is one zero
    # Sorting one 64-bit hash a row is fifty times faster than sorting rows; equal hashes are checked to be equal rows.
    multipliers = torch.randint(-(2**63), 2**63 - 1, frequencies.shape[1:], generator=torch.Generator().manual_seed(0))
    hashes = (frequencies * multipliers.to(frequencies.device)).sum(1)
    groups, group = torch.unique(hashes, return_inverse=True)
    first = torch.full_like(groups, len(rows)).scatter_reduce(0, group, rows, "amin")
    if not torch.equal(frequencies[first[group]], frequencies):
        groups, group = torch.unique(frequencies, dim=0, return_inverse=True)
        first = torch.full_like(groups[:, 0], len(rows)).scatter_reduce(0, group, rows, "amin")
    order = torch.argsort(first)
    return first[order], torch.argsort(order)[group]


def canonical(frequencies: WaveVectors, coefficients: Coefficients, sine: Sine | None) -> Terms:
    """The same waves with the representatives that are kept.

    Periodic: the first nonzero k_i is positive, and c is real for k = 0. Other: k_i >= 0, no sine of zero frequency.
    """
    if sine is not None:
        sign = torch.where(sine, frequencies.sign(), 1).prod(1)
        return frequencies.abs()[sign != 0], (coefficients * sign)[sign != 0]
    nonzero = frequencies != 0
    leading = frequencies.gather(1, nonzero.byte().argmax(1, keepdim=True)).sign()
    coefficients = torch.where(leading[:, 0] < 0, coefficients.conj(), coefficients)
    imaginary = torch.where(leading[:, 0] == 0, 0, coefficients.imag)
    return frequencies * torch.where(leading < 0, -1, 1), torch.complex(coefficients.real, imaginary)


def merge(frequencies: WaveVectors, coefficients: Coefficients, sine: Sine | None) -> Terms:
    """The same sum, each wave once, in the order of first appearance; differentiable in the coefficients."""
    frequencies, coefficients = canonical(frequencies, coefficients, sine)
    first, group = distinct(frequencies)
    if len(first) == len(frequencies):
        return frequencies, coefficients
    return frequencies[first], coefficients.new_zeros(len(first)).index_add(0, group, coefficients)


def multiply(one: Terms, other: Terms, sines: tuple[Sine, Sine] | None) -> Terms:
    """Terms of the product of two sums, each wave of one with each wave of the other; not merged.

    Re(a e^{iA}) Re(b e^{iB}) = mean over s = +-1 of Re(a b_s e^{i(A + s B)}), b_1 = b, b_-1 = conj b. Products of
    cosines and sines are such means on every axis: cos A cos B = mean cos(A + s B), sin A cos B = mean sin(A + s B),
    cos A sin B = mean s sin(A + s B), sin A sin B = mean -s cos(A + s B).

    Args:
        one: Wave vectors (mode, dimension) and coefficients (mode,).
        other: The same of the other sum.
        sines: Axes that are sines in either sum, each (dimension,); None for periodic waves.

    Raises:
        ConfigError: the product has too many terms.
    """
    (k, a), (m, b) = one, other
    dimension = k.shape[1]
    if sines is None:
        check_memory(2 * len(k) * len(m), dimension, what="the product")
        k, m, a, b = k[:, None], m[None], a[:, None], b[None]
        terms, values = torch.cat([k + m, k - m]), torch.cat([a * b, a * b.conj()]) / 2
        return terms.reshape(-1, dimension), values.reshape(-1)
    # On an axis where one frequency is zero both signs give the same wave, which is kept once.
    check_memory(len(k) * len(m), dimension, what="the product")
    branches = 2.0 ** ((k != 0).double() @ (m != 0).double().T)
    check_memory(float(branches.sum()), dimension, what="the product")
    left = torch.arange(len(k), device=k.device).repeat_interleave(len(m))
    right = torch.arange(len(m), device=k.device).repeat(len(k))
    signs = torch.ones(len(left), 0, dtype=torch.int64, device=k.device)
    values = a[left] * b[right]
    for axis in range(dimension):
        active = (k[left, axis] != 0) & (m[right, axis] != 0)
        values = torch.cat([torch.where(active, values / 2, values), values[active] / 2])
        plus = torch.cat([signs, torch.ones_like(left)[:, None]], dim=1)
        minus = torch.cat([signs[active], -torch.ones_like(left[active])[:, None]], dim=1)
        signs = torch.cat([plus, minus])
        left, right = torch.cat([left, left[active]]), torch.cat([right, right[active]])
    return _combine(k[left], m[right], signs, values, sines)


def sample_pairs(one: Terms, other: Terms, sines: tuple[Sine, Sine] | None, *, generator: torch.Generator) -> Terms:
    """Multiply the i-th waves of two sums and keep one of the waves of each product, drawn at random.

    The mean over all draws is the product of the i-th waves.

    Args:
        one: Wave vectors (mode, dimension) and coefficients (mode,).
        other: The same of the other sum, with as many modes.
        sines: Axes that are sines in either sum; None for periodic waves.
        generator: Source of the signs.
    """
    (k, a), (m, b) = one, other
    shape = (len(k), 1 if sines is None else k.shape[1])
    signs = 2 * torch.randint(2, shape, generator=generator, device=generator.device).to(k.device) - 1
    if sines is None:
        return k + signs * m, a * torch.where(signs[:, 0] > 0, b, b.conj())
    return _combine(k, m, signs, a * b, sines)


def signed_waves(frequencies: WaveVectors, *, periodic: bool) -> tuple[Tensor, Tensor]:
    """All plane waves, up to conjugates, that modes are made of, and the mode that each belongs to.

    The signs of all active components but the first are flipped, unless the boundary is periodic.
    """
    signed, mode = frequencies, torch.arange(len(frequencies), device=frequencies.device)
    if periodic:
        return signed, mode
    for i in range(1, frequencies.shape[1]):
        flips = (signed[:, i] != 0) & (signed[:, :i] != 0).any(1)
        mirrored = signed[flips]
        mirrored[:, i] *= -1
        signed, mode = torch.cat([signed, mirrored]), torch.cat([mode, mode[flips]])
    return signed, mode


def plane_waves(
    frequencies: WaveVectors, coefficients: Coefficients, sine: Sine, scale: Float[Tensor, " dimension"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Plane waves sum_j a_j cos(w_j.x + b_j) of a sum of products of cosines and sines.

    A product of m factors is the mean of the 2^(m - 1) cosines of A_1 + s_2 A_2 + ... + s_m A_m, s_i = +-1; a sine is a
    cosine that lags by pi / 2.

    Args:
        frequencies: Integer wave vectors k >= 0, shape (mode, dimension).
        coefficients: Real coefficients, shape (mode,).
        sine: Axes that are sines, shape (dimension,).
        scale: Physical wavenumber of k_i = 1, shape (dimension,).

    Returns:
        Wavenumbers (wave, dimension), phases (wave,) and amplitudes (wave,).

    Raises:
        ConfigError: there are too many plane waves.
    """
    halvings = ((frequencies != 0).sum(1) - 1).clamp(min=0)
    check_memory(float(torch.exp2(halvings.double()).sum()), frequencies.shape[1], what="the cosine network")
    signed, row = signed_waves(frequencies, periodic=False)
    phases = -(torch.pi / 2) * (signed.sign() * sine).sum(1).to(coefficients)
    amplitudes = coefficients[row] * torch.exp2(-halvings[row].to(coefficients))
    return signed * scale, phases, amplitudes


def _combine(
    k: WaveVectors, m: WaveVectors, signs: WaveVectors, values: Coefficients, sines: tuple[Sine, Sine]
) -> Terms:
    """Waves of k + signs * m, with the factor that every axis brings."""
    one, other = sines
    factors = torch.where(other, torch.where(one, -signs, signs), 1).prod(1)
    return k + signs * m, values * factors
