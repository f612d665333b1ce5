"""Networks of one stage against closed forms on two buses, and against the physics written out."""

from dataclasses import replace

import numpy as np
import pytest

from sciml.dispatch.network import branch_flows, default_penalty, stage_form
from sciml.dispatch.programs import make_stage_program
from sciml.errors import ConfigError, InfeasibleError
from tests.dispatch.two_buses import BASE, CHEAP, DEAR, DEFICIT, LOAD, stage_parameters, two_buses

CONVEX = ("dc", "dc_lossy", "soc")
SIMPLEX = 1e-9  # HiGHS at a vertex: round-off
INTERIOR = 1e-6  # Clarabel is asked for 1e-9; flat directions of the optimum multiply that


def solved(case, network, *, targets=None, penalty=None, water=0.0, **blocks):
    program = make_stage_program(case, network, targets=targets, penalty=penalty)
    found = program.solve(stage_parameters(program, case, water=water, **blocks))
    return found, {name: found.multipliers[block] for name, block in program.blocks.items()}


def test_a_congested_line_sets_two_prices():
    found, prices = solved(two_buses(branches__rating=[0.5]), "dc")
    assert found.value == pytest.approx(CHEAP * 0.5 + DEAR * (LOAD - 0.5), rel=SIMPLEX)
    assert found.variables["flow"] == pytest.approx(0.5, rel=SIMPLEX)
    np.testing.assert_allclose(prices["load"], [CHEAP, DEAR], rtol=SIMPLEX)


def test_water_is_worth_the_unit_that_it_replaces():
    case = two_buses(branches__rating=[0.5])
    found, prices = solved(case, "dc", water=2.0)
    flow = 2.0 / case.volume_per_flow  # m3/s, all through the turbine
    power = 2.0 * flow / BASE
    assert found.variables["turbine"] == pytest.approx(flow, rel=SIMPLEX)
    assert found.value == pytest.approx(CHEAP * 0.5 + DEAR * (LOAD - 0.5 - power), rel=SIMPLEX)
    # A hm3 is 1 / K m3/s, of 2 MW each, in place of oil.
    assert prices["water"] == pytest.approx(-DEAR * 2.0 / case.volume_per_flow / BASE, rel=SIMPLEX)


def test_parallel_lines_share_by_reactance_tap_and_shift():
    tap, shift = np.array([1.0, 1.1]), np.array([0.0, 0.02])
    case = two_buses(branches__reactance=[0.1, 0.2], branches__tap=tap, branches__shift=shift)
    slope = 1 / (np.array([0.1, 0.2]) * tap)
    angle = (LOAD + slope @ shift) / slope.sum()
    found, _ = solved(case, "dc")
    np.testing.assert_allclose(found.variables["flow"], slope * (angle - shift), rtol=1e-9)
    np.testing.assert_allclose(found.variables["angle"], [0, -angle], atol=1e-9)


def test_a_limit_of_the_angle_limits_the_flow():
    found, _ = solved(two_buses(branches__angle_max=[0.03]), "dc")
    assert found.variables["flow"] == pytest.approx(0.03 / 0.1, rel=SIMPLEX)


def test_without_units_the_load_is_not_served_and_costs_the_deficit():
    found, prices = solved(two_buses(thermals__power_max=[0.3, 0.0]), "dc")
    assert found.value == pytest.approx(CHEAP * 0.3 + DEFICIT * (LOAD - 0.3), rel=SIMPLEX)
    np.testing.assert_allclose(prices["load"], DEFICIT, rtol=SIMPLEX)


def test_losses_of_the_lossy_network_are_r_p_squared():
    r = 0.05
    found, prices = solved(two_buses(branches__resistance=[r]), "dc_lossy")
    sent = (1 - np.sqrt(1 - 4 * r * LOAD)) / (2 * r)  # sent - r sent^2 = load
    assert found.value == pytest.approx(CHEAP * sent, rel=INTERIOR)
    assert found.variables["flow_end"] == pytest.approx(-LOAD, rel=INTERIOR)
    np.testing.assert_allclose(prices["load"], [CHEAP, CHEAP / (1 - 2 * r * sent)], rtol=INTERIOR)


