import math

import pytest
import torch

from sciml.errors import ConfigError, ShapeError
from sciml.pde import compilation, finite_volume
from sciml.pde.finite_volume import Euler
from sciml.pde.gas import conserved, primitive
from sciml.pde.hydrostatic import displaced
from sciml.pde.initial import generator_for
from sciml.pde.reconstruction import rises
from sciml.pde.retry import BlowUpError
from sciml.pde.riemann import hllc

GAMMA = 1.4


def states(*shape, seed=0):
    """Random density, velocity and pressure of size 1, shape (4, *shape)."""
    fields = torch.rand(4, *shape, generator=generator_for(seed, 0), dtype=torch.float64)
    return fields + torch.tensor([0.5, -0.5, -0.5, 0.5], dtype=torch.float64).view(4, *(1 for _ in shape))


def physical_flux(fields):
    rho, u, v, p, *tracers = fields
    energy = p / (GAMMA - 1) + 0.5 * rho * (u * u + v * v)
    return torch.stack([rho * u, rho * u * u + p, rho * u * v, u * (energy + p), *(rho * u * c for c in tracers)])


def wave(cells, *, seed=0):
    """A smooth random flow on the unit square, shape (4, cells, cells)."""
    x = 2 * math.pi * (torch.arange(cells, dtype=torch.float64) + 0.5) / cells
    phase = 6 * torch.rand(4, 2, 1, generator=generator_for(seed, 1), dtype=torch.float64)
    bumps = torch.sin(x + phase[:, 0])[:, :, None] * torch.cos(x + phase[:, 1])[:, None, :]
    return bumps * 0.3 + torch.tensor([1.0, 0.2, -0.1, 1.0], dtype=torch.float64)[:, None, None]


def test_conserved_and_primitive_variables_are_inverse_and_known():
    fields = torch.cat([states(3, 5), torch.rand(1, 3, 5, dtype=torch.float64)])
    torch.testing.assert_close(primitive(conserved(fields, gamma=GAMMA), gamma=GAMMA), fields, rtol=1e-13, atol=1e-14)
    gas = torch.tensor([2.0, 3.0, 4.0, 0.8, 0.5], dtype=torch.float64)[:, None, None]
    assert conserved(gas, gamma=GAMMA).flatten().tolist() == pytest.approx([2, 6, 8, 0.8 / 0.4 + 25, 1])


def test_the_flux_between_equal_states_is_the_physical_one():
    fields = torch.cat([states(50), torch.rand(1, 50, dtype=torch.float64)])
    found = torch.stack(hllc(list(fields), list(fields), gamma=GAMMA))
    torch.testing.assert_close(found, physical_flux(fields), rtol=1e-13, atol=1e-13)


def test_what_flows_faster_than_sound_takes_its_flux_along():
    left, right = states(50), states(50, seed=1)
    left[1] += 5
    right[1] += 5
    torch.testing.assert_close(
        torch.stack(hllc(list(left), list(right), gamma=GAMMA)), physical_flux(left), rtol=1e-13, atol=1e-13
    )
    left[1] -= 10
    right[1] -= 10
    torch.testing.assert_close(
        torch.stack(hllc(list(left), list(right), gamma=GAMMA)), physical_flux(right), rtol=1e-13, atol=1e-13
    )


def test_the_mirrored_problem_has_the_mirrored_flux():
    left, right = states(50), states(50, seed=1)
    mirror = torch.tensor([1.0, -1, 1, 1], dtype=torch.float64)[:, None]
    found = torch.stack(hllc(list(mirror * right), list(mirror * left), gamma=GAMMA))
    expected = torch.stack(hllc(list(left), list(right), gamma=GAMMA)) * -mirror
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


def test_a_contact_at_rest_has_no_flux_but_the_pressure():
    left, right = (torch.tensor([rho, 0, v, 0.7], dtype=torch.float64)[:, None] for rho, v in ((1, 2), (50, -3)))
    flux = torch.stack(hllc(list(left), list(right), gamma=GAMMA)).flatten()
    assert flux.tolist() == pytest.approx([0, 0.7, 0, 0], abs=1e-15)


