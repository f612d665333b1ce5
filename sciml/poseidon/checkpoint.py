"""scOT weights on disk, in the Hugging Face format: ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sciml.errors import CheckpointError
from sciml.poseidon.config import ScOTConfig
from sciml.poseidon.network import ScOT

CONFIG, WEIGHTS, OLD_WEIGHTS = "config.json", "model.safetensors", "pytorch_model.bin"
FORMAT_VERSION = 1

# The only tensors whose shape depends on the number of channels.
_INPUT_TENSORS = ("embeddings.patch_embeddings.projection.weight",)
_OUTPUT_TENSORS = ("patch_recovery.projection.weight", "patch_recovery.projection.bias", "patch_recovery.mixup.weight")


def from_pretrained(
    id_or_folder: str | Path,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    in_channels: int | None = None,
    out_channels: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    verbose: bool = True,
) -> ScOT:
    """Load a scOT from a folder or from the Hugging Face hub, fitted to other channels or another size.

    With another number of channels, the tensors that touch the fields are initialised anew (the published behaviour)
    and every other tensor is kept; what is new is printed. Another ``image_size`` keeps all tensors.

    Args:
        id_or_folder: Folder with ``config.json`` and weights, a run folder that has them under ``model/``, or a hub id
            such as ``camlab-ethz/Poseidon-T`` (whose weights are licensed CC-BY-NC-4.0).
        revision: Branch, tag or commit on the hub.
        local_files_only: Do not ask the hub; use what an earlier call has downloaded.
        in_channels: Channels of your input fields; None keeps those of the checkpoint.
        out_channels: Channels to predict; None keeps those of the checkpoint.
        image_size: Side length, or (height, width), of your fields; None keeps that of the checkpoint.
        verbose: Whether to print what was initialised anew.

    Returns:
        The network in evaluation mode, float32, on the CPU.

    Raises:
        CheckpointError: nothing is there, or it is not a scOT, or tensors are missing or do not fit.

    Reference:
        arXiv:2405.19101, section 3 (fine-tuning).
    """
    folder = resolve_folder(id_or_folder, revision=revision, local_files_only=local_files_only)
    config = read_config(folder)
    changes: dict[str, Any] = {"num_channels": in_channels, "num_out_channels": out_channels, "image_size": image_size}
    changes = {key: value for key, value in changes.items() if value is not None}
    if changes.get("num_out_channels", config.num_out_channels) != config.num_out_channels:
        changes["channel_slice_list_normalized_loss"] = None  # groups of channels that are no longer there
    net = ScOT(replace(config, **changes))
    fresh = _load(net, read_weights(folder), folder)
    if fresh and verbose:
        _report(fresh)
    return net.eval()


def save_pretrained(net: ScOT, folder: str | Path, *, extra: Mapping[str, Any] | None = None) -> Path:
    """Write ``config.json`` and ``model.safetensors``, which the authors' code reads as well.

    Args:
        net: The network.
        folder: Where to write; made if it does not exist.
        extra: What else a user of the weights needs, kept under the key ``sciml`` of ``config.json``: channel names,
            normalisation, where the data came from.

    Returns:
        The folder.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = net.config.to_dict() | {"sciml": {"format_version": FORMAT_VERSION, **(extra or {})}}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    # Both are written beside and renamed, so that a reader never sees half a file.
    save_file(weights, folder / f".{WEIGHTS}", metadata={"format": "pt"})
    (folder / f".{CONFIG}").write_text(json.dumps(content, indent=2) + "\n")
    os.replace(folder / f".{WEIGHTS}", folder / WEIGHTS)
    os.replace(folder / f".{CONFIG}", folder / CONFIG)
    return folder


