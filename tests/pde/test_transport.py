import math

import pytest
import torch

from sciml.pde import NavierStokes, Viscosity, initial
from sciml.pde.transport import advance, courant_numbers

NO_DRIFT = torch.zeros(1, 2, dtype=torch.float64)


def swirl(size):
    """Stream function of a few waves at the upper corners of the cells, and a disk to carry."""
    x = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    x, y = torch.meshgrid(2 * math.pi * x, 2 * math.pi * x, indexing="ij")
    stream = (x.sin() * y.cos() + 0.5 * (2 * x - y).cos())[None] / (2 * math.pi)
    return stream, initial.disk(size)[None, None]


@pytest.mark.parametrize("drift", [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (-3.0, 0.0)])
def test_a_step_of_whole_cells_is_a_shift(drift):
    _, disk = swirl(16)
    mean = torch.tensor([drift], dtype=torch.float64)
    still = torch.zeros(1, 16, 16, dtype=torch.float64)
    carried = advance(disk, courant_numbers(still, mean, 1 / 16), first_axis=0)
    expected = disk.roll((int(drift[0]), int(drift[1])), (-2, -1))
    torch.testing.assert_close(carried, expected, rtol=0, atol=1e-15)


def test_the_velocity_through_the_faces_is_that_of_the_stream_function_and_has_no_divergence():
    size, dt = 64, 0.01
    stream, _ = swirl(size)
    along_x, along_y = courant_numbers(stream, torch.tensor([[0.3, -0.2]], dtype=torch.float64), dt)[:, 0, 0]
    divergence = along_x - along_x.roll(1, 0) + along_y - along_y.roll(1, 1)
    assert float(divergence.abs().max()) < 1e-15
    face, centre = (torch.arange(size, dtype=torch.float64)[:, None] + shift for shift in (0.5, 0.0))
    x, y = 2 * math.pi * face / size, 2 * math.pi * centre.T / size
    u = 0.3 - x.sin() * y.sin() + 0.5 * (2 * x - y).sin()
    # A centred difference over a cell: (2 pi / 64)^2 / 24 times derivatives of size 3.
    torch.testing.assert_close(along_x, u * dt * size, rtol=0, atol=2e-3 * dt * size)


@pytest.mark.parametrize("courant", [0.4, 0.9, 3.5])
def test_a_sharp_edge_stays_within_its_bounds_and_the_mean_is_kept(courant):
    stream, tracer = swirl(48)
    constant = torch.ones_like(tracer)
    tracers = torch.cat([tracer, constant, 2 - 3 * tracer], 1)
    dt = courant / (48 * 2.5)  # the largest speed is below 2.5
    mean = tracers.mean((-2, -1))
    for step in range(round(40 / courant)):
        tracers = advance(tracers, courant_numbers(stream, NO_DRIFT, dt), first_axis=step % 2)
    rounding = 1e-13
    assert -rounding < float(tracers[:, 0].min()) < float(tracers[:, 0].max()) < 1 + rounding
    torch.testing.assert_close(tracers[:, 1], constant[:, 0], rtol=0, atol=rounding)
    torch.testing.assert_close(tracers.mean((-2, -1)), mean, rtol=0, atol=rounding)
    assert float((tracers[0, 0] - tracer[0, 0]).abs().max()) > 0.5  # it did move
    # The scheme is nonlinear, but it commutes with c -> a + b c.
    torch.testing.assert_close(tracers[:, 2], 2 - 3 * tracers[:, 0], rtol=0, atol=1e-10)


def test_the_bounds_hold_in_a_flow_that_changes_from_cell_to_cell():
    # Every other cell loses fluid through both faces along one axis, 0.9 of what it holds through each.
    checkered = 1.0 - 2.0 * (torch.arange(16)[:, None] + torch.arange(16)[None, :] & 1).double()
    courant = courant_numbers(checkered[None], NO_DRIFT, 0.45 / 16**2)
    assert float(courant.abs().max()) == pytest.approx(0.9)
    tracers = (torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)) > 0.5).double()
    for step in range(4):
        tracers = advance(tracers, courant, first_axis=step % 2)
    assert -1e-12 < float(tracers.min()) < float(tracers.max()) < 1 + 1e-12


def test_a_mirrored_flow_gives_the_mirrored_result():
    stream, disk = swirl(32)
    along_x, along_y = courant_numbers(stream, torch.tensor([[0.4, -0.7]], dtype=torch.float64), 0.01)
    # Cell i becomes cell N - 1 - i, and the upper face of one the lower face of the other.
    mirrored = torch.stack([-along_x.flip(-2).roll(-1, -2), along_y.flip(-2)])
    disk = disk.roll(5, -2)
    one, other = disk, disk.flip(-2)
    for step in range(10):
        one = advance(one, torch.stack([along_x, along_y]), first_axis=step % 2)
        other = advance(other, mirrored, first_axis=step % 2)
    torch.testing.assert_close(other, one.flip(-2), rtol=0, atol=1e-13)


def test_two_trajectories_do_not_mix():
    stream, disk = swirl(16)
    streams, disks = torch.cat([stream, -2 * stream.mT]), torch.cat([disk, disk.roll(3, -1)])
    means = torch.tensor([[0.1, 0.2], [-0.3, 0.0]], dtype=torch.float64)
    together = advance(disks, courant_numbers(streams, means, 0.01), first_axis=1)
    for i in (0, 1):
        alone = advance(disks[i : i + 1], courant_numbers(streams[i : i + 1], means[i : i + 1], 0.01), first_axis=1)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-15)


def test_a_solver_carries_its_bounded_tracers_with_its_own_flow():
    # A flow at rest but for its mean: after t = 1/4 the pattern has moved by (1/4, -1/8) of the square.
    disk = initial.disk(32)
    velocity = (
        torch.ones(2, 32, 32, dtype=torch.float64) * torch.tensor([1.0, -0.5], dtype=torch.float64)[:, None, None]
    )
    solver = NavierStokes(32, damping=Viscosity(0.0), transport="bounded", dtype=torch.float64)
    frames = solver.solve(torch.cat([velocity, disk[None], 1 - disk[None]])[None], [0, 0.25])
    torch.testing.assert_close(frames[0, 0, 2], disk, rtol=0, atol=0)  # not cut by the 2/3 rule
    moved = disk.roll((8, -4), (0, 1))
    error = (frames[0, 1, 2] - moved).abs().mean()
    # The edge, 2 pi 8 cells of 1024, is smeared over about a cell.
    assert float(error) < 2 * math.pi * 8 / 1024
    torch.testing.assert_close(frames[0, 1, 2] + frames[0, 1, 3], torch.ones_like(disk), rtol=0, atol=1e-12)
