"""scOT against numbers computed by the authors' code: outputs, losses, gradients, rollouts, channel changes, names."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sciml.poseidon import ScOT, ScOTConfig, rollout
from sciml.poseidon.checkpoint import from_pretrained, read_weights
from sciml.poseidon.loss import grouped_relative_loss

FIXTURES = Path(os.environ.get("SCIML_FIXTURES", Path(__file__).parents[1] / "fixtures"))
FOLDERS = sorted(path.parent for path in FIXTURES.glob("scot/*/model.safetensors"))
KEYS = sorted(FIXTURES.glob("scot_keys/keys-*.json"))
CASES = [(folder, name) for folder in FOLDERS for name in json.loads((folder / "expected.json").read_text())["cases"]]
CHANNEL_CHANGES = [folder for folder in FOLDERS if (folder / "channel_change.json").is_file()]

folders = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
cases = pytest.mark.parametrize(("folder", "name"), CASES, ids=lambda value: getattr(value, "name", value))


def loss_of(net, prediction, tensors):
    mask = tensors.get("pixel_mask")
    return grouped_relative_loss(
        prediction,
        tensors["labels"].to(prediction.dtype),
        slices=net.config.channel_slice_list_normalized_loss,
        p=net.config.p,
        mask=None if mask is None else mask.bool(),
    )


def tensors_of(folder, name):
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in load_file(folder / "io.safetensors").items() if k.startswith(prefix)}


def masked(prediction, tensors):
    """The reference puts the label in the place of masked channels; so do the recorded outputs."""
    if "pixel_mask" not in tensors:
        return prediction
    mask = tensors["pixel_mask"].bool()
    mask = mask.reshape(*mask.shape, *[1] * (prediction.ndim - mask.ndim))
    return torch.where(mask, tensors["labels"].to(prediction.dtype), prediction)


def test_there_are_cases():
    assert FOLDERS, f"no scot/CASE/model.safetensors under {FIXTURES}"
    assert CASES
    assert KEYS, f"no scot_keys/keys-*.json under {FIXTURES}"
    assert CHANNEL_CHANGES


@cases
def test_outputs(folder, name):
    net, tensors = from_pretrained(folder), tensors_of(folder, name)
    expected = json.loads((folder / "expected.json").read_text())["cases"][name]
    with torch.no_grad():
        output = masked(net(tensors["pixel_values"], tensors["time"]), tensors)
    # The recorded float32 and float64 runs of the same code differ by max_abs_diff: no rewrite can be held to less.
    atol = max(2e-5 * expected["max_abs_output"], 4 * expected["max_abs_diff_fp32_vs_fp64"])
    torch.testing.assert_close(output, tensors["output"], rtol=0, atol=atol)


@cases
def test_outputs_in_double_precision(folder, name):
    net, tensors = from_pretrained(folder).double(), tensors_of(folder, name)
    with torch.no_grad():
        output = masked(net(tensors["pixel_values"].double(), tensors["time"].double()), tensors)
    scale = tensors["output_fp64"].abs().max().item()
    # 1e-6 of the largest value: the recorded inputs and weights are float32, the arithmetic is not.
    torch.testing.assert_close(output, tensors["output_fp64"], rtol=0, atol=1e-6 * scale)


@cases
def test_loss_and_gradients(folder, name):
    net, tensors = from_pretrained(folder), tensors_of(folder, name)
    expected = json.loads((folder / "expected.json").read_text())["cases"][name]
    if "loss" not in expected:
        pytest.skip("recorded without labels")
    fields = tensors["pixel_values"].requires_grad_()
    loss = loss_of(net, net(fields, tensors["time"]), tensors)
    loss.backward()
    assert loss.item() == pytest.approx(expected["loss"], rel=2e-5)
    norms = {k: 0.0 if p.grad is None else p.grad.norm().item() for k, p in net.named_parameters()}
    assert norms.keys() == expected["grad_norms"].keys()
    # Gradients that are pure rounding noise have no relative accuracy: compare against the largest one instead.
    noise = 1e-7 * max(expected["grad_norms"].values())
    for key, norm in expected["grad_norms"].items():
        assert norms[key] == pytest.approx(norm, rel=2e-3, abs=noise), key
    assert fields.grad.norm().item() == pytest.approx(expected["input_grad_norm"], rel=2e-3)
    for key, gradient in tensors.items():
        if key.startswith("grad."):
            ours = dict(net.named_parameters())[key.removeprefix("grad.")].grad
            torch.testing.assert_close(ours, gradient, rtol=0, atol=2e-3 * gradient.abs().max().item() + noise)


@folders
def test_rollouts(folder):
    expected = json.loads((folder / "rollout.json").read_text())
    tensors = load_file(folder / "rollout.safetensors")
    net, net64 = from_pretrained(folder), from_pretrained(folder).double()
    fields, time = tensors["pixel_values"], tensors["time"]
    for steps, name in ((3, "int3.all_steps"), (expected["list"], "list.all_steps")):
        with torch.no_grad():
            ours = torch.stack(list(rollout(net, fields, time, steps)), dim=1)
            exact = torch.stack(list(rollout(net64, fields.double(), time.double(), steps)), dim=1)
        # Random weights amplify rounding from step to step: allow what float32 itself loses on this rollout.
        rounding = (ours - exact).abs().amax().item()
        scale = tensors[name].abs().max().item()
        assert rounding < 1e-3 * scale
        torch.testing.assert_close(ours, tensors[name], rtol=0, atol=max(2e-5 * scale, 4 * rounding))
    with torch.no_grad():
        equal, fractions = list(rollout(net, fields, time, 3)), list(rollout(net, fields, time, expected["list"]))
    torch.testing.assert_close(fractions[-1], tensors["list.final"], rtol=0, atol=1e-3 * scale)
    losses = [loss_of(net, step, tensors).item() for step in equal]
    assert losses == pytest.approx(expected["int3_losses"], rel=1e-4)
    assert sum(losses) / 3 == pytest.approx(expected["int3_mean_loss"], rel=1e-4)
    mean = sum(loss_of(net, step, tensors).item() for step in fractions) / len(fractions)
    assert mean == pytest.approx(expected["list_mean_loss"], rel=1e-4)


@pytest.mark.parametrize("folder", CHANNEL_CHANGES, ids=lambda path: path.name)
def test_only_the_tensors_that_touch_the_channels_are_new_when_channels_change(folder):
    change = json.loads((folder / "channel_change.json").read_text())
    net = from_pretrained(
        folder, in_channels=change["num_channels"], out_channels=change["num_out_channels"], verbose=False
    )
    old = read_weights(folder)
    new = net.state_dict()
    assert new.keys() == old.keys()
    mismatched = {k: [list(old[k].shape), list(v.shape)] for k, v in new.items() if v.shape != old[k].shape}
    assert mismatched == change["mismatched"]
    for key in new.keys() - mismatched.keys():
        assert torch.equal(new[key], old[key]), key
    for key in mismatched:
        assert new[key].isfinite().all(), key
        assert new[key].abs().max() < 1.0, key  # N(0, 0.02) or torch's default of a transposed convolution


@pytest.mark.parametrize("path", KEYS, ids=lambda path: path.stem)
def test_every_published_tensor_is_met_by_name_and_shape(path):
    published = json.loads(path.read_text())
    with torch.device("meta"):
        net = ScOT(ScOTConfig.from_dict(published["config"]))
        preset = ScOT(ScOTConfig.preset(published["model"]))
    for ours in (net, preset):
        assert {k: list(v.shape) for k, v in ours.state_dict().items()} == published["keys"]
    parameters = dict(net.named_parameters())
    ends = ("embeddings.", "patch_recovery.")
    assert sum(p.numel() for p in parameters.values()) == published["num_params"]
    inner = sum(p.numel() for k, p in parameters.items() if not k.startswith(ends))
    assert inner == published["num_params_no_embed"]