def test_a_moving_contact_takes_its_own_side_along():
    left, right = (torch.tensor([rho, 0.3, v, 0.7], dtype=torch.float64)[:, None] for rho, v in ((1, 2), (50, -3)))
    flux = torch.stack(hllc(list(left), list(right), gamma=GAMMA))
    torch.testing.assert_close(flux, physical_flux(left), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("drift", [0.3, -0.3])
def test_weak_waves_meet_as_in_linear_acoustics(drift):
    mean = torch.tensor([1.2, drift, 0.4, 0.9], dtype=torch.float64)[:, None]
    jump = 1e-5 * (states(20) - 1)
    left, right = mean - jump, mean + jump
    impedance = float(torch.sqrt(GAMMA * mean[3] * mean[0]))
    u = mean[1] - jump[3] / impedance
    p = mean[3] - impedance * jump[1]
    upwind = left if drift > 0 else right
    rho = upwind[0] + (p - upwind[3]) * mean[0] / (GAMMA * mean[3])
    between = torch.stack([rho, u, upwind[2], p])
    # What linear acoustics leaves out is of the second order: (1e-5)^2 times some ten.
    flux = torch.stack(hllc(list(left), list(right), gamma=GAMMA))
    torch.testing.assert_close(flux, physical_flux(between), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("reconstruction", "a", "b", "drop", "rise"),
    [
        ("minmod", 1, 3, 0.5, 0.5),
        ("minmod", -3, -1, -0.5, -0.5),
        ("minmod", 1, -3, 0, 0),
        ("mc", 1, 2, 0.75, 0.75),
        ("mc", 1, 4, 1, 1),
        ("mc", -4, -1, -1, -1),
        ("mc", -1, 4, 0, 0),
        ("central", 1, 4, 1.25, 1.25),
        ("weno", 2, 2, 1, 1),
        # Smoothness 1 and 1/16: (2 . 1 + 2/16) / (2 + 1/16) / 2 = 17/33 and (1 + 2 . 2/16) / (1 + 2/16) / 2 = 5/9.
        ("weno", 1, 2, 17 / 33, 5 / 9),
    ],
)
def test_slopes_by_hand(reconstruction, a, b, drop, rise):
    differences = (torch.tensor([float(each)], dtype=torch.float64) for each in (a, b))
    found = rises(*differences, reconstruction=reconstruction)
    assert [float(each) for each in found] == pytest.approx([drop, rise], abs=1e-5)  # TINY is 1e-6


def test_the_displaced_gas_is_in_hydrostatic_equilibrium():
    # Along a potential phi, dp/dphi = -rho at constant p / rho^gamma; central differences over 1e-4 err by 1e-8.
    fields = states(1, 1)
    up, down = (displaced(fields, torch.tensor([[climb]]), gamma=GAMMA) for climb in (1e-4, -1e-4))
    slope = (up[3] - down[3]) / 2e-4
    torch.testing.assert_close(slope, -fields[0], rtol=1e-6, atol=0)
    for moved in (up, down):
        torch.testing.assert_close(moved[3] / moved[0] ** GAMMA, fields[3] / fields[0] ** GAMMA, rtol=1e-13, atol=0)
        torch.testing.assert_close(moved[1:3], fields[1:3], rtol=0, atol=0)


@pytest.mark.parametrize("options", [{}, {"order": 3}, {"reconstruction": "weno"}])
def test_a_uniform_flow_stays_as_it_is(options):
    fields = torch.tensor([1.3, 0.4, -0.7, 2.0, 0.3], dtype=torch.float64)[:, None, None].expand(5, 8, 12)
    frames = Euler((8, 12), dtype=torch.float64, **options).solve(fields[None], [0, 0.1])
    torch.testing.assert_close(frames[0, 1], fields, rtol=1e-13, atol=1e-14)


def test_x_and_y_are_treated_alike():
    fields = torch.cat([wave(16), wave(16)[:1]])
    frames = Euler((16, 16), dtype=torch.float64).solve(fields[None], [0, 0.1])[0, 1]
    swapped = fields[[0, 2, 1, 3, 4]].mT
    found = Euler((16, 16), dtype=torch.float64).solve(swapped[None], [0, 0.1])[0, 1]
    torch.testing.assert_close(found[[0, 2, 1, 3, 4]].mT, frames, rtol=0, atol=1e-13)


def test_a_flow_that_does_not_vary_along_y_is_the_flow_in_one_dimension():
    line = wave(24)[:, :, :1].clone()
    line[2] = 0  # so that the wave across does not shorten the time step more than its sound does
    thin = Euler((24, 1), dtype=torch.float64).solve(line[None], [0, 0.05], cfl=0.02)
    wide = Euler((24, 8), dtype=torch.float64).solve(line.expand(4, 24, 8)[None], [0, 0.05], cfl=0.02)
    # The time steps differ; with steps so small, by (0.02)^2 of the second-order error.
    torch.testing.assert_close(wide[..., :1], thin, rtol=0, atol=1e-5)


def test_lengths_scale_time():
    small = Euler((16, 16), dtype=torch.float64).solve(wave(16)[None], [0, 0.1])
    large = Euler((16, 16), lengths=(3.0, 3.0), dtype=torch.float64).solve(wave(16)[None], [0, 0.3])
    torch.testing.assert_close(small, large, rtol=0, atol=1e-12)


def test_a_gas_between_walls_is_half_of_a_mirrored_periodic_one():
    half = wave(12)[:, :, :8].clone()
    mirrored = torch.cat([half, half.flip(1) * torch.tensor([1.0, -1, 1, 1])[:, None, None]], dim=1)
    within = Euler((12, 8), edges=("wall", "periodic"), dtype=torch.float64).solve(half[None], [0, 0.1])
    around = Euler((24, 8), lengths=(2.0, 1.0), dtype=torch.float64).solve(mirrored[None], [0, 0.1])
    torch.testing.assert_close(within, around[..., :12, :], rtol=0, atol=1e-13)


def test_a_pulse_leaves_through_an_open_edge_and_hardly_anything_comes_back():
    x = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    rise = 1e-3 * torch.exp(-((x - 0.5) ** 2) / 0.005)
    sound = math.sqrt(GAMMA)
    # A sound wave to the right: u = c drho, dp = c^2 drho about rho = p = 1.
    fields = torch.stack([1 + rise, sound * rise, 0 * rise, 1 + GAMMA * rise])[None, :, :, None]
    frames = Euler((64, 1), edges=("open", "periodic"), dtype=torch.float64).solve(fields, [0, 1.0])
    # What is copied to the ghost cells is exact for waves that go out; 1e-3 of it comes from the wave's own steepening.
    assert float((frames[0, 1, 3] - 1).abs().max()) < 2e-3 * float(GAMMA * rise.max())


def test_slabs_make_no_difference(monkeypatch):
    fields = torch.cat([wave(16), wave(16)[:1]])[None].float()
    whole = Euler((16, 16)).solve(fields, [0, 0.1])
    monkeypatch.setattr(finite_volume, "CELLS_IN_A_SLAB", 64)
    sliced = Euler((16, 16)).solve(fields, [0, 0.1])
    # The same arithmetic, vectorised differently.
    torch.testing.assert_close(whole, sliced, rtol=0, atol=1e-6)


def test_a_trajectory_does_not_feel_its_batch():
    fields = torch.stack([wave(16), wave(16, seed=1) * torch.tensor([1.0, 3, 3, 2])[:, None, None]])
    solver = Euler((16, 16), dtype=torch.float64)
    together = solver.solve(fields, [0, 0.05, 0.1])
    alone = [solver.solve(each[None], [0, 0.05, 0.1]) for each in fields]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-13)


