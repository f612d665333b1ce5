"""Compiled versions of the inner loops of solvers."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Callable
from typing import TypeVar

import torch

Function = TypeVar("Function", bound=Callable)

_ONE_AT_A_TIME = threading.Lock()


@functools.cache
def compiler_available() -> bool:
    """Whether there is a C++ compiler, which ``torch.compile`` needs on a CPU."""
    return any(shutil.which(name) for name in ("g++", "clang++", "c++"))


@functools.cache
def compiled(function: Function) -> Function:
    """The function, compiled by ``torch.compile`` for every new combination of shapes; safe to call from threads.

    Args:
        function: A function of tensors and plain values, defined at the top of a module.
    """
    # What the processor can do is known from its flags. The probe that this leaves out runs against the clock, and on
    # a busy machine may settle for slow code with other last digits.
    fast = torch.compile(function, dynamic=False, fullgraph=True, options={"cpp.vec_isa_ok": True})
    ready = set()

    @functools.wraps(function)
    def call(*tensors, **settings):
        kind = (*map(_kind, tensors), *settings.items(), torch.get_num_threads())
        if kind in ready:
            return fast(*tensors, **settings)
        with _ONE_AT_A_TIME:  # or every thread would compile for itself
            result = fast(*tensors, **settings)
        ready.add(kind)
        return result

    return call  # type: ignore[return-value]


def _kind(tensor: torch.Tensor | None):
    return tensor if tensor is None else (tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
