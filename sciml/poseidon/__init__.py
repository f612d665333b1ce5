"""Poseidon: a foundation model for PDEs, the scalable operator transformer (scOT)."""

from sciml.poseidon.config import ScOTConfig
from sciml.poseidon.network import ScOT
from sciml.poseidon.rollout import rollout

__all__ = ["ScOT", "ScOTConfig", "rollout"]
