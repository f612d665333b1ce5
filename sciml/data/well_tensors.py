"""Which channels together make a vector or a tensor, as The Well stores them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from sciml.data.spec import FieldSpec


@dataclass(frozen=True)
class Tensor:
    """Neighbouring channels that make one field.

    Args:
        name: Name of the field.
        order: 0 for a scalar, 1 for a vector, 2 for a tensor.
        fields: Its components, in the order of the axes.
    """

    name: str
    order: int
    fields: tuple[FieldSpec, ...]


def component_names(name: str, axes: Sequence[str], order: int) -> tuple[str, ...]:
    """Names of the channels of a field: ``velocity_x``, ``velocity_y``; ``stress_xx``, ``stress_xy``, ..."""
    return tuple(f"{name}_{''.join(which)}" for which in product(axes, repeat=order)) if order else (name,)


def tensors(fields: Sequence[FieldSpec], axes: Sequence[str]) -> Iterator[Tensor]:
    """Put channels together where they are components of one field.

    They are if they belong to one group and are named as components of it (``component_names``), or if the group is
    ``velocity`` and has as many channels as there are axes. All others are scalars.

    Args:
        fields: The channels, in order.
        axes: Names of the spatial axes.
    """
    rest = tuple(fields)
    while rest:
        order = next((order for order in (1, 2) if _is_tensor(rest, axes, order)), 0)
        own, rest = rest[: len(axes) ** order], rest[len(axes) ** order :]
        yield Tensor(own[0].group if order else own[0].name, order, own)


def _is_tensor(fields: tuple[FieldSpec, ...], axes: Sequence[str], order: int) -> bool:
    own, group = fields[: len(axes) ** order], fields[0].group
    if tuple(f.name for f in own) == component_names(group, axes, order):
        return True
    members = [f for f in fields if f.group == group]
    return order == 1 and group == "velocity" and list(own) == members and len(members) == len(axes) > 1
