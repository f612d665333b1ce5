"""A model on disk: ``config.json`` and ``model.safetensors`` in one folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sciml.errors import CheckpointError
from sciml.hub import CONFIG, WEIGHTS, resolve_folder

FORMAT_VERSION = 1


def write_model(
    folder: str | Path,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    *,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model; a reader never sees half a file.

    Args:
        folder: Where to write; made if it does not exist.
        config: The network's settings.
        weights: Its tensors by name.
        extra: What else a user of the weights needs, kept under the key ``sciml`` of ``config.json``.

    Returns:
        The folder.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = {**config, "sciml": {"format_version": FORMAT_VERSION, **(extra or {})}}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    # Both are written beside and renamed.
    save_file(tensors, folder / f".{WEIGHTS}", metadata={"format": "pt"})
    (folder / f".{CONFIG}").write_text(json.dumps(content, indent=2) + "\n")
    os.replace(folder / f".{WEIGHTS}", folder / WEIGHTS)
    os.replace(folder / f".{CONFIG}", folder / CONFIG)
    return folder


def read_model(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors of a model.

    Args:
        folder: Whatever ``sciml.hub.resolve_folder`` finds.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = resolve_folder(folder)
    try:
        return json.loads((folder / CONFIG).read_text()), load_file(folder / WEIGHTS)
    except (json.JSONDecodeError, SafetensorError, OSError) as error:
        raise CheckpointError(
            f"the model in {folder} cannot be read: {CONFIG} or {WEIGHTS} is missing, damaged or cut short "
            f"({error}). Fetch or save it again."
        ) from error
