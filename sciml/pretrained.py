"""Load any saved model by the folder, run folder or hub id that holds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from sciml.errors import CheckpointError, ConfigError


def load(id_or_folder: str | Path, **options: Any) -> nn.Module:
    """Load a model that ``save_pretrained`` or a finished run has left, or that is published on the hub.

    Args:
        id_or_folder: A folder with ``config.json`` and ``model.safetensors``, the folder of a run (which has them under
            ``model/``), the name of a model that comes with the package (``poseidon-nano``), or a hub id such as
            ``camlab-ethz/Poseidon-T``.
        options: Passed to the loader of the model's family, e.g. ``revision``, ``local_files_only``, ``channels_in``,
            ``channels_out``, ``image_size``, ``resolution`` of ``sciml.poseidon.checkpoint.from_pretrained``,
            ``make_layer`` of ``sciml.ssm.network.SequenceModel``, or ``network`` of
            ``sciml.dispatch.rules.TargetRule``.

    Returns:
        The network in evaluation mode; a plain ``torch.nn.Module``.

    Raises:
        CheckpointError: there is no model, or it does not fit its own config.
        ConfigError: the model's family has no such option.
    """
    from sciml.baselines.fno import FNO
    from sciml.hub import CONFIG, resolve_folder
    from sciml.poseidon.checkpoint import from_pretrained

    where = {key: options[key] for key in ("revision", "local_files_only") if key in options}
    folder = resolve_folder(id_or_folder, **where)
    family = _model_type(folder / CONFIG)
    if family not in ("barron", "dispatch", "fno", "sequence"):
        return from_pretrained(id_or_folder, **{**options, "local_files_only": True})  # what was found is here by now
    own = {"sequence": {"make_layer"}, "dispatch": {"network"}}.get(family, set())
    others = sorted(options.keys() - where.keys() - own - {"verbose"})
    if others:
        what, why = {
            "barron": ("a Barron network", "It is one function of its points"),
            "dispatch": ("a decision rule", "Its plants and its horizon are fixed"),
            "fno": ("an FNO", "It runs on every grid, and its channels are fixed"),
            "sequence": ("a sequence model", "Its inputs and outputs are fixed"),
        }[family]
        raise ConfigError(
            f"{', '.join(others)} came for the model in {folder}; {what} has no such option. {why}: load it without."
        )
    if family == "sequence":
        from sciml.ssm.network import SequenceModel

        return SequenceModel.from_pretrained(folder, **{key: options[key] for key in own & options.keys()})
    if family == "dispatch":
        from sciml.dispatch.rules import TargetRule

        return TargetRule.from_pretrained(folder, **{key: options[key] for key in own & options.keys()})
    if family == "barron":
        from sciml.barron.folder import load_network

        return load_network(folder)
    return FNO.from_pretrained(folder)


def field_statistics(id_or_folder: str | Path) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation by which a saved model expects its fields to be normalised.

    Args:
        id_or_folder: As for ``load``.

    Returns:
        (mean, standard deviation) by field name, in the unit of the field.

    Raises:
        CheckpointError: there is no model, or it does not say.
    """
    from sciml.hub import CONFIG, resolve_folder
    from sciml.poseidon.card import read_card

    folder = resolve_folder(id_or_folder)
    card = read_card(json.loads((folder / CONFIG).read_text()))
    known = {
        f.name: (f.mean, f.std)
        for f in (*card.fields_in, *card.fields_out, *card.scalars)
        if f.mean is not None and f.std
    }
    if not known:
        raise CheckpointError(
            f"the model in {folder} does not say by what its fields were normalised. Give the numbers instead: "
            "data.statistics={NAME: [MEAN, STD]}, or leave data.statistics out to use those of your file."
        )
    return known


def _model_type(config: Path) -> str | None:
    """The family that a ``config.json`` names; None if it cannot be read, which the loader explains."""
    try:
        return json.loads(config.read_text()).get("model_type")
    except (OSError, json.JSONDecodeError):
        return None
