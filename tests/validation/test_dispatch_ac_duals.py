"""Multipliers of the AC network are derivatives of its optimal value: three to four digits of finite differences."""

import numpy as np
import pytest

from sciml.dispatch.nonlinear import ac_program
from tests.dispatch.public_cases import CASES

pytestmark = pytest.mark.validation

FIRST = 20  # a stage between the seasons
STEPS = {"water": 1e-2, "target": 1e-2, "load": 1e-3, "reactive_load": 1e-3}  # hm3, p.u.
# Multipliers and differences both err: the barrier leaves 1e-8 of the scale, and the value's curvature times the step.
DIGITS = 5e-4


def setting(case, stages, program, rng):
    """Parameters of a horizon: what one opening brings, and targets that keep half to nine tenths of what there is."""
    plants = len(case.plants.names)
    at = np.arange(FIRST, FIRST + stages)
    inflow = case.volume_per_flow * case.inflows[at % len(case.inflows), :, 3]
    volume = case.plants.initial_volume
    target = np.zeros((stages, plants))
    for t in range(stages):
        volume = np.minimum(rng.uniform(0.5, 0.9, plants) * (volume + inflow[t]), 0.95 * case.plants.volume_max)
        target[t] = volume
    inflow[0] += case.plants.initial_volume
    active, reactive = np.array([case.load(t) for t in at]).swapaxes(0, 1)
    given = {"water": inflow, "target": target, "load": active, "reactive_load": reactive}
    return np.concatenate([given[name].ravel() for name in program.blocks])


@pytest.mark.parametrize(("stages", "targets"), [(1, "strict"), (1, None), (4, "strict"), (4, "penalised")])
@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
def test_multipliers_are_finite_differences(make, stages, targets):
    case, rng = make(), np.random.default_rng(0)
    program = ac_program(case, stages=stages, targets=targets)
    p = setting(case, stages, program, rng)
    found = program.solve(p)
    smooth, chosen = 0, 0
    for block_name, block in program.blocks.items():
        step = STEPS[block_name]
        scale = np.abs(found.multipliers[block]).max()
        for i in rng.choice(np.arange(block.start, block.stop), min(4, block.stop - block.start), replace=False):
            change = step * (np.arange(len(p)) == i)
            # Targets leave a tenth of the water or more: too little of it for a step at a run-of-river plant.
            if block_name in ("water", "target") and p[i] < 20 * step:
                continue
            ahead, behind = ((program.solve(p + s * change).value - found.value) / (s * step) for s in (1, -1))
            chosen += 1
            slack = DIGITS * max(abs(found.multipliers[i]), 1e-2 * scale, 1.0)
            # Where a limit becomes active within the step, the slopes differ, and any between them is right.
            low, high = min(ahead, behind) - slack, max(ahead, behind) + slack
            assert low <= found.multipliers[i] <= high, (block_name, i, behind, found.multipliers[i], ahead)
            smooth += high - low < 6 * slack
    assert smooth >= 0.6 * chosen > 5  # or else the bounds above would say little
