"""Multipliers, sent back through a rule and its bounds, are the whole gradient of the cost in the rule's weights."""

import numpy as np
import pytest
import torch

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.duality import HorizonCost, StageCost
from sciml.dispatch.reachable import ReachableTargets
from sciml.dispatch.rules import TargetRule

pytestmark = pytest.mark.validation
STAGES, BATCH = 10, 2
# Of a parameter: no kink of the cost lies that near, and central differences of the curved targets err by its square.
STEP = 1e-5
# Costs of 1e5 $ have a round-off of 1e-11 $ or so, which differences raise to 1e-6 $; gradients are of 1e2 to 1e5 $.
CLOSE = 1e-7


class DetachedBounds(ReachableTargets):
    """The wrong one: bounds as if they were constants."""

    def forward(self, shares, volume, inflow):
        with torch.no_grad():
            upper = super().forward(shares, volume, inflow) / shares
        return shares * upper


def setting(kind):
    """A case, a rule with random weights, and inflows of the wet and the dry season."""
    case = HydrothermalCase.cascade()
    torch.manual_seed(0)
    rule = TargetRule.for_case(case, stages=STAGES, kind=kind, memory=3, hidden=(4,))
    with torch.no_grad():
        for parameter in rule.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    openings = np.random.default_rng(3).integers(0, case.inflows.shape[2], size=(BATCH, STAGES))
    return case, rule, torch.tensor(case.inflows[np.arange(STAGES), :, openings])


def gradient(rule, programs, inflows):
    cost = programs(rule(inflows), inflows).mean()
    return torch.nn.utils.parameters_to_vector(torch.autograd.grad(cost, list(rule.parameters())))


@torch.no_grad()
def finite_differences(rule, programs, inflows):
    differences = []
    for parameter in rule.parameters():
        flat = parameter.view(-1)
        for i in range(len(flat)):
            costs = []
            for sign in (1, -2):
                flat[i] += sign * STEP
                costs.append(programs(rule(inflows), inflows).mean())
            flat[i] += STEP
            differences.append((costs[0] - costs[1]) / (2 * STEP))
    return torch.stack(differences)


@pytest.mark.parametrize("kind", ["lstm", "mlp", "linear"])
def test_the_gradient_is_that_of_finite_differences_over_the_whole_horizon(kind, record_property):
    case, rule, inflows = setting(kind)
    programs = HorizonCost(case, "dc", STAGES)
    complete, expected = gradient(rule, programs, inflows), finite_differences(rule, programs, inflows)
    error = float((complete - expected).norm() / expected.norm())
    record_property("relative error", error)
    assert error < CLOSE


def test_stages_alone_give_the_same_gradient():
    case, rule, inflows = setting("mlp")
    horizon, stages = HorizonCost(case, "dc", STAGES), StageCost(case, "dc", STAGES)
    torch.testing.assert_close(
        gradient(rule, stages, inflows), gradient(rule, horizon, inflows), rtol=CLOSE, atol=CLOSE
    )


def test_bounds_taken_as_constants_give_another_gradient(record_property):
    case, rule, inflows = setting("mlp")
    programs = HorizonCost(case, "dc", STAGES)
    complete, targets = gradient(rule, programs, inflows), rule(inflows)
    rule.reachable = DetachedBounds(rule.config.reservoirs)
    torch.testing.assert_close(rule(inflows), targets)  # the targets are the same
    detached = gradient(rule, programs, inflows)
    cosine = float(torch.cosine_similarity(detached, complete, dim=0))
    ratio = float(detached.norm() / complete.norm())
    record_property("cosine of detached and complete gradient", cosine)
    record_property("ratio of their norms", ratio)
    # Far beyond what the complete one misses finite differences by.
    assert float((detached - complete).norm() / complete.norm()) > 0.1
    assert cosine < 0.99
