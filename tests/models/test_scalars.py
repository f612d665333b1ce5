"""Scalars from the file through training and evaluation into a forecast, and what the errors of a run count."""

import json
from functools import partial
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

import sciml
from datamodules.mixture import MixtureData
from datamodules.trajectories import TrajectoryData
from models.poseidon import OperatorLearning
from sciml import cli
from sciml.baselines.fno import build_fno
from sciml.data import TrajectoryWriter, open_trajectories
from sciml.errors import ConfigError
from sciml.forecasting import forecast
from sciml.poseidon.build import build_scot
from tests.models.trainers import quiet_trainer

TINY = {"patch_size": 2, "embed_dim": 8, "depths": (1,), "num_heads": (2,), "skip_connections": (0,)}
SCOT = partial(build_scot, **TINY, initial_norm_scale=1.0)
FNO = partial(build_fno, width=4, modes=3)
COUNT = 8
VISCOSITY = np.linspace(0.1, 0.9, COUNT)


def written(path, *, task="mine", channels=("u", "v"), **scalars):
    axis = np.arange(8) / 8
    frames = np.random.default_rng(0).standard_normal((COUNT, 5, len(channels), 8, 8)).astype(np.float32)
    with TrajectoryWriter(
        path,
        task=task,
        variable="velocity",
        channels=channels,
        trajectories=COUNT,
        times=np.linspace(0, 1, 5),
        coordinates={"x": axis, "y": axis},
        boundary=("periodic", "periodic"),
        scalars=scalars,
    ) as writer:
        writer.write(0, frames)
    return path


def trained(data, folder, *, steps=3, **settings):
    """A tested model and its trainer after a few steps."""
    L.seed_everything(0, verbose=False)
    model = OperatorLearning(**{"network": SCOT, "learning_rate": 1e-2, "schedule": "constant", **settings})
    trainer = quiet_trainer(folder, steps=steps, num_sanity_val_steps=0)
    trainer.fit(model, data)
    return model, trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """File, model folder and module of a run with one scalar, a pushforward step and an FNO beside."""
    folder = tmp_path_factory.mktemp("run")
    path = written(folder / "flows.nc", viscosity=VISCOSITY, forcing=np.arange(COUNT))
    data = TrajectoryData(str(path), scalars=["viscosity"], stride=1, validation=1, test=2, batch_size=4)
    model, trainer = trained(data, folder, pushforward=1, rivals={"fno": {"network": FNO}})
    trainer.test(model, data, verbose=False)
    model.export(folder / "model")
    return path, folder / "model", model


def test_networks_learn_of_the_scalars_of_the_data(run):
    _, _, model = run
    assert model.net.config.scalars == model.rival_nets["fno"].config.scalars == ("viscosity",)
    columns = [p[:, 1] for p in model.net.parameter_groups()["time_embedding"] if p.ndim == 2]
    assert all((column != 0).any() for column in columns)  # they start at 0
    assert {"direct", "autoregressive", "fno, direct", "fno, autoregressive"} <= set(model.errors[""].methods)


def test_a_saved_model_forecasts_with_the_scalars_of_a_file_or_with_given_ones(run, capsys, monkeypatch):
    path, folder, _ = run
    content = json.loads((folder / "config.json").read_text())
    assert content["scalars"] == ["viscosity"]
    (scalar,) = content["sciml"]["scalars"]
    assert scalar["mean"] == pytest.approx(VISCOSITY[:5].mean())  # the training trajectories
    net = sciml.load(folder)
    with open_trajectories(path) as source:
        (card,) = net.card.scalars
        read = torch.tensor([[(VISCOSITY[6] - card.mean) / card.std]], dtype=torch.float32)
        given = source.read_frames(np.array([6]), np.array([0]))
        u = net.card.fields_in
        fields = torch.from_numpy((given - [[[[f.mean]] for f in u]]) / [[[[f.std]] for f in u]]).float()
        with torch.no_grad():
            expected = net(fields, 0.25, read)[0].numpy()
        decoded = expected * [[[f.std]] for f in u] + [[[f.mean]] for f in u]
        made = forecast(folder, source, steps=1, trajectories=[6])
        np.testing.assert_allclose(made.fields[0, 1], decoded, rtol=1e-4, atol=1e-5)  # float32, scaled in another order
        other = forecast(folder, source, steps=1, trajectories=[6], scalars={"viscosity": VISCOSITY[0]})
        assert np.abs(other.fields[0, 1] - made.fields[0, 1]).max() > 1e-3
        monkeypatch.setattr("sciml.forecasting._BATCH", 3)
        many = forecast(folder, source, steps=1, trajectories=range(COUNT))
        np.testing.assert_allclose(many.fields[6], made.fields[0], rtol=1e-4, atol=1e-5)
        with pytest.raises(ConfigError, match="scalar 'mu' came, but the model reads viscosity"):
            forecast(folder, source, scalars={"mu": 1.0})
    monkeypatch.setattr("sys.argv", ["sciml", "rollout", str(folder), str(path), "-n", "1", "--scalar", "viscosity=x"])
    with pytest.raises(SystemExit):
        cli.app()
    assert "--scalar 'viscosity=x' is not NAME=NUMBER" in capsys.readouterr().err