def test_coarse_frames_hold_the_averages_of_what_is_conserved():
    fields = wave(16)[None]
    solver = Euler((16, 16), dtype=torch.float64)
    fine, coarse = (solver.solve(fields, [0, 0.1], coarsen=coarsen) for coarsen in (1, 4))
    averaged = conserved(fine, gamma=GAMMA).unfold(3, 4, 4).unfold(4, 4, 4).mean((-2, -1))
    torch.testing.assert_close(conserved(coarse, gamma=GAMMA), averaged, rtol=1e-13, atol=1e-13)


def test_trouble_is_met_by_first_order_where_it_is_and_conserves(monkeypatch):
    # A strong blast next to almost nothing, with a scheme that does not limit its slopes.
    fields = torch.tensor([1.0, 0, 0, 1e-4], dtype=torch.float64)[:, None, None].expand(4, 16, 16).clone()
    fields[3, 6:10, 6:10] = 1e3
    repaired = []
    cautious = Euler._cautious_stage
    monkeypatch.setattr(Euler, "_cautious_stage", lambda *args: repaired.append(1) or cautious(*args))
    frames = Euler((16, 16), reconstruction="central", dtype=torch.float64).solve(fields[None], [0, 0.003])
    assert repaired
    assert frames[:, :, [0, 3]].min() > 0
    before, after = conserved(frames[0], gamma=GAMMA).mean((2, 3))
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12 * float(before.abs().max()))


