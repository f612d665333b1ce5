"""Reachable targets: a stage can meet them whatever the shares, and every volume it can end with is among them."""

import json

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.programs import make_stage_program
from sciml.dispatch.reachable import ReachableTargets, Reservoirs, share

K = 0.6048
ROUNDING = 1e-9  # hm3
KINDS = ("both", "turbine", "spill")


def system(seed, *, plants=7, minimum=False, kinds=KINDS, several=False):
    """Random reservoirs; links go from lower to higher numbers of a random order.

    Args:
        minimum: Whether there are minimum flows and volumes.
        kinds: Kinds of links.
        several: Whether turbined and spilled water may go different ways.
    """
    rng = np.random.default_rng(seed)
    order, turbine, spill = rng.permutation(plants), [], []
    for i, up in enumerate(order[:-1]):
        kind = rng.choice([*kinds, "none"])
        down, other = (int(order[rng.integers(i + 1, plants)]) for _ in range(2))
        if kind in ("both", "turbine"):
            turbine.append((int(up), down))
        if kind in ("both", "spill"):
            spill.append((int(up), down))
        if several and kind == "turbine" and other != down:
            spill.append((int(up), other))
    top = np.where(rng.random(plants) < 0.2, 0.0, rng.uniform(5, 50, plants))
    flow = rng.uniform(5, 40, plants)
    some = rng.random(plants) < 0.6
    return Reservoirs(
        names=tuple(f"plant {i}" for i in range(plants)),
        volume_per_flow=K,
        volume_min=tuple(np.where(some & minimum, 0.2 * top, 0)),
        volume_max=tuple(top),
        initial_volume=tuple(top),
        flow_min=tuple(np.where(some & minimum, 0.3 * flow, 0)),
        flow_max=tuple(flow),
        turbine_links=tuple(turbine),
        spill_links=tuple(spill),
    )


def water_program(r, volume, inflow, *, target=None, most=None):
    """Feasibility of targets, or the largest volume of a plant with other targets fixed; a program of its own.

    Variables are turbined water (hm3), spill and volume. Returns (feasible, optimum).
    """
    n = len(r.names)
    turbine, spill, eye = np.eye(n), np.eye(n), np.eye(n)
    for up, down in r.turbine_links:
        turbine[down, up] -= 1
    for up, down in r.spill_links:
        spill[down, up] -= 1
    flow = [(K * low, K * high) for low, high in zip(r.flow_min, r.flow_max, strict=True)]
    bounds = list(zip(r.volume_min, r.volume_max, strict=True))
    cost = np.zeros(3 * n)
    plant, fixed = most or (None, dict(enumerate(target)) if target is not None else {})
    for other, x in fixed.items():
        if not r.volume_min[other] - ROUNDING <= x <= r.volume_max[other]:
            return False, None
        bounds[other] = (x, x)
    if plant is not None:
        cost[2 * n + plant] = -1
    result = linprog(
        cost, A_eq=np.hstack([turbine, spill, eye]), b_eq=volume + inflow, bounds=[*flow, *[(0, None)] * n, *bounds]
    )
    return result.status == 0, -result.fun if result.status == 0 else None


def random_states(r, batch, seed):
    rng = np.random.default_rng(seed)
    low, high = np.array(r.volume_min), np.array(r.volume_max)
    # Corners and inner points of the volumes, dry and wet inflows.
    volume = low + (high - low) * rng.uniform(-0.5, 1.5, (batch, len(low))).clip(0, 1)
    inflow = K * rng.uniform(-10, 40, (batch, len(low))).clip(0)
    logits = rng.normal(scale=4, size=(batch, len(low)))
    return [torch.tensor(x) for x in (logits, volume, inflow)]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_logits_targets_are_feasible_and_within_limits(seed, several):
    r = system(seed, several=several)
    reach = ReachableTargets(r)
    logits, volume, inflow = random_states(r, 12, seed)
    target = reach(share(logits), volume, inflow)
    assert (target >= 0).all()
    assert (target <= torch.tensor(r.volume_max)).all()
    for v, w, x in zip(volume.numpy(), inflow.numpy(), target.numpy(), strict=True):
        assert water_program(r, v, w, target=x)[0]


@pytest.mark.parametrize("seed", range(8))
def test_a_minimum_flow_is_kept_whenever_it_can_be(seed):
    # Where water goes one way only, the plan of the map brings as much of it downstream as can be.
    r = system(seed, minimum=True)
    reach = ReachableTargets(r)
    logits, volume, inflow = random_states(r, 25, seed)
    target = reach(share(logits), volume, inflow)
    possible = 0
    for v, w, x in zip(volume.numpy(), inflow.numpy(), target.numpy(), strict=True):
        feasible = water_program(r, v, w)[0]
        possible += feasible
        assert water_program(r, v, w, target=x)[0] == feasible
    assert possible > 3


