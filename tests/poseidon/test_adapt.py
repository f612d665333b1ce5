"""Weights fitted to other channels: what is kept by name, what is new, and what the network then predicts."""

import json
from pathlib import Path

import pytest
import torch

from sciml.data.spec import FieldSpec
from sciml.errors import ConfigError
from sciml.poseidon import ScOT, ScOTConfig
from sciml.poseidon.adapt import BIAS, EMBEDDING, MIXUP, PROJECTION, match_channels
from sciml.poseidon.build import build_scot
from sciml.poseidon.card import ModelCard
from sciml.poseidon.checkpoint import from_pretrained, read_weights

FIXTURE = Path(__file__).parents[1] / "fixtures/scot/a_window_shift"  # four channels, as published
SMALL = {"image_size": 16, "embed_dim": 8, "depths": (1,), "num_heads": (2,), "skip_connections": (0,)}


def saved(tmp_path, names_in, names_out):
    """A folder with a network that knows the names of its channels, with weights far from their start."""
    torch.manual_seed(0)
    net = ScOT(ScOTConfig(**SMALL, window_size=4, num_channels=len(names_in), num_out_channels=len(names_out)))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    read, predicted = (
        tuple(FieldSpec(n, mean=float(i), std=2.0 + i) for i, n in enumerate(names)) for names in (names_in, names_out)
    )
    net.card = ModelCard(fields_in=read, fields_out=predicted)
    return net.eval(), net.save_pretrained(tmp_path / "model")


def test_known_channels_keep_their_rows_in_the_new_order():
    old = read_weights(FIXTURE)
    new = from_pretrained(
        FIXTURE, channels_in=["c", "v", "u"], channels_out=["p", "c", "u"], verbose=False
    ).state_dict()
    assert torch.equal(new[EMBEDDING][:, 1:], old[EMBEDDING][:, [2, 1]])
    assert torch.equal(new[PROJECTION][:, [0, 2]], old[PROJECTION][:, [3, 1]])
    assert torch.equal(new[BIAS][[0, 2]], old[BIAS][[3, 1]])
    assert torch.equal(new[MIXUP][[0, 2]][:, [0, 2]], old[MIXUP][[3, 1]][:, [3, 1]])
    for name in old.keys() - {EMBEDDING, PROJECTION, BIAS, MIXUP}:
        assert torch.equal(new[name], old[name]), name


def test_new_channels_start_as_at_pretraining(tmp_path):
    _, folder = saved(tmp_path, ["u"], ["u"])
    names = ["u", *(f"new{i}" for i in range(40))]
    new = from_pretrained(folder, channels_in=names, channels_out=names, verbose=False).state_dict()
    for fresh in (new[EMBEDDING][:, 1:], new[MIXUP][1:]):
        # N(0, 0.02): 5120 and 41000 numbers, whose standard deviation is known to 1 % and better.
        assert fresh.std().item() == pytest.approx(0.02, rel=0.05)
        assert abs(fresh.mean().item()) < 0.002
    bound = 1 / (41 * 4 * 4) ** 0.5  # torch's own start of a transposed convolution
    for fresh in (new[PROJECTION][:, 1:], new[BIAS][1:]):
        assert 0.5 * bound < fresh.abs().max() <= bound


def test_what_is_predicted_for_known_channels_does_not_change_while_new_inputs_are_zero(tmp_path):
    net, folder = saved(tmp_path, ["u", "v"], ["u", "v"])
    wider = from_pretrained(folder, channels_in=["c", "v", "u"], channels_out=["v", "u", "c"], verbose=False)
    fields = torch.randn(2, 2, 16, 16)
    given = torch.stack([torch.zeros(2, 16, 16), fields[:, 1], fields[:, 0]], dim=1)
    with torch.no_grad():
        # Sums over channels in another order, in float32.
        torch.testing.assert_close(wider(given, 0.5)[:, :2], net(fields, 0.5)[:, [1, 0]], rtol=1e-4, atol=1e-4)