@pytest.mark.parametrize("wrong", [float("nan"), -1.0])
def test_a_blow_up_names_the_trajectory(wrong):
    fields = torch.stack([wave(16), wave(16), wave(16)])
    fields[1, 3, 2, 2] = wrong
    with pytest.raises(BlowUpError, match="density or pressure is negative or NaN") as caught:
        Euler((16, 16)).solve(fields, [0, 0.1])
    assert caught.value.trajectory == 1


def test_a_time_step_that_becomes_tiny_is_a_blow_up():
    fields = wave(8)
    fields[3] = 1e16
    with pytest.raises(BlowUpError, match="too fast to follow"):
        Euler((8, 8), dtype=torch.float64).solve(fields[None], [0, 1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Euler((8, 8), edges=("periodic", "closed")), "edges are periodic, open, wall"),  # type: ignore[arg-type]
        (lambda: Euler((8, 8), reconstruction="eno"), "reconstructions mc, minmod"),  # type: ignore[arg-type]
        (lambda: Euler((8, 8), order=4), "order is 2 or 3"),
        (lambda: Euler((8, 8), gamma=1.0), "gamma is above 1"),
        (lambda: Euler((8, 8)).solve(wave(8)[None], [0, 1, 1]), "must increase"),
        (lambda: Euler((8, 8)).solve(wave(8)[None], [0, 1], coarsen=3), "must divide both"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        wrong()


def test_fields_on_another_grid_are_refused():
    with pytest.raises(ShapeError, match=r"\(1, 4, 8, 8\).*\(batch, 4 \+ tracers, 16, 16\)"):
        Euler((16, 16)).solve(wave(8)[None], [0, 1])
    with pytest.raises(ShapeError, match="potential"):
        Euler((16, 16), potential=torch.zeros(8, 8))


def test_compiling_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setattr(finite_volume, "compiler_available", lambda: False)
    with pytest.raises(ConfigError, match="Install g\\+\\+"):
        Euler((8, 8), compile=True)


def test_a_function_is_compiled_once_for_every_shape(monkeypatch):
    traced = []

    def backend(graph, _inputs):
        traced.append(1)
        return graph.forward

    compile_with = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda f, **_: compile_with(f, dynamic=False, fullgraph=True, backend=backend)
    )
    double = compilation.compiled.__wrapped__(lambda x, *, by: x * by)
    for size in (3, 3, 5):
        assert double(torch.ones(size), by=2.0).tolist() == [2.0] * size
    assert len(traced) == 2
