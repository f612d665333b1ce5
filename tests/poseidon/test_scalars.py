"""Scalars beside the lead time: without effect until trained, kept by name, told apart by sample."""

import json
import re

import pytest
import torch

from sciml.data.spec import FieldSpec
from sciml.errors import ConfigError, ShapeError
from sciml.poseidon import ScOT, ScOTConfig, rollout
from sciml.poseidon.build import build_scot
from sciml.poseidon.checkpoint import from_pretrained
from tests.poseidon.small import SMALL, small_network

TWO = ("viscosity", "reynolds")
torch.manual_seed(0)
FIELDS, SCALARS = torch.randn(3, 2, 16, 16), torch.randn(3, 2)
TIMES = torch.tensor([0.0, 0.4, 1.0])


@pytest.fixture
def folder(tmp_path):
    """A network with two scalars that matter."""
    scalars = [{"name": name, "mean": 1.0 + i, "std": 2.0} for i, name in enumerate(TWO)]
    return small_network(scalars=TWO).save_pretrained(tmp_path / "model", extra={"scalars": scalars})


def test_a_pretrained_network_with_new_scalars_predicts_what_it_did(tmp_path):
    old = small_network()
    new = from_pretrained(old.save_pretrained(tmp_path), scalars=TWO, verbose=False)
    assert new.config.scalars == TWO
    with torch.no_grad():
        assert torch.equal(new(FIELDS, TIMES, SCALARS), new(FIELDS, TIMES, 0 * SCALARS))
        # The products of the norms have more columns than before: float32 round-off.
        torch.testing.assert_close(new(FIELDS, TIMES, SCALARS), old(FIELDS, TIMES), rtol=1e-5, atol=1e-5)


def test_a_fresh_network_ignores_scalars_at_first_and_learns_of_them():
    net = ScOT(ScOTConfig(**SMALL, scalars=TWO, initial_norm_scale=1.0))
    prediction = net(FIELDS, TIMES, SCALARS)
    assert torch.equal(prediction, net(FIELDS, TIMES, SCALARS + 1))
    prediction.square().mean().backward()
    conditioned = [p for p in net.parameter_groups()["time_embedding"] if p.ndim == 2]
    assert {p.shape[1] for p in conditioned} == {3}
    assert all((p.grad[:, 1:] != 0).any() for p in conditioned)


def test_a_prediction_depends_on_the_scalars_of_its_own_sample_only():
    net = small_network(scalars=TWO)
    with torch.no_grad():
        first, changed = net(FIELDS, TIMES, SCALARS), SCALARS.clone()
        changed[1, 1] += 1.0
        second = net(FIELDS, TIMES, changed)
    assert torch.equal(first[[0, 2]], second[[0, 2]])
    assert (first[1] - second[1]).abs().max() > 1e-3


def test_every_step_of_a_rollout_sees_the_scalars():
    net = small_network(scalars=TWO)
    with torch.no_grad():
        first, second = rollout(net, FIELDS, 0.8, 2, scalars=SCALARS)
        assert torch.equal(first, net(FIELDS, 0.4, SCALARS))
        assert torch.equal(second, net(first, 0.4, SCALARS))


def test_known_scalars_keep_their_columns_whatever_the_order_and_the_table_says_so(folder, capsys):
    old = ScOT.from_pretrained(folder, verbose=False)
    new = ScOT.from_pretrained(folder, scalars=["reynolds", "prandtl", "viscosity"])
    told = re.sub(r"\s+", " ", capsys.readouterr().err.replace("│", " "))
    assert "weights of conditional norms columns for scalars 2 -> 3" in told
    assert "kept reynolds, viscosity; new prandtl" in told
    anything = torch.randn(3, 1)
    with torch.no_grad():
        expected = old(FIELDS, TIMES, SCALARS)
        found = new(FIELDS, TIMES, torch.cat([SCALARS[:, 1:], anything, SCALARS[:, :1]], dim=1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)  # summed in another order
    assert [(s.name, s.mean) for s in new.card.scalars] == [("reynolds", 2.0), ("prandtl", None), ("viscosity", 1.0)]


def test_dropping_scalars_is_reading_them_at_their_mean(folder, capsys):
    old, new = ScOT.from_pretrained(folder, verbose=False), ScOT.from_pretrained(folder, scalars=[])
    assert "dropped viscosity, reynolds" in re.sub(r"\s+", " ", capsys.readouterr().err.replace("│", " "))
    with torch.no_grad():
        torch.testing.assert_close(new(FIELDS, TIMES), old(FIELDS, TIMES, 0 * SCALARS), rtol=1e-4, atol=1e-5)


def test_scalars_and_their_statistics_survive_saving_and_stand_in_the_config_only_if_there_are_any(folder, tmp_path):
    net = ScOT.from_pretrained(folder, verbose=False)
    again = ScOT.from_pretrained(net.save_pretrained(tmp_path / "again"), verbose=False)
    assert again.card.scalars == net.card.scalars
    with torch.no_grad():
        assert torch.equal(again(FIELDS, TIMES, SCALARS), net(FIELDS, TIMES, SCALARS))
    plain = json.loads((small_network().save_pretrained(tmp_path / "plain") / "config.json").read_text())
    assert "scalars" not in plain
    assert "scalars" not in plain["sciml"]


def test_scalars_of_the_data_are_those_of_the_network(folder):
    u, nu = FieldSpec("u"), FieldSpec("nu", mean=1.0, std=2.0)
    architecture = {key: SMALL[key] for key in ("patch_size", "embed_dim", "depths", "num_heads", "skip_connections")}
    fresh = build_scot([u], [u], (16, 16), scalars=[nu], **architecture)
    assert (fresh.config.scalars, fresh.card.scalars) == (("nu",), (nu,))
    assert build_scot([u, u], [u, u], (16, 16), scalars=[nu], pretrained=folder).config.scalars == ("nu",)
    assert build_scot([u, u], [u, u], (16, 16), pretrained=folder).config.scalars == ()


@pytest.mark.parametrize(
    ("names", "scalars", "message"),
    [
        (TWO, None, r"reads the scalars viscosity, reynolds, but none came .* shape \(3, 2\) is expected"),
        (TWO, SCALARS[:, :1], r"some of shape \(3, 1\) came"),
        (TWO, SCALARS[:1], r"some of shape \(1, 2\) came"),
        ((), SCALARS, r"reads the scalars \(none\), but some of shape"),
    ],
)
def test_missing_and_surplus_scalars_are_told(names, scalars, message):
    with pytest.raises(ShapeError, match=message):
        small_network(scalars=names)(FIELDS, TIMES, scalars)


def test_scalars_need_conditional_norms():
    with pytest.raises(ConfigError, match="use_conditioning=false leaves out"):
        ScOTConfig(**SMALL, scalars=TWO, use_conditioning=False)
