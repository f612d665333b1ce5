"""Gains of one learning curve over another, against curves whose gains are known in closed form."""

import math

import pytest

from sciml.errors import ConfigError
from sciml.sample_efficiency import Gain, accuracy_gain, efficiency_gain, median_gain

COUNTS = (4, 16, 64, 256)


def power_law(factor, exponent=0.5, counts=COUNTS):
    return {count: factor * count**-exponent for count in counts}


@pytest.mark.parametrize("exponent", [0.25, 0.5, 1.0])
def test_parallel_power_laws_gain_the_ratio_of_their_factors(exponent):
    # Interpolation on logarithmic axes is exact for power laws: only round-off is left.
    model, baseline = power_law(1.0, exponent), power_law(5.0**exponent, exponent)
    gain = efficiency_gain(model, baseline)
    assert gain.low == gain.high == pytest.approx(5.0, rel=1e-12)
    for at in (4, 30, 256):
        assert accuracy_gain(model, baseline, at=at) == pytest.approx(5.0**exponent, rel=1e-12)


def test_laws_with_other_exponents_cross_where_they_should():
    # n^-1 = 256^-1/2 at n = 16.
    assert efficiency_gain(power_law(1.0, 1.0), power_law(1.0, 0.5)).low == pytest.approx(16.0, rel=1e-12)
    # At S = 100: n = 10.
    assert efficiency_gain(power_law(1.0, 1.0), power_law(1.0, 0.5), at=100).low == pytest.approx(10.0, rel=1e-12)


def test_the_order_of_the_measurements_does_not_matter():
    model, baseline = power_law(1.0), power_law(2.0)
    assert efficiency_gain(dict(reversed(model.items())), dict(reversed(baseline.items()))) == efficiency_gain(
        model, baseline
    )


def test_beyond_the_measurements_a_gain_is_a_bound():
    better_at_once = efficiency_gain(power_law(0.01), power_law(1.0))
    assert better_at_once == Gain(64.0, math.inf)
    assert str(better_at_once) == "> 64"
    never = efficiency_gain(power_law(3.0), power_law(1.0))
    assert never == Gain(0.0, 1.0)
    assert str(never) == "< 1"
    few = efficiency_gain(power_law(3.0, counts=(4, 16)), power_law(1.0))
    assert str(few) == "< 16"


def test_a_model_is_there_when_it_stays_there():
    model = {4: 0.10, 16: 0.30, 64: 0.15, 256: 0.05}  # a lucky start
    gain = efficiency_gain(model, {256: 0.2})
    assert 256 / 64 < gain.low < 256 / 16
    assert efficiency_gain({4: 0.1, 16: 0.3}, {256: 0.2}) == Gain(0.0, 16.0)


def test_equal_curves_gain_nothing():
    assert str(efficiency_gain(power_law(1.0), power_law(1.0))) == "1"
    assert accuracy_gain(power_law(1.0), power_law(1.0), at=64) == 1.0


def test_the_median_keeps_what_is_known():
    known, high, low = Gain.exactly(5.0), Gain(8.0, math.inf), Gain(0.0, 2.0)
    assert median_gain([known, high, low]) == known
    assert str(median_gain([known, high, high])) == "> 8"
    assert str(median_gain([known, low, low])) == "< 2"
    assert str(median_gain([known, Gain.exactly(4.0)])) == "4.5"
    assert str(Gain(2.0, 5.0)) == "2 to 5"


def test_nothing_is_extrapolated():
    with pytest.raises(ConfigError, match="1024 trajectories lie outside the measured range of 4 to 256"):
        accuracy_gain(power_law(1.0), power_law(2.0), at=1024)
    with pytest.raises(ConfigError, match="outside the measured range"):
        efficiency_gain(power_law(1.0), power_law(2.0), at=2)
    with pytest.raises(ConfigError, match="positive numbers are expected"):
        efficiency_gain({}, power_law(2.0))
    with pytest.raises(ConfigError, match="positive numbers are expected"):
        efficiency_gain({4: 0.0}, power_law(2.0))
