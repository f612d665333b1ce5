import itertools
import math

import pytest
import torch

from sciml.pde import NavierStokes, initial, make_task
from sciml.pde.initial import generator_for
from sciml.pde.tasks import ns

NAMES = sorted(kind.name for kind in ns.TASKS)


@pytest.mark.parametrize("name", NAMES)
def test_a_trajectory_starts_the_same_however_often_it_is_drawn_and_differs_from_others(name):
    task = make_task(name)
    first = task.initial(5, resolution=32, seed=1)
    assert torch.equal(first, task.initial(5, resolution=32, seed=1))
    # (seed, trajectory) = (1, 5), (5, 1), (0, 6), (6, 0): a sum or a product of the two would mix some of them up.
    for trajectory, seed in ((1, 5), (6, 0), (0, 6), (4, 1)):
        assert not torch.allclose(first[:2], task.initial(trajectory, resolution=32, seed=seed)[:2], atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_every_initial_velocity_is_solenoidal_and_has_no_mean(name):
    velocity = make_task(name).initial(0, resolution=64, seed=0)[:2]
    divergence = NavierStokes(64, dtype=torch.float64).divergence(velocity)
    assert float(divergence.abs().max()) < 1e-11
    assert float(velocity.mean((-2, -1)).abs().max()) < 1e-6  # the tails of the shear layers at the seam


def test_the_same_numbers_are_drawn_on_every_grid():
    # Drawn before projection: the coarse grid holds every second point of the fine one.
    for family, options in (
        (initial.sines, {"modes": 5}),
        (initial.gaussian_vortices, {"vortices": 7, "exponent": 1.0}),
        (initial.shear_layers, {"perturb_profile": True}),
        (initial.brownian_bridge, {"modes": 9}),
    ):
        coarse = family(32, generator=generator_for(0, 3), **options)
        fine = family(64, generator=generator_for(0, 3), **options)
        torch.testing.assert_close(fine[..., ::2, ::2], coarse, rtol=0, atol=1e-12)


def test_sines_are_the_sum_that_they_claim_to_be():
    generator = generator_for(0, 0)
    velocity = initial.sines(12, generator=generator, modes=2)
    generator = generator_for(0, 0)
    a = initial.uniform(-1, 1, 2, 2, generator=generator)
    b, g = initial.uniform(0, 2 * math.pi, 2, 2, 2, generator=generator)
    x, y = 3 / 12, 7 / 12
    u = v = 0.0
    for i in (1, 2):
        for j in (1, 2):
            weight = a[i - 1, j - 1] / math.sqrt(2 * math.pi * (i + j))
            along_x, along_y = 2 * math.pi * i * x + b[i - 1, j - 1], 2 * math.pi * j * y + g[i - 1, j - 1]
            u += float(weight * torch.sin(along_x) * torch.sin(along_y))
            v += float(weight * torch.cos(along_x) * torch.cos(along_y))
    assert velocity[:, 3, 7].tolist() == pytest.approx([u, v], abs=1e-13)


def test_one_vortex_is_a_periodic_gaussian():
    generator = generator_for(2, 0)
    vorticity = initial.gaussian_vortices(16, generator=generator, vortices=1, exponent=0.5)
    generator = generator_for(2, 0)
    a, s = (initial.uniform(low, high, 1, generator=generator) for low, high in ((-1, 1), (0.01, 0.1)))
    centre = initial.uniform(0, 1, 2, 1, generator=generator)
    image = torch.arange(-1, 2)
    for i, j in ((0, 0), (15, 3), (8, 8)):
        squares = (i / 16 - centre[0] + image)[:, None] ** 2 + (j / 16 - centre[1] + image)[None, :] ** 2
        expected = float(a / s * torch.exp(-squares.min() / (2 * s**2)))
        assert float(vorticity[i, j]) == pytest.approx(expected, abs=1e-13)


def test_cells_are_constant_squares():
    values = initial.piecewise_constant(40, generator=generator_for(0, 0), cells=10)
    blocks = values.reshape(10, 4, 10, 4)
    assert torch.equal(blocks, blocks[:, :1, :, :1].expand_as(blocks))
    assert len(values.unique()) == 100


def test_the_layers_are_wavy_continuous_and_periodic_where_the_profile_is_perturbed_and_straight_as_printed():
    waviness = []
    for perturb_profile in (True, False):
        u, v = initial.shear_layers(256, generator=generator_for(0, 1), perturb_profile=perturb_profile)
        assert float(v.abs().max()) == 0
        # The steepest slope of tanh(2 pi y / rho) is 2 pi / 0.08 = 79: 0.31 between neighbours of a grid of 256.
        assert float((u - u.roll(1, 1)).abs().max()) < 0.31
        waviness.append(float(u.std(0).max()))
    assert waviness[0] > 0.3
    # As printed the branches meet where 1 - tanh(2 pi (1/4 - 3/16) / 0.12) = 0.07 at worst.
    assert waviness[1] < 0.07


def test_the_disk_has_the_published_mean_which_is_almost_its_area():
    disk = initial.disk(128)
    assert float(disk.mean()) == pytest.approx(0.19586183, abs=2e-7)  # 3209 of 16384 points; the constant is float32
    # Gauss's circle problem: the points of a circle of radius 32 miss its area by a few.
    assert float(disk.mean()) == pytest.approx(math.pi / 16, abs=1e-3)


def test_a_brownian_bridge_is_the_sum_that_it_claims_to_be():
    velocity = initial.brownian_bridge(16, generator=generator_for(0, 0), modes=2)
    a = initial.uniform(-1, 1, 2, 2, 2, 2, 2, generator=generator_for(0, 0))
    x, y = 3 / 16, 7 / 16
    waves = (math.cos, math.sin)
    for component in (0, 1):
        expected = sum(
            float(a[component, p, q, k - 1, j - 1])
            * (k * k + j * j) ** -0.75
            * waves[p](2 * math.pi * k * x)
            * waves[q](2 * math.pi * j * y)
            for p, q, k, j in itertools.product((0, 1), (0, 1), (1, 2), (1, 2))
        )
        assert float(velocity[component, 3, 7]) == pytest.approx(expected, abs=1e-13)


def test_waves_too_short_for_the_grid_are_left_out():
    coarse = initial.brownian_bridge(16, generator=generator_for(0, 0), modes=20)
    fine = initial.brownian_bridge(64, generator=generator_for(0, 0), modes=20)
    kept, of_fine = (torch.fft.rfft2(field, norm="forward")[:, :8, :8] for field in (coarse, fine))
    torch.testing.assert_close(kept, of_fine, rtol=0, atol=1e-14)


def sheet(resolution, *, harmonics):
    """Vorticity of a sheet, its curve y(x), and the slope of the curve."""
    generator = generator_for(0, 0)
    a, b = (initial.uniform(0, top, 10, 1, generator=generator) for top in (1 / 320, 1.0))
    x, i = initial.grid(4096), torch.arange(1, 11, dtype=torch.float64)[:, None]
    waves = torch.sin(2 * math.pi * ((i if harmonics else 1) * x + b))
    y = 0.5 + 0.2 * torch.sin(2 * math.pi * x) + (a * waves).sum(0)
    vorticity = initial.vortex_sheet(resolution, generator=generator_for(0, 0), thickness=5 / 128, harmonics=harmonics)
    return vorticity, y, (y.roll(-1) - y) * 4096


@pytest.mark.parametrize("harmonics", [True, False])
def test_a_vortex_sheet_has_strength_one_along_its_curve_and_none_elsewhere(harmonics):
    vorticity, y, slope = sheet(128, harmonics=harmonics)
    length = torch.sqrt(1 + slope**2).mean()  # a polygon of 4096 sides: 1e-6
    assert float(vorticity.mean()) == pytest.approx(float(length), abs=1e-5)
    points = initial.grid(128)
    curve = torch.stack([initial.grid(4096), y], 1)[::4]  # steps of 1e-3, far below the radius
    curves = torch.cat([curve + torch.tensor([shift, 0.0]) for shift in (-1.0, 0.0, 1.0)])
    grid = torch.stack(torch.meshgrid(points, points, indexing="ij"), -1).reshape(-1, 2)
    outside = vorticity.flatten()[torch.cdist(grid, curves).amin(1) > 5 / 128]
    # The grid cuts the series of the spline at |k| thickness = 2.5, where it is 1e-3.
    assert float(outside.abs().max()) < 2e-3 * float(vorticity.max())


def test_across_a_vortex_sheet_the_velocity_jumps_by_one():
    vorticity, y, slope = sheet(256, harmonics=True)
    u, v = initial.velocity_of(vorticity)
    crest = int(slope.abs().argmin())  # there the sheet is level, and the jump is one of u
    column, row = round(crest / 16), round(float(y[crest]) * 256)
    gap = 11  # just outside of the spline, 10 points
    jump = float(u[column, row + gap] - u[column, row - gap])
    # u_y = v_x - w: between the two points the background -mean(w) and v_x change u by about 22/256 times 1 and 2.
    assert jump == pytest.approx(-1, abs=0.25)
    assert abs(float(v[column, row + gap] - v[column, row - gap])) < 0.25


def test_the_mollifier_is_a_cubic_spline_in_the_plane():
    x = torch.linspace(-1, 1, 401, dtype=torch.float64)
    r = torch.sqrt(x[:, None] ** 2 + x[None, :] ** 2)
    spline = torch.where(r < 0.5, 1 - 6 * r**2 + 6 * r**3, 2 * (1 - r).clamp(min=0) ** 3)  # in its usual form
    for k in (0.0, 0.7, 2.3):
        expected = float((spline * torch.cos(2 * math.pi * k * x)[:, None]).sum() / spline.sum())
        found = float(initial._spline_transform(torch.tensor([k], dtype=torch.float64)))
        assert found == pytest.approx(expected, abs=1e-6)  # sums over 401^2 points of a smooth function: 1e-8


def test_the_velocity_of_a_vorticity_has_that_vorticity():
    # 10 x 10 cells have sharp edges: compare where the solver looks, below the 2/3 cut.
    vorticity = 10 * initial.piecewise_constant(64, generator=generator_for(0, 0), cells=10)
    velocity = initial.velocity_of(vorticity)
    solver = NavierStokes(64, dtype=torch.float64)
    stream = torch.stack([torch.zeros_like(vorticity), vorticity - vorticity.mean()])
    k = 2 * math.pi * torch.fft.fftfreq(64, 1 / 64, dtype=torch.float64)[:, None]
    # A velocity (0, integral of w along x) has the vorticity w in all modes with kx != 0.
    hat = torch.fft.fft2(stream[1])
    shear = torch.fft.ifft2(torch.where(k == 0, 0, hat / (1j * torch.where(k == 0, 1, k)))).real
    expected = solver.vorticity(torch.stack([torch.zeros_like(shear), shear]))
    found = solver.vorticity(velocity)
    torch.testing.assert_close(found - found.mean(0), expected, rtol=0, atol=1e-11)
    assert float(solver.divergence(velocity).abs().max()) < 1e-11
    assert velocity.mean((-2, -1)).abs().max() < 1e-14


def test_the_projection_keeps_solenoidal_fields_and_removes_gradients():
    x = torch.arange(32, dtype=torch.float64) / 32
    x, y = torch.meshgrid(x, x, indexing="ij")
    solenoidal = torch.stack([1 + torch.sin(2 * math.pi * y), torch.cos(4 * math.pi * x)])
    gradient = torch.stack([torch.cos(2 * math.pi * (x + y)), torch.cos(2 * math.pi * (x + y))])
    torch.testing.assert_close(initial.solenoidal(solenoidal + gradient), solenoidal, rtol=0, atol=1e-14)
