"""Strict targets are reached: what was planned on targets alone is what happens, in every stage, for any rule."""

import numpy as np
import pytest
import torch

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.duality import HorizonCost, StageCost
from sciml.dispatch.programs import make_horizon_program, make_stage_program
from sciml.dispatch.rules import TargetRule

pytestmark = pytest.mark.validation
STAGES, BATCH = 26, 4
# HiGHS keeps bounds to 1e-7 in rows of flows of 1e2, hm3.
REACHED = 1e-6


def rule(case, seed, gain):
    torch.manual_seed(seed)
    made = TargetRule.for_case(case, stages=STAGES, kind="lstm", memory=16, hidden=(16,))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(gain)
    return made


@pytest.fixture(scope="module")
def case():
    return HydrothermalCase.cascade()


@pytest.fixture(scope="module")
def inflows(case):
    openings = np.random.default_rng(0).integers(0, case.inflows.shape[2], size=(BATCH, STAGES))
    return torch.tensor(case.inflows[np.arange(STAGES), :, openings])


# Around half of what can be kept, and at one of the ends nearly always.
@pytest.mark.parametrize("gain", [1, 10])
@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_closed_loop_on_realised_volumes_is_open_loop_on_targets(case, inflows, seed, gain):
    some = rule(case, seed, gain)
    program = make_stage_program(case, "dc", targets="strict")
    targets, memory = some(inflows), some.start(BATCH)
    volume, cost = torch.tensor(case.plants.initial_volume).expand(BATCH, -1), 0.0
    for stage in range(STAGES):
        target, memory = some.step(stage, inflows[:, stage], volume, memory)
        water = (volume + case.volume_per_flow * inflows[:, stage]).numpy()
        outcomes = [
            program.solve(np.concatenate([w, x, case.load(stage)[0]]))
            for w, x in zip(water, target.numpy(), strict=True)
        ]
        # A solver leaves the limits by its tolerance, and the sum of many is a drift: the rule gets what is within.
        volume = torch.tensor(np.clip([o.variables["volume"] for o in outcomes], 0, case.plants.volume_max))
        cost = cost + np.array([o.value for o in outcomes])
        np.testing.assert_allclose(volume, targets[:, stage], rtol=0, atol=REACHED)
    np.testing.assert_allclose(cost, HorizonCost(case, "dc", STAGES)(targets, inflows), rtol=1e-8)


@torch.no_grad()
def test_penalised_programs_do_not_deviate_from_reachable_targets(case, inflows):
    targets = rule(case, 0, 3)(inflows)
    # Above what a hm3 is worth anywhere: over a week it is 1.65 m3/s, which give 4.5 MW in all turbines together, for
    # which 500 $/MWh are paid at most: 2,230 $.
    program = make_horizon_program(case, "dc", STAGES, targets="penalised", penalty=1e4)
    cost = HorizonCost(case, "dc", STAGES)(targets, inflows)
    for i in range(BATCH):
        water = case.volume_per_flow * inflows[i].numpy()
        water[0] += case.plants.initial_volume
        load = np.concatenate([case.load(stage)[0] for stage in range(STAGES)])
        outcome = program.solve(np.concatenate([water.ravel(), targets[i].flatten(), load]))
        deviation = np.abs(outcome.variables["volume"].reshape(STAGES, -1) - targets[i].numpy())
        assert deviation.max() < REACHED
        assert outcome.value == pytest.approx(float(cost[i]), rel=1e-8)


@torch.no_grad()
def test_a_horizon_falls_apart_into_stages(case, inflows):
    targets = rule(case, 1, 3)(inflows)
    together = HorizonCost(case, "dc", STAGES)(targets, inflows)
    torch.testing.assert_close(StageCost(case, "dc", STAGES)(targets, inflows), together, rtol=1e-9, atol=0)
