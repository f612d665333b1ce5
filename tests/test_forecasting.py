"""Forecasts with a saved model, from Python and from the shell."""

import json
import sys

import h5py
import numpy as np
import pytest
import torch

import sciml
from sciml import cli, forecasting
from sciml.data import TrajectoryWriter
from sciml.errors import ConfigError
from sciml.forecasting import forecast
from sciml.poseidon import ScOT, ScOTConfig, rollout

STATISTICS = {"u": (0.5, 2.0), "v": (-1.0, 3.0), "c": (0.0, 1.0)}


def fields(*names):
    return [{"name": n, "group": n, "mean": STATISTICS[n][0], "std": STATISTICS[n][1]} for n in names]


def saved(folder, names_in, names_out, **description):
    torch.manual_seed(0)
    config = ScOTConfig(
        image_size=16,
        num_channels=len(names_in),
        num_out_channels=len(names_out),
        embed_dim=8,
        depths=(1,),
        num_heads=(2,),
        skip_connections=(0,),
        initial_norm_scale=1.0,
    )
    extra = {"time_scale": 10.0, "fields_in": fields(*names_in), "fields_out": fields(*names_out), **description}
    net = ScOT(config).eval()
    net.save_pretrained(folder, extra=extra)
    return net


def written(path, channels=("v", "u"), steps=5, interval=0.2, **attributes):
    axis = np.arange(16) / 16
    frames = np.random.default_rng(0).standard_normal((3, steps, len(channels), 16, 16)).astype(np.float32)
    with TrajectoryWriter(
        path,
        task="mine",
        variable="solution",
        channels=channels,
        trajectories=3,
        times=interval * np.arange(steps),
        coordinates={"x": axis, "y": axis},
        boundary=("periodic", "periodic"),
        attributes=attributes,
    ) as writer:
        writer.write(0, frames)
    return frames


@pytest.fixture
def case(tmp_path):
    """A model of (u, v), and a file that holds v before u."""
    return saved(tmp_path / "model", ("u", "v"), ("u", "v")), tmp_path, written(tmp_path / "mine.nc")


