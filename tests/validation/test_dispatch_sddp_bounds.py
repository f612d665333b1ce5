"""Every cut lies below the function that it bounds, and every bound below what it bounds, in every convex network."""

import numpy as np
import pytest

from sciml.dispatch import recourse
from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.extensive import extensive_form
from sciml.dispatch.programs import solver_for
from sciml.dispatch.risk import CVaR
from sciml.dispatch.sddp import SDDP

pytestmark = pytest.mark.validation

NETWORKS = ("dc", "dc_lossy", "soc")


def tight(openings):
    return HydrothermalCase.cascade(openings=openings, initial_volume=[60, 3, 5, 0.5], load_scale=1.3)


@pytest.mark.parametrize("risk", [None, CVaR(0.6, 0.5)], ids=["mean", "cvar"])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_cut_bounds_the_cost_at_any_volume(network, risk, monkeypatch):
    case, stages = tight(3), 5
    sddp = SDDP(case, network, stages, risk=risk, cut_selection=None).train(8, progress=False)
    # The exact values, of which nothing is taken off.
    monkeypatch.setattr(recourse, "_ACCURACY", 0.0)
    monkeypatch.setattr(recourse, "_LOOSE_ACCURACY", 0.0)
    rng = np.random.default_rng(0)
    for stage in range(stages - 1):
        most = case.plants.volume_max
        volumes = np.concatenate(
            [
                rng.uniform(0, 1, (20, len(most))) * most,
                rng.uniform(0, 0.1, (10, len(most))) * most,
                sddp.cuts.points[stage],
            ]
        )
        values, _ = sddp._openings(stage + 1, volumes)
        p = sddp._probabilities(stage + 1)
        exact = np.array([sddp.risk.weights(costs, p) @ costs for costs in values])
        # A simplex rounds in the 12th digit; a solve that checks a cone's is itself exact to 2e-10.
        slack = 1e-11 if network == "dc" else 1e-9
        assert (sddp.cuts.value(stage, volumes) <= exact * (1 + slack)).all()
    # And they are not below it by nature: at the start they have met it.
    values, _ = sddp._openings(1, sddp.cuts.points[0][-1:])
    weights = sddp.risk.weights(values[0], sddp._probabilities(1))
    assert sddp.cuts.value(0, sddp.cuts.points[0][-1:])[0] == pytest.approx(weights @ values[0], rel=1e-4)


def test_the_bound_of_a_tree_of_hundreds_of_nodes_rises_to_its_cost():
    case, stages = tight(3), 5  # 363 nodes
    form, parameters = extensive_form(case, stages)
    cost = solver_for(form).solve(parameters).value
    for multi_cut in (False, True):
        bounds = [r.bound for r in SDDP(case, "dc", stages, multi_cut=multi_cut).train(60, progress=False).history]
        assert max(bounds) <= cost * (1 + 1e-11)
        assert bounds[-1] == pytest.approx(cost, rel=1e-6)
        assert bounds[0] < cost * (1 - 1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_bound_is_below_the_simulated_cost(network):
    sddp = SDDP(tight(6), network, 8).train(12, progress=False)
    cost = sddp.estimate(60)
    # Within sampling error: its 95 % interval, half as wide again.
    assert sddp.bound <= cost.mean + 1.5 * cost.half_width
    assert cost.mean <= 1.1 * sddp.bound


def test_losses_cost():
    # They are a few percent of the load, made by the dearest units.
    dc, lossy = (SDDP(tight(3), network, 4).train(25, progress=False).bound for network in ("dc", "dc_lossy"))
    assert 1.01 * dc < lossy < 1.1 * dc


def test_one_cut_and_many_cuts_agree():
    case = tight(5)
    single = SDDP(case, "dc", 6).train(100, progress=False).bound
    multi = SDDP(case, "dc", 6, multi_cut=True).train(60, progress=False).bound
    # Both go to the same value from below; measured 6e-6 apart.
    assert multi == pytest.approx(single, rel=5e-5)
