"""The cone relaxation bounds the AC network from below, whose local optimum is that of every start."""

from dataclasses import replace

import numpy as np
import pytest

from sciml.dispatch.ipopt import NonlinearProgram
from sciml.dispatch.network import stage_form
from sciml.dispatch.nonlinear import ac_form
from sciml.dispatch.programs import make_horizon_program
from tests.dispatch.public_cases import CASES

pytestmark = pytest.mark.validation

# Both solvers are asked for 1e-8 or 1e-9 of scaled optimality.
SOLVED = 1e-6


def parameters(case, program, stages, rng, first=0):
    """Random openings into reservoirs that are anything from empty to full."""
    at = (first + np.arange(stages)) % len(case.inflows)
    openings = rng.integers(case.inflows.shape[2], size=stages)
    water = case.volume_per_flow * case.inflows[at, :, openings]
    water[0] += rng.uniform(size=len(case.plants.names)) * case.plants.volume_max
    active, reactive = np.array([case.load(first + t) for t in range(stages)]).swapaxes(0, 1)
    given = {"water": water, "load": active, "reactive_load": reactive}
    return np.concatenate([given[name].ravel() for name in program.blocks])


@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("stages", [1, 6])
def test_the_relaxation_costs_at_most_what_the_network_costs(make, stages):
    case, rng = make(), np.random.default_rng(1)
    ac, soc = (make_horizon_program(case, network, stages) for network in ("ac", "soc"))
    gaps = []
    for _ in range(12 if stages == 1 else 3):
        p = parameters(case, ac, stages, rng, first=int(rng.integers(48)))
        above, below = ac.solve(p).value, soc.solve(p).value
        assert below <= above * (1 + SOLVED) + SOLVED
        gaps.append((above - below) / max(above, 1.0))
    # In networks with loops it forgets that angles add up to zero around a loop, and evades congestion: some per cent.
    assert np.mean(gaps) < 0.1


@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
def test_other_starts_find_the_same_optimum(make):
    case, rng = make(), np.random.default_rng(2)
    program = NonlinearProgram(ac_form(case, stage_form(case, "soc")))
    form = program.form
    for _ in range(4):
        p = parameters(case, program, 1, rng, first=int(rng.integers(48)))
        flat = program.solve(p).value
        start = rng.uniform(np.maximum(form.lower, -0.3), np.minimum(form.upper, 2.0))
        assert NonlinearProgram(replace(form, start=start)).solve(p).value == pytest.approx(flat, rel=SOLVED)
