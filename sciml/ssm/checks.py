"""What every layer asks of its arguments."""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.errors import ConfigError, ShapeError


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise a ConfigError if a setting is none of its known values."""
    if value not in known:
        raise ConfigError(f"{name} is {value!r}; expected one of {', '.join(known)}.")


def check_call(
    u: Tensor, state: Tensor | None, *, axes: str, features: int, states: tuple[int, ...], bidirectional: bool
) -> None:
    """Raise an error if a layer cannot be called with an input and a state.

    Args:
        u: The input.
        state: What an earlier part of the sequences left.
        axes: Names of the axes that the input should have: "(batch, length, feature)", or "(batch, feature)" of a step.
        features: Features that the layer reads.
        states: Shape of the state of one sequence.
        bidirectional: Whether the layer runs in both directions.
    """
    ndim = axes.count(",") + 1
    if u.ndim != ndim or u.shape[-1] != features or not u.is_floating_point():
        raise ShapeError(
            f"an input of shape {tuple(u.shape)} and type {u.dtype} came; real numbers of shape {axes} with "
            f"{features} features are expected. One sample needs a batch axis: u[None]."
        )
    if bidirectional and (state is not None or ndim == 2):
        raise ConfigError(
            "a bidirectional layer needs the whole sequence at once: it takes no state and cannot go step by step. "
            "Pass whole sequences without a state, or set bidirectional=False."
        )
    if state is not None and (state.shape != (len(u), *states) or not state.is_complex()):
        raise ShapeError(
            f"a state of shape {tuple(state.shape)} and type {state.dtype} came; complex numbers of shape "
            f"{(len(u), *states)} are expected, the batch first. initial_state({len(u)}) makes one."
        )


def checked_lengths(lengths: Tensor, u: Tensor) -> Tensor:
    """Lengths on the device of the sequences u, or a ShapeError if they are not those of such a batch."""
    batch, length = u.shape[:2]
    integer = not (lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool)
    if lengths.shape != (batch,) or not integer:
        raise ShapeError(
            f"lengths of shape {tuple(lengths.shape)} and type {lengths.dtype} came; {batch} whole numbers are "
            "expected, one for each sequence: mask.sum(1) counts the valid steps of a mask."
        )
    if int(lengths.max()) > length or int(lengths.min()) < 0:
        raise ShapeError(
            f"lengths from {int(lengths.min())} to {int(lengths.max())} came for sequences of {length} steps; 0 to "
            f"{length} are expected. Pad the sequences to the largest length, or cut the lengths."
        )
    return lengths.to(u.device)


def checked_step_scale(scale: Tensor, u: Tensor, padding: Tensor | None = None) -> Tensor:
    """What multiplies the time steps of the batch u, zero in its padding; an error if it cannot."""
    if scale.shape != u.shape[:-1]:
        raise ShapeError(
            f"step_scale of shape {tuple(scale.shape)} came; {tuple(u.shape[:-1])} is expected, one number for each "
            "step of each sequence. One number for all is layer.step_rescale."
        )
    if padding is not None:
        scale = scale.masked_fill(padding, 0)
    if not bool((scale >= 0).all()):
        raise ConfigError(
            "step_scale has negative or undefined entries; times between steps are expected, zero or more. Are the "
            "times of the samples sorted?"
        )
    return scale
