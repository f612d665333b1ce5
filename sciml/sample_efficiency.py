"""How many trajectories, or how much accuracy, one way of learning saves over another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from sciml.errors import ConfigError

Curve = Mapping[int, float]
"""Test error by number of training trajectories."""


@dataclass(frozen=True)
class Gain:
    """A ratio, or as much as measurements say of it: it lies between ``low`` and ``high``.

    Args:
        low: Lower bound; 0 if there is none.
        high: Upper bound; infinite if there is none.
    """

    low: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Gain:
        """A ratio that is known."""
        return cls(value, value)

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.low:.3g}"
        if math.isinf(self.high):
            return f"> {self.low:.3g}"
        return f"{self.low:.3g} to {self.high:.3g}" if self.low else f"< {self.high:.3g}"


def efficiency_gain(model: Curve, baseline: Curve, *, at: int | None = None) -> Gain:
    """Efficiency gain EG = S / s, where the model needs s trajectories for the error of the baseline at S.

    s is where the curve of the model, straight between measurements on logarithmic axes, falls to that error and does
    not rise above it again. Nothing is extrapolated: a model that is there with its fewest trajectories, or not yet
    with its most, gives a bound.

    Args:
        model: Errors of the model.
        baseline: Errors of the baseline, e.g. FNO.
        at: S; None takes the most trajectories that the baseline was trained on. Published: 1024, or 4096 if steady.

    Raises:
        ConfigError: a curve has no points, errors are not positive, or the baseline was not measured at S.

    Reference:
        arXiv:2405.19101, section 3 and appendix E.
    """
    model, baseline = _checked(model), _checked(baseline)
    samples = max(baseline) if at is None else at
    goal = _at(baseline, samples)
    counts = list(model)
    if model[counts[-1]] > goal:
        return Gain(0.0, samples / counts[-1])
    above = [count for count in counts if model[count] > goal]
    if not above:
        return Gain(samples / counts[0], math.inf)
    left = above[-1]
    right = counts[counts.index(left) + 1]
    fraction = math.log(model[left] / goal) / math.log(model[left] / model[right])
    return Gain.exactly(samples / (left * (right / left) ** fraction))


def accuracy_gain(model: Curve, baseline: Curve, *, at: int) -> float:
    """Accuracy gain AG = error of the baseline / error of the model, both with the same number of trajectories.

    Args:
        model: Errors of the model.
        baseline: Errors of the baseline.
        at: Number of trajectories; between two measured numbers the curves are straight on logarithmic axes. Published:
            128, or 512 if steady.

    Raises:
        ConfigError: a curve has no points or was not measured there, or errors are not positive.

    Reference:
        arXiv:2405.19101, section 3 and appendix E.
    """
    return _at(_checked(baseline), at) / _at(_checked(model), at)


def median_gain(gains: Iterable[Gain]) -> Gain:
    """Median of gains, as far as their bounds tell it."""
    gains = list(gains)
    return Gain(median(gain.low for gain in gains), median(gain.high for gain in gains))


def _checked(curve: Curve) -> dict[int, float]:
    """The curve, fewest trajectories first."""
    if not curve or not all(count > 0 and 0 < error < math.inf for count, error in curve.items()):
        raise ConfigError(f"the errors by number of trajectories are {dict(curve)}; positive numbers are expected.")
    return dict(sorted(curve.items()))


def _at(curve: dict[int, float], count: float) -> float:
    """The error at a number of trajectories, by interpolation on logarithmic axes."""
    if count in curve:
        return curve[int(count)]
    for left, right in pairwise(curve):
        if left < count < right:
            fraction = math.log(count / left) / math.log(right / left)
            return curve[left] * (curve[right] / curve[left]) ** fraction
    raise ConfigError(
        f"{count} trajectories lie outside the measured range of {min(curve)} to {max(curve)}. Choose a number inside."
    )
