"""What is added to a prediction: the input of the same name, wherever it stands, or nothing."""

import json

import pytest
import torch

from sciml.baselines.fno import FNOConfig, build_fno
from sciml.data.spec import FieldSpec
from sciml.errors import ConfigError
from sciml.poseidon import ScOTConfig
from sciml.poseidon.build import build_scot
from sciml.poseidon.checkpoint import from_pretrained
from sciml.residual import add_residual, residual_channels
from tests.poseidon.small import SMALL, small_network

ARCHITECTURE = {key: SMALL[key] for key in ("patch_size", "embed_dim", "depths", "num_heads", "skip_connections")}


def named(*names):
    return [FieldSpec(name) for name in names]


def added(net, fields):
    """What the residual adds: the prediction of a network whose last layer is zero."""
    with torch.no_grad():
        for parameter in (net.patch_recovery if hasattr(net, "patch_recovery") else net.projection).parameters():
            parameter.zero_()
        return net(fields, 0.5)


@pytest.mark.parametrize(
    ("names_in", "names_out", "channels"),
    [
        ("uv", "uv", None),
        ("uvc", "uv", None),  # the published behaviour needs no saying
        ("cuv", "uv", (1, 2)),
        ("uv", "vu", (1, 0)),
        ("uv", "uw", (0, None)),
        ("s", "u", (None,)),
        ("u", "uvw", (0, None, None)),
    ],
)
@pytest.mark.parametrize("kind", ["scot", "fno"])
def test_a_prediction_is_added_to_the_input_of_its_name(kind, names_in, names_out, channels):
    assert residual_channels(names_in, names_out) == channels
    build, settings = (build_scot, ARCHITECTURE) if kind == "scot" else (build_fno, {"width": 4, "modes": 4})
    net = build(named(*names_in), named(*names_out), (16, 16), learn_residual=True, **settings)
    fields = torch.randn(2, len(names_in), 16, 16)
    nothing = torch.zeros(2, 16, 16)
    expected = [fields[:, names_in.index(name)] if name in names_in else nothing for name in names_out]
    assert torch.equal(added(net, fields), torch.stack(expected, dim=1))
    assert net.config.residual_channels == channels


def test_fine_tuning_on_other_channels_adds_what_has_the_name(tmp_path):
    old = small_network(learn_residual=True)
    fields = {key: [{"name": name} for name in ("u", "v")] for key in ("fields_in", "fields_out")}
    folder = old.save_pretrained(tmp_path / "old", extra=fields)
    same = from_pretrained(folder, channels_in=["u", "v"], channels_out=["u", "v"], verbose=False)
    assert same.config.residual_channels is None
    assert "residual_channels" not in json.loads((folder / "config.json").read_text())

    behind = from_pretrained(folder, channels_in=["c", "u", "v"], channels_out=["u", "v"], verbose=False)
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        # A new channel that is 0 adds nothing: the prediction is what it was. Summed in another order.
        x[:, 0] = 0
        torch.testing.assert_close(behind(x, 0.5), old(x[:, 1:], 0.5), rtol=1e-4, atol=1e-5)
    saved = behind.save_pretrained(tmp_path / "new")
    assert json.loads((saved / "config.json").read_text())["residual_channels"] == [1, 2]
    assert torch.equal(added(from_pretrained(saved, verbose=False), x), x[:, 1:])

    solving = from_pretrained(folder, channels_in=["source"], channels_out=["solution"], verbose=False)
    assert not added(solving, x[:, 1:2]).any()
    counted = from_pretrained(folder, in_channels=3, out_channels=1, verbose=False)  # nothing is known of names
    assert torch.equal(added(counted, x), x[:, :1])


def test_weights_that_do_not_name_their_channels_keep_what_they_were_trained_with(tmp_path):
    folder = small_network(learn_residual=True).save_pretrained(tmp_path)
    net = from_pretrained(folder, channels_in=["source", "shape"], channels_out=["p", "q"], verbose=False)
    x = torch.randn(2, 2, 16, 16)
    assert torch.equal(added(net, x), x)


def test_a_residual_in_half_precision_keeps_the_type():
    x = torch.randn(1, 2, 4, 4, dtype=torch.bfloat16)
    assert add_residual(x, x, (None, 0)).dtype == torch.bfloat16


@pytest.mark.parametrize("config", [ScOTConfig, FNOConfig])
@pytest.mark.parametrize("channels", [None, (0,), (0, 2), (0, -1)])
def test_a_residual_that_does_not_fit_is_refused(config, channels):
    count = 1 if channels is None else 2
    with pytest.raises(ConfigError, match=f"but {count} channels are read and 2 predicted"):
        config(num_channels=count, num_out_channels=2, learn_residual=True, residual_channels=channels)
