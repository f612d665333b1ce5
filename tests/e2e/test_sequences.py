"""Sequences: a run of a few steps as a user starts it, on expressions that are generated first."""

import json
from pathlib import Path

import pytest
import torch
from omegaconf import open_dict

import sciml
import train as application
from tests.e2e.conftest import train
from tests.e2e.test_configs import compose

TINY = (
    "debug=fast_sequences",
    "data_dir=data",
    "data.source.train=16",
    "data.source.validation=4",
    "data.source.test=4",
    "model.network.features=8",
    "model.network.layers=2",
    "model.network.layer_options.state=8",
    "logger=csv",
    "callbacks.progress=null",
    "+trainer.enable_progress_bar=false",
)


@pytest.mark.parametrize("layer", ["s4", "s4d", "s4_ptd", "s5", "s5_ptd"])
def test_a_run_on_generated_sequences_leaves_a_report_and_a_model(layer, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = compose("experiment=ssm/listops_small", f"model={layer}", "trainer.accelerator=cpu", *TINY)
    with open_dict(config):
        del config.hydra  # which the application gets apart from its configuration
    application.run(config)
    printed = capsys.readouterr().out
    assert "8 to train on, 2 to validate, 2 to test" in printed
    assert "eigenvalues" in printed, "the table of what is trained"
    assert "Test accuracy of S" in printed
    page = Path("run/report.html").read_text()
    for expected in ("cross entropy", "Gain of the first state-space layer", "features: 8"):
        assert expected in page
    for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "figures/confusion.png", "metrics.csv"):
        assert (Path("run") / name).stat().st_size > 0, name
    net = sciml.load("run")
    assert net.config.layer == layer
    assert net(torch.randint(16, (2, 30)), torch.tensor([30, 12])).shape == (2, 10)
    assert json.loads(Path("run/model/config.json").read_text())["sciml"]["task"] == "classification"


def test_networks_sharded_over_two_processes_learn_and_are_judged_as_by_one_process(tmp_path):
    # Batches are left to chance, so that two processes share the batch of one; the loss is a mean over sequences.
    networks = (
        "data.length_pool=1",
        "model=s4_ptd",
        "model.rivals={S5: {network: {layer: s5}}}",
        "model.noise={state: 8}",
    )
    settings = ("experiment=ssm/listops_small", *TINY, *networks)
    one = train(tmp_path, *settings, "data.batch_size=4", "hydra.run.dir=outputs/one")
    assert one.code == 0, one.out
    two = train(
        tmp_path, *settings, "data.batch_size=2", "trainer=fsdp", "trainer.devices=2", "hydra.run.dir=outputs/two"
    )
    assert two.code == 0, two.out
    # Sums in another order: float32 round-off, enlarged by AdamW where a gradient is nearly 0.
    assert two.losses() == pytest.approx(one.losses(run=0), rel=1e-5)
    expected, found = (sciml.load(folder).state_dict() for folder in two.runs)
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-4)
    # The report of one process knows the whole network.
    page = (two.runs[1] / "report.html").read_text()
    assert all(expected in page for expected in ("Noise of one frequency", "Gain of the first state-space layer"))
