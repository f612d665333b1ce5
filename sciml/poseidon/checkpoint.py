"""scOT weights on disk, in the Hugging Face format: ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from sciml.errors import CheckpointError, ConfigError
from sciml.hub import CONFIG, OLD_WEIGHTS, WEIGHTS, resolve_folder
from sciml.model_folder import write_model
from sciml.poseidon.adapt import ChannelMatch, adapt_channels, adapt_scalars, channel_table, match_channels
from sciml.poseidon.card import fields_named, read_card
from sciml.poseidon.config import ScOTConfig
from sciml.poseidon.network import ScOT
from sciml.residual import residual_channels

# What transformers and this package write beside the settings of the network.
_WRITTEN_BY_TOOLS = {
    *("architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "_name_or_path", "sciml"),
    *("hidden_size", "num_layers", "pretrained_window_sizes", "path_norm", "encoder_stride", "problem_type"),
}


def from_pretrained(
    id_or_folder: str | Path,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    channels_in: Sequence[str] | None = None,
    channels_out: Sequence[str] | None = None,
    scalars: Sequence[str] | None = None,
    new_channels: str = "by_name",
    in_channels: int | None = None,
    out_channels: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    resolution: str | None = None,
    periodic_windows: bool | tuple[bool, bool] | None = None,
    verbose: bool = True,
) -> ScOT:
    """Load a scOT from a folder or from the Hugging Face hub, fitted to other channels, scalars or another size.

    What belongs to channels and scalars that the weights know by name is kept, in your order
    (``sciml.poseidon.adapt``); what was kept, resized and made new is printed, and so is the licence of the weights.
    Another ``image_size`` keeps all tensors. If the prediction is added to the input (``learn_residual``), it is to the
    input of the same name, where names are known.

    Args:
        id_or_folder: Folder with ``config.json`` and weights, a run folder that has them under ``model/``, or a hub id
            such as ``camlab-ethz/Poseidon-T`` (whose weights are licensed CC-BY-NC-4.0).
        revision: Branch, tag or commit on the hub.
        local_files_only: Do not ask the hub; use what an earlier call has downloaded.
        channels_in: Names of your input fields; None keeps the channels of the checkpoint. Published weights know
            rho, u, v and p.
        channels_out: Names of the fields to predict; None keeps those of the checkpoint.
        scalars: Names of the scalars to read beside the lead time, e.g. ``["viscosity"]``; None keeps those of the
            checkpoint. New ones have no effect until they are trained.
        new_channels: ``by_name``, or ``fresh``: the published behaviour, which initialises all channels anew if their
            number differs from the checkpoint's, and none otherwise.
        in_channels: Number of input channels instead of their names, which implies ``fresh``.
        out_channels: The same for the predicted channels.
        image_size: Side length, or (height, width), of your fields; None keeps that of the checkpoint.
        resolution: ``native`` or ``spectral``, see ``ScOTConfig``; None keeps that of the checkpoint.
        periodic_windows: Whether shifted windows wrap round, see ``ScOTConfig``; None keeps that of the checkpoint.
        verbose: Whether to print the licence, unknown settings and the table of channels.

    Returns:
        The network in evaluation mode, float32, on the CPU. Its ``card`` has the names of its channels, the
        normalisation that the checkpoint was trained with, and the licence.

    Raises:
        CheckpointError: nothing is there, or it is not a scOT, or tensors are missing or do not fit.
        ConfigError: channels are given by name and by number, or a choice does not exist.

    Reference:
        arXiv:2405.19101, section 3 (fine-tuning).
    """
    if (channels_in is not None and in_channels is not None) or (channels_out is not None and out_channels is not None):
        raise ConfigError("channels came by name and by number. Give channels_in or in_channels, and the same for out.")
    folder = resolve_folder(id_or_folder, revision=revision, local_files_only=local_files_only)
    content = _read_content(folder)
    config, card = read_config(folder), read_card(content, folder=folder, origin=id_or_folder)
    wanted_in = in_channels if channels_in is None else channels_in
    wanted_out = out_channels if channels_out is None else channels_out
    known_in, known_out = ([field.name for field in known] for known in (card.fields_in, card.fields_out))
    inputs = match_channels(wanted_in, known_in, config.num_channels, new_channels=new_channels)
    outputs = match_channels(wanted_out, known_out, config.num_out_channels, new_channels=new_channels)

    numbers = match_channels(scalars, config.scalars, len(config.scalars))

    weights = adapted = read_weights(folder)
    choices = {"image_size": image_size, "resolution": resolution, "periodic_windows": periodic_windows}
    choices["scalars"] = scalars
    own = _adapted_config(config, inputs, outputs, choices)
    if inputs.changed or outputs.changed or numbers.changed:
        _check_fit(_structure(config), weights, folder)
        if inputs.changed or outputs.changed:
            adapted = adapt_channels(weights, own, inputs=inputs, outputs=outputs)
        if numbers.changed:
            adapted = adapt_scalars(adapted, numbers)
    net = _structure(own)
    _check_fit(net, adapted, folder)
    net.load_state_dict({k: t.float() if t.is_floating_point() else t for k, t in adapted.items()}, assign=True)
    net.card = replace(
        card,
        fields_in=_fields_of(wanted_in, inputs, card.fields_in),
        fields_out=_fields_of(wanted_out, outputs, card.fields_out),
        scalars=fields_named(own.scalars, card.scalars),
    )
    if verbose:
        _tell(content, net.card.notice, weights, adapted, inputs=inputs, outputs=outputs, scalars=numbers)
    return net.eval()


def save_pretrained(net: ScOT, folder: str | Path, *, extra: Mapping[str, Any] | None = None) -> Path:
    """Write ``config.json`` and ``model.safetensors``, which the authors' code reads as well.

    Args:
        net: The network.
        folder: Where to write; made if it does not exist.
        extra: What else a user of the weights needs, kept under the key ``sciml`` of ``config.json``: channel names,
            normalisation, where the data came from. The licence of the weights they were derived from is there too.

    Returns:
        The folder.
    """
    return write_model(folder, net.config.to_dict(), net.state_dict(), extra={**net.card.to_dict(), **(extra or {})})


def read_config(folder: Path) -> ScOTConfig:
    """The network's settings from ``config.json``."""
    return ScOTConfig.from_dict(_read_content(folder))


