"""Values and derivatives of sums of waves at points, in closed form and in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

Points = Float[Tensor, "point dimension"]
Values = Float[Tensor, " point"]
Wavenumbers = Float[Tensor, "mode dimension"]
Coefficients = Shaped[Tensor, " mode"]
Sine = Bool[Tensor, " dimension"]

BLOCK = (
    2**21
)  # numbers in one temporary tensor; a few of them fit into the cache of a server and the memory of a laptop


def values(x: Points, wavenumbers: Wavenumbers, coefficients: Coefficients, sine: Sine | None) -> Values:
    """Sum of Re(c exp(i w.x)), or of c prod_i g_i(w_i x_i) with sines on the axes that ``sine`` marks.

    Args:
        x: Points, shape (point, dimension).
        wavenumbers: Physical wavenumbers w, shape (mode, dimension).
        coefficients: Complex for periodic waves, real for the others, shape (mode,).
        sine: Axes whose factor is a sine, shape (dimension,); None for periodic waves.
    """

    def periodic(block: Points) -> Values:
        phase = block @ wavenumbers.T
        return torch.cos(phase) @ coefficients.real - torch.sin(phase) @ coefficients.imag

    def product(block: Points) -> Values:
        return coefficients @ _product(value for value, _ in _factors(block, wavenumbers, sine))

    return blocked(periodic if sine is None else product, x, size=len(wavenumbers))


def gradients(x: Points, wavenumbers: Wavenumbers, coefficients: Coefficients, sine: Sine | None) -> Points:
    """Gradient of the sum at every point; arguments as for ``values``, returns (point, dimension)."""

    def periodic(block: Points) -> Points:
        phase = block @ wavenumbers.T
        return -(torch.sin(phase) * coefficients.real + torch.cos(phase) * coefficients.imag) @ wavenumbers

    def product(block: Points) -> Points:
        factors = list(_factors(block, wavenumbers, sine))
        before = [coefficients[:, None].expand_as(factors[0][0])]
        for value, _ in factors[:-1]:
            before.append(before[-1] * value)
        after, columns = torch.ones_like(factors[0][0]), []
        for (value, slope), head in zip(reversed(factors), reversed(before), strict=True):
            columns.append((head * slope * after).sum(0))
            after = after * value
        return torch.stack(columns[::-1], dim=1)

    if sine is None:
        return blocked(periodic, x, size=len(wavenumbers))
    return blocked(product, x, size=len(wavenumbers) * x.shape[1])  # a few tensors are kept for every axis


def second_derivatives(
    x: Points, directions: Points, wavenumbers: Wavenumbers, coefficients: Coefficients, sine: Sine | None
) -> Values:
    """Second derivative g.H(x) g along one direction g for every point.

    Args:
        x: Points, shape (point, dimension).
        directions: Direction g at every point, of any length, shape (point, dimension).
        wavenumbers: As for ``values``.
        coefficients: As for ``values``.
        sine: As for ``values``.
    """

    def periodic(block: Points) -> Values:
        point, direction = block.chunk(2, dim=1)
        phase, speed = point @ wavenumbers.T, direction @ wavenumbers.T
        return -(speed**2 * (torch.cos(phase) * coefficients.real - torch.sin(phase) * coefficients.imag)).sum(1)

    def product(block: Points) -> Values:
        # Product of the factors' Taylor series in t along x + t g, up to t^2: no division by a factor that may vanish.
        point, direction = block.chunk(2, dim=1)
        zeroth = coefficients[:, None]
        first = second = torch.zeros_like(zeroth)
        for axis, (value, slope) in enumerate(_factors(point, wavenumbers, sine)):
            g = direction[:, axis]
            slope, bend = g * slope, -0.5 * (g * wavenumbers[:, axis, None]) ** 2 * value
            second = second * value + first * slope + zeroth * bend
            first = first * value + zeroth * slope
            zeroth = zeroth * value
        return 2 * second.sum(0)

    stacked = torch.cat([x, directions], dim=1)
    return blocked(periodic if sine is None else product, stacked, size=len(wavenumbers))


def design_matrix(x: Points, wavenumbers: Wavenumbers, sine: Sine | None) -> Float[Tensor, "point mode part"]:
    """Every wave at every point: columns for real and imaginary part (periodic), or one column (others)."""
    if sine is None:
        phase = x @ wavenumbers.T
        return torch.stack([torch.cos(phase), -torch.sin(phase)], dim=2)
    return _product(value for value, _ in _factors(x, wavenumbers, sine)).T[..., None]


def _factors(x: Points, wavenumbers: Wavenumbers, sine: Sine | None):
    """Factor of every wave and its derivative, axis by axis, each of shape (mode, point)."""
    assert sine is not None
    for axis, is_sine in enumerate(sine.tolist()):
        # Many waves share few wavenumbers on an axis: one row of a table for each, gathered.
        distinct, row = torch.unique(wavenumbers[:, axis], return_inverse=True)
        phase = distinct[:, None] * x[:, axis]
        cos, sin = torch.cos(phase), torch.sin(phase)
        value, slope = (sin, distinct[:, None] * cos) if is_sine else (cos, -distinct[:, None] * sin)
        yield value[row], slope[row]


def _product(factors) -> Tensor:
    factors = iter(factors)
    product = next(factors)
    for factor in factors:
        product = product * factor
    return product


def blocked(function: Callable[[Tensor], Tensor], x: Tensor, *, size: int) -> Tensor:
    """The function of all rows of x, a block of rows at a time; ``size`` numbers are made for each row."""
    return torch.cat([function(block) for block in x.split(max(1, BLOCK // max(1, size)))])
