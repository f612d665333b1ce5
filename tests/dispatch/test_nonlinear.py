"""The AC network against closed forms, the physics in complex numbers, and its relaxation."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from sciml.dispatch import ipopt
from sciml.dispatch.nonlinear import ac_program
from sciml.dispatch.programs import make_horizon_program, make_stage_program
from sciml.errors import ConfigError, InfeasibleError, SolverError
from tests.dispatch.two_buses import CHEAP, DEAR, DEFICIT, LOAD, stage_parameters, two_buses

# IPOPT is asked for 1e-8 of scaled optimality, and widens bounds by 1e-9, which costs of 1e3 $ and more multiply.
INTERIOR = 1e-6
BALANCED = 1e-7  # p.u. and hm3; IPOPT is asked for 1e-8 of scaled rows


def awkward():
    """Two buses and two branches with all that a branch can have, and shunts."""
    return two_buses(
        branches__resistance=[0.02, 0.05],
        branches__reactance=[0.1, 0.2],
        branches__charging_start=[0.03, 0.01],
        branches__charging_end=[0.02, 0.04],
        branches__tap=[1.05, 0.95],
        branches__shift=[0.05, -0.1],
        branches__rating=[0.45, 0.6],
        buses__conductance=[0.01, 0.02],
        buses__susceptance=[0.1, -0.05],
        buses__reactive_load=[0.1, 0.2],
    )


def test_an_angle_limit_lets_through_what_the_sine_says():
    case = two_buses(branches__reactance=[1.0], branches__angle_max=[0.3])
    program = ac_program(case)
    found = program.solve(stage_parameters(program, case, water=0.0))
    most = 1.1**2 * np.sin(0.3)  # both voltages at their limit
    assert found.variables["flow"] == pytest.approx(most, rel=INTERIOR)
    assert found.value == pytest.approx(CHEAP * most + DEAR * (LOAD - most), rel=INTERIOR)
    np.testing.assert_allclose(found.multipliers[program.blocks["load"]], [CHEAP, DEAR], rtol=INTERIOR)


def test_power_leaves_and_enters_as_complex_numbers_say():
    case = awkward()
    program = ac_program(case)
    x = program.solve(stage_parameters(program, case, water=2.0)).variables
    V = x["voltage"] * np.exp(1j * x["angle"])
    injected = np.zeros(2, dtype=complex)
    injected[case.thermals.bus] += x["thermal"] + 1j * x["thermal_reactive"]
    injected[case.plants.bus] += x["turbine"] * case.plants.production / case.base + 1j * x["hydro_reactive"]
    injected += x["deficit"] - case.buses.load - 1j * case.buses.reactive_load
    injected -= (case.buses.conductance - 1j * case.buses.susceptance) * abs(V) ** 2
    b = case.branches
    for i in range(2):
        # An ideal transformer, then a series admittance between two shunts.
        ratio = b.tap[i] * np.exp(1j * b.shift[i])
        behind, end = V[b.start[i]] / ratio, V[b.end[i]]
        series = 1 / (b.resistance[i] + 1j * b.reactance[i])
        # The charging at the start is on the side of the line.
        out = behind * np.conj(series * (behind - end) + 1j * b.charging_start[i] * behind)
        back = end * np.conj(series * (end - behind) + 1j * b.charging_end[i] * end)
        flows = [x[n][i] for n in ("flow", "reactive_flow", "flow_end", "reactive_flow_end")]
        np.testing.assert_allclose(flows, [out.real, out.imag, back.real, back.imag], rtol=0, atol=BALANCED)
        assert max(abs(out), abs(back)) <= b.rating[i] + BALANCED
        injected[b.start[i]] -= out
        injected[b.end[i]] -= back
    np.testing.assert_allclose(injected, 0, rtol=0, atol=BALANCED)
    left = 2.0 - case.volume_per_flow * x["turbine"] - x["spill"] - x["volume"]
    np.testing.assert_allclose(left, 0, rtol=0, atol=BALANCED)


def test_on_a_tree_the_relaxation_is_exact():
    case = two_buses(
        branches__resistance=[0.05],
        branches__tap=[1.05],
        branches__charging_start=[0.03],
        branches__rating=[0.9],
        buses__reactive_load=[0.0, 0.3],
        buses__conductance=[0.0, 0.05],
    )
    parameters = stage_parameters(ac_program(case), case, water=2.0)
    exact, relaxed = (make_stage_program(case, network).solve(parameters) for network in ("ac", "soc"))
    assert exact.value == pytest.approx(relaxed.value, rel=INTERIOR)
    # Clarabel is asked for 1e-9, and curvature makes multipliers less accurate than the value.
    np.testing.assert_allclose(exact.multipliers, relaxed.multipliers, rtol=1e-4, atol=1e-4)
    drawn = LOAD - 2.0 * 2.0 / case.volume_per_flow / case.base + 0.05 * 0.81  # the shunt at the lowest voltage
    assert exact.value > CHEAP * drawn * 1.01  # there are losses to speak of


def test_parameters_and_variables_bear_the_names_of_the_other_networks(cascade):
    for targets, future in ((None, [1.0]), ("strict", None), ("penalised", None)):
        ac, soc = (make_stage_program(cascade, n, targets=targets, future=future) for n in ("ac", "soc"))
        assert ac.blocks == soc.blocks
    shared = {"thermal", "turbine", "spill", "volume", "deficit", "flow", "flow_end", "reactive_flow", "above", "below"}
    program = ac_program(cascade, targets="penalised")
    half = cascade.plants.volume_max / 2
    found = program.solve(stage_parameters(program, cascade, water=half + 5, target=half)).variables
    assert shared | {"voltage", "angle", "thermal_reactive", "hydro_reactive"} <= set(found)


def test_a_horizon_is_its_stages_joined_by_water(cascade):
    stages, K = 3, cascade.volume_per_flow
    water = K * cascade.inflows[:stages, :, 0]
    volumes = np.concatenate(
        [[cascade.plants.initial_volume], np.tile(0.9 * cascade.plants.initial_volume, (stages, 1))]
    )
    water[0] += volumes[0]
    loads = [np.array(v) for v in zip(*(cascade.load(t) for t in range(stages)), strict=True)]
    horizon = make_horizon_program(cascade, "ac", stages, targets="strict")
    parameters = np.concatenate([water.ravel(), volumes[1:].ravel(), *(v.ravel() for v in loads)])
    whole = horizon.solve(parameters)
    stage = make_stage_program(cascade, "ac", targets="strict")
    parts = []
    for t in range(stages):
        before = volumes[t] if t else 0
        parts.append(stage.solve(np.concatenate([water[t] + before, volumes[t + 1], loads[0][t], loads[1][t]])))
    assert whole.value == pytest.approx(sum(part.value for part in parts), rel=INTERIOR)
    np.testing.assert_allclose(whole.variables["volume"].reshape(stages, -1), volumes[1:], rtol=0, atol=1e-6)
    for name in ("thermal", "voltage"):  # the same optimum, stage after stage
        together = np.concatenate([part.variables[name] for part in parts])
        np.testing.assert_allclose(whole.variables[name], together, rtol=0, atol=1e-3)
    # A target ends one stage and starts the next.
    target, water_of = stage.blocks["target"], stage.blocks["water"]
    expected = np.array([part.multipliers[target] for part in parts])
    expected[:-1] += [part.multipliers[water_of] for part in parts[1:]]
    found = whole.multipliers[horizon.blocks["target"]].reshape(stages, -1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_cuts_price_the_water_that_is_left():
    case = two_buses()
    program = ac_program(case, future=[1.0])
    parameters = stage_parameters(program, case, water=2.0)
    without = program.solve(parameters)
    assert without.variables["volume"] == pytest.approx(0, abs=1e-6)
    saved = DEAR * 2.0 / case.volume_per_flow / case.base  # $ that a hm3 saves now
    program.add_cut(100.0, np.array([-2 * saved]))
    kept = program.solve(parameters)
    assert kept.variables["volume"] == pytest.approx(2.0, rel=INTERIOR)
    assert kept.variables["future"] == pytest.approx(100.0 - 2 * saved * 2.0, rel=INTERIOR)
    assert kept.multipliers[program.blocks["water"]] == pytest.approx(-2 * saved, rel=INTERIOR)
    program.add_cut(50.0, np.array([0.0]))
    assert program.solve(parameters).variables["future"] >= 50.0 - 1e-5
    program.remove_cuts(np.array([0]))
    program.remove_cuts(np.array([0]))
    assert program.solve(parameters).value == without.value


def test_every_opening_has_its_cuts():
    case = two_buses()
    program = ac_program(case, future=[0.25, 0.75])
    program.add_cut(10.0, np.zeros(1), 0)
    program.add_cut(20.0, np.zeros(1), 1)
    found = program.solve(stage_parameters(program, case, water=2.0))
    np.testing.assert_allclose(found.variables["future"], [10.0, 20.0], rtol=INTERIOR)


def test_a_solve_does_not_remember_the_one_before():
    case = awkward()
    program = ac_program(case, targets="penalised")
    first, second = (stage_parameters(program, case, water=w, target=w / 2) for w in (1.0, 4.0))
    before = program.solve(first)
    program.solve(second)
    after = program.solve(first)
    assert before.value == after.value
    np.testing.assert_array_equal(before.multipliers, after.multipliers)


def test_at_the_ends_of_what_is_reachable_multipliers_stay_bounded():
    case = awkward()
    program = ac_program(case, targets="strict")
    worth = DEFICIT * 2.0 / case.volume_per_flow / case.base  # $ per hm3 that serves load which is shed
    for water, target in ((2.0, 2.0), (2.0, 0.0), (0.0, 0.0), (12.0, 10.0)):
        found = program.solve(stage_parameters(program, case, water=water, target=target))
        assert found.variables["volume"] == pytest.approx(target, abs=1e-6)
        # Nothing bounds the multiplier there; the exact penalty, three times the worth, does.
        assert np.abs(found.multipliers[program.blocks["target"]]).max() < 3.1 * worth
        assert not {"above", "below"} & set(found.variables)


def test_a_target_that_cannot_be_met_is_named():
    case = two_buses()
    program = ac_program(case, targets="strict")
    with pytest.raises(InfeasibleError, match=r"lake, by -1 hm3"):
        program.solve(stage_parameters(program, case, water=2.0, target=3.0))
    horizon = ac_program(case, stages=2, targets="strict")
    active, reactive = (np.tile(v, 2) for v in case.load(0))
    with pytest.raises(InfeasibleError, match=r"lake, stage 2, by -1 hm3"):
        horizon.solve(np.concatenate([[2.0, 0.0], [1.0, 2.0], active, reactive]))


def test_voltages_that_cannot_be_held_are_named():
    case = two_buses(thermals__reactive_max=[0.0, 0.0], thermals__reactive_min=[0.0, 0.0])
    program = ac_program(case)
    with pytest.raises(InfeasibleError, match="reactive_load of south"):
        program.solve(stage_parameters(program, case, water=0.0, reactive_load=[0.0, 5.0]))


def test_trouble_is_met_by_another_attempt_and_then_said(monkeypatch):
    case = awkward()
    early = [("start", {"ipopt.max_iter": 2})]
    monkeypatch.setattr(ipopt, "_LADDER", (*early, ("zero", {})))
    program = ac_program(case)
    parameters = stage_parameters(program, case, water=2.0)
    assert program.solve(parameters).attempts == 2
    monkeypatch.setattr(ipopt, "_LADDER", early)
    with pytest.raises(SolverError, match="Maximum_Iterations_Exceeded"):
        ac_program(case).solve(parameters)


def test_what_cannot_be_is_refused(monkeypatch, cascade):
    with pytest.raises(ConfigError, match="one stage"):
        ac_program(cascade, stages=2, future=[1.0])
    with pytest.raises(ConfigError, match=r"future=\[1.0\]"):
        ac_program(cascade).add_cut(0.0, np.zeros(4))
    program = ac_program(cascade)
    with pytest.raises(SolverError, match="block water"):
        program.solve(stage_parameters(program, cascade, water=np.nan))
    monkeypatch.setitem(sys.modules, "casadi", None)
    with pytest.raises(ConfigError, match="pip install"):
        ac_program(cascade)


def test_soft_limits_of_outflow_and_volume_cost_what_they_say():
    case = two_buses(
        plants__turbine_min=[10.0],
        plants__outflow_violation_cost=[0.5],
        plants__volume_min=[1.0],
        plants__volume_violation_cost=[2.0],
    )
    case = replace(case, deficit_cost=DEFICIT)
    program = ac_program(case)
    found = program.solve(stage_parameters(program, case, water=0.0))
    assert found.variables["outflow_short"] == pytest.approx(10.0, rel=INTERIOR)
    assert found.variables["volume_short"] == pytest.approx(1.0, rel=INTERIOR)
    assert found.value == pytest.approx(CHEAP * LOAD + 10 * 0.5 + 2.0, rel=INTERIOR)
