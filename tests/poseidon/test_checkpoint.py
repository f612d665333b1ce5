import json

import pytest
import torch

import sciml
from sciml.errors import CheckpointError, ConfigError
from sciml.poseidon import ScOT, ScOTConfig
from sciml.poseidon.build import build_scot
from sciml.poseidon.checkpoint import from_pretrained

CONFIG = {
    "image_size": 32,
    "embed_dim": 8,
    "depths": (1, 1),
    "num_heads": (2, 4),
    "skip_connections": (1, 0),
    "window_size": 4,
    "num_channels": 2,
    "num_out_channels": 2,
}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return ScOT(ScOTConfig(**CONFIG)).eval()


@pytest.fixture
def folder(net, tmp_path):
    return net.save_pretrained(tmp_path / "run" / "model", extra={"task": "NS-PwC"})


def equal(a, b):
    return all(torch.equal(value, b.state_dict()[key]) for key, value in a.state_dict().items())


@pytest.mark.parametrize("loader", [from_pretrained, sciml.load, ScOT.from_pretrained])
def test_what_was_saved_is_loaded_from_its_folder_or_its_run(loader, net, folder):
    for place in (folder, str(folder), folder.parent):
        loaded = loader(place)
        assert equal(net, loaded)
        assert loaded.config == net.config
        assert not loaded.training


def test_the_config_keeps_what_a_user_of_the_weights_needs(folder):
    content = json.loads((folder / "config.json").read_text())
    assert content["sciml"] == {"format_version": 1, "task": "NS-PwC"}
    assert content["depths"] == [1, 1]


def test_old_weight_files_and_unknown_keys_are_understood(net, folder):
    (folder / "model.safetensors").unlink()
    torch.save(net.state_dict(), folder / "pytorch_model.bin")
    content = json.loads((folder / "config.json").read_text()) | {"something_new": 1, "skip_connections": [True, False]}
    (folder / "config.json").write_text(json.dumps(content))
    assert equal(net, from_pretrained(folder))


def test_another_size_keeps_every_tensor_and_runs(net, folder):
    larger = from_pretrained(folder, image_size=(48, 64))
    assert equal(net, larger)
    assert larger(torch.randn(1, 2, 48, 64), 0.5).shape == (1, 2, 48, 64)


def test_what_is_new_for_other_channels_is_printed(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    net = from_pretrained(folder, in_channels=3, out_channels=1)
    assert (net.config.num_channels, net.config.num_out_channels) == (3, 1)
    printed = capsys.readouterr().err
    assert "embeddings.patch_embeddings.projection.weight" in printed
    assert "(8, 3, 4, 4)" in printed


def test_a_hub_id_is_read_from_the_local_cache(net, tmp_path, monkeypatch):
    # The layout in which huggingface_hub keeps what it has downloaded; the real loading code reads it offline.
    commit = "0" * 40
    cache = tmp_path / "hub"
    repository = cache / "models--someone--Poseidon-X"
    net.save_pretrained(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    assert equal(net, sciml.load("someone/Poseidon-X", local_files_only=True))
    with pytest.raises(CheckpointError, match="not in the local cache and local_files_only is set"):
        sciml.load("someone/Poseidon-Y", local_files_only=True)
    with pytest.raises(CheckpointError, match=r"revision v2\) could not be had from the hub"):
        sciml.load("someone/Poseidon-X", local_files_only=True, revision="v2")


def test_what_is_not_a_model_is_explained(folder, tmp_path):
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        sciml.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"has no config.json"):
        sciml.load(tmp_path)
    (folder / "config.json").write_text('{"hidden_size": 3}')
    with pytest.raises(CheckpointError, match="does not describe a scOT: it has the keys hidden_size"):
        sciml.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        sciml.load(folder)


def test_damaged_or_missing_weights_are_explained(folder):
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        sciml.load(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"no weights: model.safetensors or pytorch_model.bin is expected"):
        sciml.load(folder)


def test_weights_that_do_not_fit_their_config_are_explained(folder):
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | {"depths": [2, 1]}))
    with pytest.raises(CheckpointError, match=r"encoder.layers.0.blocks.1.*is missing.* and \d+ more"):
        sciml.load(folder)
    (folder / "config.json").write_text(json.dumps(content | {"embed_dim": 16}))
    with pytest.raises(CheckpointError, match=r"embeddings.* has shape \(8, 2, 4, 4\) but \(16, 2, 4, 4\) is expected"):
        sciml.load(folder)