def test_leaving_an_input_out_is_reading_it_at_its_mean(tmp_path):
    net, folder = saved(tmp_path, ["u", "v"], ["u", "v"])
    narrower = from_pretrained(folder, channels_in=["v"], verbose=False)
    fields = torch.randn(2, 2, 16, 16) * torch.tensor([0.0, 1.0])[:, None, None]  # normalised: the mean is 0
    with torch.no_grad():
        torch.testing.assert_close(narrower(fields[:, 1:], 0.5), net(fields, 0.5), rtol=1e-4, atol=1e-4)


def test_the_card_has_the_normalisation_of_the_channels_that_are_known(tmp_path):
    _, folder = saved(tmp_path, ["u", "v"], ["u"])
    net = from_pretrained(folder, channels_in=["v", "c"], verbose=False)
    assert [(f.name, f.mean, f.std) for f in net.card.fields_in] == [("v", 1.0, 3.0), ("c", None, None)]
    assert [(f.name, f.mean, f.std) for f in net.card.fields_out] == [("u", 0.0, 2.0)]
    again = from_pretrained(net.save_pretrained(tmp_path / "again"), verbose=False)
    assert again.card == net.card


def test_weights_without_a_card_and_with_four_channels_are_taken_for_published_ones():
    net = from_pretrained(FIXTURE)
    assert [(f.name, f.mean, f.std) for f in net.card.fields_in] == [
        ("rho", 0.80, 0.31),
        ("u", 0.0, 0.391),
        ("v", 0.0, 0.356),
        ("p", 0.0, 0.185),
    ]


@pytest.mark.parametrize("given", ["numbers", "names"])
def test_fresh_channels_are_the_published_behaviour(given):
    change = json.loads((FIXTURE / "channel_change.json").read_text())
    numbers = change["num_channels"], change["num_out_channels"]
    names = ["rho", "u", "v", "p", "tracer", "phi"]
    wanted = (
        {"in_channels": numbers[0], "out_channels": numbers[1]}
        if given == "numbers"
        else {"channels_in": names, "channels_out": names[:5], "new_channels": "fresh"}
    )
    old, new = read_weights(FIXTURE), from_pretrained(FIXTURE, **wanted, verbose=False).state_dict()
    resized = {k: [list(old[k].shape), list(v.shape)] for k, v in new.items() if v.shape != old[k].shape}
    assert resized == change["mismatched"]
    for key, tensor in new.items():
        assert tensor.isfinite().all(), key
        assert key in resized or torch.equal(tensor, old[key]), key
    assert not torch.equal(new[EMBEDDING][:, :4], old[EMBEDDING])  # known names do not help
    same_number = from_pretrained(FIXTURE, channels_in=["a", "b", "c", "d"], new_channels="fresh", verbose=False)
    assert torch.equal(same_number.state_dict()[EMBEDDING], old[EMBEDDING])


def test_a_table_says_what_was_kept_resized_made_new_and_dropped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    from_pretrained(FIXTURE, channels_in=["u", "c"], channels_out=["u"])
    printed = capsys.readouterr().err
    assert "resized (12, 4, 4, 4) -> (12, 2, 4, 4)" in printed
    assert "kept u; new c; dropped rho, v, p" in printed
    assert "other" in printed
    from_pretrained(FIXTURE, channels_in=["rho", "u", "v", "p"])
    assert "kept" not in capsys.readouterr().err  # nothing has changed


def test_a_network_is_built_from_pretrained_weights_by_the_names_of_the_fields():
    fields = [FieldSpec("v"), FieldSpec("u")]
    old = read_weights(FIXTURE)
    net = build_scot(fields, fields, (32, 48), pretrained=FIXTURE)
    assert torch.equal(net.state_dict()[EMBEDDING], old[EMBEDDING][:, [2, 1]])
    assert net.config.image_size == (32, 48)
    fresh = build_scot(fields, fields, (64, 64), pretrained=FIXTURE, new_channels="fresh", resolution="spectral")
    assert not torch.equal(fresh.state_dict()[EMBEDDING], old[EMBEDDING][:, [2, 1]])
    assert (fresh.config.image_size, fresh.config.resolution) == (32, "spectral")


def test_choices_that_do_not_exist_are_named():
    with pytest.raises(ConfigError, match="'by_name' or 'fresh'"):
        match_channels(["u"], ["u"], 1, new_channels="old")
    with pytest.raises(ConfigError, match="by name and by number"):
        from_pretrained(FIXTURE, channels_in=["u"], in_channels=1)
