import numpy as np
import pytest
import torch

from sciml.errors import ConfigError, SolverError
from sciml.pde import TASKS, make_task
from sciml.pde.spectral import BlowUpError, NavierStokes

NAMES = sorted(TASKS)


def test_the_four_tasks_have_their_published_channels_and_frames():
    assert {name: make_task(name).channels for name in TASKS} == {
        "NS-Sines": ("u", "v", "tracer"),
        "NS-Gauss": ("u", "v", "tracer"),
        "NS-PwC": ("u", "v", "tracer"),
        "NS-SL": ("u", "v"),
    }
    for name in TASKS:
        np.testing.assert_allclose(make_task(name).times, np.arange(21) / 20, rtol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_a_block_has_the_stored_channels_and_starts_at_the_initial_state(name):
    task = make_task(name, frames=3, horizon=0.1)
    frames = task.simulate([4, 2], resolution=32, seed=0)
    assert frames.shape == (2, 3, len(task.channels), 32, 32)
    assert frames.dtype == torch.float32
    starts = torch.stack([task.initial(i, resolution=32, seed=0) for i in (4, 2)])
    solver = NavierStokes(32, dtype=torch.float64)
    cut = solver.solve(starts, [0.0])[:, 0]  # the solver stores what the 2/3 rule keeps
    torch.testing.assert_close(frames[:, 0].double(), cut, rtol=0, atol=1e-5)  # float32 rounding of fields of size 1
    assert float((frames[:, -1] - frames[:, 0]).abs().mean()) > 1e-3


def test_leaving_out_the_tracer_does_not_change_the_flow():
    with_tracer = make_task("NS-PwC", frames=2, horizon=0.2).simulate([0, 1], resolution=32, seed=0)
    without = make_task("NS-PwC", frames=2, horizon=0.2, tracer=False).simulate([0, 1], resolution=32, seed=0)
    assert without.shape[2] == 2
    torch.testing.assert_close(with_tracer[:, :, :2], without, rtol=0, atol=1e-6)  # rounding of float32


def test_tracer_viscosity_damps_the_tracer_alone_and_without_it_the_tracer_keeps_its_variance():
    damped, undamped = (
        make_task("NS-PwC", frames=2, tracer_viscosity=strength).simulate([0], resolution=32, seed=0)[0]
        for strength in (None, 0.0)
    )
    torch.testing.assert_close(damped[:, :2], undamped[:, :2], rtol=0, atol=1e-6)  # rounding of float32
    before, after = undamped[:, 2].std((-2, -1))
    # The cut system conserves the variance; what is lost is the truncation error of RK4 at the highest modes.
    assert float(after / before) == pytest.approx(1, abs=5e-3)
    assert float(damped[1, 2].std() / before) < 0.95


def test_names_do_not_mind_upper_and_lower_case():
    assert make_task("ns-pwc") == make_task("NS-PwC")


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("NS-PwCC", {}, "Did you mean NS-PwC"),
        ("heat", {}, "The tasks are NS-Sines"),
        ("NS-PwC", {"amplitud": 1}, "Did you mean amplitude"),
        ("NS-PwC", {"frames": 1}, "at least 2 frames"),
        ("NS-PwC", {"cfl": 0.0}, "positive cfl"),
        ("NS-PwC", {"precision": "half"}, "float32 or float64"),
        ("NS-PwC", {"multiplier": "sharp"}, "smooth"),
    ],
)
def test_wrong_names_and_parameters_say_what_was_expected(name, parameters, message):
    with pytest.raises(ConfigError, match=message):
        make_task(name, **parameters)


def test_a_block_that_blows_up_is_tried_again_with_half_the_step(monkeypatch):
    tried = []
    solve = NavierStokes.solve

    def fails_at_first(self, state, times, *, cfl):
        tried.append(cfl)
        if len(tried) == 1:
            raise BlowUpError(1, float("inf"))
        return solve(self, state, times, cfl=cfl)

    monkeypatch.setattr(NavierStokes, "solve", fails_at_first)
    task = make_task("NS-PwC", frames=2, horizon=0.05, cfl=0.8)
    with pytest.warns(UserWarning, match="trajectory 8 blew up"):
        frames = task.simulate([7, 8], resolution=16, seed=0)
    assert tried == [0.8, 0.4]
    assert torch.isfinite(frames).all()


def test_a_block_that_blows_up_twice_names_the_trajectory():
    task = make_task("NS-PwC", frames=2, amplitude=float("nan"))
    with (
        pytest.warns(match="half the time step"),
        pytest.raises(SolverError, match="trajectory 7 of seed 3 blew up at resolution 16"),
    ):
        task.simulate([7, 8], resolution=16, seed=3)
