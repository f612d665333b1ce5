import pytest
import torch
from torch.nn.functional import pad

from sciml.errors import ConfigError, ShapeError
from sciml.pde.wave import WaveEquation

COUNT, LAYER = 33, 6


def bump(width=0.1, layer=LAYER, centre=0.5):
    x = torch.arange(-layer, COUNT + layer, dtype=torch.float64) / (COUNT - 1)
    return torch.exp(-((x[:, None] - centre) ** 2 + (x[None, :] - 0.5) ** 2) / (2 * width**2))


def equation(speed=1.0, *, batch=1, layer=LAYER, **options):
    return WaveEquation(
        torch.full((batch, COUNT, COUNT), float(speed)), spacing=1 / (COUNT - 1), layer=layer, **options
    )


def test_the_first_frame_is_the_start_without_the_layer():
    start = bump()[None]
    frames = equation(dtype=torch.float64).solve(start, horizon=0.1, frames=3)
    assert frames.shape == (1, 3, COUNT, COUNT)
    torch.testing.assert_close(frames[:, 0], start[:, LAYER:-LAYER, LAYER:-LAYER], rtol=0, atol=0)


def test_the_wave_starts_at_rest_with_the_acceleration_of_the_equation():
    time = 1e-3
    frames = equation(speed=2.0, dtype=torch.float64).solve(bump()[None], horizon=time, frames=2)[0]
    # u = u0 + t^2 / 2 c^2 Lap u0 + O(t^4); Lap u0 at the centre of the bump is -2 / width^2.
    change = float(frames[1, 16, 16] - frames[0, 16, 16])
    # The differences see the curvature of a bump 3.2 cells wide with an error of 1/90 * 15 * 3.2^-4, 0.2 %.
    assert change == pytest.approx(-(time**2) / 2 * 4 * 2 / 0.1**2, rel=3e-3)


def test_the_wave_keeps_the_symmetry_of_square_and_start():
    frames = equation(dtype=torch.float64).solve(bump()[None], horizon=1.0, frames=4)[0]
    for mirrored in (frames.flip(1), frames.flip(2), frames.mT):
        torch.testing.assert_close(frames, mirrored, rtol=0, atol=1e-13)  # the order of the sums differs


def test_time_scales_with_the_speed():
    slow = equation(speed=1.0, dtype=torch.float64).solve(bump()[None], horizon=0.6, frames=3)
    fast = equation(speed=3000.0, dtype=torch.float64).solve(bump()[None], horizon=0.6 / 3000, frames=3)
    torch.testing.assert_close(slow, fast, rtol=0, atol=1e-12)  # the same steps up to rounding


def test_trajectories_of_a_batch_do_not_mix():
    starts = torch.stack([bump(), bump(0.07), bump(centre=0.3)])
    together = equation(batch=3).solve(starts, horizon=0.8, frames=3)
    alone = torch.cat([equation().solve(start[None], horizon=0.8, frames=3) for start in starts])
    torch.testing.assert_close(together, alone, rtol=0, atol=0)


def test_single_precision_is_enough():
    single, double = (
        equation(dtype=dtype).solve(bump()[None], horizon=1.5, frames=2).double()
        for dtype in (torch.float32, torch.float64)
    )
    # Rounding of numbers of size 1 in 60 steps: 60 * 6e-8.
    torch.testing.assert_close(single, double, rtol=0, atol=4e-6)


@pytest.mark.parametrize("layer", [2, 4, 8])
def test_even_a_layer_that_is_steep_for_its_grid_is_stable(layer):
    frames = equation(layer=layer).solve(bump(layer=layer)[None], horizon=10.0, frames=3)[0]
    # Waves in the plane die away as 1 / t^2; a scheme that is unstable would have grown by many orders of magnitude.
    assert float(frames[1].abs().max()) < 1e-2
    assert float(frames[2].abs().max()) < float(frames[1].abs().max())


def test_a_rough_speed_is_stable():
    generator = torch.Generator().manual_seed(0)
    speed = 1 + 4 * torch.rand(1, COUNT, COUNT, generator=generator)
    solver = WaveEquation(speed, spacing=1 / (COUNT - 1), layer=LAYER)
    frames = solver.solve(bump()[None], horizon=10.0, frames=3, cfl=0.95)
    assert float(frames[:, 1:].abs().max()) < 0.5


@pytest.mark.parametrize(
    ("speed", "options", "error", "message"),
    [
        (torch.ones(9, 9), {}, ShapeError, r"\(9, 9\).*\(batch, x, y\)"),
        (-torch.ones(1, 9, 9), {}, ConfigError, "runs from -1"),
        (torch.full((1, 9, 9), torch.nan), {}, ConfigError, "positive, finite"),
        (torch.ones(1, 9, 9), {"layer": 1}, ConfigError, "at least 2 cells"),
        (torch.ones(1, 9, 9), {"decay": 1.5}, ConfigError, "between 0 and 1"),
    ],
)
def test_wrong_settings_say_what_was_expected(speed, options, error, message):
    with pytest.raises(error, match=message):
        WaveEquation(speed, spacing=0.1, **options)


def test_a_start_without_the_layer_says_what_was_expected():
    square = bump()[LAYER:-LAYER, LAYER:-LAYER][None]
    with pytest.raises(ShapeError, match=r"\(1, 33, 33\).*\(1, 45, 45\).*6 cells of layer"):
        equation().solve(square, horizon=1.0, frames=2)
    equation().solve(pad(square, 4 * [LAYER]), horizon=0.1, frames=2)


@pytest.mark.parametrize("options", [{"cfl": 1.0}, {"frames": 1}, {"horizon": 0.0}])
def test_an_unstable_step_or_no_time_is_refused(options):
    with pytest.raises(ConfigError, match=r"at most 0\.95"):
        equation().solve(bump()[None], **{"horizon": 1.0, "frames": 2} | options)
