"""Inflows to train and to judge with: openings of the case, a periodic autoregressive process, or years of records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from sciml.dispatch.case import HydrothermalCase
from sciml.errors import ConfigError

Array = np.ndarray

_DRY = 0.01  # of a plant's mean inflow is added before the logarithm, so that it is finite at 0
_SEASONS = 12  # of a year: a correlation is estimated from the rows of one at either side, of some hundred pairs


def sample_openings(
    case: HydrothermalCase, scenarios: int, stages: int, rng: np.random.Generator, first_stage: int = 0
) -> Int[Array, "scenario stage"]:
    """Draw an opening for every stage, independently, by the case's probabilities.

    Args:
        case: Gives the probabilities.
        scenarios: Paths to draw.
        stages: Their length.
        rng: Source of chance.
        first_stage: Stage of the case at which the paths begin.
    """
    cumulated = case.probabilities.cumsum(1)[_rows(case, stages, first_stage)]
    uniform = rng.random((scenarios, stages)) * cumulated[:, -1]
    # An opening of probability 0 is never drawn: no number lies between its cumulated probability and the one before.
    return (uniform[:, :, None] >= cumulated).sum(2)


def openings_to_inflows(
    case: HydrothermalCase, openings: Int[Array, "scenario stage"], first_stage: int = 0
) -> Float[Array, "scenario stage plant"]:
    """The inflows, m3/s, of openings.

    Args:
        case: Gives the inflows.
        openings: Of each scenario and stage.
        first_stage: Stage of the case at which the paths begin.
    """
    return case.inflows[_rows(case, openings.shape[1], first_stage), :, openings]


def historical(
    case: HydrothermalCase,
    scenarios: int,
    stages: int,
    rng: np.random.Generator,
    first_stage: int = 0,
    *,
    years: Sequence[int] | None = None,
) -> Float[Array, "scenario stage plant"]:
    """Inflows, m3/s, as they followed each other: opening k of row after row is taken as one year of records.

    Scenario k begins with year k (modulo their number), keeps to it until the rows are at their end, and goes on with a
    year drawn at random. So there are no more different scenarios than years unless they are longer than what is left
    of the first year. This has a meaning where the openings of the case are years, as in ``cascade``.

    Args:
        case: Gives the years.
        scenarios: Paths to draw.
        stages: Their length.
        rng: Source of chance.
        first_stage: Stage of the case at which the paths begin.
        years: Openings to draw from, e.g. those that no policy was trained on; None: all.
    """
    among = np.arange(case.inflows.shape[2]) if years is None else np.asarray(years)
    rows = len(case.inflows)
    turns = (first_stage % rows + np.arange(stages)) // rows
    later = rng.choice(among, size=(scenarios, turns[-1]))
    chosen = np.column_stack([np.resize(among, scenarios), later])
    return openings_to_inflows(case, chosen[:, turns], first_stage)


@dataclass(frozen=True)
class AutoregressiveInflows:
    r"""A periodic autoregressive process of order 1 of the logarithms of the inflows.

        log(w_t + c) = mean_t + std_t z_t,    z_t = phi_t z_{t-1} + e_t,    cov e_t = R - phi_t R phi_t

    elementwise by plant, with the season t (row of the case), so that each z_t is standard normal with the correlation
    R between the plants. c is one hundredth of a plant's mean inflow, and what would be below 0 is 0.

    It gives inflows that were in no training, with wet and dry spells that openings drawn independently do not have.

    Attributes:
        mean, std: (row, plant), of log(w + c).
        persistence: (row, plant), phi: correlation of a row with the row before.
        correlation: (plant, plant), R.
        offset: (plant,), c, m3/s.

    Reference: Hipel and McLeod, Time Series Modelling of Water Resources and Environmental Systems (1994), chapter 14.
    """

    mean: Float[Array, "row plant"]
    std: Float[Array, "row plant"]
    persistence: Float[Array, "row plant"]
    correlation: Float[Array, "plant plant"]
    offset: Float[Array, " plant"]

    @classmethod
    def fit(
        cls, case: HydrothermalCase, *, persistence: float | Sequence[float] | None = None
    ) -> AutoregressiveInflows:
        """Fit the process to the openings of a case.

        Mean and standard deviation by season, and the correlation between plants, are those of the openings.
        Persistence can be fitted only where opening k of all rows is one year of records: it is then the correlation of
        opening k in a row with opening k in the row before. Openings that were drawn independently for each row hold no
        trace of it; their fit is about 0, and it has to be given.

        Args:
            case: Gives the openings; at least two.
            persistence: Correlation of a stage with the one before, of all plants or by plant, in [0, 1); None: fitted.
                Good values of weekly inflows: 0.5 to 0.8.

        Raises:
            ConfigError: there is one opening only, or a persistence outside [0, 1).
        """
        rows, plants, openings = case.inflows.shape
        if openings < 2:
            raise ConfigError(f"{case.name} has {openings} opening; two or more are needed to fit how inflows vary.")
        weights = case.probabilities
        offset = _DRY * np.einsum("rpo,ro->p", case.inflows, weights) / rows
        offset = np.where(offset > 0, offset, 1.0)  # of a plant without any inflow
        logs = np.log(case.inflows + offset[:, None])
        mean = np.einsum("rpo,ro->rp", logs, weights)
        apart = logs - mean[:, :, None]
        # Few openings: the mean is fitted, too, so their spread is too small by 1 - sum of squared weights.
        freedom = 1 - (weights**2).sum(1, keepdims=True)
        std = np.sqrt(np.einsum("rpo,ro->rp", apart**2, weights) / np.where(freedom > 0, freedom, 1.0))
        scores = np.divide(apart, std[:, :, None], out=np.zeros_like(apart), where=std[:, :, None] > 0)
        together = np.einsum("rpo,rqo,ro->pq", scores, scores, weights)
        if persistence is None:
            phi = _lag_correlation(scores, weights)
        else:
            given = np.asarray(persistence, dtype=float)
            if given.shape not in ((), (plants,)) or (given < 0).any() or (given >= 1).any():
                raise ConfigError(f"persistence is {persistence}; one number in [0, 1), or one a plant, is expected.")
            phi = np.broadcast_to(given, (rows, plants)).copy()
        return cls(mean=mean, std=std, persistence=phi, correlation=_as_correlation(together), offset=offset)

    def sample(
        self, scenarios: int, stages: int, rng: np.random.Generator, first_stage: int = 0
    ) -> Float[Array, "scenario stage plant"]:
        """Draw paths of inflows, m3/s, that begin in the stationary state.

        Args:
            scenarios: Paths to draw.
            stages: Their length.
            rng: Source of chance.
            first_stage: Stage of the case at which the paths begin.
        """
        rows = (first_stage + np.arange(stages)) % len(self.mean)
        noise = rng.standard_normal((stages, scenarios, len(self.offset)))
        factors = self._innovation_factors[rows]
        scores = np.empty_like(noise)
        state = noise[0] @ _root(self.correlation).T
        for stage, row in enumerate(rows):
            if stage:
                state = self.persistence[row] * state + noise[stage] @ factors[stage].T
            scores[stage] = state
        logs = self.mean[rows, None] + self.std[rows, None] * scores
        return np.maximum(np.exp(logs) - self.offset, 0).swapaxes(0, 1)

    @cached_property
    def _innovation_factors(self) -> Array:
        """Roots of cov e_t, (row, plant, plant)."""
        phi = self.persistence
        return _root(self.correlation - phi[:, :, None] * self.correlation * phi[:, None, :])


def _rows(case: HydrothermalCase, stages: int, first_stage: int) -> Array:
    return (first_stage + np.arange(stages)) % len(case.inflows)


def _lag_correlation(scores: Array, weights: Array) -> Array:
    """Correlation of a row with the row before within a season, (row, plant)."""
    before = np.roll(scores, 1, axis=0)
    # The last row of a year is followed by the first of the next, which another opening holds or none.
    before[0] = 0
    pairs = ((scores, before), (scores, scores), (before, before))
    products = np.stack([np.einsum("rpo,rpo,ro->rp", a, b, weights) for a, b in pairs])
    products[:, 0] = 0
    half = max(len(scores) // _SEASONS, 1)
    both, own, old = np.sum([np.roll(products, shift, axis=1) for shift in range(-half, half + 1)], axis=0)
    size = np.sqrt(own * old)
    return np.clip(np.divide(both, size, out=np.zeros_like(both), where=size > 0), 0, 0.99)


def _as_correlation(products: Array) -> Array:
    """Products of scores scaled to a diagonal of 1; a plant whose inflow never varies is correlated with none."""
    size = np.sqrt(np.diag(products))
    size = np.where(size > 0, size, 1.0)
    correlation = products / np.outer(size, size)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _root(covariance: Array) -> Array:
    """F with F F^T = the covariance, or, where that has negative eigenvalues, one near by with the same variances."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))[..., None, :]
    wanted = np.diagonal(covariance, axis1=-2, axis2=-1)
    found = (root**2).sum(-1)
    return root * np.sqrt(np.divide(wanted, found, out=np.zeros_like(found), where=found > 0))[..., None]
