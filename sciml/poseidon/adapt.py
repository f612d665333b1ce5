"""Fit weights to other channels and scalars: keep, by name, what belongs to those that they know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.table import Table
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.poseidon.config import ScOTConfig
from sciml.poseidon.network import Embedding, Recovery

EMBEDDING = "embeddings.patch_embeddings.projection.weight"
PROJECTION, BIAS = "patch_recovery.projection.weight", "patch_recovery.projection.bias"
MIXUP = "patch_recovery.mixup.weight"


@dataclass(frozen=True)
class ChannelMatch:
    """Which channel of a checkpoint each wanted channel comes from; the same for scalars.

    Args:
        names: The wanted channels; empty if they have no names.
        known: The checkpoint's channels; empty if they have no names.
        source: Position in the checkpoint of every wanted channel; None for a new one.
        count: Number of the checkpoint's channels.
    """

    names: tuple[str, ...]
    known: tuple[str, ...]
    source: tuple[int | None, ...]
    count: int

    @property
    def changed(self) -> bool:
        """Whether any tensor differs from the checkpoint's."""
        return self.source != tuple(range(self.count))

    @property
    def new(self) -> list[int]:
        """Positions of the channels that the checkpoint does not know."""
        return [i for i, j in enumerate(self.source) if j is None]

    @property
    def kept(self) -> tuple[list[int], list[int]]:
        """Positions of the others, here and in the checkpoint."""
        pairs = [(i, j) for i, j in enumerate(self.source) if j is not None]
        return [i for i, _ in pairs], [j for _, j in pairs]

    def __str__(self):
        if self.new and not self.kept[0]:
            return "all new"
        parts = {
            "kept": [self.names[i] for i in self.kept[0]],
            "new": [self.names[i] for i in self.new],
            "dropped": [name for j, name in enumerate(self.known) if j not in self.source],
        }
        return "; ".join(f"{what} {', '.join(names)}" for what, names in parts.items() if names)


def match_channels(
    wanted: Sequence[str] | int | None, known: Sequence[str], count: int, *, new_channels: str = "by_name"
) -> ChannelMatch:
    """Find the wanted channels among those of a checkpoint.

    Args:
        wanted: Names of the channels, or only their number; None keeps those of the checkpoint.
        known: Names of the checkpoint's channels; empty if it does not say.
        count: Their number.
        new_channels: ``by_name`` keeps the channels whose name is known. ``fresh`` is the published behaviour: all are
            new if their number differs, and none otherwise.

    Raises:
        ConfigError: ``new_channels`` is neither.
    """
    if new_channels not in ("by_name", "fresh"):
        raise ConfigError(f"new_channels is {new_channels!r}; 'by_name' or 'fresh' is expected.")
    names = () if wanted is None or isinstance(wanted, int) else tuple(wanted)
    if names and known and new_channels == "by_name":
        source = tuple(known.index(name) if name in known else None for name in names)
        return ChannelMatch(names, tuple(known), source, count)
    number = count if wanted is None else wanted if isinstance(wanted, int) else len(names)
    source = tuple(range(count)) if number == count else (None,) * number
    return ChannelMatch(names, tuple(known), source, count)


def adapt_channels(
    weights: dict[str, Tensor], config: ScOTConfig, *, inputs: ChannelMatch, outputs: ChannelMatch
) -> dict[str, Tensor]:
    """Weights for other channels: those of known channels in the new order, new ones initialised as at pretraining.

    The embedding is a sum over the input channels. A new one adds its own term; leaving one out is the same as reading
    it at the mean of the training data (normalised 0). The last layer mixes the predicted channels: known ones do not
    read new ones at first, so that what is predicted for them stays as it was as long as the new inputs are 0. Leaving
    an output out takes away what it gave to the others.

    Args:
        weights: State dict of the checkpoint.
        config: Settings of the network to be, with the new numbers of channels.
        inputs: Where its input channels come from.
        outputs: Where its output channels come from.

    Returns:
        State dict of that network; tensors that do not change are those of ``weights``.
    """
    adapted, fresh = dict(weights), _initialised(config)
    if inputs.changed:
        adapted[EMBEDDING] = _with_kept(fresh[EMBEDDING], weights[EMBEDDING], inputs, axis=1)
    if outputs.changed:
        adapted[PROJECTION] = _with_kept(fresh[PROJECTION], weights[PROJECTION], outputs, axis=1)
        adapted[BIAS] = _with_kept(fresh[BIAS], weights[BIAS], outputs, axis=0)
        here, there = outputs.kept
        known_rows = torch.zeros_like(fresh[MIXUP][here])
        known_rows[:, here] = weights[MIXUP][there][:, there].to(known_rows)
        adapted[MIXUP] = fresh[MIXUP].index_copy(0, torch.tensor(here, dtype=torch.long), known_rows)
    return adapted


