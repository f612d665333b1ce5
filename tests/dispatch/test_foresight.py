import numpy as np
import pytest

from sciml.dispatch.foresight import perfect_foresight
from sciml.dispatch.policies import CutPolicy, Myopic, TargetPolicy
from sciml.dispatch.programs import make_horizon_program
from sciml.dispatch.simulate import simulate
from sciml.errors import ShapeError
from tests.dispatch.runs import inflows, one_cut, rule


@pytest.mark.parametrize("network", ["dc", "soc", "ac"])
def test_no_policy_is_cheaper_in_any_scenario(cascade, network):
    w = inflows(cascade, scenarios=3 if network == "dc" else 2, stages=3)
    bound = perfect_foresight(w, case=cascade, network=network).cost.sum("stage")
    policies = (Myopic(cascade), TargetPolicy(rule(cascade), cascade), CutPolicy(one_cut(cascade), cascade))
    for policy in policies:
        cost = simulate(policy, w, case=cascade, network=network).cost.sum("stage")
        assert (bound <= cost * (1 + 1e-7)).all()  # what interior points are off


def test_it_is_the_program_of_all_stages_split_by_stage(cascade):
    w = inflows(cascade)
    results = perfect_foresight(w, case=cascade)
    program = make_horizon_program(cascade, "dc", 4)
    water = cascade.volume_per_flow * w[1]
    water[0] += cascade.plants.initial_volume
    found = program.solve(np.concatenate([water.ravel(), np.ravel([cascade.load(t)[0] for t in range(4)])]))
    assert float(results.cost.sum("stage")[1]) == pytest.approx(found.value, rel=1e-9)
    np.testing.assert_array_equal(results.volume[:, 1], found.variables["volume"].reshape(4, 4))
    np.testing.assert_array_equal(results.price[:, 1], found.multipliers[16:].reshape(4, 8) / cascade.base)
    np.testing.assert_array_equal(results.water_value[:, 1], -found.multipliers[:16].reshape(4, 4))


def test_the_initial_volume_is_taken(cascade):
    w = 0.3 * inflows(cascade)  # a wet season would need no stores
    empty, full = (
        perfect_foresight(w, case=cascade, initial_volume=v) for v in (np.zeros(4), cascade.plants.volume_max)
    )
    assert (full.cost.sum("stage") < 0.9 * empty.cost.sum("stage")).all()
    with pytest.raises(ShapeError, match="initial volumes"):
        perfect_foresight(w, case=cascade, initial_volume=np.zeros(2))
