"""A shear layer becomes unstable at the rate of linear theory."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import eig

from sciml.pde.finite_volume import Euler
from tests.validation.gas_flows import GAMMA, mesh

pytestmark = pytest.mark.validation

WIDTH, SPEED, PRESSURE, K = 0.05, 0.5, 2.5, 2 * math.pi


def profile(y):
    """Two shear layers of finite width at y = 1/4 and y = 3/4."""
    return SPEED * (np.tanh((y - 0.25) / WIDTH) - np.tanh((y - 0.75) / WIDTH) - 1)


def most_unstable_mode(points=128):
    """Growth rate and fields of the fastest mode q(y) exp(i K x + sigma t) of the linearised equations.

    rho_t = -U rho_x - div u,  u_t = -U u_x - U' v - p_x,  v_t = -U v_x - p_y,  p_t = -U p_x - gamma p0 div u

    about density 1, with derivatives in y by the Fourier matrix of the periodic interval.
    """
    y = (np.arange(points) + 0.5) / points
    wave = 2j * np.pi * np.fft.fftfreq(points, 1 / points)
    wave[points // 2] = 0
    d = np.fft.ifft(wave[:, None] * np.fft.fft(np.eye(points), axis=0), axis=0).real
    flow = np.diag(-1j * K * profile(y))
    slope = np.diag(SPEED / WIDTH * (np.cosh((y - 0.25) / WIDTH) ** -2 - np.cosh((y - 0.75) / WIDTH) ** -2))
    zero, one = np.zeros((points, points)), np.eye(points)
    c2 = GAMMA * PRESSURE
    matrix = np.block(
        [
            [flow, -1j * K * one, -d, zero],
            [zero, flow, -slope, -1j * K * one],
            [zero, zero, flow, -d],
            [zero, -1j * K * c2 * one, -c2 * d, flow],
        ]
    )
    rates, modes = eig(matrix)
    fastest = rates.real.argmax()
    return float(rates[fastest].real), modes[:, fastest].reshape(4, points)


def test_the_growth_rate_is_that_of_linear_theory_within_ten_percent():
    cells = 128
    rate, mode = most_unstable_mode(cells)
    assert 1 < rate < SPEED * K  # slower than the vortex sheet, whose rate is K |U|
    x, y = mesh(cells)
    perturbation = torch.tensor((mode[:, None, :] * np.exp(1j * K * x.numpy())).real)
    perturbation = 1e-4 * perturbation / perturbation[2].abs().max()
    base = torch.stack([torch.ones_like(x), torch.tensor(profile(y.numpy())), 0 * x, PRESSURE + 0 * x])
    times = [0, 0.25, 0.5, 0.75, 1.0]
    frames = Euler((cells, cells)).solve((base + perturbation)[None].float(), times)[0]
    # The amplitude of the first harmonic in x alone: the layers themselves also spread a little.
    amplitude = torch.fft.rfft(frames[:, 2].double(), dim=1)[:, 1].norm(dim=1)
    growth = torch.log(amplitude[1:] / amplitude[:-1]) / 0.25
    assert growth.tolist() == pytest.approx([rate] * 4, rel=0.1)