def test_fields_are_matched_by_name_and_normalised_as_in_training(case):
    net, folder, frames = case
    made = forecast(folder / "model", folder / "mine.nc", steps=2, stride=2, start=0, trajectories=(1,))
    mean, std = (np.array(values, np.float32)[:, None, None] for values in ((0.5, -1.0), (2.0, 3.0)))
    given = (torch.from_numpy(frames[1, 0, ::-1].copy()) - torch.from_numpy(mean)) / torch.from_numpy(std)
    with torch.no_grad():
        steps = list(rollout(net, given[None], 0.4, 2))  # two steps of two frames, a tenth of a lead time each
    expected = np.stack([frames[1, 0, ::-1], *(step[0].numpy() * std + mean for step in steps)])
    np.testing.assert_allclose(made.fields[0], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(made.truth[0], frames[1, ::2, ::-1])
    np.testing.assert_allclose(made.times, [0, 0.4, 0.8])


def test_a_forecast_goes_on_beyond_the_file_where_there_is_no_truth(case):
    _, folder, _ = case
    made = forecast(folder / "model", folder / "mine.nc", steps=4, start=3, trajectories=(0, 2))
    assert made.fields.shape == (2, 5, 2, 16, 16)
    np.testing.assert_allclose(made.times, [0.6, 0.8, 1.0, 1.2, 1.4])
    assert np.isfinite(made.truth[:, :2]).all()
    assert np.isnan(made.truth[:, 2:]).all()
    errors = made.errors()
    assert np.isnan(errors["forecast"]["u"]).tolist() == [False, False, True, True, True]
    assert errors["persistence"]["u"][0] == 0


def test_direct_forecasts_take_each_time_from_the_first_frame(case):
    _, folder, _ = case
    direct = forecast(folder / "model", folder / "mine.nc", steps=3, direct=True)
    fed_back = forecast(folder / "model", folder / "mine.nc", steps=3)
    np.testing.assert_allclose(direct.fields[:, 1], fed_back.fields[:, 1], rtol=1e-5, atol=1e-6)
    assert np.abs(direct.fields[:, 2] - fed_back.fields[:, 2]).max() > 1e-3


def test_the_length_of_a_step_is_that_of_the_training_whatever_the_frames_of_the_file(tmp_path):
    # Lead time 1 is 2 time units and a step 0.2 of it: 0.4, or four frames of a file with frames every 0.1.
    net = saved(tmp_path / "model", ("u", "v"), ("u", "v"), horizon=2.0, step=0.2)
    frames = written(tmp_path / "mine.nc", channels=("u", "v"), interval=0.1)
    made = forecast(tmp_path / "model", tmp_path / "mine.nc")
    np.testing.assert_allclose(made.times, [0, 0.4])
    mean, std = (np.array(values, np.float32)[:, None, None] for values in ((0.5, -1.0), (2.0, 3.0)))
    with torch.no_grad():
        expected = net(torch.from_numpy((frames[:1, 0] - mean) / std), 0.2).numpy() * std + mean
    np.testing.assert_allclose(made.fields[:, 1], expected, rtol=1e-5, atol=1e-5)


def test_a_model_of_several_files_is_normalised_by_the_file(tmp_path):
    saved(tmp_path / "model", ("u", "v"), ("u", "v"), normalised_by="file")
    frames = written(tmp_path / "mine.nc", channels=("u", "v"))
    made = forecast(tmp_path / "model", tmp_path / "mine.nc", steps=1)
    np.testing.assert_allclose(made.normaliser.mean, frames.mean((0, 1, 3, 4)), atol=1e-6)
    np.testing.assert_allclose(made.normaliser.std, frames.std((0, 1, 3, 4)), rtol=1e-5)


def test_trajectories_do_not_feel_how_many_are_forecast_together(case, monkeypatch):
    _, folder, _ = case
    together = forecast(folder / "model", folder / "mine.nc", trajectories=(2, 0, 1))
    monkeypatch.setattr(forecasting, "_BATCH", 2)
    in_batches = forecast(folder / "model", folder / "mine.nc", trajectories=(2, 0, 1))
    np.testing.assert_allclose(in_batches.fields, together.fields, rtol=1e-5, atol=1e-5)  # float32, other kernels


def test_a_steady_problem_is_compared_with_the_mean_and_not_inside_a_body(tmp_path):
    saved(tmp_path / "model", ("c",), ("u",))
    path = tmp_path / "steady.nc"
    frames = written(path, ("c", "u"), steps=1, inputs=["c"], targets=["u"], solid="c")
    with h5py.File(path, "r+") as file:
        file["solution"][:, :, 0] = frames[:, :, 0] = np.arange(16)[:, None] < 8  # a body fills one half
        file["solution"][:, :, 1, :8] = 1e6
    made = forecast(tmp_path / "model", path, trajectories=(0, 1, 2))
    assert made.fields.shape == (3, 1, 1, 16, 16)
    errors = made.errors()
    u, predicted = ((field[..., 8:, :] - 0.5) / 2.0 for field in (frames[:, 0, 1], made.fields[:, 0, 0]))
    expected = np.median(np.abs(predicted - u).sum((1, 2)) / np.abs(u).sum((1, 2)))
    np.testing.assert_allclose(errors["forecast"]["u"], [expected], rtol=1e-5)
    np.testing.assert_allclose(errors["mean"]["u"], [1.0], rtol=1e-5)


def test_the_written_forecast_can_be_read_again(case):
    _, folder, _ = case
    config = json.loads((folder / "model/config.json").read_text())
    config["sciml"]["licence"] = "CC-BY-NC-4.0"
    config["sciml"]["fields_out"][0]["unit"] = "m/s"
    (folder / "model/config.json").write_text(json.dumps(config))
    made = sciml.forecast(folder / "model", folder / "mine.nc", trajectories=(0, 1, 2))
    with sciml.open_trajectories(made.write(folder / "forecast.nc", model="model")) as again:
        assert again.spec.names == ("u", "v")
        np.testing.assert_allclose(again.spec.times, made.times)
        np.testing.assert_array_equal(again.read(2), made.fields[2])
        assert again.spec.attributes["model"] == "model"
        assert again.spec.attributes["licence"] == "CC-BY-NC-4.0"
        assert list(again.spec.attributes["source_trajectories"]) == [0, 1, 2]
        assert [field.unit for field in again.spec.fields] == ["m/s", "nondimensional"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trajectories": (7,)}, "no trajectory 7; .* has 3"),
        ({"start": 5}, "start 5 and stride 1 do not fit .* frames 0 to 4"),
        ({"start": 4}, "no step of 1 frame"),
        ({"steps": 0}, "none is asked for"),
        ({"device": "abacus"}, "cannot compute on device 'abacus'"),
    ],
)
def test_what_does_not_fit_is_said(case, settings, message):
    _, folder, _ = case
    with pytest.raises(ConfigError, match=message):
        forecast(folder / "model", folder / "mine.nc", **settings)


