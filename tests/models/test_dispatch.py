"""Dispatch policies as runs: what is trained, that a stop changes nothing, what the test compares and reports."""

import copy
from functools import partial

import numpy as np
import pytest
import torch

import sciml
from datamodules.inflows import InflowData
from models.dispatch import NAME, DispatchLearning
from sciml.dispatch import HydrothermalCase, TargetRule
from sciml.errors import ConfigError
from sciml.report import Report
from tests.models.trainers import quiet_trainer

STAGES = 4
RULE = partial(TargetRule.for_case, kind="mlp", hidden=[8])
LINEAR = {"TS-LDR": {"kind": "linear", "learning_rate": 2e-2}}


def data(**settings):
    return InflowData(**{"stages": STAGES, "batch_size": 3, "validation": 4, "test": 6, **settings})


def fitted(folder, model, *, steps=4, source=None, ckpt_path=None, **options):
    torch.manual_seed(0)
    runner = quiet_trainer(folder, steps=steps, **{"limit_val_batches": 0, **options})
    runner.fit(model, source or data(), ckpt_path=ckpt_path)
    return runner


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_training_makes_dispatch_cheaper(tmp_path):
    model = DispatchLearning(RULE, learning_rate=3e-2)
    options = {"limit_val_batches": 1, "val_check_interval": 5, "check_val_every_n_epoch": None}
    fitted(tmp_path, model, steps=30, source=data(stages=16), **options)
    costs = [record.costs[NAME] for record in model.history]
    assert len(costs) == 6
    assert costs[-1] < 0.9 * costs[0]
    assert [record.step for record in model.history] == [5, 10, 15, 20, 25, 30]
    assert all(record.seconds > 0 for record in model.history)


def test_the_gradient_of_a_step_is_that_of_the_mean_cost(tmp_path):
    """The loss of a step is the mean of costs, so that its gradient is checked by a difference of two losses."""
    model = DispatchLearning(RULE)
    fitted(tmp_path, model, steps=1)
    inflows = next(iter(model.data.val_dataloader()))["inflows"]
    loss = model.costs(inflows, "dc")[NAME].mean()
    model.net.zero_grad()
    loss.backward()
    parameters = list(model.net.parameters())
    direction = [torch.randn_like(p) for p in parameters]
    slope = sum((p.grad * d).sum() for p, d in zip(parameters, direction, strict=True))
    step, sides = 1e-6, []
    with torch.no_grad():
        for sign in (1, -2):
            for p, d in zip(parameters, direction, strict=True):
                p += sign * step * d
            sides.append(model.costs(inflows, "dc")[NAME].mean())
    # The cost is piecewise linear in the targets: between kinks the difference is exact up to the curvature of the rule
    # and to rounding of 1e-10 of a cost over a step of 1e-6.
    assert float((sides[0] - sides[1]) / (2 * step)) == pytest.approx(float(slope), rel=1e-3)


def test_a_rule_and_its_rival_learn_as_they_would_alone(tmp_path):
    alone = {}
    for name, settings in {"": {}, "TS-LDR": {"kind": "linear"}}.items():
        model = DispatchLearning(partial(RULE, **settings), learning_rate=2e-2 if name else 6e-3)
        fitted(tmp_path / (name or "own"), model)
        alone[name] = weights(model.net)
    both = DispatchLearning(RULE, rivals=LINEAR)
    fitted(tmp_path / "both", both)
    for name, net in both.networks.items():
        # The programs of both rules are one batch; each is solved from the same basis as before.
        torch.testing.assert_close(weights(net), alone[name], rtol=0, atol=0)


def test_a_resumed_run_ends_at_the_same_weights_and_keeps_its_curve(tmp_path):
    options = {"limit_val_batches": 1, "val_check_interval": 2, "check_val_every_n_epoch": None}
    first = DispatchLearning(RULE, schedule="constant")
    runner = fitted(tmp_path / "first", first, steps=2, **options)
    runner.save_checkpoint(tmp_path / "stop.ckpt")
    resumed, unbroken = DispatchLearning(RULE, schedule="constant"), DispatchLearning(RULE, schedule="constant")
    fitted(tmp_path / "second", resumed, steps=6, ckpt_path=tmp_path / "stop.ckpt", **options)
    fitted(tmp_path / "unbroken", unbroken, steps=6, **options)
    torch.testing.assert_close(weights(resumed.net), weights(unbroken.net), rtol=0, atol=0)
    assert [r.step for r in resumed.history] == [2, 4, 6]
    assert [r.costs for r in resumed.history] == [r.costs for r in unbroken.history]
    seconds = [r.seconds for r in resumed.history]
    assert seconds == sorted(seconds)


