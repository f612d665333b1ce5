"""Every simulated stage obeys physics in every network, strict targets are met, and nobody beats perfect foresight."""

import numpy as np
import pytest

from sciml.dispatch.cascade import cascade_case
from sciml.dispatch.feasibility import feasibility
from sciml.dispatch.foresight import perfect_foresight
from sciml.dispatch.policies import CutPolicy, Myopic, TargetPolicy
from sciml.dispatch.sddp import SDDP
from sciml.dispatch.simulate import simulate
from tests.dispatch.public_cases import CASES
from tests.dispatch.runs import inflows, rule, transformed

pytestmark = pytest.mark.validation

NETWORKS = ("dc", "dc_lossy", "soc", "ac")
STAGES = 8


@pytest.fixture(scope="module", params=["cascade", "transformed", "bolivia"])
def system(request):
    """A case, and policies on it: cuts of a few iterations are enough to be followed."""
    case = transformed(cascade_case()) if request.param == "transformed" else CASES[request.param]()
    sddp = SDDP(case, "dc", STAGES).train(8, progress=False)
    policies = (Myopic(case), TargetPolicy(rule(case, stages=STAGES), case), CutPolicy(sddp.cuts, case))
    return case, policies, inflows(case, scenarios=4, stages=STAGES, seed=11)


@pytest.mark.parametrize("network", NETWORKS)
def test_balances_hold_to_1e_6_in_every_stage_and_no_policy_is_below_perfect_foresight(system, network):
    case, policies, w = system
    known = perfect_foresight(w, case=case, network=network)
    for results in (*(simulate(p, w, case=case, network=network) for p in policies), known):
        report = feasibility(results, case)
        assert report.holds, str(report)
        for check in report.balances:  # hm3 or p.u.
            assert check.violation < 1e-6, str(report)
        # Costs of interior points are exact to about 1e-7.
        assert (known.cost.sum("stage") <= results.cost.sum("stage") * (1 + 1e-6)).all()


def test_strict_targets_are_met_to_the_solver_s_tolerance_in_dc(system):
    case, policies, w = system
    results = simulate(policies[1], w, case=case)
    assert np.abs(results.volume - results.target).max() < 1e-9 * case.plants.volume_max.max()
    assert float(results.penalty.sum()) < 1e-9 * float(results.cost.sum())
