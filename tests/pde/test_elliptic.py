import math

import numpy as np
import pytest
import torch

from sciml.data import open_trajectories
from sciml.errors import ConfigError, ShapeError, SolverError
from sciml.pde import make_task
from sciml.pde.elliptic import helmholtz, poisson
from sciml.pde.generate import generate


def sines(rows, columns, spacing):
    x = spacing * torch.arange(rows, dtype=torch.float64)
    y = spacing * torch.arange(columns, dtype=torch.float64)
    return torch.sin(math.pi * x / x[-1])[:, None] * torch.sin(2 * math.pi * y / y[-1]), x[-1], y[-1]


def test_a_sine_on_a_rectangle_is_divided_by_its_eigenvalue():
    wave, width, height = sines(33, 49, 0.05)
    eigenvalue = (math.pi / width) ** 2 + (2 * math.pi / height) ** 2
    solution = poisson(wave[None], spacing=0.05)[0]
    # 24 points a wave: a relative error of (2 pi / 24)^4 / 240.
    torch.testing.assert_close(solution, wave / eigenvalue, rtol=0, atol=3e-5 * float(1 / eigenvalue))


def test_the_boundary_stays_at_zero_and_a_batch_is_solved_one_by_one():
    source = torch.rand(3, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = poisson(source, spacing=0.125)
    assert float(together[:, [0, -1]].abs().max()) == 0 == float(together[:, :, [0, -1]].abs().max())
    torch.testing.assert_close(together, torch.cat([poisson(each[None], spacing=0.125) for each in source]))


def test_the_poisson_equation_holds_at_every_inner_point():
    source = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = poisson(source, spacing=0.1)[0]

    def around(field, near, corners, centre):
        edges = field[2:, 1:-1] + field[:-2, 1:-1] + field[1:-1, 2:] + field[1:-1, :-2]
        diagonal = field[2:, 2:] + field[:-2, 2:] + field[2:, :-2] + field[:-2, :-2]
        return near * edges + corners * diagonal + centre * field[1:-1, 1:-1]

    left = -around(u, 4 / 6, 1 / 6, -20 / 6) / 0.01
    torch.testing.assert_close(left, around(source[0], 1 / 12, 0, 8 / 12), rtol=0, atol=1e-11)


def test_helmholtz_without_a_wave_is_poisson():
    source = torch.rand(1, 17, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = poisson(source, spacing=1 / 16)[0].numpy()
    found = helmholtz(np.zeros((17, 17)), wavenumber=1.0, boundary=0.0, spacing=1 / 16, source=source[0].numpy())
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_a_plane_wave_at_the_boundary_continues_inside():
    # Incommensurable sides are not needed: w = 5 is between the resonances 4.44 and 7.02.
    x = np.linspace(0, 1, 65)
    wave = np.cos(4 * x[:, None] + 3 * x[None, :])
    found = helmholtz(np.ones((65, 65)), wavenumber=5.0, boundary=wave, spacing=1 / 64)
    np.testing.assert_allclose(found, wave, atol=1e-6)  # (5 / 64)^4 / 240 = 2e-7, times the resonance


@pytest.mark.parametrize(("name", "channels"), [("Poisson-Gauss", 2), ("Helmholtz", 3)])
def test_a_problem_depends_on_its_number_alone_and_solves_on_every_grid(name, channels):
    task = make_task(name)
    fields = task.simulate([3, 1], resolution=33, seed=0)
    assert fields.shape == (2, 1, channels, 33, 33)
    torch.testing.assert_close(fields[1:], task.simulate([1], resolution=33, seed=0))
    finer = task.simulate([3, 1], resolution=65, seed=0)[..., ::2, ::2]
    # A coefficient is scaled by the extremes on its grid, which differ by (h / s)^2 / 8 = 5 % at worst.
    assert float((fields - finer).norm() / finer.norm()) < 0.05


def test_the_coefficient_spans_0_to_1_and_the_boundary_value_is_constant():
    a, bc, u = make_task("Helmholtz").simulate(range(4), resolution=33, seed=0)[:, 0].unbind(1)
    assert [float(each.min()) for each in a] == [0] * 4
    assert [float(each.max()) for each in a] == [1] * 4
    value = bc[:, :1, :1]
    assert bool((bc == value).all())
    assert 0.25 <= float(bc.min()) < float(bc.max()) <= 0.5
    torch.testing.assert_close(u[:, 0], bc[:, 0], rtol=0, atol=0)
    torch.testing.assert_close(u[:, :, -1], bc[:, :, -1], rtol=0, atol=0)


def test_resonant_problems_are_drawn_again():
    all_of_them = make_task("Helmholtz", limit=None).simulate(range(40), resolution=17, seed=0)[:, 0, 2]
    limited = make_task("Helmholtz").simulate(range(40), resolution=17, seed=0)[:, 0, 2]
    large = all_of_them.abs().amax((1, 2)) > 5.7
    assert 0 < int(large.sum()) < 20
    assert float(limited.abs().max()) <= 5.7
    torch.testing.assert_close(limited[~large], all_of_them[~large], rtol=0, atol=0)


def test_unsigned_sources_are_bumps_of_height_one():
    source = make_task("Poisson-Gauss", signed=False, amplitude=1.0).simulate(range(20), resolution=129, seed=0)[
        :, 0, 0
    ]
    assert float(source.min()) >= 0
    # One source in 0.4 of the problems; some of them are cut by the boundary, none is higher than 1.
    single = source.amax((1, 2)) <= 1
    assert 0.15 < float(single.double().mean()) < 0.9
    assert float(source.amax((1, 2)).median()) > 0.9


@pytest.mark.parametrize("name", ["Poisson-Gauss", "Helmholtz"])
def test_the_file_read_back_is_what_the_task_simulates(tmp_path, name):
    path = generate(name, tmp_path / "a.nc", trajectories=3, resolution=17, progress=False)
    task = make_task(name)
    simulated = task.simulate(range(3), resolution=17, seed=0).float().numpy()
    with open_trajectories(path) as data:
        assert data.spec.boundary == ("wall", "wall")
        np.testing.assert_allclose(data.spec.coordinates["x"], np.linspace(0, 1, 17))
        for trajectory in range(3):
            read = data.read(trajectory)[:, data.spec.index(task.channels)]
            np.testing.assert_array_equal(read, simulated[trajectory])


def test_a_resonance_says_so():
    # On 3 x 3 points there is one unknown, whose equation is (w^2 2/3 - 40/3) u = 0 with a = 1.
    with pytest.raises(SolverError, match="resonance"):
        helmholtz(np.ones((3, 3)), wavenumber=math.sqrt(20), boundary=1.0, spacing=0.5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: poisson(torch.zeros(5, 5), spacing=1), ShapeError, r"\(5, 5\).*\(batch, x, y\)"),
        (
            lambda: helmholtz(np.ones((5, 5)), wavenumber=1, boundary=np.ones(5), spacing=1),
            ShapeError,
            r"\(5, 5\), \(5,\)",
        ),
        (lambda: helmholtz(np.ones((5, 5)), wavenumber=9, boundary=1, spacing=1), ConfigError, "0.7 points for a wave"),
        (lambda: make_task("Helmholtz", wavenumber=0.0), ConfigError, "positive wavenumber"),
        (lambda: make_task("Helmholtz", limit=0.1), ConfigError, "at least 1"),
        (lambda: make_task("Poisson-Gauss").coordinates(4), ConfigError, "at least 8 points"),
    ],
)
def test_what_cannot_work_says_what_was_expected(call, error, message):
    with pytest.raises(error, match=message):
        call()
