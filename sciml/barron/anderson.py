"""Anderson acceleration of a fixed-point iteration."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

Vector = Float64[Tensor, " unknown"]


class AndersonMixing:
    """The next iterate of x = x + f(x) from the last ones, by least squares.

    x_new = x + f - sum_j g_j (dx_j + df_j), where g minimises |f - sum_j g_j df_j| over the last differences dx, df.
    For a linear f it is GMRES; depth 0 is the plain iteration.

    Args:
        depth: Number of differences kept. Good values: 4 to 8.
        weights: Weights of the squared norm that is minimised, shape (unknown,).

    Reference:
        Walker and Ni, SIAM J. Numer. Anal. 49 (2011), 1715-1735.
    """

    def __init__(self, depth: int, weights: Vector):
        self.depth = depth
        self._root = weights.sqrt()
        self._iterates: list[Vector] = []
        self._steps: list[Vector] = []

    def next(self, x: Vector, f: Vector) -> Vector:
        """The iterate after x, whose plain step is f."""
        self._iterates = [*self._iterates, x][-self.depth - 1 :]
        self._steps = [*self._steps, f][-self.depth - 1 :]
        if len(self._steps) == 1 or self.depth == 0:
            return x + f
        iterates, steps = torch.stack(self._iterates, dim=1), torch.stack(self._steps, dim=1)
        steps_changed = steps.diff(dim=1)
        matrix = self._root[:, None] * steps_changed
        scale = torch.linalg.vector_norm(matrix, dim=0).clamp(min=torch.finfo(matrix.dtype).tiny)
        q, r = torch.linalg.qr(matrix / scale)
        # The small system may be singular to rounding near the solution: its least-norm solution is taken.
        small = torch.linalg.lstsq(r.cpu(), (q.T @ (self._root * f)).cpu(), rcond=1e-12, driver="gelsd").solution
        return x + f - (iterates.diff(dim=1) + steps_changed) @ (small.to(f) / scale)
