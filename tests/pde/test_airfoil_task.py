import numpy as np
import pytest
import torch

from sciml.errors import ConfigError
from sciml.pde.tasks.airfoil import Airfoil

COARSE = Airfoil(around=48, outwards=8, tolerance=1e-4)


def test_the_file_holds_indicator_and_density_of_a_steady_problem():
    assert COARSE.channels == ("indicator", "rho")
    (variable,) = COARSE.variables
    assert (variable.name, variable.axes) == ("solution", ("sample", "channel"))
    assert COARSE.times.shape == (1,)
    x = COARSE.coordinates(5)["x"]
    np.testing.assert_allclose(x, [-0.75, -0.125, 0.5, 1.125, 1.75])


def test_an_airfoil_depends_on_seed_and_trajectory_alone():
    heights = [
        COARSE.contour(i, seed=seed).surfaces(np.array([0.5]))[1][0] for i, seed in ((3, 0), (3, 0), (4, 0), (3, 1))
    ]
    assert heights[0] == heights[1]
    assert len(set(heights)) == 3


def test_the_first_airfoils_have_a_thickness():
    assert min(COARSE.contour(i, seed=0).thinnest() for i in range(10)) > 0


def test_fields_are_one_inside_and_the_free_stream_far_away():
    fields = COARSE.simulate([5, 2], resolution=64, seed=0)
    assert fields.shape == (2, 1, 2, 64, 64)
    assert torch.isfinite(fields).all()
    indicator, rho = fields[:, 0].unbind(1)
    assert set(indicator.unique().tolist()) == {0.0, 1.0}
    assert (rho[indicator == 1] == 1).all()
    x = np.linspace(0, 1, 2001)
    for i, inside in zip((5, 2), indicator, strict=True):
        lower, upper = COARSE.contour(i, seed=0).surfaces(x)
        cells = float(inside.sum()) * (2.5 / 63) ** 2
        assert cells == pytest.approx(np.trapezoid(upper - lower, x), abs=0.02)  # half a cell around the contour
    assert float(rho.min()) > 0.3
    assert float((rho[:, 0] - 1).abs().max()) < 0.06  # three quarters of a chord ahead of the nose
    alone = COARSE.simulate([2], resolution=64, seed=0)
    torch.testing.assert_close(alone[0], fields[1], rtol=0, atol=1e-12)


def test_without_a_bump_or_a_thickness_there_is_no_airfoil():
    with pytest.raises(ConfigError, match="at least 1 bump"):
        Airfoil(bumps=0)
    with pytest.raises(ConfigError, match="Take a smaller amplitude"):
        Airfoil(amplitude=0.1).contour(0, seed=0)
