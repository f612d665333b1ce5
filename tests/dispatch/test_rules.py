"""Decision rules: stage by stage as all at once, blind to the future, saved and loaded, any network."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import sciml
from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.rules import RuleConfig, TargetRule
from sciml.errors import CheckpointError, ConfigError, ShapeError

STAGES = 6
every_kind = pytest.mark.parametrize("kind", ["lstm", "mlp", "linear"])
every_target = pytest.mark.parametrize("targets", ["strict", "penalised"])
# Round-off of float64 and different orders of summation.
CLOSE = {"rtol": 1e-12, "atol": 1e-10}


@pytest.fixture(scope="module")
def case():
    return HydrothermalCase.cascade()


def rule(case, kind="lstm", *, gain=10.0, **settings):
    """One with weights that are far from those of the start, so that features matter."""
    torch.manual_seed(0)
    made = TargetRule.for_case(case, stages=STAGES, kind=kind, memory=8, hidden=(7, 5), **settings)
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.mul_(gain)
    return made


def inflows(case, batch=4, stages=STAGES):
    openings = torch.randint(case.inflows.shape[2], (batch, stages), generator=torch.Generator().manual_seed(1))
    return torch.tensor(case.inflows)[torch.arange(stages), :, openings]


def logit(targets, case):
    """Logits of penalised targets."""
    share = targets / torch.tensor(case.plants.volume_max)
    return torch.logit(0.01 + 0.98 * share)


@every_target
@every_kind
def test_stage_by_stage_gives_what_all_at_once_gives(case, kind, targets):
    some, w = rule(case, kind, targets=targets), inflows(case)
    memory, volume = some.start(4), torch.tensor(case.plants.initial_volume).expand(4, -1)
    for stage, target in enumerate(some(w).unbind(1)):
        volume, memory = some.step(stage, w[:, stage], volume, memory)
        torch.testing.assert_close(volume, target, **CLOSE)


@every_kind
def test_a_decision_sees_its_inflow_and_no_later_one(case, kind):
    some, w = rule(case, kind), inflows(case)
    other = w.clone()
    other[:, 3] *= 1.5
    before, after = some(w), some(other)
    torch.testing.assert_close(before[:, :3], after[:, :3], **CLOSE)
    assert not torch.isclose(before[:, 3], after[:, 3]).all()


def test_only_an_lstm_remembers_inflows(case):
    w, volume = inflows(case), torch.tensor(case.plants.initial_volume).expand(4, -1)
    for kind in ("lstm", "mlp", "linear"):
        some = rule(case, kind)
        _, memory = some.step(0, w[:, 0], volume, some.start(4))
        _, other = some.step(0, 2 * w[:, 0], volume, some.start(4))
        first, second = (some.step(1, w[:, 1], volume, m)[0] for m in (memory, other))
        assert torch.equal(first, second) == (kind != "lstm")


def test_strict_targets_follow_the_volume_and_penalised_ones_stay_within_limits(case):
    w, top = inflows(case), torch.tensor(case.plants.volume_max)
    empty, full = (rule(case, gain=1)(w, volume) for volume in (0 * top, top))
    reachable = case.volume_per_flow * w[:, 0, 0]
    assert (empty[:, 0, 0] <= reachable).all()
    assert (full[:, 0, 0] > reachable).all()
    penalised = rule(case, targets="penalised", gain=100)(w)
    assert (penalised >= 0).all()
    assert (penalised <= top).all()
    assert (penalised[:, 0, 0] > reachable).any()


def test_a_linear_rule_is_affine_in_its_features(case):
    some, w = rule(case, "linear", targets="penalised", gain=0.5), inflows(case)[:, 0]
    volume, shift = torch.rand(4, 4, dtype=torch.float64), torch.rand(4, 4, dtype=torch.float64)
    at = [logit(some.step(2, w + x, volume + x * shift, None)[0], case) for x in (0.0, 1.0, 2.0)]
    torch.testing.assert_close(at[0] + at[2], 2 * at[1], rtol=1e-9, atol=1e-9)
    assert not torch.isclose(at[0], at[1]).any()
    curved = rule(case, "mlp", targets="penalised", gain=0.5)
    at = [logit(curved.step(2, w + x, volume + x * shift, None)[0], case) for x in (0.0, 1.0, 2.0)]
    assert not torch.isclose(at[0] + at[2], 2 * at[1]).all()


def test_season_and_horizon_matter(case):
    some, w = rule(case, "mlp", targets="penalised", gain=1), inflows(case)[:, 0]
    volume = torch.rand(4, 4, dtype=torch.float64)
    for other in ({"season": 7}, {"stages": 2 * STAGES}):
        changed = TargetRule(replace(some.config, **other))
        changed.load_state_dict(some.state_dict())
        first, second = (each.step(3, w, volume, None)[0] for each in (some, changed))
        assert not torch.isclose(first, second).any()
    # A year later it is the same season.
    later = TargetRule(replace(some.config, stages=10**9))
    later.load_state_dict(some.state_dict())
    first, second = (later.step(stage, w, volume, None)[0] for stage in (3, 3 + 52))
    torch.testing.assert_close(first, second, rtol=1e-6, atol=0)  # 52 of 1e9 stages is what the horizon has lost


def test_the_first_targets_are_about_half_of_what_can_be_kept(case):
    torch.manual_seed(0)
    some = TargetRule.for_case(case, stages=STAGES, targets="penalised")
    share = some(inflows(case)) / torch.tensor(case.plants.volume_max)
    assert (share - 0.5).abs().max() < 0.1


def test_any_module_can_be_the_network(case):
    config = RuleConfig.of(case, stages=STAGES, kind="lstm", memory=8)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(config.features, 9), nn.Tanh(), nn.Linear(9, 4))
    some, w = TargetRule(config, network=network), inflows(case)
    targets = some(w)
    targets.sum().backward()
    assert targets.shape == w.shape
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


@every_target
@every_kind
def test_a_saved_rule_gives_the_same_targets(case, kind, targets, tmp_path):
    some, w = rule(case, kind, targets=targets), inflows(case)
    again = sciml.load(some.save_pretrained(tmp_path, extra={"case": case.name}))
    assert isinstance(again, TargetRule)
    assert not again.training
    assert again.config == some.config
    assert torch.equal(again(w), some(w))


def test_a_rule_with_a_network_of_the_user_is_loaded_with_it(case, tmp_path):
    config = RuleConfig.of(case, stages=STAGES, kind="mlp")
    some, w = TargetRule(config, network=nn.Linear(config.features, 4)), inflows(case)
    some.save_pretrained(tmp_path)
    assert torch.equal(sciml.load(tmp_path, network=nn.Linear(config.features, 4))(w), some(w))
    with pytest.raises(CheckpointError, match=r"do not fit.*sciml\.load\(folder, network="):
        sciml.load(tmp_path)


def test_targets_are_float64_and_every_part_learns(case):
    some = rule(case)
    targets = some(inflows(case))
    assert targets.dtype == torch.float64
    targets.sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in some.parameters())


def test_bad_input_is_explained(case, tmp_path):
    some = rule(case)
    some.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="channels_in came for the model"):
        sciml.load(tmp_path, channels_in=3)
    with pytest.raises(ShapeError, match=r"\(4, 6, 3\) came; \(batch, stage, 4\)"):
        some(inflows(case)[..., :3])
    with pytest.raises(ShapeError, match="7 stages came; this rule has a horizon of 6"):
        some(inflows(case, stages=7))
    with pytest.raises(ShapeError, match="horizon of 6"):
        some.step(6, inflows(case)[:, 0], torch.zeros(4, 4).double(), some.start(4))
    with pytest.raises(ConfigError, match="kind='gru' came; one of lstm, mlp, linear"):
        rule(case, "gru")
    with pytest.raises(ConfigError, match="targets='soft'"):
        rule(case, targets="soft")
    with pytest.raises(ConfigError, match="stages=0"):
        TargetRule.for_case(case, stages=0)


def test_a_folder_of_another_model_is_refused(tmp_path):
    from sciml.barron.ridge import RidgeNet

    RidgeNet([[1.0]], [0.0], [1.0], "cos").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="'barron'; 'dispatch' is expected"):
        TargetRule.from_pretrained(tmp_path)