def test_the_first_steps_are_taken_in_the_cheaper_network(tmp_path, monkeypatch):
    model, networks = DispatchLearning(RULE, network="soc", warm_up={"network": "dc", "steps": 2}), []
    costs = model.costs

    def noted(inflows, network):
        networks.append(network)
        return costs(inflows, network)

    monkeypatch.setattr(model, "costs", noted)
    fitted(tmp_path, model, steps=3, source=data(stages=2))
    assert networks == ["dc", "dc", "soc"]


def test_penalised_targets_are_trained_by_the_whole_horizon(tmp_path):
    model = DispatchLearning(partial(RULE, targets="penalised"), penalty=50.0)
    fitted(tmp_path, model, steps=2)
    assert {type(p).__name__ for p in model._programs.values()} == {"HorizonCost"}


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tested")
    model = DispatchLearning(RULE, learning_rate=2e-2, rivals=LINEAR, sddp={"iterations": 8})
    options = {"limit_val_batches": 1, "val_check_interval": 5, "check_val_every_n_epoch": None}
    runner = fitted(folder, model, steps=10, **options)
    runner.test(model, data(), verbose=False)
    model.export(folder / "model")
    return model, folder


def test_all_policies_are_judged_on_the_same_scenarios(tested):
    model, folder = tested
    verdict = model.verdict
    assert list(verdict.results) == [NAME, "TS-LDR", "SDDP", "myopic"]
    assert verdict.comparison.reference == "SDDP"
    assert {row.scenarios for row in verdict.comparison.rows} == {6}
    assert verdict.feasible.holds
    # Knowing all inflows beats every policy, and SDDP's bound lies below the cost of its own policy.
    assert verdict.foresight <= min(verdict.means.values()) * (1 + 1e-9)
    assert verdict.sddp.bound > 0
    assert set(verdict.decision_seconds) == {NAME, "TS-LDR", "SDDP"}
    for name in verdict.results:
        assert (folder / "simulation" / f"{name}.nc").stat().st_size > 0


def test_what_was_simulated_is_what_was_trained_for(tested):
    """Strict targets are reached, so that the sum of the stages simulated is the cost that training sees."""
    model, _ = tested
    results = model.verdict.results[NAME]
    inflows = torch.from_numpy(results.inflow.transpose("scenario", "stage", "plant").values.copy())
    with torch.no_grad():
        trained = model.costs(inflows, "dc")[NAME].numpy()
    # 1e-7: the tolerance of HiGHS' primal and dual feasibility.
    np.testing.assert_allclose(results.cost.sum("stage").values, trained, rtol=1e-7)
    assert float(abs(results.volume - results.target).max()) < 1e-6


def test_the_report_names_costs_bound_and_feasibility(tested, tmp_path):
    model, _ = tested
    report = Report("dispatch", model.headline(), tmp_path)
    model.describe(report)
    page = report.write(tmp_path / "report.html").read_text()
    promised = ("against SDDP", "against TS-LDR", "lower bound", "all inflows known", "hold", "time of one decision")
    for expected in promised:
        assert expected in page, expected
    for name in ("storage", "generation", "prices", "costs", "paired", "training", "sddp"):
        assert (tmp_path / f"{name}.png").stat().st_size > 0, name


def test_a_saved_rule_is_loaded_by_its_folder_and_a_run_starts_from_it(tested, tmp_path):
    model, folder = tested
    rule = sciml.load(folder / "model")
    inflows = torch.rand(2, STAGES, 4, dtype=torch.float64) * 50
    torch.testing.assert_close(rule(inflows), copy.deepcopy(model.net).eval()(inflows))
    started = DispatchLearning(RULE, pretrained=str(folder / "model"), learning_rate=0.0)
    fitted(tmp_path, started, steps=1)
    torch.testing.assert_close(weights(started.net), weights(model.net))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "acdc"}, "network is 'acdc'"),
        ({"recipe": print}, "no backbone to freeze"),
        ({"warm_up": {"network": "dc"}}, "its settings are network and steps"),
    ],
)
def test_wrong_settings_say_what_is_expected(settings, message):
    with pytest.raises(ConfigError, match=message):
        DispatchLearning(RULE, **settings)


def test_the_case_of_the_data_is_what_is_trained_on(tmp_path):
    model = DispatchLearning(RULE)
    fitted(tmp_path, model, steps=1)
    assert model.case.name == HydrothermalCase.cascade().name
