"""Scientific machine learning: PDE foundation models and the data they are trained on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sciml.version import __version__

# Where every public name lives; imported on first use, so that `import sciml` is instant.
_HOME = {
    "RidgeNet": "sciml.barron",
    "S4": "sciml.ssm",
    "S4D": "sciml.ssm",
    "S4PTD": "sciml.ssm",
    "S5": "sciml.ssm",
    "S5PTD": "sciml.ssm",
    "ScOT": "sciml.poseidon",
    "ScOTConfig": "sciml.poseidon",
    "SequenceConfig": "sciml.ssm",
    "SequenceModel": "sciml.ssm",
    "SpectralNet": "sciml.barron",
    "forecast": "sciml.forecasting",
    "generate": "sciml.pde.generate",
    "load": "sciml.pretrained",
    "measure_barron_norm": "sciml.barron",
    "open_trajectories": "sciml.data",
    "rollout": "sciml.poseidon",
}

__all__ = [
    "S4",
    "S4D",
    "S4PTD",
    "S5",
    "S5PTD",
    "RidgeNet",
    "ScOT",
    "ScOTConfig",
    "SequenceConfig",
    "SequenceModel",
    "SpectralNet",
    "__version__",
    "forecast",
    "generate",
    "load",
    "measure_barron_norm",
    "open_trajectories",
    "rollout",
]

if TYPE_CHECKING:
    from sciml.barron import RidgeNet, SpectralNet, measure_barron_norm
    from sciml.data import open_trajectories
    from sciml.forecasting import forecast
    from sciml.pde.generate import generate
    from sciml.poseidon import ScOT, ScOTConfig, rollout
    from sciml.pretrained import load
    from sciml.ssm import S4, S4D, S4PTD, S5, S5PTD, SequenceConfig, SequenceModel


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'sciml' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__():
    return sorted([*globals(), *_HOME])