def test_a_file_without_the_scalar_is_told_and_can_be_given_one(run, tmp_path):
    path = written(tmp_path / "plain.nc")
    with pytest.raises(ConfigError, match=r"scalar 'viscosity' is not in .*plain.nc; it has \(none\)"):
        forecast(run[1], path)
    assert np.isfinite(forecast(run[1], path, scalars={"viscosity": 0.3}).fields).all()


def test_statistics_of_a_model_let_a_file_with_one_value_be_used(run, tmp_path):
    path = written(tmp_path / "one.nc", viscosity=np.full(COUNT, 0.3))
    data = TrajectoryData(str(path), scalars=["viscosity"], statistics=str(run[1]))
    data.setup("fit")
    assert data.scalars[0].mean == pytest.approx(VISCOSITY[:5].mean())
    with pytest.raises(ConfigError, match=r"'viscosity' is 0\.3 in all training trajectories"):
        TrajectoryData(str(path), scalars=["viscosity"]).setup("fit")


def test_a_mixture_normalises_a_scalar_over_its_files_and_takes_the_mean_where_there_is_none(tmp_path):
    ones = np.ones(COUNT)
    paths = {
        "without": written(tmp_path / "without.nc"),
        "thin": written(tmp_path / "thin.nc", mu=ones),
        "thick": written(tmp_path / "thick.nc", nu=4 * ones + [-1, 1] * 4, mu=2 * ones),
    }
    settings = {"stride": 1, "validation": 1, "test": 1, "batch_size": 12}
    data = MixtureData({name: {"path": str(path)} for name, path in paths.items()}, scalars=["nu", "mu"], **settings)
    model, trainer = trained(data, tmp_path)
    assert {s.name: (s.mean, s.std) for s in data.scalars} == {"nu": (4.0, 1.0), "mu": (1.5, 0.5)}
    assert model.net.config.scalars == data.pairs.scalars == tuple(s.name for s in data.scalars) == ("mu", "nu")
    rows = {
        (int(d), *s) for b in data.train_dataloader() for d, s in zip(b["dataset"], b["scalars"].tolist(), strict=True)
    }
    assert rows == {(0, 0.0, 0.0), (1, -1.0, 0.0), (2, 1.0, -1.0), (2, 1.0, 1.0)}
    trainer.test(model, data, verbose=False)
    assert [b["scalars"][0].tolist() for b in map(next, map(iter, data.test_dataloader()))] == [
        [0, 0],
        [-1, 0],
        [1, 1],
    ]
    with pytest.raises(ConfigError, match=r"Name them for all with data.scalars=\[NAMES\]"):
        MixtureData({"thin": {"path": str(paths["thin"]), "scalars": ["nu"]}})


def test_the_validation_error_counts_the_groups_that_the_test_error_counts(tmp_path):
    path = written(tmp_path / "NS-PwC.nc", task="NS-PwC")
    data = TrajectoryData(str(path), channels=["rho", "u", "v", "p"], stride=2, validation=2, test=2, batch_size=4)
    model, trainer = trained(data, tmp_path, steps=1)
    data.validation_indices = data.test_indices
    (validated,) = trainer.validate(model, data, verbose=False)
    (tested,) = trainer.test(model, data, verbose=False)
    assert validated["val/error"] == pytest.approx(tested["test/direct"], rel=1e-5)
    errors = torch.cat(model.errors[""].relative["direct"])[:, -1].nanquantile(0.5, dim=0)
    assert model.errors[""].groups == ["rho", "velocity", "p"]
    assert validated["val/error"] == pytest.approx(errors[1].item(), rel=1e-5)

    shown = []
    report: Any = SimpleNamespace(
        section=lambda *_: None,
        figure=lambda *_: None,
        table=lambda columns, rows: shown.extend(row[0] for row in rows),
        folder=tmp_path / "figures",
    )
    model.errors[""].samples = []  # no pictures
    model.describe(report)
    assert "direct, velocity" in shown
    assert not [name for name in shown if "velocity" not in name]


def test_a_run_that_was_only_validated_claims_no_test(tmp_path):
    path = written(tmp_path / "flows.nc")
    model, _ = trained(TrajectoryData(str(path), stride=1, validation=1, test=1, batch_size=4), tmp_path)
    assert model.headline() == "Nothing was tested."
