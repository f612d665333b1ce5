"""Inflows drawn from openings, from a fitted process, and from years."""

from dataclasses import replace

import numpy as np
import pytest

from sciml.dispatch.cascade import cascade_case
from sciml.dispatch.inflow_models import AutoregressiveInflows, historical, openings_to_inflows, sample_openings
from sciml.errors import ConfigError


@pytest.fixture(scope="module")
def long_record():
    """The process of the own case, seen for 400 years."""
    return cascade_case(openings=400)


@pytest.fixture(scope="module")
def fitted(long_record):
    return AutoregressiveInflows.fit(long_record)


def rng(seed=0):
    return np.random.default_rng(seed)


def lag_correlation(scores):
    """(scenario, stage, plant) -> (plant,)."""
    return np.array([np.corrcoef(x[:, 1:].ravel(), x[:, :-1].ravel())[0, 1] for x in np.moveaxis(scores, 2, 0)])


def test_openings_come_with_their_probabilities(cascade):
    weights = np.zeros((52, 12))
    weights[:, [2, 5, 11]] = [0.2, 0.7, 0.1]
    case = replace(cascade, probabilities=weights)
    drawn = sample_openings(case, 2000, 50, rng())
    shares = np.bincount(drawn.ravel(), minlength=12) / drawn.size
    # 100,000 draws: three standard errors are below 0.005.
    np.testing.assert_allclose(shares, weights[0], atol=0.005)
    assert set(np.unique(drawn)) == {2, 5, 11}


def test_openings_are_drawn_independently_from_stage_to_stage(cascade):
    drawn = sample_openings(cascade, 5000, 2, rng())
    # Four standard errors of a correlation of 5000 pairs.
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 4 / 5000**0.5


def test_probabilities_of_a_row_belong_to_its_stage(cascade):
    weights = np.full((52, 12), 1 / 12)
    weights[3] = np.eye(12)[7]
    drawn = sample_openings(replace(cascade, probabilities=weights), 20, 6, rng(), first_stage=51)
    assert (drawn[:, 4] == 7).all()
    assert all(len(np.unique(drawn[:, stage])) > 1 for stage in (0, 1, 2, 3, 5))


def test_openings_give_the_inflows_of_their_rows(cascade):
    openings = np.array([[0, 3, 5], [11, 2, 1]])
    inflows = openings_to_inflows(cascade, openings, first_stage=51)
    assert inflows.shape == (2, 3, 4)
    np.testing.assert_array_equal(inflows[0, 0], cascade.inflows[51, :, 0])
    np.testing.assert_array_equal(inflows[1, 2], cascade.inflows[1, :, 1])


def test_the_fit_finds_the_process_that_made_the_own_case(fitted):
    """Persistence 0.72, standard deviations and correlations as in ``cascade``."""
    # Nine rows of 400 pairs: a standard error of (1 - 0.72^2) / 3600^(1/2) = 0.008, more as rows are correlated.
    np.testing.assert_allclose(fitted.persistence, 0.72, atol=0.06)
    np.testing.assert_allclose(fitted.persistence.mean(), 0.72, atol=0.01)
    # Around the turn of the year, over which no opening goes on, there are eight rows of pairs.
    np.testing.assert_allclose(fitted.persistence[[50, 51, 0, 1, 2]].mean(), 0.72, atol=0.02)
    # Each row has 400 values: four standard errors are 14 %. The offset of 1 % of the mean makes logarithms of the dry
    # season vary a little less, by 1 % / 0.3 = 3 %.
    np.testing.assert_allclose(fitted.std, np.tile([0.34, 0.40, 0.46, 0.42], (52, 1)), rtol=0.18)
    expected = [[1, 0.8, 0.6, 0.65], [0.8, 1, 0.65, 0.75], [0.6, 0.65, 1, 0.75], [0.65, 0.75, 0.75, 1]]
    np.testing.assert_allclose(fitted.correlation, expected, atol=0.03)


def test_twelve_years_show_the_persistence_too(cascade):
    # 12 years of 51 pairs whose scores are normalised by 12 values each: 0.03 of standard error.
    np.testing.assert_allclose(AutoregressiveInflows.fit(cascade).persistence.mean(0), 0.72, atol=0.1)


