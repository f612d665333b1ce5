"""How a random cost is judged: by its mean, or by its mean and its worst cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sciml.dispatch.program import Array
from sciml.errors import ConfigError


class RiskMeasure(Protocol):
    r"""A coherent measure of a discrete random cost, rho(C) = max over some densities xi of sum_k xi_k C_k."""

    def weights(self, costs: Array, probabilities: Array) -> Array:
        """The density of the maximum, sums to 1: the gradient of rho with respect to the costs.

        Args:
            costs: (opening,), $.
            probabilities: (opening,), sums to 1.
        """
        ...


@dataclass(frozen=True)
class Expectation:
    """The mean: who decides does not mind a wide distribution."""

    def weights(self, costs: Array, probabilities: Array) -> Array:
        """See ``RiskMeasure``."""
        return probabilities


@dataclass(frozen=True)
class CVaR:
    r"""Mean and conditional value at risk: rho(C) = (1 - w) E[C] + w CVaR_a(C).

    CVaR_a(C) = min_u u + E[(C - u)^+] / (1 - a) is the mean of the worst share 1 - a of the costs; a = 0 is the mean,
    a -> 1 the worst case. In several stages it is nested: rho at every stage of cost plus rho of what follows.

    Args:
        level: a in [0, 1), nondimensional. Good values: 0.8 to 0.95.
        weight: w in [0, 1], nondimensional. Good values: 0.1 to 0.5.

    Raises:
        ConfigError: level or weight is outside its interval.

    Reference:
        Rockafellar, Uryasev, Optimization of conditional value-at-risk, Journal of Risk 2 (2000), theorem 1.
    """

    level: float = 0.9
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.level < 1 and 0 <= self.weight <= 1):
            raise ConfigError(
                f"CVaR(level={self.level}, weight={self.weight}) came; a level in [0, 1) and a weight in [0, 1] are "
                "expected. level=0.9, weight=0.3 gives three tenths of the weight to the worst tenth of the costs."
            )

    def weights(self, costs: Array, probabilities: Array) -> Array:
        """See ``RiskMeasure``."""
        tail = 1 - self.level
        worst_first = np.argsort(-costs, kind="stable")
        p = probabilities[worst_first]
        before = np.cumsum(p) - p
        density = np.empty_like(p)
        density[worst_first] = np.clip(tail - before, 0, p) / tail
        return (1 - self.weight) * probabilities + self.weight * density
