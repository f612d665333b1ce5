"""Multipliers are derivatives of the optimal value: against one-sided finite differences, in every convex network."""

import numpy as np
import pytest

from sciml.dispatch.cascade import cascade_case
from sciml.dispatch.programs import make_horizon_program

pytestmark = pytest.mark.validation

STAGES = 6


@pytest.fixture(scope="module")
def case():
    return cascade_case()


# The value of a linear program is piecewise linear: within a piece the difference is exact, and at a kink any slope
# between the one-sided ones is right. An interior point leaves 1e-10 of the value, which a difference divides by the
# step, and its multiplier the root of that.
@pytest.mark.parametrize(("network", "tolerance"), [("dc", 1e-6), ("dc_lossy", 3e-4), ("soc", 3e-4)])
@pytest.mark.parametrize("targets", [None, "penalised", "strict"])
def test_multipliers_lie_between_the_one_sided_differences(case, network, tolerance, targets):
    rng = np.random.default_rng(0)
    program = make_horizon_program(case, network, STAGES, targets=targets)
    plants = len(case.plants.names)
    first = 20
    inflow = case.volume_per_flow * case.inflows[first : first + STAGES, :, 3]
    volume = case.plants.initial_volume
    # Kept: between 60 and 90 % of what there is, and what fits. A strict target can then be met from both sides.
    target = np.zeros((STAGES, plants))
    for t in range(STAGES):
        volume = np.minimum(rng.uniform(0.6, 0.9, plants) * (volume + inflow[t]), 0.95 * case.plants.volume_max)
        target[t] = volume
    water = inflow.copy()
    water[0] += case.plants.initial_volume
    active, reactive = np.array([case.load(first + t) for t in range(STAGES)]).swapaxes(0, 1)
    given = {"water": water, "target": target, "load": active, "reactive_load": reactive}
    p = np.concatenate([given[name].ravel() for name in program.blocks])
    found = program.solve(p)
    scale = np.abs(found.multipliers).max()
    for name, block in program.blocks.items():
        step = 1e-3 if name in ("load", "reactive_load") else 1e-2  # p.u., hm3
        places = np.arange(block.start, block.stop)
        for i in rng.choice(places, min(6, len(places)), replace=False):
            change = np.zeros_like(p)
            change[i] = step
            ahead = (program.solve(p + change).value - found.value) / step
            behind = (found.value - program.solve(p - change).value) / step
            slack = tolerance * max(1e-2 * scale, abs(found.multipliers[i]))
            # Q is convex: the slopes are in this order, up to round-off.
            assert behind - slack <= found.multipliers[i] <= ahead + slack, (
                name,
                i,
                behind,
                found.multipliers[i],
                ahead,
            )
            if network == "dc" and ahead - behind < slack:
                assert found.multipliers[i] == pytest.approx(ahead, rel=tolerance, abs=slack)


def test_most_of_the_compared_points_are_smooth(case):
    """The test above would hold of anything between far slopes: here they are close, so that it says something."""
    program = make_horizon_program(case, "soc", 2)
    water = case.volume_per_flow * case.inflows[20:22, :, 3]
    water[0] += case.plants.initial_volume
    active, reactive = np.array([case.load(t) for t in (20, 21)]).swapaxes(0, 1)
    p = np.concatenate([water.ravel(), active.ravel(), reactive.ravel()])
    found = program.solve(p)
    close = 0
    for i in range(len(p)):
        change = np.eye(len(p))[i] * 1e-3
        ahead, behind = ((program.solve(p + s * change).value - found.value) / (s * 1e-3) for s in (1, -1))
        close += abs(ahead - found.multipliers[i]) + abs(behind - found.multipliers[i]) < 1e-2 * max(1, abs(behind))
    assert close > 0.7 * len(p)