def _read_content(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / CONFIG).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{folder / CONFIG} cannot be read ({error}). Fetch the file again.") from error
    architectures = content.get("architectures") or []
    if "skip_connections" not in content and any(name.startswith("Swinv2") for name in architectures):
        raise CheckpointError(
            f"{folder} holds {', '.join(architectures)}, a Swin V2 for images, which shares its model_type with "
            "Poseidon but not its architecture. Load it with transformers, or give the weights of a scOT."
        )
    if not {"embed_dim", "depths", "num_heads", "skip_connections"} <= content.keys():
        raise CheckpointError(
            f"{folder / CONFIG} does not describe a scOT: it has the keys {', '.join(sorted(content))}, but embed_dim, "
            "depths, num_heads and skip_connections are expected."
        )
    return content


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint, from ``model.safetensors`` or the older ``pytorch_model.bin``.

    They are mapped from the file, so that they take up memory once, and only as they are used.
    """
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
        return _read_old_weights(folder / OLD_WEIGHTS)
    raise CheckpointError(f"{folder} has a {CONFIG} but no weights: {WEIGHTS} or {OLD_WEIGHTS} is expected.")


def _read_old_weights(path: Path) -> dict[str, Tensor]:
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors, or is damaged; loading it could run code, so it was not. Ask its author "
            f"for {WEIGHTS}, or save the state dict alone."
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or cut short. Fetch or save it again.") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(f"{path} does not hold a state dict, tensors by name. Save net.state_dict() there.")
    return weights


def _adapted_config(
    config: ScOTConfig, inputs: ChannelMatch, outputs: ChannelMatch, choices: Mapping[str, Any]
) -> ScOTConfig:
    changes: dict[str, Any] = {key: value for key, value in choices.items() if value is not None}
    changes |= {"num_channels": len(inputs.source), "num_out_channels": len(outputs.source)}
    if inputs.changed or outputs.changed:
        names = [match.names if match.changed else match.names or match.known for match in (inputs, outputs)]
        changes["residual_channels"] = residual_channels(*names) if config.learn_residual and all(names) else None
    if outputs.changed:
        changes["channel_slice_list_normalized_loss"] = None  # groups of channels that are no longer there
    return replace(config, **changes)


def _fields_of(wanted: Sequence[str] | int | None, match: ChannelMatch, known: Sequence[Any]) -> tuple[Any, ...]:
    if wanted is None or isinstance(wanted, int):
        return () if match.changed else tuple(known)
    return fields_named(wanted, known)


def _structure(config: ScOTConfig) -> ScOT:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return ScOT(config)


def _check_fit(net: ScOT, weights: Mapping[str, Tensor], folder: Path) -> None:
    own = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    problems = [f"{name} is missing" for name in own if name not in given]
    problems += [f"{name} is unknown" for name in given if name not in own]
    problems += [
        f"{name} has shape {given[name]} but {shape} is expected"
        for name, shape in own.items()
        if name in given and given[name] != shape
    ]
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError(
            f"{len(problems)} tensors in {folder} do not fit {CONFIG}: {'; '.join(problems[:5])}{more}. The two files "
            "belong to different networks, or a size was asked for to which position embeddings are tied."
        )


def _tell(
    content: Mapping[str, Any],
    notice: str,
    old: dict[str, Tensor],
    new: dict[str, Tensor],
    **matches: ChannelMatch,
) -> None:
    console = Console(stderr=True)
    notes = []
    if unknown := sorted(content.keys() - {field.name for field in fields(ScOTConfig)} - _WRITTEN_BY_TOOLS):
        notes.append(f"{CONFIG} has settings that scOT does not know; they are ignored: {', '.join(unknown)}.")
    if notice:
        notes.append(notice)
    if any(match.names and not match.known and not match.changed for match in (matches["inputs"], matches["outputs"])):
        notes.append("The weights do not name their channels; yours are taken for the same, in this order.")
    for note in notes:
        console.print(note, soft_wrap=True, markup=False)
    if any(match.changed for match in matches.values()):
        console.print(channel_table(old, new, **matches))
