import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sciml.errors import ConfigError
from sciml.pde.airfoil import AirfoilFlow, steady_flow
from sciml.pde.airfoil_level import GAMMA, FreeStream, Level
from sciml.pde.airfoil_mesh import conformal_map, o_mesh
from sciml.pde.airfoil_shape import naca00, rae2822
from sciml.pde.gas import primitive
from sciml.pde.retry import BlowUpError

STREAM = FreeStream(mach=0.729, angle=2.31)
COARSE = {"around": 48, "outwards": 8, "tolerance": 1e-4}


def level_of(airfoil, around=48, outwards=8, stream=STREAM):
    nodes, _ = o_mesh(conformal_map(airfoil), around, outwards, radius=25.0)
    return Level.of(torch.from_numpy(nodes)[None], stream), nodes


@pytest.fixture(scope="module")
def coarse_flow():
    return steady_flow([rae2822(), naca00()], STREAM, **COARSE)


def test_the_cells_fill_the_space_between_the_polygons():
    level, nodes = level_of(rae2822())
    polygon = [
        0.5 * np.sum(ring.real * np.roll(ring.imag, -1) - ring.imag * np.roll(ring.real, -1)) for ring in nodes.T
    ]
    assert float(level.area.min()) > 0
    assert float(level.area.sum()) == pytest.approx(polygon[-1] - polygon[0], rel=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_the_free_stream_is_kept_to_rounding_on_the_curved_mesh(order):
    level, _ = level_of(rae2822())
    flow = primitive(level.uniform(), gamma=GAMMA)
    # Next to the wall there is no free stream: it would have to flow through.
    net = (level.residual(flow, order=order) / level.waves(flow))[..., 1:]
    assert float(net.abs().max()) < 1e-13


@pytest.mark.parametrize("order", [1, 2])
def test_a_gas_at_rest_stays_at_rest_next_to_the_wall_too(order):
    level = level_of(rae2822())[0]
    level = replace(level, stream=torch.zeros_like(level.stream))
    flow = primitive(level.uniform(), gamma=GAMMA)
    assert float((level.residual(flow, order=order) / level.waves(flow)).abs().max()) < 1e-13


def test_a_uniform_pressure_has_no_lift_and_no_drag():
    level, _ = level_of(rae2822())
    flow = primitive(level.uniform(), gamma=GAMMA)
    assert float(level.lift(flow)) == pytest.approx(0, abs=1e-13)
    assert float(level.drag(flow)) == pytest.approx(0, abs=1e-13)


def test_the_vortex_far_away_has_the_circulation_of_the_lift_and_the_entropy_and_enthalpy_of_the_stream():
    level, nodes = level_of(rae2822())
    flow = primitive(level.uniform(), gamma=GAMMA)
    flow[:, 3, :, :2] += torch.linspace(0, 1, 48, dtype=torch.float64)[:, None]
    rho, u, v, p = level.far_field(flow)[0]
    torch.testing.assert_close(p, rho**GAMMA, rtol=1e-12, atol=0)
    enthalpy = GAMMA / (GAMMA - 1) * p / rho + (u * u + v * v) / 2
    expected = GAMMA / (GAMMA - 1) + STREAM.speed**2 / 2
    torch.testing.assert_close(enthalpy, torch.full_like(enthalpy, expected), rtol=1e-12, atol=0)
    step = torch.from_numpy(np.roll(nodes[:, -1], -1) - nodes[:, -1])
    circulation = float((u * step.real + v * step.imag).sum())  # counterclockwise; lift needs it clockwise
    # A polygon of 48 sides around a vortex: (1 / 48)^2 of the circulation, times a few.
    assert circulation == pytest.approx(-STREAM.speed / 2 * float(level.lift(flow)), rel=1e-2)


def test_a_symmetric_airfoil_at_no_angle_has_a_symmetric_flow_without_lift():
    solution = steady_flow([naca00()], FreeStream(mach=0.5, angle=0.0), **COARSE)
    assert float(solution.lift[0]) == pytest.approx(0, abs=1e-9)
    rho, _, v, _ = solution.flow[0]
    torch.testing.assert_close(rho, rho.flip(0), rtol=0, atol=1e-9)
    torch.testing.assert_close(v, -v.flip(0), rtol=0, atol=1e-9)


def test_an_airfoil_does_not_depend_on_its_company(coarse_flow):
    alone = steady_flow([naca00()], STREAM, **COARSE)
    torch.testing.assert_close(coarse_flow.flow[1:], alone.flow, rtol=0, atol=1e-12)
    assert coarse_flow.cycles[1] == alone.cycles[0]


def test_the_flow_is_steady_has_lift_and_a_supersonic_pocket(coarse_flow):
    assert float(coarse_flow.imbalance.max()) < 1e-4
    assert (coarse_flow.lift > 0.2).all()
    rho, u, v, p = coarse_flow.flow[0]
    mach = ((u * u + v * v) * rho / (GAMMA * p)).sqrt()
    assert float(mach[:24].max()) > 1.1
    assert float(mach[:, -1].mean()) == pytest.approx(0.729, abs=5e-3)


def test_the_stagnation_pressure_is_that_of_an_isentropic_flow(coarse_flow):
    x, pressure = coarse_flow.pressure_coefficient()
    exact = ((1 + 0.2 * 0.729**2) ** 3.5 - 1) / STREAM.dynamic_pressure
    assert float(pressure.max()) == pytest.approx(exact, rel=0.2)  # a mesh of 48 cells does not see the point itself
    assert float(x.flatten()[pressure.argmax()]) < 0.02


def test_sampling_a_linear_field_gives_the_field():
    mapping = conformal_map(rae2822())
    nodes, radii = o_mesh(mapping, 240, 40, radius=25.0)
    angle = 2 * math.pi * (np.arange(240) + 0.5) / 240
    centres = mapping(np.exp((radii[1:] + radii[:-1]) / 2 + 1j * angle[:, None]))
    field = torch.from_numpy(centres.real + 2 * centres.imag).expand(1, 4, -1, -1)
    level = Level.of(torch.from_numpy(nodes)[None], STREAM)
    solution = AirfoilFlow(
        flow=field, level=level, maps=(mapping,), radii=radii[None], imbalance=torch.zeros(1), cycles=torch.ones(1)
    )
    x = np.array([-0.7, -0.001, 0.5, 0.5, 0.98, 1.001, 1.5])
    y = np.array([0.6, 0.0, 0.0625, -0.3, 0.05, 0.0, 1.7])  # the third point: 0.0005 above the wall
    # Bilinear interpolation of z = exp(log |Z| + i angle): h^2 / 8 of the distance, h = 0.03 to 0.15 outwards.
    np.testing.assert_allclose(solution.sample(0, x, y)[0].numpy(), x + 2 * y, rtol=1e-3, atol=2e-4)


def test_a_flow_that_does_not_settle_is_reported():
    with pytest.raises(BlowUpError, match="not steady to 1e-09 after 2 cycles"):
        steady_flow([naca00()], STREAM, around=32, outwards=4, tolerance=1e-9, cycles=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stream": FreeStream(mach=1.2, angle=0.0)}, "subsonic"),
        ({"around": 47}, "even numbers"),
        ({"tolerance": 0.0}, "tolerance=0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        steady_flow([naca00()], **({"stream": STREAM} | COARSE | settings))
