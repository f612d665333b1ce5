"""What a saved model says of the time in which it was trained."""

from types import SimpleNamespace

import numpy as np

from models.poseidon import _time_unit


def part(horizon, steps, *, stride=2, scale=20.0):
    """Data whose lead time 1 is ``scale`` steps; forecasts are ``stride`` steps apart."""
    times = np.linspace(0, horizon, steps)
    return SimpleNamespace(
        spec=SimpleNamespace(steady=steps == 1, times=times, time_scale=scale),
        forecast_times=times[stride::stride],
    )


def test_the_unit_of_time_is_physical():
    # 20 steps of 0.1 make lead time 1, which is 2; two steps are a tenth of it.
    assert _time_unit([part(2.0, 21)]) == {"horizon": 2.0, "step": 0.1}


def test_files_that_agree_have_one_unit_and_others_none():
    assert _time_unit([part(2.0, 21), part(2.0, 11, stride=1, scale=10.0)]) == {"horizon": 2.0, "step": 0.1}
    assert _time_unit([part(2.0, 21), part(1.0, 21)]) == {}


def test_a_steady_problem_has_no_unit_of_time():
    assert _time_unit([part(0.0, 1)]) == {}
