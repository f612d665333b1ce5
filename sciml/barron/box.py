"""The domain: a box with a boundary condition on every axis, and the waves that satisfy it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.errors import ConfigError, ShapeError

Boundary = str | tuple[str, ...]


def sine_axes(boundary: Boundary | Sequence[str], dimension: int) -> Tensor | None:
    """Axes on which waves are sines, shape (dimension,); None for periodic waves.

    Raises:
        ConfigError: the boundary is unknown.
    """
    if boundary == "periodic":
        return None
    kinds = (boundary,) * dimension if isinstance(boundary, str) else tuple(boundary)
    if len(kinds) != dimension or not set(kinds) <= {"neumann", "dirichlet"}:
        raise ConfigError(
            f"boundary={boundary!r} came in dimension {dimension}; 'periodic', 'neumann', 'dirichlet', or one of the "
            "latter two for every axis is expected."
        )
    return torch.tensor([kind == "dirichlet" for kind in kinds])


def boundary_name(sine: Tensor | None) -> Boundary:
    """The boundary whose waves are sines on the given axes."""
    if sine is None:
        return "periodic"
    kinds = tuple("dirichlet" if is_sine else "neumann" for is_sine in sine.tolist())
    return kinds[0] if len(set(kinds)) == 1 else kinds


def check_box(box: Sequence[float] | None, dimension: int) -> tuple[float, ...]:
    """Sides of a box; None is the unit cube.

    Raises:
        ShapeError: there is not one side for every axis.
        ConfigError: a side is not positive.
    """
    sides = (1.0,) * dimension if box is None else tuple(float(side) for side in box)
    if len(sides) != dimension:
        raise ShapeError(f"a box with {len(sides)} sides came in dimension {dimension}; one for every axis is due.")
    if min(sides) <= 0:
        raise ConfigError(f"the box has sides {sides}; positive numbers are expected.")
    return sides


def check_points(x: Float[Tensor, "point dimension"], dimension: int) -> Float[Tensor, "point dimension"]:
    """The points themselves.

    Raises:
        ShapeError: they are not of shape (point, dimension).
    """
    if x.ndim != 2 or x.shape[1] != dimension:
        raise ShapeError(
            f"points of shape {tuple(x.shape)} came; (point, {dimension}) is expected. One point needs an axis in "
            "front: x[None]."
        )
    return x
