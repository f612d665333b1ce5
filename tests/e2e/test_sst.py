"""Real data: a few steps of the experiment on sea-surface temperature."""

from pathlib import Path

import pytest
from omegaconf import open_dict

import train as application
from tests.e2e.test_configs import compose

pytest.importorskip("iris_sample_data")


def test_the_report_compares_with_persistence_and_climatology_in_kelvin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = ("trainer.max_steps=2", "trainer.val_check_interval=2", "trainer.accelerator=cpu", "logger=csv")
    quiet = ("callbacks.progress=null", "+trainer.enable_progress_bar=false")
    config = compose("experiment=poseidon/finetune_sst", "data_dir=data", *settings, *quiet)
    with open_dict(config):
        del config.hydra  # which the application gets apart from its configuration
    application.run(config)
    headline = capsys.readouterr().out
    assert "33 trajectories to train on (99 pairs), 3 to validate, 9 to test" in headline
    assert "of the persistence forecast's 0.735" in headline  # of the data alone
    assert "of the climatology forecast's 0.354" in headline
    page = Path("run/report.html").read_text()
    assert "<td>K</td>" in page
    assert "climatology, sst" in page
    assert "autoregressive" not in page, "the season would be carried along as it is"
