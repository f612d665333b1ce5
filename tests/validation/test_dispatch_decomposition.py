"""Strict targets make the horizon fall apart: costs of the stages sum to the whole, and multipliers do too."""

import numpy as np
import pytest

from sciml.dispatch.programs import make_horizon_program, make_stage_program
from tests.dispatch.public_cases import CASES

pytestmark = pytest.mark.validation

STAGES, PATHS = 24, 5


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]()


def test_stages_sum_to_the_horizon(case):
    rng = np.random.default_rng(0)
    plants = len(case.plants.names)
    horizon = make_horizon_program(case, "dc", STAGES, targets="strict")
    stage = make_stage_program(case, "dc", targets="strict")
    loads = np.array([case.load(t)[0] for t in range(STAGES)])
    agreeing = []
    for _ in range(PATHS):
        opening = rng.integers(case.inflows.shape[2], size=STAGES)
        inflow = case.volume_per_flow * case.inflows[np.arange(STAGES) % len(case.inflows), :, opening]
        before, target = case.plants.initial_volume, np.zeros((STAGES, plants))
        for t in range(STAGES):
            target[t] = np.minimum(rng.uniform(0.2, 0.9, plants) * (before + inflow[t]), case.plants.volume_max)
            before = target[t]
        water = inflow.copy()
        water[0] += case.plants.initial_volume
        whole = horizon.solve(np.concatenate([water.ravel(), target.ravel(), loads.ravel()]))
        start = np.vstack([case.plants.initial_volume, target[:-1]])
        parts = [stage.solve(np.concatenate([start[t] + inflow[t], target[t], loads[t]])) for t in range(STAGES)]
        # Round-off: nothing else sets the two apart.
        assert sum(part.value for part in parts) == pytest.approx(whole.value, rel=1e-9)
        np.testing.assert_allclose(whole.variables["volume"].reshape(STAGES, -1), target, atol=1e-9)
        of = np.array([part.multipliers for part in parts])
        later = np.vstack([of[1:, stage.blocks["water"]], np.zeros(plants)])
        sums = of[:, stage.blocks["target"]] + later
        agreeing.append(np.isclose(sums.ravel(), whole.multipliers[horizon.blocks["target"]], rtol=1e-6, atol=1e-6))
    # A target at which an optimum is degenerate has several multipliers, and the two programs may find different ones.
    assert np.mean(agreeing) > 0.9