def test_a_network_is_built_for_the_fields_of_the_data(folder):
    from sciml.data.spec import FieldSpec

    fields = (FieldSpec("rho"), FieldSpec("u", group="velocity"), FieldSpec("v", group="velocity"), FieldSpec("p"))
    settings = {key: CONFIG[key] for key in ("embed_dim", "depths", "num_heads", "skip_connections")}
    net = build_scot(fields, fields[:3], (32, 48), **settings)
    assert net.config.image_size == (32, 48)
    assert net.config.num_channels == 4
    assert net.config.channel_slice_list_normalized_loss == (0, 1, 3)
    tuned = build_scot(fields, fields[:3], (64, 64), pretrained=folder)
    assert (tuned.config.image_size, tuned.config.num_channels, tuned.config.embed_dim) == (64, 4, 8)
    with pytest.raises(ConfigError, match="embed_dim, size came together with pretrained"):
        build_scot(fields, fields, (32, 32), pretrained=folder, size="T", embed_dim=8)
    with pytest.raises(ConfigError, match=r"3 spatial axes \(8, 8, 8\)"):
        build_scot(fields, fields, (8, 8, 8))


def test_settings_that_scot_does_not_know_are_named_but_not_those_that_transformers_writes(folder, capsys):
    content = json.loads((folder / "config.json").read_text())
    tools = {"torch_dtype": "float32", "transformers_version": "4.29.2", "hidden_size": 16, "num_layers": 2}
    (folder / "config.json").write_text(json.dumps(content | tools))
    from_pretrained(folder)
    assert capsys.readouterr().err == ""
    (folder / "config.json").write_text(json.dumps(content | tools | {"mixer": 1, "architectures": ["SwinForPDE"]}))
    from_pretrained(folder)
    assert capsys.readouterr().err.split(": ")[1].strip() == "mixer."


def test_a_swin_for_images_is_refused(folder):
    content = {"model_type": "swinv2", "architectures": ["Swinv2ForImageClassification"], "embed_dim": 96}
    (folder / "config.json").write_text(json.dumps(content | {"depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24]}))
    with pytest.raises(CheckpointError, match="Swinv2ForImageClassification, a Swin V2 for images"):
        sciml.load(folder)


class Harmful:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("content", [{"weight": Harmful()}, [1.0], {"weight": 1.0}])
def test_old_weight_files_with_more_than_tensors_are_refused(content, folder, capsys):
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"could run code|does not hold a state dict"):
        sciml.load(folder)
    assert "run" not in capsys.readouterr().out


def test_a_licence_is_shown_and_inherited_by_what_is_derived(folder, tmp_path, capsys):
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# A model\n")
    first = from_pretrained(folder)
    assert f"Weights derived from {folder}, licensed CC-BY-NC-4.0." in capsys.readouterr().err
    tuned = from_pretrained(first.save_pretrained(tmp_path / "tuned"), out_channels=1)
    content = json.loads((tuned.save_pretrained(tmp_path / "twice", extra={"task": "ACE"}) / "config.json").read_text())
    assert content["sciml"]["licence"] == "CC-BY-NC-4.0"
    assert content["sciml"]["derived_from"] == str(folder)
    assert content["sciml"]["task"] == "ACE"


def test_weights_in_half_precision_are_loaded_in_single_and_can_be_trained(net, folder):
    from safetensors.torch import save_file

    save_file({k: v.bfloat16() for k, v in net.state_dict().items()}, folder / "model.safetensors")
    loaded = from_pretrained(folder)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    loaded(torch.randn(1, 2, 32, 32), 0.5).sum().backward()
    assert all(p.grad is not None for p in loaded.parameters())
