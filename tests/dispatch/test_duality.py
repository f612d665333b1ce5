"""The optimal value of a program as a differentiable function: closed forms, finite differences, two ways to a cost."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.duality import HorizonCost, StageCost, optimal_value
from sciml.dispatch.linear import LinearProgram
from sciml.dispatch.pool import ProgramPool
from sciml.dispatch.program import ConicForm
from sciml.errors import ConfigError, InfeasibleError, ShapeError
from tests.dispatch.toy_programs import least_norm

STAGES = 5


def merit_order():
    """min 10 x + 30 y + 100 z, x + y + z = load, x <= 3, y <= 2: the price is the cost of the last unit that runs."""
    return LinearProgram(
        ConicForm(
            matrix=sp.csc_matrix(np.ones((1, 3))),
            row_lower=np.zeros(1),
            row_upper=np.zeros(1),
            lower=np.zeros(3),
            upper=np.array([3, 2, np.inf]),
            cost=np.array([10.0, 30, 100]),
            parameter_rows=np.array([0]),
            blocks={"load": slice(0, 1)},
            columns={"generation": slice(0, 3)},
            rows={"load": slice(0, 1)},
        )
    )


@pytest.fixture(scope="module")
def case():
    return HydrothermalCase.cascade()


def inflows(case, batch=3):
    rng = np.random.default_rng(0)
    openings = rng.integers(0, case.inflows.shape[2], size=(batch, STAGES))
    return torch.tensor(case.inflows[np.arange(STAGES), :, openings])


def targets_within_reach(case, w):
    """Each plant keeps 60 % of what it has and gets by nature, if that fits; the rest goes on downstream."""
    volume, targets = torch.tensor(case.plants.initial_volume), []
    for stage in range(STAGES):
        held = 0.6 * (volume + case.volume_per_flow * w[:, stage])
        volume = torch.minimum(0.9 * torch.tensor(case.plants.volume_max), held)
        targets.append(volume)
    return torch.stack(targets, 1)


def test_the_gradient_of_a_linear_program_is_the_price():
    load = torch.tensor([[1.0], [4], [7]], dtype=torch.float64, requires_grad=True)
    cost = optimal_value(merit_order(), load)
    # HiGHS' tolerance.
    torch.testing.assert_close(cost, torch.tensor([10.0, 60, 290], dtype=torch.float64), rtol=1e-9, atol=1e-9)
    cost.sum().backward()
    torch.testing.assert_close(load.grad, torch.tensor([[10.0], [30], [100]], dtype=torch.float64))


def test_the_gradient_of_a_quadratic_program_is_that_of_finite_differences():
    p = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: optimal_value(least_norm(), p.exp()), p)


def test_a_pool_and_one_program_give_the_same():
    p = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(optimal_value(ProgramPool(least_norm), p), optimal_value(least_norm(), p))


def test_values_have_the_type_of_the_parameters():
    p = torch.rand(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value = optimal_value(least_norm(), p)
    value.sum().backward()
    assert value.dtype == p.grad.dtype == torch.float32


def test_an_infeasible_scenario_is_named():
    with pytest.raises(InfeasibleError, match="scenario 1: first is -1"):
        optimal_value(least_norm(), torch.tensor([[1.0, 1, 1], [-1, 1, 1]]))


def test_stages_alone_cost_what_the_horizon_costs(case):
    w = inflows(case)
    targets = targets_within_reach(case, w)
    horizon, stages = HorizonCost(case, "dc", STAGES)(targets, w), StageCost(case, "dc", STAGES).by_stage(targets, w)
    assert stages.shape == (3, STAGES)
    # Sums of five optima, each of HiGHS' tolerance.
    torch.testing.assert_close(stages.sum(1), horizon, rtol=1e-9, atol=0)


@pytest.mark.parametrize("programs", [HorizonCost, StageCost])
def test_gradients_of_targets_inflows_and_volume_are_those_of_finite_differences(case, programs):
    w = inflows(case)
    # Not at the initial volume, where run-of-river plants could be at a kink.
    volume = 0.8 * torch.tensor(case.plants.initial_volume)
    cost = programs(case, "dc", STAGES)
    inputs = [x.clone().requires_grad_() for x in (targets_within_reach(case, w), w, volume)]
    cost(*inputs).sum().backward()
    for i, x in enumerate(inputs):
        direction = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(i))
        # Piecewise linear, so that any step within a piece is exact.
        with torch.no_grad():
            ends = [cost(*(y + s * 1e-4 * direction if y is x else y for y in inputs)).sum() for s in (1, -1)]
        difference = float(ends[0] - ends[1]) / 2e-4
        assert float((x.grad * direction).sum()) == pytest.approx(difference, rel=1e-5)


def test_a_penalty_above_all_savings_costs_what_strict_targets_cost(case):
    w = inflows(case)
    targets = targets_within_reach(case, w)
    costs = [HorizonCost(case, "dc", STAGES, targets=kind)(targets, w) for kind in ("strict", "penalised")]
    torch.testing.assert_close(*costs, rtol=1e-9, atol=0)
    beyond = targets.clone()
    beyond[1, 2, 0] += 1e4
    with pytest.raises(InfeasibleError, match="scenario 1"):
        HorizonCost(case, "dc", STAGES)(beyond, w)
    penalised = HorizonCost(case, "dc", STAGES, targets="penalised", penalty=7e4)(beyond, w)
    assert float(penalised[1] - costs[1][1]) > 7e4 * 5e3


def test_bad_input_is_explained(case):
    cost, w = HorizonCost(case, "dc", STAGES), inflows(case)
    with pytest.raises(ShapeError, match=r"inflows of shape \(2, 5, 4\) came with targets of shape \(3, 5, 4\)"):
        cost(w, w[:2])
    with pytest.raises(ShapeError, match=r"\(batch, 5, 4\) is expected"):
        cost(w[:, :3], w)
    with pytest.raises(ConfigError, match="'strict' or 'penalised'"):
        HorizonCost(case, "dc", STAGES, targets="soft")
