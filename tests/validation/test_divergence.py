"""Every saved velocity is free of divergence."""

import math

import pytest
import torch

from sciml.pde import make_task
from sciml.pde.tasks import ns

pytestmark = pytest.mark.validation


@pytest.mark.parametrize("name", sorted(kind.name for kind in ns.TASKS))
def test_the_divergence_stays_below_1e_10(name):
    task = make_task(name, precision="float64", frames=3, horizon=0.5)
    u, v = task.simulate(range(4), resolution=64, seed=0)[:, :, :2].unbind(2)
    # Differentiated here, by a full complex transform, not with the solver's own tables.
    k = 2 * math.pi * torch.fft.fftfreq(64, 1 / 64, dtype=torch.float64)
    series = 1j * (k[:, None] * torch.fft.fft2(u) + k[None, :] * torch.fft.fft2(v))
    divergence = torch.fft.ifft2(series).real
    # Rounding of derivatives of size 2 pi 21 times fields of size 1 is 1e-13.
    assert float(divergence.abs().max()) < 1e-10
