"""What weights say of themselves beside their architecture: names and normalisation of channels, origin, licence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sciml.data.published import TASKS
from sciml.data.spec import FieldSpec
from sciml.hub import CARD, is_hub_id

_PUBLISHED, _PUBLISHED_LICENCE = "camlab-ethz/Poseidon-", "CC-BY-NC-4.0"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Channels, origin and licence of weights; kept in ``config.json`` under the key ``sciml``.

    Args:
        fields_in: Channels that the network reads, with the normalisation it was trained with; empty if unknown.
        fields_out: Channels that it predicts.
        scalars: Scalars that it reads beside the lead time, with their normalisation.
        derived_from: Hub id, or folder, of the weights whose licence binds these; empty if there is none.
        licence: That licence, e.g. ``CC-BY-NC-4.0``; fine-tuned weights inherit it.
    """

    fields_in: tuple[FieldSpec, ...] = ()
    fields_out: tuple[FieldSpec, ...] = ()
    scalars: tuple[FieldSpec, ...] = ()
    derived_from: str = ""
    licence: str = ""

    @property
    def notice(self) -> str:
        """The licence in one sentence; empty if there is none."""
        return f"Weights derived from {self.derived_from}, licensed {self.licence}." if self.licence else ""

    def to_dict(self) -> dict[str, Any]:
        """What is known, as it is kept in ``config.json``."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value}


def read_card(content: Mapping[str, Any], *, folder: Path | None = None, origin: str | Path = "") -> ModelCard:
    """The card of weights.

    Args:
        content: Their ``config.json``. Without the key ``sciml``, and with four channels, the weights are taken for
            published ones, which read density, velocity and pressure.
        folder: Where they are; a ``README.md`` there may name a licence.
        origin: The name they were asked for by.
    """
    own = content.get("sciml", {})
    published = "sciml" not in content and content.get("num_channels") == 4
    fields = {key: tuple(map(FieldSpec.from_dict, own.get(key, ()))) for key in ("fields_in", "fields_out", "scalars")}
    if published:
        known = tuple(field.spec for field in TASKS["CE-RP"].fields)
        fields |= {"fields_in": known, "fields_out": known if content.get("num_out_channels") == 4 else ()}
    if own.get("licence"):  # of the weights that these were derived from
        return ModelCard(**fields, licence=own["licence"], derived_from=own.get("derived_from", ""))
    licence = _stated_licence(folder) if folder is not None else ""
    if not licence and is_hub_id(origin) and str(origin).startswith(_PUBLISHED):
        licence = _PUBLISHED_LICENCE
    return ModelCard(**fields, licence=licence, derived_from=str(origin) if licence else "")


def fields_named(names: Sequence[str], known: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
    """The known fields of these names, in this order; those that are not known have no statistics."""
    by_name = {field.name: field for field in known}
    return tuple(by_name.get(name, FieldSpec(name)) for name in names)


def _stated_licence(folder: Path) -> str:
    """The licence that the head of a ``README.md`` names, in the hub's format."""
    if not (folder / CARD).is_file():
        return ""
    from huggingface_hub.repocard import metadata_load
    from yaml import YAMLError

    try:
        head = metadata_load(folder / CARD) or {}
    except (ValueError, YAMLError):  # a README for people only
        return ""
    licence = head.get("license") or ""
    licence = ", ".join(licence) if isinstance(licence, list) else str(licence)
    if licence == "other":
        licence = str(head.get("license_name", licence))
    return licence.upper() if licence.startswith(("cc-", "mit")) else licence