def test_the_spread_of_few_years_is_that_of_a_sample(cascade):
    model = AutoregressiveInflows.fit(cascade)
    logs = np.log(cascade.inflows + model.offset[:, None])
    np.testing.assert_allclose(model.std, logs.std(2, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(model.mean, logs.mean(2), rtol=1e-12)


def test_samples_have_the_moments_of_the_fit(fitted):
    number = 20_000
    drawn = fitted.sample(number, 6, rng(), first_stage=50)
    assert drawn.shape == (number, 6, 4)
    rows = [50, 51, 0, 1, 2, 3]
    scores = (np.log(drawn + fitted.offset) - fitted.mean[rows]) / fitted.std[rows]
    # Four standard errors: 0.028 of a mean, 0.02 of a standard deviation, 0.028 of a correlation of zero.
    np.testing.assert_allclose(scores.mean(0), 0, atol=0.028)
    np.testing.assert_allclose(scores.std(0), 1, atol=0.02)
    for stage in range(6):
        np.testing.assert_allclose(np.corrcoef(scores[:, stage].T), fitted.correlation, atol=0.028)
    for stage in range(1, 6):
        lag = lag_correlation(scores[:, stage - 1 : stage + 1])
        np.testing.assert_allclose(lag, fitted.persistence[rows[stage]], atol=0.028)


def test_plants_of_different_persistence_keep_their_variance(cascade):
    model = AutoregressiveInflows.fit(cascade, persistence=[0.95, 0.0, 0.5, 0.9])
    drawn = model.sample(4000, 30, rng())
    scores = (np.log(drawn[:, -1] + model.offset) - model.mean[29]) / model.std[29]
    # Four standard errors of a standard deviation of 4000 values: 0.045.
    np.testing.assert_allclose(scores.std(0), 1, atol=0.045)


def test_independent_openings_hold_no_persistence_which_is_given_then(long_record):
    shuffled = np.stack([row[:, rng(i).permutation(400)] for i, row in enumerate(long_record.inflows)])
    case = replace(long_record, inflows=shuffled)
    # Negative estimates count as 0: half of a normal error of 0.02 is left.
    assert AutoregressiveInflows.fit(case).persistence.mean() < 0.02
    given = AutoregressiveInflows.fit(case, persistence=0.6)
    np.testing.assert_array_equal(given.persistence, 0.6)
    np.testing.assert_allclose(given.mean, AutoregressiveInflows.fit(long_record).mean, rtol=1e-12)


def test_inflows_are_never_negative_and_rivers_without_water_stay_dry(cascade):
    inflows = cascade.inflows.copy()
    inflows[:, 1] = 0
    inflows[20:30, 2, ::2] = 0
    drawn = AutoregressiveInflows.fit(replace(cascade, inflows=inflows)).sample(500, 60, rng())
    assert np.isfinite(drawn).all()
    assert drawn.min() == 0
    np.testing.assert_allclose(drawn[:, :, 1], 0, atol=1e-12)


def test_probabilities_weigh_the_fit(cascade):
    weights = np.zeros((52, 12))
    weights[:, :6] = 1 / 6
    half = replace(cascade, inflows=cascade.inflows[:, :, :6], probabilities=np.full((52, 6), 1 / 6))
    first, second = AutoregressiveInflows.fit(replace(cascade, probabilities=weights)), AutoregressiveInflows.fit(half)
    for name in ("mean", "std", "persistence", "correlation"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-9, err_msg=name)


def test_the_same_seed_gives_the_same_inflows(fitted):
    np.testing.assert_array_equal(fitted.sample(3, 5, rng(1)), fitted.sample(3, 5, rng(1)))
    assert (fitted.sample(3, 5, rng(1)) != fitted.sample(3, 5, rng(2))).all()


@pytest.mark.parametrize("persistence", [1.0, -0.1, [0.5, 0.5], [0.5, 0.5, 0.5, 2.0]])
def test_a_persistence_that_cannot_be_is_refused(cascade, persistence):
    with pytest.raises(ConfigError, match=r"persistence is .*; one number in \[0, 1\), or one a plant"):
        AutoregressiveInflows.fit(cascade, persistence=persistence)


def test_one_opening_says_nothing_of_variation():
    with pytest.raises(ConfigError, match="cascade has 1 opening; two or more are needed"):
        AutoregressiveInflows.fit(cascade_case(openings=1))


def test_years_are_taken_as_they_were(cascade):
    drawn = historical(cascade, 12, 30, rng(), first_stage=10)
    np.testing.assert_array_equal(drawn, cascade.inflows[10:40].transpose(2, 0, 1))


def test_at_the_end_of_a_year_another_one_follows(cascade):
    drawn = historical(cascade, 6, 20, rng(), first_stage=40, years=[2, 9, 4])
    for k, path in enumerate(drawn):
        np.testing.assert_array_equal(path[:12], cascade.inflows[40:, :, [2, 9, 4][k % 3]])
        followers = [np.array_equal(path[12:], cascade.inflows[:8, :, year]) for year in (2, 4, 9)]
        assert sum(followers) == 1
