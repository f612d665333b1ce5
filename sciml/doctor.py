"""What ``sciml doctor`` finds out: the environment, and whether a file and a model can be used."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

Rows = list[tuple[str, str]]

OPTIONAL = ("lightning", "hydra-core", "tensorboard", "torchmetrics")
SOLVERS = {"HiGHS": "highspy", "Clarabel": "clarabel", "CasADi": "casadi"}


def environment() -> Rows:
    """Versions, devices, threads and solvers of this installation, as (name, value) rows."""
    import torch

    import sciml

    devices = ["cpu"]
    devices += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        ("sciml", sciml.__version__),
        ("python", f"{platform.python_version()} on {platform.platform(terse=True)}"),
        ("torch", torch.__version__),
        *((package, _version(package)) for package in ("numpy", "h5py", "xarray", *OPTIONAL)),
        ("devices", ", ".join(devices)),
        ("threads", f"{torch.get_num_threads()} of {cores} cores"),
        *((solver, _version(package)) for solver, package in SOLVERS.items()),
    ]


def data_file(path: str | Path) -> Rows:
    """What a file of trajectories holds, after one trajectory has been read from it, as (name, value) rows.

    Raises:
        SciMLError: the file cannot be read.
    """
    from sciml.data import open_trajectories

    with open_trajectories(path) as data:
        first = data.read(0)
        spec, count = data.spec, len(data)
    size = " x ".join(map(str, spec.shape))
    rows = [
        ("layout", spec.layout),
        ("task", spec.task or "not named"),
        ("trajectories", f"{count}, {spec.steps} steps from t = {spec.times[0]:g} to {spec.times[-1]:g}"),
        ("grid", f"{size}, {', '.join(spec.boundary)}"),
        ("origin", "generated (replica)" if spec.replica else "not marked as generated"),
    ]
    for channel, (field, values) in enumerate(zip(spec.fields, first.swapaxes(0, 1), strict=True)):
        known = "no statistics" if field.mean is None else f"mean {field.mean:.4g}, std {field.std:.4g}"
        made_up = "" if field.observed else ", made up"
        rows.append(
            (
                f"channel {channel}",
                f"{field.name}: {known}; first trajectory {values.min():.4g} to {values.max():.4g}{made_up}",
            )
        )
    return rows


def model_folder(id_or_folder: str | Path) -> Rows:
    """What kind of network a folder or hub id holds, as (name, value) rows.

    Raises:
        SciMLError: there is no usable model.
    """
    from sciml.pretrained import load

    model = load(id_or_folder)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return [("network", type(model).__name__), ("parameters", f"{parameters:,}")]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