@pytest.mark.parametrize("r", [0.0, -0.01])
def test_a_branch_of_no_or_negative_resistance_has_no_losses(r):
    found, _ = solved(two_buses(branches__resistance=[r]), "dc_lossy")
    assert found.value == pytest.approx(CHEAP * LOAD, rel=INTERIOR)


def test_the_cone_network_is_exact_on_one_line():
    r, x, voltage = 0.03, 0.1, 1.1
    found, prices = solved(two_buses(branches__resistance=[r], buses__voltage_max=[2.0, voltage]), "soc")
    # Losses r |I|^2 are least at the highest voltage of the load, with a current in phase with it.
    current = LOAD / voltage
    assert found.value == pytest.approx(CHEAP * (LOAD + r * current**2), rel=INTERIOR)
    np.testing.assert_allclose(prices["load"], [CHEAP, CHEAP * (1 + 2 * r * current / voltage)], rtol=1e-5)
    v = found.variables
    sending = voltage + (r + 1j * x) * current
    # Losses are flat around the best voltage: its error is the root of the value's.
    np.testing.assert_allclose(np.sqrt(v["voltage_squared"]), [abs(sending), voltage], rtol=1e-4)
    assert np.arctan2(v["product_imaginary"], v["product_real"]) == pytest.approx(np.angle(sending), rel=1e-4)


def test_the_rating_holds_for_the_apparent_power_of_both_ends():
    case = two_buses(branches__resistance=[0.03], branches__rating=[0.4], buses__reactive_load=[0.0, 0.3])
    found, _ = solved(case, "soc")
    v = found.variables
    ends = [np.hypot(v[f"flow{end}"], v[f"reactive_flow{end}"])[0] for end in ("", "_end")]
    assert max(ends) == pytest.approx(0.4, abs=INTERIOR)


def test_an_angle_limit_beyond_a_right_angle_cuts_nothing_off():
    wide, narrow = (
        solved(two_buses(branches__angle_min=[-limit], branches__angle_max=[limit]), "soc")[0].value
        for limit in (np.radians(100), np.radians(89))
    )
    assert wide == pytest.approx(narrow, rel=INTERIOR)


@pytest.mark.parametrize("network", CONVEX)
def test_a_shunt_takes_conductance_times_voltage_squared(network):
    case = two_buses(buses__conductance=[0.0, 0.1])
    found, _ = solved(case, network)
    squared = found.variables["voltage_squared"][1] if network == "soc" else 1.0
    assert found.value == pytest.approx(CHEAP * (LOAD + 0.1 * squared), rel=INTERIOR)


def test_a_capacitor_serves_reactive_load():
    # Reactive power cannot come from units; the capacitor's 0.5 W must be what the line and the load take.
    case = two_buses(
        buses__susceptance=[0.0, 0.5],
        buses__reactive_load=[0.0, 0.5],
        thermals__reactive_min=[-1.0, 0.0],
        thermals__reactive_max=[1.0, 0.0],
        branches__resistance=[0.01],
    )
    found, _ = solved(case, "soc")
    v = found.variables
    into = 0.5 * v["voltage_squared"][1] - 0.5 - v["reactive_flow_end"][0]
    assert into == pytest.approx(0.0, abs=INTERIOR)


def test_branch_flows_are_those_of_the_pi_model_with_a_transformer():
    rng = np.random.default_rng(0)
    number = 6
    case = two_buses(
        branches__reactance=rng.uniform(0.05, 0.2, number),
        branches__resistance=rng.uniform(0.01, 0.1, number),
        branches__charging_start=rng.uniform(0, 0.1, number),
        branches__charging_end=rng.uniform(0, 0.1, number),
        branches__tap=rng.uniform(0.9, 1.1, number),
        branches__shift=rng.uniform(-0.3, 0.3, number),
    )
    Vf, Vt = 1.03 * np.exp(0.2j), 0.97 * np.exp(-0.1j)
    line = case.branches
    y = 1 / (line.resistance + 1j * line.reactance)
    ratio = line.tap * np.exp(1j * line.shift)
    behind = Vf / ratio  # the voltage behind an ideal transformer
    start = Vf * np.conj((y * (behind - Vt) + 1j * line.charging_start * behind) / np.conj(ratio))
    end = Vt * np.conj(y * (Vt - behind) + 1j * line.charging_end * Vt)
    expected = [start.real, start.imag, end.real, end.imag]
    product = Vf * np.conj(Vt)
    for (name, squared, real, imaginary), power in zip(branch_flows(case), expected, strict=True):
        own = abs(Vt if name.endswith("_end") else Vf) ** 2
        # Round-off of numbers of order 10.
        np.testing.assert_allclose(squared * own + real * product.real + imaginary * product.imag, power, atol=1e-12)


