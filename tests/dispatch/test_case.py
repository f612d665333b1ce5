"""What a case is, at a stage and at a glance."""

from dataclasses import replace

import numpy as np
import pytest

from sciml.dispatch.cascade import cascade_case
from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.cases import open_case
from sciml.dispatch.programs import make_horizon_program, make_stage_program
from sciml.errors import ConfigError, DataError
from tests.dispatch.files import Files


def horizon(case, network, stages, openings):
    """Optimum of all stages along openings."""
    inflows = np.stack([case.inflows[t, :, k] for t, k in zip(range(stages), openings, strict=True)])
    water = case.volume_per_flow * inflows
    water[0] += case.plants.initial_volume
    loads = [case.load(t) for t in range(stages)]
    blocks = [water, np.stack([active for active, _ in loads])]
    if network in ("soc", "ac"):
        blocks.append(np.stack([reactive for _, reactive in loads]))
    return make_horizon_program(case, network, stages).solve(np.concatenate([block.ravel() for block in blocks]))


def year(case, seed):
    return np.random.default_rng(seed).integers(0, case.inflows.shape[2], len(case.inflows))


def test_a_flow_of_one_cubic_metre_a_second_fills_a_store_by_its_seconds(cascade):
    assert cascade.volume_per_flow == pytest.approx(7 * 24 * 3600 / 1e6)


def test_the_load_follows_the_demand_and_keeps_its_power_factor(cascade):
    dry, reactive = cascade.load(27)
    np.testing.assert_allclose(dry, 1.1 * cascade.buses.load)
    np.testing.assert_allclose(reactive, 1.1 * cascade.buses.reactive_load)
    np.testing.assert_array_equal(cascade.load(27 + 52)[0], dry)


def test_the_own_case_is_the_same_for_a_seed_and_another_for_another():
    first, again, other = cascade_case(seed=3), cascade_case(seed=3), cascade_case(seed=4)
    np.testing.assert_array_equal(first.inflows, again.inflows)
    assert (first.inflows != other.inflows).mean() > 0.99
    assert HydrothermalCase.cascade(seed=3, openings=5).inflows.shape == (52, 4, 5)


def test_the_own_case_has_a_wet_and_a_dry_season(cascade):
    by_row = cascade.inflows.sum(1).mean(1)
    wet, dry = by_row[np.arange(-6, 8)].mean(), by_row[20:34].mean()
    # The season of the docstring, exp(2 x 1.05) = 8.2 between its extremes, averages to 6.4 between these quarters; the
    # mean of 12 years, correlated from week to week, is off by about 10 %.
    assert 5 < wet / dry < 8


def test_looking_ahead_serves_all_load_and_being_greedy_does_not(cascade):
    """Water has a value that only the later stages know."""
    openings = year(cascade, 1)
    ahead = horizon(cascade, "dc", 52, openings)
    assert ahead.variables["deficit"].sum() == pytest.approx(0, abs=1e-7)  # feasibility tolerance of the solver
    program = make_stage_program(cascade, "dc")
    volume, cost, deficit = cascade.plants.initial_volume, 0.0, 0.0
    for t, k in enumerate(openings):
        water = volume + cascade.volume_per_flow * cascade.inflows[t, :, k]
        stage = program.solve(np.concatenate([water, cascade.load(t)[0]]))
        volume = stage.variables["volume"]
        cost, deficit = cost + stage.value, deficit + stage.variables["deficit"].sum()
    assert deficit > 1.0
    assert cost > 2 * ahead.value


def test_water_is_worth_thermal_power_in_the_dry_season_and_is_spilled_in_the_wet_one(cascade):
    solved = [horizon(cascade, "dc", 52, year(cascade, seed)) for seed in range(4)]
    values = -np.mean([outcome.multipliers[: 52 * 4].reshape(52, 4) for outcome in solved], axis=0)
    # A stage's cost is that of one hour of its 168: one m3/s over a stage, K hm3, is worth 2.7 MW, by three turbines,
    # times the price in $/MWh.
    worth = values[:, 0] * cascade.volume_per_flow / (1.15 + 0.95 + 0.60)
    assert worth[20:35].min() > 50  # the third unit costs 51 $/MWh
    assert worth[20:35].max() < 125  # the last one is not needed
    spill = np.mean([outcome.variables["spill"].reshape(52, 4).sum(1) for outcome in solved], axis=0)
    assert spill[:14].sum() > 5  # hm3
    assert spill[18:44].sum() == pytest.approx(0, abs=1e-6)


