import math

import numpy as np
import pytest
import torch

from sciml.data import open_trajectories
from sciml.errors import ConfigError, ShapeError
from sciml.pde import make_task
from sciml.pde.generate import generate
from sciml.pde.reaction import AllenCahn


def test_a_uniform_field_follows_the_exact_reaction():
    start = torch.tensor([0.1, -0.5, 2.0, 0.0, 1.0], dtype=torch.float64)[:, None, None].expand(-1, 8, 8)
    frames = AllenCahn(8, eps=3.0, dtype=torch.float64).solve(start, horizon=0.2, frames=3, steps=2)
    for frame, time in zip(frames.unbind(1), (0, 0.1, 0.2), strict=True):
        left = math.exp(-2 * 9 * time)
        torch.testing.assert_close(frame, start / torch.sqrt(left + (1 - left) * start**2), rtol=1e-13, atol=0)


def test_a_wave_without_reaction_decays_as_diffusion_has_it():
    x = torch.arange(16, dtype=torch.float64) / 16
    start = torch.sin(2 * math.pi * (2 * x[:, None] + x[None, :]))[None]
    frames = AllenCahn(16, eps=0.0, dtype=torch.float64).solve(start, horizon=0.01, frames=2, steps=3)
    torch.testing.assert_close(frames[:, 1], math.exp(-5 * (2 * math.pi) ** 2 * 0.01) * start, rtol=0, atol=1e-14)


def test_few_steps_are_enough_for_the_task():
    usual, many = (
        make_task("ACE", steps=steps, precision=precision).simulate([0], resolution=64, seed=0).double()
        for steps, precision in ((4, "float32"), (32, "float64"))
    )
    # The claim of the default: 1e-4 of the field in the mean, in time and by rounding together; fronts that vanish
    # just then are off by more.
    assert float((usual - many).abs().mean()) < 1e-4
    assert float((usual - many).abs().max()) < 5e-3


def test_a_block_starts_at_the_initial_state_and_does_not_depend_on_its_company():
    task = make_task("ACE", frames=3, steps=2)
    fields = task.simulate([4, 2], resolution=32, seed=1)
    assert fields.shape == (2, 3, 1, 32, 32)
    assert fields.dtype == torch.float32
    starts = torch.stack([task.initial(i, resolution=32, seed=1) for i in (4, 2)])
    torch.testing.assert_close(fields[:, 0, 0].double(), starts, rtol=0, atol=1e-6)  # float32 rounding
    torch.testing.assert_close(fields[1:], task.simulate([2], resolution=32, seed=1), rtol=0, atol=0)
    # At the end almost every point is in one of the two phases.
    assert float((fields[:, -1].abs() > 0.9).double().mean()) > 0.5


def test_the_power_of_the_number_of_waves_scales_the_initial_state():
    one, two = (make_task("ACE", power=power).initial(0, resolution=32, seed=0) for power in (1.0, 2.0))
    waves = float(one.norm() / two.norm())
    assert waves == pytest.approx(round(waves), abs=1e-9)
    assert 16 <= round(waves) <= 32


def test_the_file_read_back_is_what_the_task_simulates(tmp_path):
    path = generate("ACE", tmp_path / "a.nc", trajectories=2, resolution=16, progress=False)
    simulated = make_task("ACE").simulate([0, 1], resolution=16, seed=0).numpy()
    with open_trajectories(path) as data:
        assert data.spec.boundary == ("periodic", "periodic")
        np.testing.assert_allclose(data.spec.times, np.linspace(0, 2e-4, 20))
        np.testing.assert_allclose(data.spec.coordinates["y"], np.arange(16) / 16)
        for trajectory in range(2):
            np.testing.assert_array_equal(data.read(trajectory), simulated[trajectory])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"steps": 0}, "at least 1 step"),
        ({"eps": -1.0}, "eps >= 0"),
        ({"precision": "half"}, "float32 or float64"),
        ({"solver_resolution": 48}, "a multiple"),
    ],
)
def test_what_cannot_work_says_what_was_expected(parameters, message):
    with pytest.raises(ConfigError, match=message):
        make_task("ACE", **parameters).coordinates(32)


def test_a_field_on_another_grid_is_refused():
    with pytest.raises(ShapeError, match=r"\(1, 8, 9\).*\(batch, 8, 8\)"):
        AllenCahn(8).solve(torch.zeros(1, 8, 9), horizon=1.0, frames=2, steps=1)
    with pytest.raises(ConfigError, match="at least 2 frames"):
        AllenCahn(8).solve(torch.zeros(1, 8, 8), horizon=1.0, frames=1, steps=1)
