import math

import numpy as np
import pytest
import torch

from sciml.errors import ConfigError
from sciml.pde import make_task
from sciml.pde.finite_volume import Euler
from sciml.pde.tasks import euler, gravity

NAMES = sorted(kind.name for kind in (*euler.TASKS, *gravity.TASKS))
DATA = ("data", ("rho", "u", "v", "p", "E"))


def starts(name, *, count=16, resolution=32, **parameters):
    task = make_task(name, **parameters)
    return torch.stack([task.initial(i, resolution=resolution, seed=0) for i in range(count)])


def test_the_tasks_have_their_published_variables_channels_and_frames():
    found = {name: [(each.name, each.channels) for each in make_task(name).variables] for name in NAMES}
    assert found == {
        **{name: [DATA] for name in ("CE-RP", "CE-CRP", "CE-KH", "CE-Gauss", "CE-RPUI")},
        "CE-RM": [("solution", ("rho", "u", "v", "p", "tracer"))],
        "GCE-RT": [("solution", ("rho", "u", "v", "p", "tracer", "phi"))],
    }
    for name in NAMES:
        horizon, frames = {"CE-RM": (2, 21), "GCE-RT": (5, 11)}.get(name, (1, 21))
        np.testing.assert_allclose(make_task(name).times, np.linspace(0, horizon, frames), rtol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_a_block_has_the_stored_channels_and_starts_at_the_initial_state(name):
    task = make_task(name, frames=2, horizon=0.01)
    fields = task.simulate([4, 2], resolution=16, seed=0)
    assert fields.shape == (2, 2, len(task.channels), 16, 16)
    assert fields.dtype == torch.float32
    fine = torch.stack([task.initial(i, resolution=32, seed=0) for i in (4, 2)])
    # Densities are averages of four cells of the solver.
    torch.testing.assert_close(
        fields[:, 0, 0].double(), torch.nn.functional.avg_pool2d(fine[:, 0], 2), rtol=1e-6, atol=0
    )
    assert float((fields[:, 1] - fields[:, 0]).abs().max()) > 1e-5
    if "E" in task.channels:
        rho, u, v, p, energy = fields.unbind(2)
        torch.testing.assert_close(energy, p / 0.4 + rho * (u**2 + v**2) / 2, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_random_numbers_do_not_depend_on_the_resolution(name):
    # Both grids see the same interfaces: their averages agree as well as cells of 1/16 resolve them, 16 cells on edges.
    coarse, fine = (starts(name, count=2, resolution=resolution) for resolution in (16, 64))
    blurred = torch.nn.functional.avg_pool2d(fine, 4)
    agree = ((coarse - blurred).abs() < 0.15 * (1 + coarse.abs())).double().mean((2, 3))
    assert float(agree.min()) > 0.5


def test_riemann_problems_are_constant_in_quadrants_with_the_published_ranges():
    fields = starts("CE-RP", count=64)
    for rows in (slice(0, 16), slice(16, 32)):
        for columns in (slice(0, 16), slice(16, 32)):
            quadrant = fields[..., rows, columns]
            assert torch.equal(quadrant, quadrant[..., :1, :1].expand_as(quadrant))
    rho, u, v, p = fields.unbind(1)
    for field, low, high in ((rho, 0.1, 1), (p, 0.1, 1), (u, -1, 1), (v, -1, 1)):
        assert low <= float(field.min()) < low + 0.03 * (high - low)  # the smallest of 256 draws: 1/256 on average
        assert high - 0.03 * (high - low) < float(field.max()) <= high


def test_curved_regions_are_as_large_as_quadrants_but_have_other_boundaries():
    fields, straight = starts("CE-CRP", count=64), starts("CE-RP", count=64)
    values = [len(torch.unique(each[0])) for each in fields]
    assert set(values) == {4}
    assert float(fields[:, 3].mean()) == pytest.approx(0.553, abs=0.02)  # published mean of the pressure
    assert not torch.equal(fields, straight)
    # With the phase as printed the pattern jumps at y = 0; without, the last column continues into the first.
    seam, inside = ((fields[:, 0, :, a] != fields[:, 0, :, b]).double().mean() for a, b in ((-1, 0), (15, 16)))
    assert float(seam) < float(inside) + 0.1


def test_the_interfaces_of_rpui_move_by_a_hundredth():
    straight, moved = (starts("CE-RPUI", count=8, resolution=256, amplitude=a) for a in (0.0, 0.01))
    changed = (straight != moved).any(1).double().mean((1, 2))
    # Four waves of up to 0.01 on four interfaces of length 1 sweep about 4 sqrt(4 . 0.01^2 / 6) sqrt(2 / pi) = 0.026.
    assert float(changed.mean()) == pytest.approx(0.026, rel=0.35)
    rho, u, _, p = moved.unbind(1)
    assert rho.min() >= 1
    assert rho.max() <= 3
    assert u.abs().max() <= 10
    assert p.min() >= 5
    assert p.max() <= 7


def test_kelvin_helmholtz_is_a_heavy_layer_between_light_ones():
    rho, u, v, p = starts("CE-KH", resolution=64).unbind(1)
    assert set(rho.unique().tolist()) == {1.0, 2.0}
    assert torch.equal(u, 1.5 - rho)
    assert float(v.abs().max()) == 0
    assert set(p.unique().tolist()) == {2.5}
    assert torch.equal(rho[:, :, 20:44], torch.full_like(rho[:, :, 20:44], 2))  # the waves are at most 0.05 high
    assert float(rho.mean()) == pytest.approx(1.5, abs=0.02)


def test_gauss_has_the_velocity_of_the_incompressible_task():
    rho, u, v, p = starts("CE-Gauss", count=2, resolution=64).unbind(1)
    assert set(rho.unique().tolist()) == {0.1}
    assert set(p.unique().tolist()) == {2.5}
    twin = torch.stack([make_task("NS-Gauss").initial(i, resolution=128, seed=0) for i in range(2)])
    torch.testing.assert_close(torch.stack([u, v], 1), twin[:, :2, 1::2, 1::2], rtol=0, atol=1e-12)


def test_richtmyer_meshkov_has_the_published_means():
    rho, u, v, p, tracer = starts("CE-RM", count=32, resolution=64).unbind(1)
    # A disk of radius 1/4, on average: published mean density 1.1964. The pixels of a circle: 5e-3.
    assert float(rho.mean()) == pytest.approx(1 + math.pi / 16, abs=6e-3)
    assert float(p.mean()) == pytest.approx(1 + 19 * math.pi * 0.01, rel=0.03)  # 41 pixels or so in radius 0.1
    assert torch.equal(tracer, rho - 1)
    assert float(u.abs().max() + v.abs().max()) == 0


def test_the_star_has_the_published_means_and_the_exact_potential():
    rho, u, v, p, tracer, phi = starts("GCE-RT", count=64).unbind(1)
    # Published: 0.897, 0.713 and -1.7056 over all times; the parameters vary by 0.2 / sqrt(3) = 0.115 each, 64 draws.
    assert float(rho.mean()) == pytest.approx(0.897, abs=3 * 0.115 / 8)
    assert float(p.mean()) == pytest.approx(0.713, abs=3 * 0.12 / 8)
    assert float(phi.mean()) == pytest.approx(-1.7056, abs=3 * 0.3 / 8)
    # h + phi = 0 for the gas inside, h = 2 p / rho; the gas outside has the same pressure and is heavier.
    inside = tracer > 0
    torch.testing.assert_close(2 * p[inside] / rho[inside], -phi[inside], rtol=1e-12, atol=0)
    heavier = rho[~inside] / (2 * p / -phi)[~inside]
    assert float(heavier.min()) > 1.08
    assert float(heavier.max()) < 1.13  # (1 + A) / (1 - A), A = 0.04 to 0.06
    assert float(u.abs().max() + v.abs().max()) == 0


def test_the_potential_is_stored_in_every_frame():
    task = make_task("GCE-RT", frames=3, horizon=0.02)
    fields = task.simulate([0], resolution=16, seed=0)[0]
    expected = torch.nn.functional.avg_pool2d(task.initial(0, resolution=32, seed=0)[None, 5], 2)[0].float()
    for frame in fields:
        torch.testing.assert_close(frame[5], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("edges", ["open", "periodic"])
def test_the_edges_of_the_star_are_a_parameter_and_what_the_file_says(edges):
    task = make_task("GCE-RT", edges=edges, frames=2, horizon=0.2)
    assert task.boundary == (edges, edges)
    walled = make_task("GCE-RT", frames=2, horizon=0.2)
    assert walled.boundary == ("wall", "wall")
    fields = [each.simulate([0], resolution=16, seed=0) for each in (task, walled)]
    assert float((fields[0] - fields[1]).abs().max()) > 1e-4


def test_coordinates_are_the_centres_of_cells():
    np.testing.assert_allclose(make_task("CE-RP").coordinates(4)["x"], [0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(make_task("GCE-RT").coordinates(4)["y"], [-0.375, -0.125, 0.125, 0.375])


def test_a_finer_solver_is_nearer_to_the_truth():
    frames = {
        cells: make_task("CE-CRP", frames=2, horizon=0.1, solver_resolution=cells).simulate([0], resolution=16, seed=0)
        for cells in (16, 32, 64)
    }
    errors = [float((frames[cells] - frames[64])[:, 1].abs().mean()) for cells in (16, 32)]
    assert errors[0] > 1.5 * errors[1]  # first order at shocks, against 64 cells: (1/16 - 1/64) / (1/32 - 1/64) = 3


def test_the_default_is_to_compile_where_a_compiler_is(monkeypatch):
    for there in (True, False):
        monkeypatch.setattr(euler, "compiler_available", lambda there=there: there)
        assert make_task("CE-RP").compile is there
        assert make_task("CE-RP", compile=False).compile is False


def test_small_grids_are_not_compiled(monkeypatch):
    asked = []
    solve = Euler.solve
    monkeypatch.setattr(
        Euler, "solve", lambda self, *args, **kwargs: asked.append(self._compile) or solve(self, *args, **kwargs)
    )
    make_task("CE-RP", compile=True, frames=2, horizon=1e-4).simulate([0], resolution=16, seed=0)
    assert asked == [False]


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("CE-RP", {"frames": 1}, "at least 2 frames"),
        ("CE-RP", {"cfl": 2.0}, "cfl of at most 1"),
        ("CE-RP", {"precision": "half"}, "float32 or float64"),
        ("GCE-RT", {"edges": "closed"}, "choose one of periodic, open, wall"),
    ],
)
def test_wrong_parameters_say_what_was_expected(name, parameters, message):
    with pytest.raises(ConfigError, match=message):
        make_task(name, **parameters)


@pytest.mark.parametrize("solver_resolution", [24, 8])
def test_a_solver_grid_that_does_not_fit_is_refused(solver_resolution):
    task = make_task("CE-RP", solver_resolution=solver_resolution)
    with pytest.raises(ConfigError, match="multiple of them for the solver"):
        task.coordinates(16)
