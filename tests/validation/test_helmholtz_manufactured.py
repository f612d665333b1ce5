"""The Helmholtz solver reproduces a manufactured solution with an error of fourth order, for a variable coefficient."""

import math

import numpy as np
import pytest

from sciml.pde.elliptic import helmholtz

pytestmark = pytest.mark.validation


def largest_error(count):
    x, y = np.meshgrid(np.linspace(0, 1, count), np.linspace(0, 1, count), indexing="ij")
    w = 2.5 * math.pi
    a = 0.6 + 0.4 * np.sin(3 * x + 2 * y)
    u = np.cos(4 * x - y) + np.exp(x * y)
    laplacian = -17 * np.cos(4 * x - y) + (x**2 + y**2) * np.exp(x * y)
    found = helmholtz(a, wavenumber=w, boundary=u, spacing=1 / (count - 1), source=-laplacian - w**2 * a * u)
    return np.abs(found - u).max()


def test_the_error_falls_with_the_fourth_power_of_the_spacing():
    errors = np.array([largest_error(count) for count in (17, 33, 65)])
    # 13 points a wave on the first grid: the next term of the expansion is (2 pi / 13)^2 / 10 of the leading one, 2 %.
    assert np.log2(errors[:-1] / errors[1:]).tolist() == pytest.approx([4, 4], abs=0.15)
    assert errors[-1] < 1e-5
