"""All stages in one program: stages chained by water, everything stage after stage."""

from dataclasses import replace

import numpy as np
import pytest

from sciml.dispatch.horizon import horizon_form
from sciml.dispatch.network import stage_form
from sciml.dispatch.programs import make_horizon_program, make_stage_program, solver_for
from tests.dispatch.two_buses import CHEAP, stage_parameters, two_buses

SIMPLEX = 1e-9  # HiGHS at a vertex: round-off


def horizon_parameters(program, case, stages, *, water, target=None):
    """``water`` and ``target``: (stage, plant)."""
    active, reactive = np.array([case.load(t) for t in range(stages)]).swapaxes(0, 1)
    given = {"water": water, "target": target, "load": active, "reactive_load": reactive}
    return np.concatenate([np.ravel(given[name]) for name in program.blocks])


@pytest.mark.parametrize("network", ["dc", "dc_lossy", "soc"])
def test_a_horizon_of_one_stage_is_that_stage(cascade, network):
    water = 0.5 * cascade.plants.volume_max
    stage, horizon = make_stage_program(cascade, network), make_horizon_program(cascade, network, 1)
    p = stage_parameters(stage, cascade, water=water)
    one, other = stage.solve(p), horizon.solve(p)
    assert one.value == pytest.approx(other.value, rel=1e-12)
    assert stage.blocks == horizon.blocks
    for name, values in one.variables.items():
        np.testing.assert_allclose(values, other.variables[name], atol=1e-9)


@pytest.mark.parametrize("network", ["dc", "dc_lossy", "soc"])
def test_strict_targets_make_the_horizon_fall_apart_into_stages(cascade, network):
    stages, plants = 4, len(cascade.plants.names)
    rng = np.random.default_rng(0)
    inflows = cascade.volume_per_flow * cascade.inflows[:stages, :, 1]
    # A third of what there is, after the inflow of the stage, is kept: it can be.
    targets, water, before = np.zeros((stages, plants)), inflows.copy(), cascade.plants.initial_volume
    water[0] += before
    for t in range(stages):
        targets[t] = np.minimum(rng.uniform(0.2, 0.4, plants) * (before + inflows[t]), cascade.plants.volume_max)
        before = targets[t]
    horizon = make_horizon_program(cascade, network, stages, targets="strict")
    whole = horizon.solve(horizon_parameters(horizon, cascade, stages, water=water, target=targets))
    stage = make_stage_program(cascade, network, targets="strict")
    start = np.concatenate([cascade.plants.initial_volume[None], targets[:-1]])
    parts = [
        stage.solve(stage_parameters(stage, cascade, water=start[t] + inflows[t], target=targets[t], stage=t))
        for t in range(stages)
    ]
    # Simplex: round-off. Interior point: what it is asked for, 1e-9, with room for sums.
    assert sum(part.value for part in parts) == pytest.approx(whole.value, rel=SIMPLEX if network == "dc" else 1e-8)
    for t, part in enumerate(parts):
        costs = whole.variables["thermal"].reshape(stages, -1)[t] @ cascade.thermals.cost
        assert costs == pytest.approx(part.variables["thermal"] @ cascade.thermals.cost, rel=1e-5, abs=1e-4)


def test_each_stage_starts_with_the_water_that_the_one_before_leaves(cascade):
    stages = 5
    water = cascade.volume_per_flow * cascade.inflows[:stages, :, 0]
    water[0] += cascade.plants.initial_volume
    program = make_horizon_program(cascade, "dc", stages)
    v = program.solve(horizon_parameters(program, cascade, stages, water=water)).variables
    volume, turbine, spill = (v[name].reshape(stages, -1) for name in ("volume", "turbine", "spill"))
    before = np.vstack([np.zeros(volume.shape[1]), volume[:-1]])  # the first stage's is in the parameters
    balance = before + water - volume - cascade.volume_per_flow * turbine - spill
    for up, down in cascade.plants.turbine_links:
        balance[:, down] += cascade.volume_per_flow * turbine[:, up]
    for up, down in cascade.plants.spill_links:
        balance[:, down] += spill[:, up]
    np.testing.assert_allclose(balance, 0, atol=1e-6)


def test_water_is_kept_for_the_stage_that_needs_it():
    # The line takes 0.5: the first stage's load of 0.5 needs no oil, the second's of 0.9 does. 0.1 p.u. is 1.8 hm3.
    case = replace(two_buses(branches__rating=[0.5]), demand=np.array([[0.0, 0.5], [0.0, 0.9]]))
    program = make_horizon_program(case, "dc", 2)
    found = program.solve(horizon_parameters(program, case, 2, water=np.array([[1.8], [0.0]])))
    assert found.variables["volume"][0] == pytest.approx(1.8)
    assert found.value == pytest.approx(CHEAP * (0.5 + 0.5) + 30.0 * (0.4 - 0.1), rel=SIMPLEX)
    # What arrives at either stage is used at the second.
    water = found.multipliers[program.blocks["water"]]
    np.testing.assert_allclose(water, -30.0 * 2.0 / case.volume_per_flow / case.base, rtol=SIMPLEX)


def test_multipliers_of_a_block_are_stage_after_stage():
    case = replace(two_buses(branches__rating=[0.5]), demand=np.array([[0.0, 0.3], [0.0, 0.9]]))
    program = make_horizon_program(case, "dc", 2)
    found = program.solve(horizon_parameters(program, case, 2, water=np.zeros((2, 1))))
    prices = found.multipliers[program.blocks["load"]].reshape(2, 2)
    np.testing.assert_allclose(prices, [[10, 10], [10, 30]], rtol=SIMPLEX)


def test_rows_and_columns_are_named_with_their_stage():
    form = horizon_form(two_buses(), "dc", 3, targets="strict")
    stage = stage_form(two_buses(), "dc", targets="strict")
    assert len(form.row_names) == 3 * len(stage.row_names)
    assert form.row_names[form.parameter_rows[form.blocks["target"]][2]] == "target of lake, stage 3"
    assert form.column_names[np.arange(len(form.cost))[form.columns["volume"]][1]] == "volume of lake, stage 2"


def test_cones_of_a_later_stage_hold_of_its_own_columns():
    case = replace(two_buses(branches__resistance=[0.05]), demand=np.array([[0.0, 0.2], [0.0, 0.8]]))
    program = solver_for(horizon_form(case, "dc_lossy", 2))
    v = program.solve(horizon_parameters(program, case, 2, water=np.zeros((2, 1)))).variables
    np.testing.assert_allclose(v["flow"] + v["flow_end"], 0.05 * v["flow"] ** 2, atol=1e-6)
