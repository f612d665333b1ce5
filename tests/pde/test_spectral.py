import math

import pytest
import torch

from sciml.errors import ConfigError, ShapeError
from sciml.pde import BlowUpError, NavierStokes, SpectralViscosity, Viscosity
from sciml.pde.initial import generator_for, solenoidal, uniform

NO_DAMPING = Viscosity(0.0)


def waves(resolution, *, seed=0, modes=3):
    """A smooth solenoidal velocity, shape (2, x, y), of size about 1."""
    generator = generator_for(seed, 0)
    x = torch.arange(resolution, dtype=torch.float64) / resolution
    velocity = torch.zeros(2, resolution, resolution, dtype=torch.float64)
    for i in range(1, modes + 1):
        phase = uniform(0, 2 * math.pi, 4, generator=generator)
        velocity += torch.stack(
            [
                torch.sin(2 * math.pi * i * x + phase[0])[:, None] * torch.sin(2 * math.pi * x + phase[1])[None, :],
                torch.cos(2 * math.pi * x + phase[2])[:, None] * torch.cos(2 * math.pi * i * x + phase[3])[None, :],
            ]
        )
    return solenoidal(velocity)


def grid(resolution):
    x = torch.arange(resolution, dtype=torch.float64) / resolution
    return torch.meshgrid(x, x, indexing="ij")


def solver(resolution=32, **options):
    return NavierStokes(resolution, **{"dtype": torch.float64, "damping": NO_DAMPING, **options})


def test_the_slope_is_the_advection_of_vorticity_and_tracer():
    resolution = 32
    ns = solver(resolution)
    x, y = grid(resolution)
    fields = torch.stack([*waves(resolution, modes=2), torch.sin(2 * math.pi * (x + 2 * y))])[None]
    # Forward difference in time of a pure Euler step: (f(dt) - f(0)) / dt = -u . grad f + O(dt).
    dt = 1e-6
    before, after = ns.solve(fields, [0, dt])[0]
    u, v, c = before
    ratio = 2 * math.pi

    def gradient(field):
        k = ratio * torch.fft.fftfreq(resolution, 1 / resolution, dtype=torch.float64)
        hat = torch.fft.fft2(field)
        return torch.fft.ifft2(1j * k[:, None] * hat).real, torch.fft.ifft2(1j * k[None, :] * hat).real

    w = gradient(v)[0] - gradient(u)[1]
    new_w = gradient(after[1])[0] - gradient(after[0])[1]
    for old, new in ((w, new_w), (c, after[2])):
        fx, fy = gradient(old)
        # First order in dt with second derivatives of size 1e4, and cancellation of 1e-16 * 1e2 / 1e-6.
        torch.testing.assert_close((new - old) / dt, -(u * fx + v * fy), rtol=0, atol=2e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_frames_come_at_the_times_asked_for_whatever_the_step(dtype):
    # A single decaying wave has no nonlinear term: u(t) = u(0) exp(-nu (2 pi)^2 t), at irregular times.
    nu, times = 0.02, [0.5, 0.61, 0.9, 1.7]
    _, y = grid(16)
    initial = torch.stack([torch.sin(2 * math.pi * y), torch.zeros_like(y)])[None]
    frames = NavierStokes(16, damping=Viscosity(nu), dtype=dtype).solve(initial, times)
    assert frames.shape == (1, 4, 2, 16, 16)
    assert frames.dtype == dtype
    decay = torch.exp(-nu * (2 * math.pi) ** 2 * (torch.tensor(times, dtype=torch.float64) - times[0]))
    expected = decay[:, None, None, None] * initial
    rounding = 1e-13 if dtype == torch.float64 else 2e-6  # some 50 steps of one rounding each
    torch.testing.assert_close(frames[0].double(), expected, rtol=0, atol=rounding)


def test_a_trajectory_does_not_feel_its_batch_when_the_step_is_the_same():
    fields = torch.stack([waves(32, seed=seed) for seed in range(3)])
    together = solver().solve(fields, [0, 0.1], cfl=1e6, max_step=0.01)
    alone = solver().solve(fields[1:2], [0, 0.1], cfl=1e6, max_step=0.01)
    # The same arithmetic, vectorised differently: rounding only.
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-13)


def test_a_shared_time_step_changes_a_trajectory_by_the_truncation_error_only():
    fields = torch.stack([waves(32), 3 * waves(32, seed=1)])
    together = solver().solve(fields, [0, 0.2])[0]
    alone = solver().solve(fields[:1], [0, 0.2])[0]
    # Fourth order at cfl 1 on smooth waves: about 1e-5 of the velocity, and not zero.
    difference = float((together - alone).abs().max())
    assert 0 < difference < 1e-4


def test_the_mean_velocity_carries_the_flow_along():
    # In a frame that moves with (1, 1/2) the flow is the same: after t = 1 and 2 it is back where it would be without.
    fields = waves(32, modes=2)[None]
    mean = torch.tensor([1.0, 0.5], dtype=torch.float64)[:, None, None]
    still = solver().solve(fields, [0, 0.25], cfl=0.2)[:, 1]
    moving = solver().solve(fields + mean, [0, 0.25], cfl=0.2)[:, 1]
    shifted = torch.roll(still, (8, 4), dims=(-2, -1))
    torch.testing.assert_close(moving, shifted + mean, rtol=0, atol=1e-6)  # truncation at cfl 0.2


