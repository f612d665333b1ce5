"""Training sequence models: every task, rivals, noise, and what is reported."""

import json
from functools import partial

import lightning as L
import numpy as np
import pytest
import torch

import sciml
from models.sequence import NoiseTest, SequenceLearning
from models.sequence_report import Scores
from sciml.errors import ConfigError
from sciml.report import Report
from sciml.ssm.network import build_sequence_model
from tests.models.trainers import quiet_trainer
from tests.sequences import TinySequences

SMALL = partial(
    build_sequence_model, layer="s4d", layer_options={"state": 8, "steps": [0.01, 0.3]}, layers=1, features=8
)


def trained(folder, data, *, network=SMALL, steps=3, **settings):
    """A model after a few steps with gradients that are clipped, and what its test gave."""
    L.seed_everything(0, verbose=False)
    model = SequenceLearning(network, **{"learning_rate": 1e-2, **settings})
    trainer = quiet_trainer(folder, steps=steps, gradient_clip_val=0.5)
    trainer.fit(model, data)
    return model, trainer.test(model, data, verbose=False)[0]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    ("task", "chance"), [("classification", 0.5), ("regression", 1.0), ("sequence", 1.0), ("retrieval", 0.5)]
)
def test_every_task_is_learned(task, chance, padded, tmp_path):
    _, found = trained(tmp_path, TinySequences(task, padded=padded), steps=80)
    # A third below the error of guessing, or of predicting the mean, is far outside what 32 sequences give by chance.
    assert found["test/error"] < 0.67 * chance


def test_tokens_are_learned(tmp_path):
    _, found = trained(tmp_path, TinySequences(encoder="tokens"), steps=80)
    assert found["test/accuracy"] > 0.8


def test_networks_that_are_alike_stay_alike_and_a_rival_changes_nothing_beside_it(tmp_path):
    data = TinySequences()
    alone, _ = trained(tmp_path, data)
    others = {"twin": {"roles": "s4"}, "faster": {"learning_rate": 3e-2}, "none": None}
    beside, found = trained(tmp_path, data, rivals=others)
    assert beside.rival_nets.keys() == {"twin", "faster"}
    for name, weight in alone.net.state_dict().items():
        torch.testing.assert_close(beside.net.state_dict()[name], weight, rtol=0, atol=0)
        torch.testing.assert_close(beside.rival_nets["twin"].state_dict()[name], weight, rtol=0, atol=0)
    assert (beside.rival_nets["faster"].head.weight - beside.net.head.weight).abs().max() > 1e-3
    assert found["test/accuracy/twin"] == found["test/accuracy"]


def test_the_report_says_what_noise_does(tmp_path):
    noise = {"state": 32, "amplitude": 0.1, "frequencies": (0.1, 1.0), "samples": 16}
    rivals = {"S5": {"network": {"layer": "s5", "layer_options": {"state": 8}}}}
    model, _ = trained(tmp_path, TinySequences(padded=True), noise=noise, rivals=rivals)
    assert {name: [s.count for s in found.values()] for name, found in model.noisy.items()} == {
        "": [16, 16, 16],
        "S5": [16, 16, 16],
    }
    report = Report("title", model.headline(), tmp_path / "figures")
    model.describe(report)
    page = report.write(tmp_path / "report.html").read_text()
    assert model.headline().startswith("Test accuracy of S4D: ")
    assert "over 32 sequences. With noise at the critical frequency: S4D " in model.headline()
    assert "w = 325.4" in page
    assert "Accuracy by length" in page
    assert (tmp_path / "figures/noise.png").stat().st_size > 0


def test_noise_is_none_without_amplitude(tmp_path):
    noise = {"state": 8, "amplitude": 0.0, "frequencies": (1.0,)}
    model, found = trained(tmp_path, TinySequences(), noise=noise)
    for scores in model.noisy[""].values():
        assert scores.summary()["accuracy"] == found["test/accuracy"]


def test_the_unit_of_frequency_is_where_s4d_is_furthest_from_hippo():
    # Measured on a fine grid for 32 states.
    assert NoiseTest(state=32).critical == pytest.approx(325.43, rel=1e-3)


def test_an_exported_model_predicts_without_the_data(tmp_path):
    model, _ = trained(tmp_path, TinySequences("sequence"))
    model.export(tmp_path / "model")
    x = torch.randn(2, 9, 1)
    net = sciml.load(tmp_path)
    torch.testing.assert_close(net(x), model.net.eval()(x), rtol=0, atol=0)
    known = json.loads((tmp_path / "model/config.json").read_text())["sciml"]
    assert (known["task"], known["classes"]) == ("sequence", ["low", "high"])
    assert known["normalised_by"] == {"mean": [0.0], "std": [1.0]}


def test_wrong_settings_say_what_is_expected():
    with pytest.raises(ConfigError, match=r"model\.ssm_learning_rate is -1; a number of at least 0"):
        SequenceLearning(SMALL, ssm_learning_rate=-1)


def test_the_error_of_values_is_relative_to_the_spread_of_all_valid_targets():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(4, 6, 2, generator=generator) * torch.tensor([1.0, 5.0])
    lengths = torch.tensor([6, 2, 5, 3])
    valid = torch.arange(6) < lengths[:, None]
    predicted = target[valid].mean(0).expand_as(target)
    garbage = torch.where(valid[..., None], predicted, 1e3)
    whole, parts = Scores("sequence"), Scores("sequence")
    whole.add(garbage, {"inputs": target, "target": target, "lengths": lengths})
    for k in range(4):
        batch = {"inputs": target[k : k + 1], "target": target[k : k + 1], "lengths": lengths[k : k + 1]}
        parts.add(garbage[k : k + 1], batch)
    for scores in (whole, parts):
        assert scores.summary()["error"] == pytest.approx(1.0, rel=1e-6)  # of float32 targets
    assert whole.examples[1][0].shape == (2, 2)
    expected = target[valid].var(0, correction=0).mean().sqrt().item()
    assert whole.summary()["rmse"] == pytest.approx(expected, rel=1e-6)


def test_the_scores_of_classes_are_counted_by_class_and_by_length():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    batch = {
        "inputs": torch.zeros(4, 9, 1),
        "target": torch.tensor([0, 0, 1, 1]),
        "lengths": torch.tensor([9, 3, 4, 8]),
    }
    scores = Scores("classification")
    scores.add(logits, batch)
    summary = scores.summary()
    assert summary["accuracy"] == 0.5
    assert summary["error"] == 0.5
    losses = np.log1p(np.exp([-2.0, 1.0, -3.0, 1.0]))  # log(1 + exp(wrong - right))
    assert summary["cross_entropy"] == pytest.approx(losses.mean(), rel=1e-6)
    np.testing.assert_array_equal(scores.confusion(), [[0.5, 0.5], [0.5, 0.5]])
    assert scores.by_length(parts=2) == [("3 to 4", 2, 0.5), ("8 to 9", 2, 0.5)]
    assert scores.by_length(parts=4)[0] == ("3 to 3", 1, 0.0)
