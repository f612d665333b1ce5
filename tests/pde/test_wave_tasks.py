import numpy as np
import pytest
import torch

from sciml.data import open_trajectories
from sciml.errors import ConfigError
from sciml.pde import make_task
from sciml.pde.generate import generate

NAMES = ("Wave-Gauss", "Wave-Layer")


@pytest.mark.parametrize(("name", "frames", "mean_speed"), [("Wave-Gauss", 16, 2618), ("Wave-Layer", 21, 3498)])
def test_the_frames_span_about_one_crossing_of_the_square(name, frames, mean_speed):
    times = make_task(name).times
    assert len(times) == frames
    assert times[-1] * mean_speed == pytest.approx(0.9, abs=0.05)  # chosen for the published mean and spread


@pytest.mark.parametrize("name", NAMES)
def test_a_block_holds_the_displacement_and_its_speed_in_all_frames(name):
    task = make_task(name, frames=3)
    fields = task.simulate([3, 1], resolution=33, seed=0)
    assert fields.shape == (2, 3, 2, 33, 33)
    assert fields.dtype == torch.float32
    points = torch.linspace(0, 1, 33, dtype=torch.float64)
    for trajectory, frames in zip((3, 1), fields.double(), strict=True):
        displacement, speed = task.initial(trajectory, points, seed=0)
        # Rounding of float32: of a displacement of size 1, and of the grid points where a layer begins.
        torch.testing.assert_close(frames[0, 0], displacement, rtol=0, atol=1e-6)
        agree = torch.isclose(frames[0, 1], speed, rtol=1e-5)
        assert float(agree.double().mean()) > 0.99
        torch.testing.assert_close(frames[2, 1], frames[0, 1], rtol=0, atol=0)
        assert float((frames[2, 0] - frames[0, 0]).abs().mean()) > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_the_fields_do_not_depend_on_the_resolution(name):
    task = make_task(name)
    coarse, fine = (task.initial(5, torch.linspace(0, 1, n, dtype=torch.float64), seed=0) for n in (17, 33))
    for a, b in zip(coarse, fine, strict=True):
        torch.testing.assert_close(a, b[::2, ::2], rtol=1e-12, atol=1e-12)


def test_layers_have_as_many_speeds_as_drawn_one_above_the_other():
    points = torch.linspace(0, 1, 257, dtype=torch.float64)
    counts = set()
    for trajectory in range(20):
        speed = make_task("Wave-Layer", waviness=0.0).initial(trajectory, points, seed=0)[1]
        assert 2000 <= speed.min() <= speed.max() <= 5000
        torch.testing.assert_close(speed, speed[:1].expand_as(speed))  # flat layers depend on y alone
        counts.add(len(torch.unique(speed)))
    assert counts == {3, 4, 5, 6}


def test_a_finer_solver_changes_a_smooth_problem_little():
    usual, finer = (
        make_task("Wave-Gauss", solver_resolution=n, frames=4).simulate([0], resolution=33, seed=0)[:, :, 0]
        for n in (66, 132)
    )
    # Bumps of 5 cells and more on the coarser grid: (2 pi / 5 / 4)^4 of the wave is lost on its way at most.
    assert float((usual - finer).norm() / finer.norm()) < 0.02


@pytest.mark.parametrize("name", NAMES)
def test_the_file_read_back_is_what_the_task_simulates(tmp_path, name):
    path = generate(name, tmp_path / "a.nc", trajectories=2, resolution=33, frames=3, progress=False)
    simulated = make_task(name, frames=3).simulate([0, 1], resolution=33, seed=0).numpy()
    with open_trajectories(path) as data:
        assert data.spec.boundary == ("open", "open")
        np.testing.assert_allclose(data.spec.times, [0, make_task(name).horizon / 2, make_task(name).horizon])
        np.testing.assert_allclose(data.spec.coordinates["x"], np.linspace(0, 1, 33))
        for trajectory in range(2):
            np.testing.assert_array_equal(data.read(trajectory)[:, data.spec.index(("u", "c"))], simulated[trajectory])


@pytest.mark.parametrize(
    ("parameters", "resolution", "message"),
    [
        ({"cfl": 1.0}, 33, r"at most 0\.95"),
        ({"frames": 1}, 33, "at least 2 frames"),
        ({"precision": "half"}, 33, "float32 or float64"),
        ({"layer": 0.0}, 33, "positive layer"),
        ({"solver_resolution": 50}, 33, "a multiple"),
        ({}, 8, "at least 33"),
    ],
)
def test_what_cannot_work_says_what_was_expected(parameters, resolution, message):
    with pytest.raises(ConfigError, match=message):
        make_task("Wave-Gauss", **parameters).coordinates(resolution)