def test_a_steady_force_is_balanced_by_viscosity():
    # Kolmogorov flow: f = (sin 2 pi k y, 0) is balanced by u = f / (nu (2 pi k)^2), which advects nothing.
    nu, k = 0.05, 2
    _, y = grid(24)
    force = torch.stack([torch.sin(2 * math.pi * k * y), torch.zeros_like(y)])
    steady = force / (nu * (2 * math.pi * k) ** 2)
    ns = solver(24, damping=Viscosity(nu), force=force)
    # A method with an integrating factor moves a steady state by (rate dt)^4 / 2880 (Simpson's rule): 1.4e-8 for
    # rate = nu (2 pi k)^2 = 7.9 and dt = 0.01.
    from_steady = ns.solve(steady[None], [0, 1], max_step=1e-2)[0, 1]
    torch.testing.assert_close(from_steady, steady, rtol=0, atol=3e-8 * float(steady.max()))
    from_rest = ns.solve(torch.zeros_like(steady)[None], [0, 0.1], max_step=1e-3)[0, 1]
    reached = 1 - math.exp(-nu * (2 * math.pi * k) ** 2 * 0.1)
    torch.testing.assert_close(from_rest, reached * steady, rtol=0, atol=1e-9)


def test_a_fluid_at_rest_that_is_pushed_hard_is_followed_in_small_steps():
    # The speed is zero at first, so the CFL rule alone would take the whole interval in one step.
    pushed = solver(32, force=50 * waves(32))
    rest = torch.zeros(1, 2, 32, 32)
    found, reference = (pushed.solve(rest, [0, 0.1], max_step=step)[0, 1] for step in (math.inf, 1e-3))
    error = float((found - reference).norm() / reference.norm())
    assert error < 1e-4  # 0.16 with a single first step


def test_tracers_have_a_diffusivity_of_their_own():
    x, _ = grid(16)
    tracer = torch.cos(2 * math.pi * x)
    rest = torch.zeros(2, 16, 16, dtype=torch.float64)
    initial = torch.cat([rest, tracer[None], 1 + 2 * tracer[None]])[None]
    ns = solver(16, damping=Viscosity(1.0), tracer_damping=Viscosity(0.01))
    first, second = ns.solve(initial, [0, 0.5])[0, 1, 2:]
    decayed = math.exp(-0.01 * (2 * math.pi) ** 2 * 0.5) * tracer
    torch.testing.assert_close(first, decayed, rtol=0, atol=1e-13)
    torch.testing.assert_close(second, 1 + 2 * decayed, rtol=0, atol=1e-13)


def test_the_divergence_of_the_initial_velocity_is_projected_out():
    x, y = grid(16)
    gradient = torch.stack([torch.sin(2 * math.pi * x), torch.sin(4 * math.pi * y)])
    ns = solver(16)
    assert float(ns.divergence(gradient).abs().max()) > 1
    kept = ns.solve((waves(16, modes=2) + gradient)[None], [0, 0.01])[0, 0]
    torch.testing.assert_close(kept, waves(16, modes=2), rtol=0, atol=1e-12)


def test_vorticity_is_that_of_a_rigid_wave():
    x, y = grid(16)
    velocity = torch.stack([torch.sin(2 * math.pi * y), torch.sin(4 * math.pi * x)])
    expected = 4 * math.pi * torch.cos(4 * math.pi * x) - 2 * math.pi * torch.cos(2 * math.pi * y)
    torch.testing.assert_close(solver(16).vorticity(velocity), expected, rtol=0, atol=1e-12)


def test_spectral_viscosity_spares_the_large_scales():
    k = torch.tensor([0.0, 4.0, 8.0, 16.0, 20.0], dtype=torch.float64)
    smooth = SpectralViscosity(0.05).rate(k, 64)
    plain = 0.05 / 64 * (2 * math.pi * k) ** 2
    torch.testing.assert_close(smooth, plain * torch.tensor([0, 0, 0, 15 / 16, 1 - 0.4**4], dtype=torch.float64))
    step = SpectralViscosity(0.05, multiplier="step").rate(k, 64)
    torch.testing.assert_close(step, plain * torch.tensor([0.0, 0, 0, 1, 1], dtype=torch.float64))


def test_a_blow_up_names_the_trajectory():
    fields = torch.stack([waves(16), waves(16, seed=1)])
    fields[1, 0, 3, 3] = float("nan")
    with pytest.raises(BlowUpError, match="trajectory 1 of the batch") as caught:
        solver(16).solve(fields, [0, 1])
    assert caught.value.trajectory == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: NavierStokes(15), "even number"),
        (lambda: NavierStokes(16, force=torch.ones(2, 16, 16)), "has a mean"),
        (lambda: Viscosity(-1e-3), "would make the flow grow"),
        (lambda: SpectralViscosity(multiplier="sharp"), "smooth"),  # type: ignore[arg-type]
        (lambda: solver(16).solve(torch.zeros(1, 2, 16, 16), [0, 1, 1]), "must increase"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        wrong()


def test_fields_on_another_grid_are_refused():
    with pytest.raises(ShapeError, match=r"\(1, 2, 16, 16\).*\(batch, 2 \+ tracers, 32, 32\)"):
        solver(32).solve(torch.zeros(1, 2, 16, 16), [0, 1])
    with pytest.raises(ShapeError, match=r"\(2, 32, 32\)"):
        NavierStokes(32, force=torch.zeros(2, 16, 16))
