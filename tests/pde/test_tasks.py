import numpy as np
import pytest
import torch

from sciml.errors import ConfigError
from sciml.pde import TASKS, make_task
from sciml.pde.retry import BlowUpError
from sciml.pde.spectral import NavierStokes
from sciml.pde.tasks import ns

NAMES = sorted(kind.name for kind in ns.TASKS)


def test_the_tasks_have_their_published_variables_channels_and_frames():
    published = {name: [(each.name, each.channels) for each in make_task(name).variables] for name in NAMES}
    with_tracer, without = [("velocity", ("u", "v", "tracer"))], [("velocity", ("u", "v"))]
    assert published == {
        **dict.fromkeys(("NS-Sines", "NS-Gauss", "NS-PwC", "NS-BB", "NS-SVS"), with_tracer),
        "NS-SL": without,
        "FNS-KF": [("solution", ("u", "v"))],
    }
    for name in NAMES:
        np.testing.assert_allclose(make_task(name).times, np.arange(21) / 20, rtol=1e-15)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_channels_of_every_task_are_those_of_its_variables(name):
    task = make_task(name)
    assert task.channels == tuple(channel for variable in task.variables for channel in variable.channels)
    assert len(set(task.channels)) == len(task.channels)
    assert (len(task.times) == 1) == (not any(variable.in_time for variable in task.variables))


@pytest.mark.parametrize("name", NAMES)
def test_a_block_has_the_stored_channels_and_starts_at_the_initial_state(name):
    task = make_task(name, frames=3, horizon=0.1, spin_up=0.0)
    frames = task.simulate([4, 2], resolution=32, seed=0)
    assert frames.shape == (2, 3, len(task.channels), 32, 32)
    assert frames.dtype == torch.float32
    starts = torch.stack([task.initial(i, resolution=32, seed=0) for i in (4, 2)])
    solver = NavierStokes(32, dtype=torch.float64)
    cut = solver.solve(starts[:, :2], [0.0])[:, 0]  # the solver stores what the 2/3 rule keeps of the velocity
    cut = torch.cat([cut, starts[:, 2:]], 1)
    torch.testing.assert_close(frames[:, 0].double(), cut, rtol=0, atol=1e-5)  # float32 rounding of fields of size 1
    assert float((frames[:, -1] - frames[:, 0]).abs().mean()) > 1e-3


def test_leaving_out_the_tracer_does_not_change_the_flow():
    with_tracer = make_task("NS-PwC", frames=2, horizon=0.2).simulate([0, 1], resolution=32, seed=0)
    without = make_task("NS-PwC", frames=2, horizon=0.2, tracer=False).simulate([0, 1], resolution=32, seed=0)
    assert without.shape[2] == 2
    torch.testing.assert_close(with_tracer[:, :, :2], without, rtol=0, atol=1e-6)  # rounding of float32


def test_tracer_viscosity_damps_the_tracer_alone_and_without_it_the_tracer_keeps_its_variance():
    damped, undamped = (
        make_task("NS-PwC", frames=2, transport="spectral", tracer_viscosity=strength).simulate(
            [0], resolution=32, seed=0
        )[0]
        for strength in (None, 0.0)
    )
    torch.testing.assert_close(damped[:, :2], undamped[:, :2], rtol=0, atol=1e-6)  # rounding of float32
    before, after = undamped[:, 2].std((-2, -1))
    # The cut system conserves the variance; what is lost is the truncation error of RK4 at the highest modes.
    assert float(after / before) == pytest.approx(1, abs=5e-3)
    assert float(damped[1, 2].std() / before) < 0.95


@pytest.mark.parametrize("name", [name for name in NAMES if make_task(name).tracer])
def test_the_tracer_stays_between_0_and_1_while_a_spectral_one_rings(name):
    bounded, spectral = (
        make_task(name, frames=3, transport=transport).simulate([0, 1], resolution=32, seed=0)[:, :, 2]
        for transport in ("bounded", "spectral")
    )
    assert -1e-5 < float(bounded.min()) < float(bounded.max()) < 1 + 1e-5  # rounding of float32 in some 100 steps
    assert float(spectral.max()) > 1.05
    # Both are carried by the same flow: they differ by the smear and the ringing at the edge.
    assert float((bounded - spectral).abs().mean()) < 0.1


def test_the_spin_up_is_a_run_before_the_first_frame():
    task = make_task("NS-BB", frames=3, horizon=0.2, precision="float64")
    assert task.spin_up == 0.5
    start = task.initial(3, resolution=32, seed=0)
    found = task.simulate([3], resolution=32, seed=0)[0]
    reference = NavierStokes(32, dtype=torch.float64).solve(start[None, :2], [-0.5, 0, 0.1, 0.2])[0, 1:]
    torch.testing.assert_close(found[:, :2], reference, rtol=0, atol=1e-12)
    torch.testing.assert_close(found[0, 2], start[2], rtol=0, atol=0)  # the tracer starts after it


def test_only_the_solenoidal_part_of_a_force_moves_the_flow():
    def final(direction, forcing):
        task = make_task("FNS-KF", frames=2, horizon=0.5, direction=direction, forcing=forcing, precision="float64")
        return task.simulate([0], resolution=32, seed=0)[0, 1]

    free = make_task("NS-PwC", frames=2, horizon=0.5, tracer=False, precision="float64")
    free = free.simulate([0], resolution=32, seed=0)[0, 1]
    # (g, g) is a gradient; (g, 0) is half of (g, -g) and half a gradient. Only rounding is left.
    torch.testing.assert_close(final("both", 0.1), free, rtol=0, atol=1e-12)
    torch.testing.assert_close(final("u", 0.2), final("solenoidal", 0.1), rtol=0, atol=1e-12)
    assert float((final("solenoidal", 0.1) - free).abs().max()) > 0.02


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
        ("NS-PwC", {"transport": "van"}, "transport 'van' is unknown; choose spectral or bounded"),
        ("NS-BB", {"spin_up": -1.0}, "spin_up of 0 or more"),
        ("FNS-KF", {"direction": "w"}, "solenoidal or u or both"),
        ("NS-PwC", {"multiplier": "sharp"}, "smooth"),
    ],
)
def test_wrong_names_and_parameters_say_what_was_expected(name, parameters, message):
    with pytest.raises(ConfigError, match=message):
        make_task(name, **parameters)


def test_a_block_says_which_trajectory_blew_up():
    task = make_task("NS-PwC", frames=2, amplitude=float("nan"))
    with pytest.raises(BlowUpError, match=r"largest speed.*more viscosity") as caught:
        task.simulate([7, 8], resolution=16, seed=3)
    assert caught.value.trajectory == 0
