"""Networks of this family on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sciml.errors import CheckpointError
from sciml.model_folder import read_model


def read_network(folder: str | Path, architecture: str, names: set[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors of a network of a given architecture.

    Args:
        folder: Folder with ``config.json`` and ``model.safetensors``.
        architecture: "SpectralNet", "RidgeNet" or "BoundaryNet".
        names: Names of its tensors.

    Raises:
        CheckpointError: nothing is there, or it is another network, or its tensors have other names.
    """
    config, tensors = read_model(folder)
    if config.get("architectures") != [architecture]:
        raise CheckpointError(
            f"{folder} holds {config.get('architectures')}; a {architecture} is expected. sciml.load(folder) loads a "
            "model of any kind."
        )
    if tensors.keys() != names:
        raise CheckpointError(
            f"the model in {folder} has the tensors {', '.join(sorted(tensors))}; a {architecture} has "
            f"{', '.join(sorted(names))}. Save the model again."
        )
    return config, tensors


def load_network(folder: str | Path) -> nn.Module:
    """The network of this family that a folder holds, in evaluation mode.

    Args:
        folder: Folder with ``config.json`` and ``model.safetensors``.

    Raises:
        CheckpointError: there is no such network.
    """
    # Each network reads its own folder through this module.
    from sciml.barron.boundary_net import BoundaryNet
    from sciml.barron.ridge import RidgeNet
    from sciml.barron.spectral import SpectralNet

    [name] = read_model(folder)[0].get("architectures") or [""]
    known = {network.__name__: network for network in (BoundaryNet, RidgeNet, SpectralNet)}
    return known.get(name, SpectralNet).from_pretrained(folder).eval()
