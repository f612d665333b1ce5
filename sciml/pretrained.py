"""Load any saved model by the folder, run folder or hub id that holds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from sciml.errors import CheckpointError


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


def field_statistics(id_or_folder: str | Path) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation by which a saved model expects its fields to be normalised.

    Args:
        id_or_folder: As for ``load``.

    Returns:
        (mean, standard deviation) by field name, in the unit of the field.

    Raises:
        CheckpointError: there is no model, or it does not say.
    """
    from sciml.poseidon.checkpoint import CONFIG, resolve_folder

    folder = resolve_folder(id_or_folder)
    described = json.loads((folder / CONFIG).read_text()).get("sciml", {})
    fields = [*described.get("fields_in", []), *described.get("fields_out", [])]
    if not fields:
        raise CheckpointError(
            f"the model in {folder} does not say by what its fields were normalised. Give the numbers instead: "
            "data.statistics={NAME: [MEAN, STD]}, or leave data.statistics out to use those of your file."
        )
    return {field["name"]: (field["mean"], field["std"]) for field in fields}
