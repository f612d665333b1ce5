"""How much memory a training step takes, found by a step on tensors without content."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def training_memory(
    net: nn.Module,
    batch_size: int,
    shape: tuple[int, ...],
    *,
    channels: int,
    scalars: int = 0,
    precision: str = "32-true",
) -> float:
    """Estimated peak memory of a training step: weights, AdamW's two momenta, gradients and activations.

    4 (weights) + 8 (trained weights) bytes + what the step itself has at its peak. Half precision halves activations.

    Args:
        net: The network, called as ``net(fields, lead_time)``, with scalars as the third argument if there are any.
        batch_size: Samples in a batch.
        shape: Grid points of the fields.
        channels: Channels of the input fields.
        scalars: Scalars that it reads beside the lead time.
        precision: Lightning's name of it.

    Returns:
        Bytes, without what Python, its libraries and their work space take, and without sharding.
    """
    weights = sum(p.numel() for p in net.parameters())
    trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
    step = step_memory(net, batch_size, shape, channels=channels, scalars=scalars)
    if "16" in precision:
        step = 4 * trained + 0.5 * max(step - 4 * trained, 0)
    return 4 * weights + 8 * trained + step


def step_memory(net: nn.Module, batch_size: int, shape: tuple[int, ...], *, channels: int, scalars: int = 0) -> int:
    """Most bytes that a forward and backward pass has at one time, gradients included and weights not.

    Both passes run on tensors that have shapes but no numbers, so that they cost neither memory nor arithmetic; storage
    is counted from when it would be allocated until it would be freed. So activations that are computed again in the
    backward pass count, and so do the gradients of activations.

    Args:
        net: As for ``training_memory``, like the other arguments.
        batch_size: Samples in a batch.
        shape: Grid points of the fields.
        channels: Channels of the input fields.
        scalars: Scalars that it reads beside the lead time.
    """
    state: dict[str, Any] = {
        f"net.{name}": nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=p.requires_grad)
        for name, p in net.named_parameters()
    }
    state |= {f"net.{name}": torch.empty_like(b, device="meta") for name, b in net.named_buffers()}
    inputs = [torch.empty(batch_size, channels, *shape, device="meta"), torch.empty(batch_size, device="meta")]
    inputs += [torch.empty(batch_size, scalars, device="meta")] * (scalars > 0)
    with _Storage(weights=state.values(), inputs=inputs) as storage, torch.enable_grad():
        # Backward inside the call: what is computed again must find the same weights.
        functional_call(_Step(net), state, tuple(inputs))
    return storage.peak


class _Step(nn.Module):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> None:
        prediction = self.net(*inputs)
        (prediction - torch.empty_like(prediction)).abs().mean().backward()


class _Storage(TorchDispatchMode):
    """Counts the bytes of the inputs and of all tensors that operations make, and not those of the weights."""

    def __init__(self, *, weights: Iterable[Tensor], inputs: Iterable[Tensor]):
        super().__init__()
        self.now = self.peak = 0
        self._sizes = {tensor.untyped_storage()._cdata: 0 for tensor in weights}
        for tensor in inputs:
            self._add(tensor.untyped_storage())

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.now -= self._sizes.pop(key)
