"""Programs with a closed form, which worker processes can import."""

import os
from dataclasses import dataclass, field

import numpy as np

from sciml.dispatch.program import Outcome
from sciml.errors import InfeasibleError


@dataclass
class LeastNorm:
    """Q(p) = min |x|^2 / 2 subject to A x = p, which is p . (A A^T)^-1 p / 2; infeasible, as if, at a negative p_0."""

    matrix: np.ndarray
    blocks: dict[str, slice] = field(default_factory=dict)
    shift: float = 0.0

    def __post_init__(self):
        rows = len(self.matrix)
        self.blocks = {"first": slice(0, 1), "rest": slice(1, rows)}

    def solve(self, parameters):
        if parameters[0] < 0:
            raise InfeasibleError(f"first is {parameters[0]:g}; at least 0 is expected.")
        if parameters[0] == 1313:
            os._exit(1)
        if parameters[0] == 1414:
            raise UnreadableError("no", "way")
        multipliers = np.linalg.solve(self.matrix @ self.matrix.T, parameters)
        value = parameters @ multipliers / 2 + self.shift
        return Outcome(value, multipliers, {"x": self.matrix.T @ multipliers, "worker": np.array([os.getpid()])})

    def raise_by(self, amount, *, times=1):
        self.shift += amount * times
        return self.shift

    def environment(self, name):
        return os.environ.get(name)


class UnreadableError(Exception):
    """Cannot be unpickled: its arguments are not what its constructor takes."""

    def __init__(self, a, b):
        super().__init__(f"{a} {b}")


def least_norm(rows=3, columns=5):
    return LeastNorm(np.random.default_rng(0).normal(size=(rows, columns)))


def cannot_be_made():
    raise InfeasibleError("there is no such program.")