def test_water_for_a_minimum_flow_comes_from_upstream():
    r = Reservoirs(
        names=("store", "river"),
        volume_per_flow=1.0,
        volume_min=(2.0, 0.0),
        volume_max=(20.0, 0.0),
        initial_volume=(10.0, 0.0),
        flow_min=(0.0, 4.0),
        flow_max=(5.0, 9.0),
        turbine_links=((0, 1),),
        spill_links=(),
    )
    reach, full = ReachableTargets(r), torch.ones(1, 2, dtype=torch.float64)
    for volume, inflow, expected in (
        # The river has 1, so that the store sends 3 of its 10 and keeps 7.
        ([10.0, 0.0], [0.0, 1.0], [7.0, 0.0]),
        # Enough of its own.
        ([10.0, 0.0], [0.0, 6.0], [10.0, 0.0]),
    ):
        target = reach(full, torch.tensor([volume], dtype=torch.float64), torch.tensor([inflow], dtype=torch.float64))
        torch.testing.assert_close(target, torch.tensor([expected], dtype=torch.float64))
    # Above its floor the store has 1: the river must fail, and its target says so.
    dry = reach(full, torch.tensor([[3.0, 0.0]], dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    torch.testing.assert_close(dry, torch.tensor([[2.0, -3.0]], dtype=torch.float64))


@pytest.mark.parametrize("seed", range(8))
def test_a_share_of_one_is_the_most_that_can_be_kept_and_one_of_zero_the_least(seed):
    r = system(seed)
    reach = ReachableTargets(r)
    _, volume, inflow = random_states(r, 3, seed)
    shares = torch.rand(volume.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    links = {*r.turbine_links, *r.spill_links}

    def upstream(plant):
        return {u for up, down in links if down == plant for u in {up, *upstream(up)}}

    for plant in range(len(r.names)):
        ends = [shares.clone(), shares.clone()]
        ends[0][:, plant], ends[1][:, plant] = 0, 1
        least, full = (reach(some, volume, inflow) for some in ends)
        assert (least[:, plant] == r.volume_min[plant]).all()
        for v, w, x in zip(volume.numpy(), inflow.numpy(), full.numpy(), strict=True):
            feasible, most = water_program(r, v, w, most=(plant, {u: x[u] for u in upstream(plant)}))
            assert feasible
            # Tolerance of the solver.
            assert x[plant] == pytest.approx(most, abs=1e-6)


def test_every_stage_of_the_cascade_meets_its_targets():
    case = HydrothermalCase.cascade()
    r = Reservoirs.of(case)
    reach, program = ReachableTargets(r), make_stage_program(case, "dc", targets="strict")
    rng = np.random.default_rng(0)
    volume, k = torch.tensor(case.plants.initial_volume)[None], case.volume_per_flow
    for stage in range(52):
        inflow = k * torch.tensor(case.inflows[stage, :, rng.integers(case.inflows.shape[2])])[None]
        target = reach(share(torch.tensor(rng.normal(scale=4, size=(1, 4)))), volume, inflow)
        parameters = np.concatenate([(volume + inflow)[0], target[0], case.load(stage)[0]])
        # HiGHS' tolerance of feasibility, 1e-7, is absolute in its scaled rows.
        np.testing.assert_allclose(program.solve(parameters).variables["volume"], target[0], rtol=1e-9, atol=1e-6)
        volume = target


@pytest.mark.parametrize("minimum", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_through_the_bounds_is_complete(seed, minimum):
    r = system(seed, minimum=minimum)
    _, volume, inflow = random_states(r, 4, seed)
    # Off the corners of the state, where the bounds have kinks.
    inside = (0.05 * torch.tensor(r.volume_max) + 0.9 * volume, inflow + 0.1)
    shares = torch.rand(volume.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    inputs = [x.clone().requires_grad_() for x in (0.05 + 0.9 * shares, *inside)]
    assert torch.autograd.gradcheck(ReachableTargets(r), inputs)


def test_shares_reach_both_ends_and_leave_them_again():
    logits = torch.tensor([-9.0, -9, 0, 9, 9], dtype=torch.float64, requires_grad=True)
    shares = share(logits)
    torch.testing.assert_close(shares, torch.tensor([0, 0, 0.5, 1, 1], dtype=torch.float64))
    # A step against the gradient lowers the first share, raises the second, ...
    shares.backward(torch.tensor([1.0, -1, 1, 1, -1], dtype=torch.float64))
    assert (torch.sign(logits.grad) == torch.tensor([0, -1, 1, 1, 0])).all()
    inner = torch.linspace(-4, 4, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(share, inner)


def test_reservoirs_survive_json():
    r = system(0, minimum=True, several=True)
    assert Reservoirs.from_dict(json.loads(json.dumps(r.to_dict()))) == r


def test_a_minimum_flow_that_may_be_missed_is_no_limit():
    from dataclasses import replace

    case = HydrothermalCase.cascade()
    plants = replace(case.plants, turbine_min=np.array([5.0, 5, 0, 0]), outflow_violation_cost=np.array([1.0, 0, 0, 0]))
    assert Reservoirs.of(replace(case, plants=plants)).flow_min == (0, 5, 0, 0)
