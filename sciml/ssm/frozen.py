"""Step by step with parameters that stay as they are: every layer prepares its discrete system once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from sciml.errors import ConfigError

T = TypeVar("T")


class Freezable(nn.Module):
    """A layer that can keep what ``step`` makes of its parameters."""

    # What was prepared, by a key, and the parameters that it was prepared from; None outside of `frozen`.
    _kept: dict[Any, tuple[tuple[int, ...], Any]] | None = None

    def _prepared(self, key: Any, prepare: Callable[[], T]) -> T:
        """What ``prepare`` returns, or, in ``frozen``, has returned for this key and these parameters."""
        if self._kept is None or torch.is_grad_enabled():
            return prepare()
        # Assigning to a parameter's data, as .to() does, moves it; every other change counts its version up.
        now = tuple(n for p in self._parameters.values() if p is not None for n in (p.data_ptr(), p._version))
        before, kept = self._kept.get(key, (None, None))
        if before != now:
            kept = prepare()
            self._kept[key] = now, kept
        return kept  # pyright: ignore[reportReturnType]


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """A context in which the steps of a model, or of a layer, take a fraction of the time, and no gradients.

    ``step`` discretises the system of every layer at each call; in here it does so at the first one, keeps the result,
    and gives the same numbers. It implies ``torch.no_grad()``. Parameters may change: an optimiser, ``load_state_dict``
    or ``.to()`` make a layer discretise again. Steps for which gradients are switched on again keep nothing.

    Args:
        model: A ``SequenceModel``, a layer of this package, or any module that contains some.

    Raises:
        ConfigError: parameters were made in ``torch.inference_mode()``, where torch does not count their changes.

    Example:
        >>> state = model.initial_state(1)
        >>> with frozen(model):
        ...     for u in signal:
        ...         y, state = model.step(u[None], state)
    """
    if any(p.is_inference() for p in model.parameters()):
        raise ConfigError(
            "this model was made or loaded in torch.inference_mode(), where changes of parameters are not counted. "
            "Make or load it outside."
        )
    layers = [module for module in model.modules() if isinstance(module, Freezable)]
    before = [layer._kept for layer in layers]
    for layer in layers:
        layer._kept = {}
    try:
        with torch.no_grad():
            yield
    finally:
        for layer, kept in zip(layers, before, strict=True):
            layer._kept = kept
