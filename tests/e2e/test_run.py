"""What a run does, and what it leaves behind."""

import re

import numpy as np
import pytest
import torch

import sciml
from tests.e2e.conftest import ROOT, train


def test_a_run_leaves_everything_that_is_needed_to_judge_and_to_repeat_it(finished):
    (run,) = finished.runs
    for name in (
        ".hydra/config.yaml",
        "metrics.csv",
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
        "model/config.json",
        "model/model.safetensors",
        "figures/forecasts.png",
        "figures/error_velocity.png",
        "figures/rollout.gif",
        "report.html",
    ):
        assert (run / name).stat().st_size > 0, name
    assert list((run / "tensorboard").iterdir())
    assert f"Report: {run / 'report.html'}" in finished.out
    page = (run / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page), "the page must not need other files"
    for expected in ("persistence", "debug=fast", "torch", "trajectories: 8", "median (physical)"):
        assert expected in page


def test_the_default_run_shows_fine_tuned_against_from_scratch(tmp_path, data_dir):
    result = train(tmp_path, "experiment=poseidon/nano", data_dir=data_dir)
    assert result.code == 0, result.out
    (run,) = result.runs
    page = (run / "report.html").read_text()
    for method in ("direct", "scratch, direct", "scratch, autoregressive", "persistence"):
        assert method in page
    assert sciml.load(run).config.embed_dim == 40  # that of the pretrained network
    assert "- experiment: poseidon/nano" in (ROOT / "configs/train.yaml").read_text()


def test_losses_are_logged_at_every_step_that_was_asked_for(finished):
    assert list(finished.losses()) == list(range(30))


def test_the_saved_model_predicts_without_lightning_and_knows_its_fields(finished):
    (run,) = finished.runs
    net = sciml.load(run)
    with torch.no_grad():
        prediction = net(torch.randn(2, 2, 32, 32), 0.3)
    assert prediction.shape == (2, 2, 32, 32)
    assert prediction.isfinite().all()
    config = (run / "model/config.json").read_text()
    assert '"name": "u"' in config
    assert '"task": "NS-PwC"' in config


def test_a_checkpoint_can_be_tested_alone_and_gives_the_same_result(finished, tmp_path, data_dir):
    (run,) = finished.runs
    result = train(tmp_path, "train=false", "test=true", f"ckpt_path={run}/checkpoints/best.ckpt", data_dir=data_dir)
    assert result.code == 0, result.out
    headline = re.compile(r"Median relative L1 error.*")
    assert headline.search(result.out)[0] == headline.search(finished.out)[0]
    assert result.runs[0] != run


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(finished, tmp_path, data_dir):
    short = ("trainer.max_steps=3", "data.batch_size=12", "test=false")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    again = train(tmp_path / "a", *short, data_dir=data_dir)
    other = train(tmp_path / "b", *short, "seed=1", data_dir=data_dir)
    assert again.code == other.code == 0, again.out + other.out
    # The schedule of the longer run rises more slowly, so that only the first loss is the same.
    assert again.losses()[0] == finished.losses()[0]
    assert other.losses()[0] != finished.losses()[0]


def test_two_processes_share_one_folder_and_agree(tmp_path, data_dir):
    result = train(
        tmp_path, "trainer=ddp", "trainer.devices=2", "data.num_workers=1", "trainer.max_steps=4", data_dir=data_dir
    )
    assert result.code == 0, result.out
    (run,) = result.runs
    assert list(result.losses()) == [0, 1, 2, 3]
    assert (run / "report.html").is_file()
    assert result.out.count("Run folder:") == 1
    assert result.out.count("Report:") == 1


def test_a_sweep_makes_one_run_for_each_value(tmp_path, data_dir):
    result = train(
        tmp_path, "-m", "model.learning_rate=1e-3,2e-3", "trainer.max_steps=2", "test=false", data_dir=data_dir
    )
    assert result.code == 0, result.out
    runs = sorted(path.parent for path in tmp_path.glob("multirun/**/metrics.csv"))
    assert len(runs) == 2
    assert {
        float(rate)
        for run in runs
        for rate in re.findall(r"^  learning_rate: (.*)$", (run / ".hydra/config.yaml").read_text(), re.M)
    } == {1e-3, 2e-3}


def test_a_saved_model_is_fine_tuned_on_other_channels_and_another_size(finished, tmp_path):
    from sciml.pde.generate import generate

    path = generate("NS-Sines", tmp_path / "sines.nc", trajectories=8, resolution=48, progress=False)
    (run,) = finished.runs
    result = train(
        tmp_path,
        "experiment=poseidon/finetune",
        f"model.pretrained={run}",
        f"data.path={path}",
        "data.channels=[u,v,tracer]",
        "data.trajectories=3",
    )
    assert result.code == 0, result.out
    assert "patch_recovery.mixup.weight" in result.out  # the table of what is new
    assert "3 trajectories to train on (108 pairs)" in result.out
    net = sciml.load(result.runs[0])
    assert (net.config.num_channels, net.config.image_size) == (3, 48)
    assert net.config.embed_dim == 32


def test_fields_that_are_not_square_simply_work(tmp_path):
    from sciml.data.write import TrajectoryWriter

    rng = np.random.default_rng(0)
    with TrajectoryWriter(
        tmp_path / "channel.nc",
        task="my channel flow",
        variable="solution",
        channels=["u", "v"],
        trajectories=6,
        times=np.linspace(0, 1, 15),
        coordinates={"x": np.linspace(0, 2, 44), "y": np.linspace(0, 1, 26)},
        boundary=["open", "wall"],
        attributes={},
    ) as writer:
        writer.write(0, rng.standard_normal((6, 15, 2, 44, 26)).astype(np.float32))
    result = train(tmp_path, "data=file", f"data.path={tmp_path}/channel.nc")
    assert result.code == 0, result.out
    assert "on 44 x 26" in result.out


@pytest.mark.parametrize("name", ["default", "csv"])
def test_every_logger_writes(tmp_path, data_dir, name):
    result = train(tmp_path, f"logger={name}", "trainer.max_steps=2", "test=false", data_dir=data_dir)
    assert result.code == 0, result.out
    assert (result.runs[0] / "metrics.csv").is_file()
    assert (result.runs[0] / "tensorboard").is_dir() == (name == "default")
