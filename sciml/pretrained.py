"""Load any saved model by the folder, run folder or hub id that holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn


def load(id_or_folder: str | Path, **options: Any) -> nn.Module:
    """Load a model that ``save_pretrained`` or a finished run has left, or that is published on the hub.

    Args:
        id_or_folder: A folder with ``config.json`` and ``model.safetensors``, the folder of a run (which has them under
            ``model/``), or a hub id such as ``camlab-ethz/Poseidon-T``.
        options: Passed to the loader of the model's family, e.g. ``revision``, ``local_files_only``, ``in_channels``,
            ``out_channels``, ``image_size`` of ``sciml.poseidon.checkpoint.from_pretrained``.

    Returns:
        The network in evaluation mode; a plain ``torch.nn.Module``.

    Raises:
        CheckpointError: there is no model, or it does not fit its own config.
    """
    from sciml.poseidon.checkpoint import from_pretrained

    return from_pretrained(id_or_folder, **options)
