"""Dispatch: a run of seconds as a user starts it."""

from pathlib import Path

import torch
from omegaconf import open_dict

import sciml
import train as application
from tests.e2e.test_configs import compose

TINY = (
    "data.stages=3",
    "data.validation=2",
    "data.test=3",
    "trainer.max_steps=4",
    "trainer.val_check_interval=2",
    "callbacks.last.every_n_train_steps=2",
    "model.sddp.iterations=3",
)
QUIET = ("logger=csv", "callbacks.progress=null", "+trainer.enable_progress_bar=false")


def test_a_run_leaves_a_policy_its_simulation_and_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = compose("experiment=dispatch/cascade", *TINY, *QUIET)
    with open_dict(config):
        del config.hydra  # which the application gets apart from its configuration
    application.run(config)
    assert "TS-DDR dispatches cascade for" in capsys.readouterr().out
    page = Path("run/report.html").read_text()
    for expected in ("against SDDP", "TS-LDR", "myopic", "lower bound"):
        assert expected in page
    for name in ("checkpoints/best.ckpt", "figures/storage.png", "metrics.csv", "simulation/TS-DDR.nc"):
        assert (Path("run") / name).stat().st_size > 0, name
    rule = sciml.load("run")
    assert rule(torch.ones(2, 3, 4, dtype=torch.float64)).shape == (2, 3, 4)
