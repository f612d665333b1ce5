"""A model on disk: ``config.json`` and ``model.safetensors`` in one folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sciml.errors import CheckpointError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
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
        folder: A folder with ``config.json`` and ``model.safetensors``, or the folder of a run (which has them under
            ``model/``).

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = [place for place in (Path(folder), Path(folder) / "model") if (place / CONFIG).is_file()]
    if not found:
        raise CheckpointError(
            f"neither {folder} nor its subfolder model/ has a {CONFIG}. A folder written by save_pretrained, or the "
            "folder of a finished run, is expected."
        )
    try:
        return json.loads((found[0] / CONFIG).read_text()), load_file(found[0] / WEIGHTS)
    except (json.JSONDecodeError, SafetensorError, OSError) as error:
        raise CheckpointError(
            f"the model in {found[0]} cannot be read: {CONFIG} or {WEIGHTS} is missing, damaged or cut short "
            f"({error}). Fetch or save it again."
        ) from error
