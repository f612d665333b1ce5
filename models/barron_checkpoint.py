"""A flow as bytes, so that a run can be taken up again at any iteration."""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch
from torch import Tensor

from sciml.barron import EnergyProblem, RankOneLattice
from sciml.barron.residual import Collocation, LatticeSystem


def freeze(flow: Any, problem: EnergyProblem) -> Tensor:
    """The state of a flow as bytes, without its problem and without what follows from lattices and frequencies."""
    buffer = io.BytesIO()
    _Pickler(buffer, problem).dump(flow)
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def thaw(state: Tensor, problem: EnergyProblem) -> Any:
    """The flow whose state was frozen, for the same problem."""
    return _Unpickler(io.BytesIO(state.numpy(force=True).tobytes()), problem).load()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, problem: EnergyProblem):
        super().__init__(file)
        self._problem = problem

    def persistent_id(self, thing: Any) -> str | None:
        """The problem is the user's, and perhaps a closure, which cannot be written."""
        return "problem" if thing is self._problem else None

    def reducer_override(self, thing: Any) -> Any:
        """Points, right-hand sides and transforms are large, and made again from what they were made of."""
        if isinstance(thing, RankOneLattice):
            return RankOneLattice, (thing.size, thing.generator, thing.shift)
        if isinstance(thing, Collocation):
            return Collocation, (thing.problem, thing.lattices)
        if isinstance(thing, LatticeSystem):
            return LatticeSystem, (thing.collocation, thing.frequencies)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, problem: EnergyProblem):
        super().__init__(file)
        self._problem = problem

    def persistent_load(self, name: str) -> EnergyProblem:
        """The problem of this run."""
        return self._problem