def resolve_folder(id_or_folder: str | Path, *, revision: str | None = None, local_files_only: bool = False) -> Path:
    """The local folder that holds config and weights, downloaded from the hub if need be."""
    for folder in (Path(id_or_folder), Path(id_or_folder) / "model"):
        if (folder / CONFIG).is_file():
            return folder
    if Path(id_or_folder).exists():
        raise CheckpointError(
            f"{id_or_folder} has no {CONFIG}, nor has its subfolder model/. A folder written by save_pretrained, or "
            f"the folder of a finished run, is expected."
        )
    name = str(id_or_folder)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"{name} does not exist. A folder with {CONFIG} and {WEIGHTS}, a run folder, or a hub id of the form "
            "owner/name is expected."
        )
    return _download(name, revision=revision, local_files_only=local_files_only)


def _download(name: str, *, revision: str | None, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                name,
                revision=revision,
                local_files_only=local_files_only,
                allow_patterns=[CONFIG, WEIGHTS, OLD_WEIGHTS],
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        cached_only = "it is not in the local cache and local_files_only is set"
        reason = cached_only if local_files_only else str(error).split("\n")[0]
        raise CheckpointError(
            f"{name} (revision {revision or 'main'}) could not be had from the hub: {reason}. Check the name and the "
            "network, or download the repository elsewhere and give its folder."
        ) from error
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"the repository {name} has no {CONFIG}; it is not a model that can be loaded.")
    return folder


def read_config(folder: Path) -> ScOTConfig:
    """The network's settings from ``config.json``."""
    try:
        content = json.loads((folder / CONFIG).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{folder / CONFIG} cannot be read ({error}). Fetch the file again.") from error
    if not {"embed_dim", "depths", "num_heads", "skip_connections"} <= content.keys():
        raise CheckpointError(
            f"{folder / CONFIG} does not describe a scOT: it has the keys {', '.join(sorted(content))}, but embed_dim, "
            "depths, num_heads and skip_connections are expected."
        )
    return ScOTConfig.from_dict(content)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint, from ``model.safetensors`` or the older ``pytorch_model.bin``."""
    if (folder / WEIGHTS).is_file():
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(folder / WEIGHTS)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{folder / WEIGHTS} is damaged or cut short ({error}). Fetch or save it again."
            ) from error
    if (folder / OLD_WEIGHTS).is_file():
        return torch.load(folder / OLD_WEIGHTS, map_location="cpu", weights_only=True)
    raise CheckpointError(f"{folder} has a {CONFIG} but no weights: {WEIGHTS} or {OLD_WEIGHTS} is expected.")


def _load(net: ScOT, weights: Mapping[str, Tensor], folder: Path) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Copy the weights into the network; returns old and new shape of what had to stay freshly initialised."""
    own = net.state_dict()
    missing = sorted(own.keys() - weights.keys())
    unexpected = sorted(weights.keys() - own.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"the weights in {folder} do not fit their config: {len(missing)} tensors are missing "
            f"({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}) and {len(unexpected)} are unknown "
            f"({', '.join(unexpected[:3])}{', ...' if len(unexpected) > 3 else ''})."
        )
    changed = {
        name: (tuple(weights[name].shape), tuple(tensor.shape))
        for name, tensor in own.items()
        if weights[name].shape != tensor.shape
    }
    surprising = sorted(changed.keys() - {*_INPUT_TENSORS, *_OUTPUT_TENSORS})
    if surprising:
        name = surprising[0]
        raise CheckpointError(
            f"{name} has shape {changed[name][0]} in {folder}, but {changed[name][1]} is expected. Only the numbers of "
            "channels and the image size can be changed on loading."
        )
    net.load_state_dict({name: weights[name] for name in own.keys() - changed.keys()}, strict=False)
    return changed


def _report(fresh: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    table = Table(title="Initialised anew: the number of channels differs from the checkpoint's", title_justify="left")
    for heading in ("tensor", "in the checkpoint", "now"):
        table.add_column(heading, overflow="fold")
    for name, (old, new) in fresh.items():
        table.add_row(name, str(old), str(new))
    Console(stderr=True).print(table)