@pytest.mark.parametrize("network", CONVEX)
def test_what_flows_into_a_bus_or_a_reservoir_leaves_it(cascade, network):
    rng = np.random.default_rng(1)
    plants, branches = cascade.plants, cascade.branches
    before = rng.uniform(0.3, 0.7, len(plants.names)) * plants.volume_max
    inflow = cascade.inflows[3, :, 2]
    found, _ = solved(cascade, network, water=before + cascade.volume_per_flow * inflow, stage=3)
    v = found.variables
    factor = cascade.volume_per_flow
    for h, volume in enumerate(v["volume"]):
        arriving = sum(factor * v["turbine"][up] for up, down in plants.turbine_links if down == h)
        arriving += sum(v["spill"][up] for up, down in plants.spill_links if down == h)
        leaving = factor * v["turbine"][h] + v["spill"][h]
        assert volume == pytest.approx(before[h] + factor * inflow[h] + arriving - leaving, abs=INTERIOR)
    # Complex power; W and the products of the cone network are those of voltages where the cone is tight.
    start, end = v["flow"], -v["flow"]
    if network == "dc_lossy":
        end = v["flow_end"]
        losses = v["flow"] + v["flow_end"]
        assert (losses >= branches.resistance * v["flow"] ** 2 - INTERIOR).all()
    if network == "soc":
        by_name = {name: (squared, real, imaginary) for name, squared, real, imaginary in branch_flows(cascade)}
        ends = {"flow": branches.start, "flow_end": branches.end}
        start, end = (
            by_name[n][0] * v["voltage_squared"][ends[n]]
            + by_name[n][1] * v["product_real"]
            + by_name[n][2] * v["product_imaginary"]
            for n in ends
        )
    load, _ = cascade.load(3)
    for i in range(len(load)):
        made = v["thermal"][cascade.thermals.bus == i].sum() + v["deficit"][i]
        made += (plants.production * v["turbine"] / cascade.base)[plants.bus == i].sum()
        gone = start[branches.start == i].sum() + end[branches.end == i].sum()
        shunt = cascade.buses.conductance[i] * (v["voltage_squared"][i] if network == "soc" else 1)
        assert made - gone - shunt == pytest.approx(load[i], abs=INTERIOR)


def test_losses_cost_something(cascade):
    rng = np.random.default_rng(2)
    for stage in range(0, 50, 10):
        water = rng.uniform(0, 1, 4) * cascade.plants.volume_max
        lossless, lossy = (solved(cascade, n, water=water, stage=stage)[0].value for n in ("dc", "dc_lossy"))
        assert lossless * (1 + 1e-7) < lossy


def test_a_strict_target_is_met_and_a_penalised_one_costs_what_it_is_missed_by():
    case = two_buses()
    found, prices = solved(case, "dc", targets="strict", water=4.0, target=3.0)
    assert found.variables["volume"] == pytest.approx(3.0)
    assert prices["target"] == pytest.approx(-prices["water"])  # of a hm3 more to keep and a hm3 more to have
    free, _ = solved(case, "dc", water=0.0)
    for water, target, side in ((4.0, 6.5, "below"), (12.0, -1.0, "above")):
        missed, _ = solved(case, "dc", targets="penalised", penalty=700.0, water=water, target=target)
        assert missed.variables[side] == pytest.approx(2.5 if side == "below" else 1.0)
    missed, prices = solved(case, "dc", targets="penalised", penalty=700.0, water=0.0, target=2.0)
    assert missed.value == pytest.approx(free.value + 700.0 * 2.0, rel=SIMPLEX)
    assert prices["target"] == pytest.approx(700.0, rel=SIMPLEX)


