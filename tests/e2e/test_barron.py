"""Elliptic problems: runs of seconds as a user starts them."""

from pathlib import Path

import pytest
import torch
from omegaconf import open_dict

import sciml
import train as application
from tests.e2e.test_configs import compose

QUIET = ("trainer.accelerator=cpu", "logger=csv", "callbacks.progress=null", "+trainer.enable_progress_bar=false")
TINY = {
    "barron/cubic_d10": ("data.dimension=3", "model.points=1024", "model.certify_points=1024", "model.tol=1e-6"),
    "barron/ritz_then_lsq_d2": (
        "model.hidden=[40]",
        "model.certify_points=256",
        "trainer.max_steps=20",
        "trainer.val_check_interval=10",
        "callbacks.last.every_n_train_steps=10",
    ),
}


@pytest.mark.parametrize("experiment", TINY)
def test_a_run_leaves_a_certified_solution_and_a_report(experiment, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = compose(f"experiment={experiment}", *TINY[experiment], *QUIET, "data.test_points=512")
    with open_dict(config):
        del config.hydra  # which the application gets apart from its configuration
    application.run(config)
    assert "Certified H1 error of the " in capsys.readouterr().out
    page = Path("run/report.html").read_text()
    for expected in ("H1 error, bound", "true error, relative H1", "verdict"):
        assert expected in page
    for name in ("checkpoints/last.ckpt", "figures/slices.png", "metrics.csv"):
        assert (Path("run") / name).stat().st_size > 0, name
    assert "train/certificate" in Path("run/metrics.csv").read_text()
    net = sciml.load("run")
    assert net(torch.rand(4, net.dimension, dtype=torch.float64)).shape == (4,)
