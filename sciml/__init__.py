"""Scientific machine learning: PDE foundation models and the data they are trained on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sciml.version import __version__

# Where every public name lives; imported on first use, so that `import sciml` is instant.
_HOME = {
    "ScOT": "sciml.poseidon",
    "ScOTConfig": "sciml.poseidon",
    "forecast": "sciml.forecasting",
    "generate": "sciml.pde.generate",
    "load": "sciml.pretrained",
    "open_trajectories": "sciml.data",
    "rollout": "sciml.poseidon",
}

__all__ = ["ScOT", "ScOTConfig", "__version__", "forecast", "generate", "load", "open_trajectories", "rollout"]

if TYPE_CHECKING:
    from sciml.data import open_trajectories
    from sciml.forecasting import forecast
    from sciml.pde.generate import generate
    from sciml.poseidon import ScOT, ScOTConfig, rollout
    from sciml.pretrained import load


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'sciml' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__():
    return sorted([*globals(), *_HOME])