def test_a_line_is_at_its_limit_now_and_then(cascade):
    flow = np.stack([horizon(cascade, "dc", 52, year(cascade, s)).variables["flow"].reshape(52, -1) for s in range(4)])
    full = np.abs(np.abs(flow) - cascade.branches.rating) < 1e-6
    assert 0.01 < full.any(-1).mean() < 0.5


def test_the_own_case_is_feasible_with_alternating_current(cascade):
    """Voltages inside their limits, all load served, and losses of a few percent."""
    openings = year(cascade, 2)[:10]
    exact, linear, cone = (horizon(cascade, network, 10, openings) for network in ("ac", "dc", "soc"))
    assert np.abs(exact.variables["deficit"]).max() < 1e-5  # interior point: limits hold to 1e-6
    voltage = exact.variables["voltage"]
    assert voltage.min() > 0.95 - 1e-6
    assert voltage.max() < 1.05 + 1e-6
    assert linear.value < cone.value < exact.value * (1 + 1e-6)
    assert exact.value < 1.5 * linear.value


def test_more_load_than_the_own_case_can_serve_is_refused_by_nobody_but_costs():
    short = cascade_case(load_scale=1.3)
    assert horizon(short, "dc", 52, year(short, 1)).variables["deficit"].sum() > 0.1


def test_volumes_at_the_start_are_checked():
    np.testing.assert_array_equal(cascade_case(initial_volume=3.0).plants.initial_volume, 3.0)
    np.testing.assert_array_equal(cascade_case(initial_volume=[1, 2, 3, 0]).plants.initial_volume, [1, 2, 3, 0])
    with pytest.raises(ConfigError, match=r"initial_volume has 2 values; one, or one a plant \(4\)"):
        cascade_case(initial_volume=[1.0, 2.0])
    with pytest.raises(DataError, match="the initial volume of Lowland, 9 hm3, is above its largest volume, 3 hm3"):
        cascade_case(initial_volume=[1, 2, 3, 9])
    with pytest.raises(ConfigError, match="openings is 0; at least 1"):
        cascade_case(openings=0)


def test_the_summary_says_what_there_is_in_units(cascade):
    text = cascade.summary()
    for part in (
        "cascade: 8 buses, 10 branches, stages of 168 h, base 100 MVA",
        "297.0 to 363.0 MW, mean 330.0 MW",
        "260.0 MW in 5 units, 22.0 to 125.0 $/MWh",
        "294.5 MW in 4 plants",
        "500 $/MWh",
        "Headwater -> Gorge -> Lowland",
        "Tributary -> Lowland",
        "52 rows of 12 openings",
    ):
        assert part in text, part
    # 560 hm3 through 75 m3/s for 0.0036 x 168 hm3 a week.
    headwater = next(line for line in text.splitlines() if line.startswith("Headwater  "))
    assert headwater.split()[2:7] == ["86.2", "75.0", "1.15", "560.00", "12.35"]


def test_the_summary_draws_turbined_and_spilled_water_apart(cascade):
    plants = replace(cascade.plants, spill_links=((1, 3),))
    text = replace(cascade, plants=plants).summary()
    assert "Headwater -t> Gorge -> Lowland" in text
    assert "Tributary -t> Lowland" in text
    assert "(-t>: turbined water only)" in text
    alone = replace(cascade.plants, spill_links=(), turbine_links=())
    assert "Headwater, Gorge, Tributary, Lowland" in replace(cascade, plants=alone).summary()


def test_the_summary_warns_of_coefficients_far_apart(cascade):
    assert "far apart" not in cascade.summary()
    tiny = replace(cascade.plants, production=cascade.plants.production * [1, 1, 1, 1e-9])
    line = next(x for x in replace(cascade, plants=tiny).summary().splitlines() if x.startswith("matrix"))
    assert "far apart" in line


def test_cases_are_found_by_name_and_by_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("SCIML_HYDRO_CASES", raising=False)
    (tmp_path / "mine").mkdir()
    folder = Files(tmp_path / "mine").write()
    assert open_case("cascade", stage_hours=24).stage_hours == 24
    assert open_case(folder, load_scale=2.0).buses.load.sum() == pytest.approx(3.0)
    with pytest.raises(
        ConfigError, match="Set the environment variable SCIML_HYDRO_CASES to the folder that holds mine"
    ):
        open_case("mine")
    monkeypatch.setenv("SCIML_HYDRO_CASES", str(tmp_path))
    assert open_case("mine").name == "mine"
    with pytest.raises(
        ConfigError, match=r"SCIML_HYDRO_CASES=.* holds mine\. Of the public repositories, DecisionRules"
    ):
        open_case("bolivia")
