import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from sciml.dispatch.cascade import cascade_case
from sciml.dispatch.network import default_penalty
from sciml.dispatch.policies import CutPolicy, TargetPolicy, exact_penalty
from sciml.dispatch.simulate import simulate
from sciml.errors import ConfigError
from tests.dispatch.runs import inflows, one_cut, rule


def test_targets_in_dc_are_those_that_the_rule_gives_for_all_stages_at_once(cascade):
    w, made = inflows(cascade), rule(cascade)
    results = simulate(TargetPolicy(made, cascade), w, case=cascade)
    with torch.no_grad():
        together = made(torch.tensor(w)).numpy()
    # Simplex gets volumes of up to 560 hm3 to about 1e-13 of their size.
    np.testing.assert_allclose(results.target.transpose("scenario", "stage", "plant"), together, atol=1e-9)
    np.testing.assert_allclose(results.volume, results.target, atol=1e-9)


def test_the_rule_sees_realised_volumes(cascade):
    class Full:
        """Asks for more than there is."""

        seen: list = []  # noqa: RUF012

        def start(self, scenarios):
            self.seen.clear()
            return 0

        def step(self, stage, inflow, volume, memory):
            assert memory == stage
            self.seen.append(volume.numpy())
            return torch.tensor(cascade.plants.volume_max).expand(len(volume), -1), memory + 1

    with pytest.warns(UserWarning, match="misses its targets"):
        results = simulate(TargetPolicy(Full(), cascade), inflows(cascade), case=cascade)
    np.testing.assert_allclose(Full.seen[0], results.initial_volume, atol=0)
    np.testing.assert_allclose(np.array(Full.seen[1:]), results.volume[:-1], atol=0)
    assert (results.volume[0] < results.target[0] - 1).any()


def test_the_exact_penalty_is_twice_what_a_hm3_can_be_worth_down_the_cascade():
    # 1.15, 0.95 and 0.60 MW per m3/s down from Headwater; 50,000 $ per 100 MW; 0.0036 hm3 per m3/s and hour.
    assert exact_penalty(cascade_case(stage_hours=1)) == pytest.approx(2 * 50_000 * 2.7 / 100 / 0.0036)
    assert exact_penalty(cascade_case()) == 50_000  # where this is less: the largest cost of a stage


def test_no_target_is_missed_for_a_saving_even_if_a_hm3_is_worth_more_than_the_largest_cost():
    # An hour without thermal units: a hm3 from Headwater is 750 MWh, in place of load not served at 500 $/MWh.
    case = cascade_case(stage_hours=1)
    case = replace(case, thermals=replace(case.thermals, power_max=0 * case.thermals.power_max))

    class KeepAll:
        def start(self, scenarios):
            return None

        def step(self, stage, inflow, volume, memory):
            return volume + case.volume_per_flow * inflow, None

    w = inflows(case)
    kept = simulate(TargetPolicy(KeepAll(), case), w, case=case)
    assert np.abs(kept.volume - kept.target).max() < 1e-9
    assert float(kept.water_value.max()) == pytest.approx(375_000, rel=1e-6)
    with pytest.warns(UserWarning, match="misses its targets"):
        missed = simulate(TargetPolicy(KeepAll(), case, penalty=default_penalty(case)), w, case=case)
    assert np.abs(missed.volume - missed.target).max() > 0.1


def test_cuts_keep_water_that_is_worth_more_later(cascade):
    w = inflows(cascade)
    dear, cheap = (simulate(CutPolicy(one_cut(cascade, worth=c), cascade), w, case=cascade) for c in (400.0, 1e-3))
    assert (dear.volume[:3].sum("plant") > cheap.volume[:3].sum("plant") + 10).all()
    # Nothing is worth anything after the last stage.
    generation = dear.hydro.sum("plant")
    assert (generation[3] > generation[:3] + 50).all()


def test_the_cost_with_cuts_is_without_future_cost(cascade):
    w = inflows(cascade, stages=2)
    results = simulate(CutPolicy(one_cut(cascade, stages=2), cascade), w, case=cascade)
    thermal = (results.thermal * results.thermal_cost).sum("unit") + 500 * results.deficit.sum("bus")
    np.testing.assert_allclose(results.cost, thermal, rtol=1e-12)


def test_cuts_of_other_plants_or_fewer_stages_are_refused(cascade):
    cuts = one_cut(cascade, stages=2)
    with pytest.raises(ConfigError, match="stage 3 came; the cuts are of 2 stages"):
        simulate(CutPolicy(cuts, cascade), inflows(cascade, stages=3), case=cascade)
    other = replace(cascade, plants=replace(cascade.plants, names=("A", "B", "C", "D")))
    with pytest.raises(ConfigError, match=r"Headwater, .* came; A, B, C, D is expected"):
        CutPolicy(cuts, other)


def test_what_goes_to_workers_does_not_hold_the_rule(cascade):
    sizes = [len(pickle.dumps(TargetPolicy(rule(cascade, hidden=h), cascade).program)) for h in ((4,), (256,))]
    assert sizes[0] == sizes[1]
