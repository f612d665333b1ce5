"""Make the scOT that fits a data set: new, or from pretrained weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sciml.data.spec import FieldSpec, group_slices
from sciml.errors import ConfigError
from sciml.poseidon.card import ModelCard
from sciml.poseidon.checkpoint import from_pretrained
from sciml.poseidon.config import ScOTConfig
from sciml.poseidon.network import ScOT
from sciml.residual import residual_channels


def build_scot(
    fields_in: Sequence[FieldSpec],
    fields_out: Sequence[FieldSpec],
    shape: tuple[int, ...],
    *,
    scalars: Sequence[FieldSpec] = (),
    pretrained: str | Path | None = None,
    size: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    new_channels: str = "by_name",
    resolution: str | None = None,
    periodic_windows: bool | tuple[bool, bool] | None = None,
    **settings: Any,
) -> ScOT:
    """A scOT whose channels, scalars and size are those of the data.

    Args:
        fields_in: Fields that the network reads.
        fields_out: Fields that it predicts.
        shape: Grid points of the fields, (height, width).
        scalars: Scalars that it reads beside the lead time.
        pretrained: Folder, run folder or hub id of weights to start from; None starts from random weights.
        size: ``T``, ``S``, ``B`` or ``L`` for a published architecture with random weights.
        revision: Revision of ``pretrained`` on the hub.
        local_files_only: Do not ask the hub.
        new_channels: ``by_name`` keeps what ``pretrained`` knows of fields with these names; ``fresh`` is the published
            behaviour, see ``sciml.poseidon.checkpoint.from_pretrained``.
        resolution: ``native`` works on the grid of the data; ``spectral`` resamples square fields to the size that
            ``pretrained`` was made for. None: the grid of the data, and spectral for later fields of another size.
        periodic_windows: Whether shifted windows wrap round, see ``ScOTConfig``; None: as ``pretrained``, or not.
        settings: Fields of ``ScOTConfig``, for random weights only.

    Raises:
        ConfigError: the data are not two-dimensional, or settings are given for pretrained weights.
        CheckpointError: the weights cannot be had.
    """
    if len(shape) != 2:
        raise ConfigError(f"the fields have {len(shape)} spatial axes {shape}; scOT works on 2.")
    image_size = shape[0] if shape[0] == shape[1] else (shape[0], shape[1])
    settings = {key: value for key, value in settings.items() if value is not None}
    if pretrained is not None:
        if settings or size:
            given = ", ".join(sorted(settings) + ["size"] * bool(size))
            raise ConfigError(
                f"{given} came together with pretrained={pretrained}, whose architecture is fixed. Leave them out "
                "(model=poseidon_pretrained), or leave out pretrained."
            )
        return from_pretrained(
            pretrained,
            revision=revision,
            local_files_only=local_files_only,
            channels_in=[field.name for field in fields_in],
            channels_out=[field.name for field in fields_out],
            scalars=[scalar.name for scalar in scalars],
            new_channels=new_channels,
            image_size=None if resolution == "spectral" else image_size,
            resolution=resolution,
            periodic_windows=periodic_windows,
        )
    choices = {"resolution": resolution, "periodic_windows": periodic_windows}
    settings |= {key: value for key, value in choices.items() if value is not None}
    settings |= {
        "num_channels": len(fields_in),
        "num_out_channels": len(fields_out),
        "image_size": image_size,
        "channel_slice_list_normalized_loss": group_slices(fields_out),
        "scalars": tuple(scalar.name for scalar in scalars),
        "residual_channels": residual_channels([f.name for f in fields_in], [f.name for f in fields_out]),
    }
    net = ScOT(ScOTConfig.preset(size, **settings) if size else ScOTConfig(**settings))
    net.card = ModelCard(fields_in=tuple(fields_in), fields_out=tuple(fields_out), scalars=tuple(scalars))
    return net


def describe_fields(fields: Sequence[FieldSpec]) -> list[dict[str, Any]]:
    """Names, units and normalisation of fields, as they are kept in ``config.json`` beside the weights."""
    return [asdict(field) for field in fields]