def adapt_scalars(weights: dict[str, Tensor], scalars: ChannelMatch) -> dict[str, Tensor]:
    """Weights whose conditional norms depend on other scalars: known ones keep their column, new ones have no effect.

    Leaving a scalar out is the same as reading it at the mean of the training data (normalised 0).

    Args:
        weights: State dict of the checkpoint.
        scalars: Where its scalars come from.
    """
    here, there = ([0, *(1 + i for i in positions)] for positions in scalars.kept)  # column 0 is the lead time
    adapted = dict(weights)
    for name in condition_weights(weights):
        columns = weights[name].new_zeros(len(weights[name]), 1 + len(scalars.source))
        columns[:, here] = weights[name][:, there]
        adapted[name] = columns
    return adapted


def condition_weights(weights: dict[str, Tensor]) -> list[str]:
    """Names of the tensors of the conditional norms that have one column for the lead time and one for each scalar."""
    return [name for name in weights if name.endswith((".weight.weight", ".bias.weight"))]


def channel_table(
    old: dict[str, Tensor],
    new: dict[str, Tensor],
    *,
    inputs: ChannelMatch,
    outputs: ChannelMatch,
    scalars: ChannelMatch,
) -> Table:
    """Which tensors were fitted to other channels and scalars, and what of them was kept, is new and was dropped."""
    table = Table("tensor", "channels", title="Fitted to your data", title_justify="left", show_lines=True)
    table.columns[0].no_wrap = True
    changed = [(EMBEDDING, inputs)] * inputs.changed + [(name, outputs) for name in (PROJECTION, BIAS, MIXUP)] * (
        outputs.changed
    )
    for name, match in changed:
        before, after = tuple(old[name].shape), tuple(new[name].shape)
        shapes = f"resized {before} -> {after}" if before != after else f"{after}"
        table.add_row(name, f"{shapes}\n{match}")
    others = len(new) - len(changed)
    if scalars.changed:
        conditioned = len(condition_weights(new))
        others -= conditioned
        columns = f"columns for scalars {scalars.count} -> {len(scalars.source)}"
        table.add_row(f"{conditioned} weights of conditional norms", f"{columns}\n{scalars}")
    table.add_row(f"the other {others} tensors", "kept")
    return table


def _with_kept(fresh: Tensor, old: Tensor, match: ChannelMatch, *, axis: int) -> Tensor:
    here, there = (torch.tensor(positions, dtype=torch.long) for positions in match.kept)
    return fresh.index_copy(axis, here, old.index_select(axis, there).to(fresh))


@torch.no_grad()
def _initialised(config: ScOTConfig) -> dict[str, Tensor]:
    """The tensors that depend on the channels, as before training."""
    convolution, recovery = Embedding(config).patch_embeddings["projection"], Recovery(config)
    for layer in (convolution, recovery.mixup):  # the transposed convolution keeps torch's own start, as published
        nn.init.normal_(layer.weight, std=config.initializer_range)  # type: ignore[arg-type]
    return {
        EMBEDDING: convolution.weight.detach(),  # type: ignore[union-attr]
        PROJECTION: recovery.projection.weight.detach(),
        BIAS: recovery.projection.bias.detach(),  # type: ignore[union-attr]
        MIXUP: recovery.mixup.weight.detach(),
    }