def test_a_field_that_the_file_lacks_is_named(tmp_path):
    saved(tmp_path / "model", ("u", "v", "c"), ("u", "v"))
    written(tmp_path / "mine.nc")
    with pytest.raises(ConfigError, match=r"the model reads u, v, c, but .* has v, u: c is missing"):
        forecast(tmp_path / "model", tmp_path / "mine.nc")


def test_predictions_that_cannot_be_fed_back_need_to_be_direct(tmp_path):
    saved(tmp_path / "model", ("u", "v"), ("v",))
    written(tmp_path / "mine.nc")
    with pytest.raises(ConfigError, match="cannot be fed back"):
        forecast(tmp_path / "model", tmp_path / "mine.nc")
    assert forecast(tmp_path / "model", tmp_path / "mine.nc", direct=True).fields.shape == (1, 5, 1, 16, 16)


def shell(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["sciml", "rollout", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as stop:
        cli.app()
    return stop.value.code, capsys.readouterr()


def test_the_command_shows_errors_and_writes_the_file_and_the_picture(case, monkeypatch, capsys):
    _, folder, _ = case
    out = folder / "rollout.nc"
    code, shown = shell(monkeypatch, capsys, folder / "model", folder / "mine.nc", "-n", 6, "--out", out, "--gif")
    assert code == 0
    assert "persistence, u" in shown.out
    assert out.is_file()
    assert out.with_suffix(".gif").read_bytes()[:4] == b"GIF8"
    with sciml.open_trajectories(out) as made:
        assert made.spec.steps == 7


def test_a_wrong_name_is_one_line(case, monkeypatch, capsys):
    _, folder, _ = case
    code, shown = shell(monkeypatch, capsys, folder / "modle", folder / "mine.nc")
    assert code == 1
    assert "error:" in shown.err
    assert "does not exist" in shown.err


def test_the_licence_of_the_weights_goes_into_the_forecast(case):
    _, folder, _ = case
    (folder / "model/README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    made = forecast(folder / "model", folder / "mine.nc", steps=1)
    assert made.licence == "CC-BY-NC-4.0"
    with sciml.open_trajectories(made.write(folder / "forecast.nc")) as again:
        assert again.spec.attributes["licence"] == "CC-BY-NC-4.0"


def test_a_model_without_description_takes_the_fields_of_the_file(case, tmp_path):
    _, folder, _ = case
    config = json.loads((folder / "model/config.json").read_text())
    (folder / "model/config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "sciml"}))
    made = forecast(folder / "model", folder / "mine.nc", steps=1)
    assert [field.name for field in made.channels] == ["v", "u"]
