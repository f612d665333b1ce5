"""The energy int |grad u|^2 / 2 + eps^2 (u^2 - 1)^2 / 4 decreases from frame to frame."""

import math

import pytest
import torch

from sciml.pde import make_task

pytestmark = pytest.mark.validation


def test_the_energy_of_every_trajectory_decreases():
    task = make_task("ACE", precision="float64", solver_resolution=128)
    u = task.simulate(range(4), resolution=128, seed=0)[:, :, 0]
    k = 2 * math.pi * torch.fft.fftfreq(128, 1 / 128, dtype=torch.float64)
    series = torch.fft.fft2(u, norm="forward").abs() ** 2
    gradient = (series * (k[:, None] ** 2 + k[None, :] ** 2)).sum((2, 3)) / 2
    energy = gradient + 220**2 / 4 * (u.square() - 1).square().mean((2, 3))
    assert float((energy[:, 1:] / energy[:, :-1]).max()) < 1
    assert float((energy[:, -1] / energy[:, 0]).max()) < 0.5  # most of it is spent
