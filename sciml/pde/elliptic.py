"""Poisson and Helmholtz problems with prescribed boundary values, by compact differences of fourth order.

Fields are given at the points of a square grid of equal spacing h, boundary points included; axis -2 is x, axis -1 is
y. With the second differences dx, dy (weights 1, -2, 1 over h^2), a solution of Lap u = g fulfils

    (dx + dy + h^2 / 6 dx dy) u = (1 + h^2 / 12 (dx + dy)) g + O(h^4),

Collatz's Mehrstellenverfahren: fourth order from the eight nearest neighbours alone.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sciml.errors import ConfigError, ShapeError, SolverError


def poisson(source: Float[Tensor, "batch x y"], *, spacing: float) -> Float[Tensor, "batch x y"]:
    """Solve -Lap u = f with u = 0 on the boundary, by fast sine transforms.

    Args:
        source: The right-hand side f at all points, those of the boundary included, shape (batch, x, y).
        spacing: Distance h of neighbouring points.

    Returns:
        The solution u at all points, shape (batch, x, y), of the source's type and device.

    Raises:
        ShapeError: the source is not (batch, x, y) with at least 3 points along each axis.

    Reference:
        Collatz, The Numerical Treatment of Differential Equations (1960), chapter V, section 2.4.
    """
    if source.ndim != 3 or min(source.shape[1:]) < 3:
        raise ShapeError(
            f"source has shape {tuple(source.shape)}; expected (batch, x, y) with at least 3 points along each axis."
        )
    inner = source[:, 1:-1, 1:-1]
    neighbours = source[:, 2:, 1:-1] + source[:, :-2, 1:-1] + source[:, 1:-1, 2:] + source[:, 1:-1, :-2]
    right = inner + (neighbours - 4 * inner) / 12

    def eigenvalues(points: int) -> Tensor:
        """Eigenvalues of the second difference times h^2 at the sines sin(pi k x), k = 1, 2, ..."""
        number = torch.arange(1, points + 1, dtype=torch.float64, device=source.device)
        return -4 * torch.sin(math.pi * number / (2 * (points + 1))) ** 2

    along_x, along_y = eigenvalues(inner.shape[1])[:, None], eigenvalues(inner.shape[2])
    symbol = (along_x + along_y + along_x * along_y / 6) / spacing**2
    series = _sine_transform(_sine_transform(right).mT).mT / -symbol.to(source.dtype)
    # The transform is its own inverse up to the factor 4 (n + 1) of each axis.
    scale = 4 * (inner.shape[1] + 1) * (inner.shape[2] + 1)
    return torch.nn.functional.pad(_sine_transform(_sine_transform(series).mT).mT / scale, (1, 1, 1, 1))


def _sine_transform(field: Float[Tensor, "... point"]) -> Float[Tensor, "... mode"]:
    """2 sum_j f_j sin(pi j k / (n + 1)), j, k = 1..n, along the last axis: the Fourier transform of an odd function."""
    zero = torch.zeros_like(field[..., :1])
    odd = torch.cat([zero, field, zero, -field.flip(-1)], dim=-1)
    return -torch.fft.rfft(odd).imag[..., 1:-1]


def helmholtz(
    coefficient: Float64[np.ndarray, "x y"],
    *,
    wavenumber: float,
    boundary: float | Float64[np.ndarray, "x y"],
    spacing: float,
    source: float | Float64[np.ndarray, "x y"] = 0.0,
) -> Float64[np.ndarray, "x y"]:
    """Solve -Lap u - w^2 a u = f with prescribed u on the boundary, by sparse LU factorisation on the CPU.

    The problem is indefinite: near a resonance the solution is large.

    Args:
        coefficient: The coefficient a at all points, nondimensional, shape (x, y).
        wavenumber: w, 1/length. A wave should have at least 8 points: w h sqrt(max a) < 0.8.
        boundary: Boundary value, or a field of shape (x, y) whose boundary points give it.
        spacing: Distance h of neighbouring points.
        source: The right-hand side f at all points, shape (x, y), or a number.

    Returns:
        The solution u at all points, shape (x, y).

    Raises:
        ShapeError: a field is not (x, y) with at least 3 points along each axis.
        ConfigError: the grid is too coarse for the wave.
        SolverError: the problem has no unique solution.

    Reference:
        Singer and Turkel, Comput. Methods Appl. Mech. Engrg. 163 (1998), 343-358.
    """
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import splu

    shape = coefficient.shape
    if coefficient.ndim != 2 or min(shape) < 3 or not {np.shape(boundary), np.shape(source)} <= {(), shape}:
        raise ShapeError(
            f"coefficient, boundary and source have shapes {shape}, {np.shape(boundary)} and {np.shape(source)}; "
            "expected the same (x, y) with at least 3 points along each axis (or a number for the last two)."
        )
    reach = wavenumber * spacing * math.sqrt(max(float(coefficient.max()), 0))
    if not reach < math.pi:
        raise ConfigError(
            f"wavenumber {wavenumber:g} on a grid of spacing {spacing:g} leaves {2 * math.pi / reach:.1f} points for a "
            "wave; take a finer grid, at least 8 points."
        )
    laplacian, average, edge = _operators(*shape)
    operator: Any = laplacian / spacing**2 + wavenumber**2 * (average @ diags_array(coefficient.ravel()))
    u = np.where(edge, np.broadcast_to(boundary, shape), 0.0).ravel()
    right = -(operator @ u) - average @ np.broadcast_to(source, shape).ravel()
    try:
        # The pattern is symmetric and the diagonal strong enough to pivot on.
        factors = splu(
            operator[:, ~edge.ravel()].tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.1,
            options={"SymmetricMode": True},
        )
        inner = factors.solve(right)
    except RuntimeError:  # exactly singular
        inner = np.full_like(right, np.inf)
    # The ratio is one over the distance from the nearest resonance, and rounding moves that by about 1e-12.
    if not np.abs(inner).max() <= 1e12 * np.abs(right).max():
        raise SolverError(
            f"the Helmholtz problem has no unique solution: wavenumber {wavenumber:g} is a resonance of this "
            "coefficient. Change either a little."
        )
    u[~edge.ravel()] = inner
    return u.reshape(shape)


@lru_cache(maxsize=4)
def _operators(rows: int, columns: int) -> tuple[Any, Any, np.ndarray]:
    """Sparse matrices from all points to the inner ones, and which points lie on the edge.

    h^2 times the compact Laplacian, and the average 1 + h^2 / 12 (dx + dy).
    """
    from scipy.sparse import eye_array, kron

    def along(points: int) -> tuple[Any, Any]:
        left, pick, right = (eye_array(points - 2, points, k=shift) for shift in (0, 1, 2))
        return left - 2 * pick + right, pick

    (second_x, pick_x), (second_y, pick_y) = along(rows), along(columns)
    five_points = kron(second_x, pick_y) + kron(pick_x, second_y)
    laplacian = five_points + kron(second_x, second_y) / 6
    average = kron(pick_x, pick_y) + five_points / 12
    edge = np.ones((rows, columns), bool)
    edge[1:-1, 1:-1] = False
    return laplacian.tocsr(), average.tocsr(), edge