def test_the_default_penalty_is_the_largest_cost_of_the_stage():
    assert default_penalty(two_buses()) == DEFICIT
    assert default_penalty(two_buses(thermals__cost=[1.0, 4000.0])) == 4000.0


@pytest.mark.parametrize("network", CONVEX)
def test_a_hard_minimum_flow_holds_and_a_soft_one_costs_what_is_short(network):
    hard = two_buses(plants__turbine_min=[10.0])
    found, _ = solved(hard, network, targets="penalised", penalty=1e5, water=6.0, target=6.0)
    assert found.variables["turbine"] == pytest.approx(10.0, rel=INTERIOR)
    with pytest.raises(InfeasibleError, match="turbine of lake"):
        solved(hard, network, water=1.0)
    soft = two_buses(plants__turbine_min=[10.0], plants__outflow_violation_cost=[50.0])
    found, _ = solved(soft, network, water=1.8)  # K = 0.36: 5 m3/s
    assert found.variables["outflow_short"] == pytest.approx(5.0, rel=INTERIOR)
    none = solved(two_buses(), network, water=1.8)[0]
    assert found.value == pytest.approx(none.value + 50.0 * 5.0, rel=INTERIOR)


@pytest.mark.parametrize("network", CONVEX)
def test_a_hard_smallest_volume_holds_and_a_soft_one_costs_what_is_short(network):
    found, _ = solved(two_buses(plants__volume_min=[4.0]), network, water=5.0)
    assert found.variables["volume"] == pytest.approx(4.0, rel=INTERIOR)
    with pytest.raises(InfeasibleError, match="volume of lake is at least 4 hm3"):
        solved(two_buses(plants__volume_min=[4.0]), network, water=3.0)
    soft = two_buses(plants__volume_min=[4.0], plants__volume_violation_cost=[1e4])
    found, _ = solved(soft, network, water=3.0)
    assert found.variables["volume_short"] == pytest.approx(1.0, rel=INTERIOR)


def test_a_turbine_is_limited_by_its_generator_too():
    case = two_buses(plants__turbine_max=[25.0], plants__power_max=[0.2])  # 0.2 p.u. = 10 m3/s of 2 MW each
    found, _ = solved(case, "dc", water=20.0)
    assert found.variables["turbine"] == pytest.approx(10.0)
    assert found.variables["spill"] == pytest.approx(20.0 - 10.0 - case.volume_per_flow * 10.0)


def test_hydro_generation_costs_what_the_case_says():
    water = 1.8  # 5 m3/s = 0.1 p.u.
    values = [solved(two_buses(plants__cost=[cost]), "dc", water=water)[0].value for cost in (0.0, 4.0)]
    assert values[1] - values[0] == pytest.approx(4.0 * 0.1, rel=1e-7)


def test_later_cost_has_a_weight_a_column_and_is_not_negative():
    form = stage_form(two_buses(), "dc", future=[0.25, 0.75])
    columns = form.columns["future"]
    np.testing.assert_array_equal(form.cost[columns], [0.25, 0.75])
    np.testing.assert_array_equal(form.lower[columns], 0)


def test_a_demand_that_varies_is_a_parameter():
    case = replace(two_buses(), demand=np.array([[0.0, 0.4], [0.0, 0.6]]))
    values = [solved(case, "dc", stage=stage)[0].value for stage in (0, 1, 2)]
    np.testing.assert_allclose(values, CHEAP * np.array([0.4, 0.6, 0.4]), rtol=SIMPLEX)


def test_unknown_networks_and_targets_are_refused():
    with pytest.raises(ConfigError, match=r"'dcc'.*dc, dc_lossy, soc or ac"):
        stage_form(two_buses(), "dcc")
    with pytest.raises(ConfigError, match=r"'soft'.*'strict' or 'penalised'"):
        stage_form(two_buses(), "dc", targets="soft")
