"""PDEBench's layouts: five of them, told apart by what lies at the root of the file, not by its name.

- **scalar**: ``tensor`` (sample, time, *space), one field, e.g. advection, Burgers, reaction-diffusion;
- **darcy**: ``tensor`` (sample, 1, x, y) and the permeability ``nu`` (sample, x, y) that it belongs to; steady;
- **fluid**: ``density``, ``pressure``, ``Vx``, ... of shape (sample, time, *space) each;
- **groups**: one group a trajectory, with ``data`` (time, *space, channel) and its ``grid``;
- **incompressible**: ``velocity``, ``particles`` (sample, time, x, y, component), ``force`` (sample, x, y, component).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from sciml.data import netcdf
from sciml.data.handle import PlaneFile
from sciml.data.spec import Boundary, FieldSpec, TrajectorySpec
from sciml.data.trajectories import Channel, StoredTrajectories
from sciml.data.variable import Variable, check_written, grouped_variable, variable_of
from sciml.errors import LayoutError

AXES = ("x", "y", "z")

# The order in which the channels of a fluid are read, for every number of dimensions.
FLUID = ("density", "pressure", "Vx", "Vy", "Vz")

# What one group a trajectory holds, by the number of spatial axes and of channels.
GROUPED: dict[tuple[int, int], tuple[str, tuple[str, ...], Boundary]] = {
    (1, 1): ("diffusion-sorption", ("u",), "wall"),
    (2, 2): ("diffusion-reaction", ("u", "v"), "wall"),
    (2, 1): ("shallow-water", ("h",), "open"),
}


def recognise_pdebench(file: h5py.File) -> str | None:
    """Which of the five layouts a file is in, or None."""
    root = set(file)
    if {"velocity", "particles"} <= root:
        return "incompressible"
    if "tensor" in root:
        return "darcy" if "nu" in root else "scalar"
    if "density" in root:
        return "fluid"
    only_groups = all(file.get(name, getclass=True) is h5py.Group for name in root)
    return "groups" if only_groups and any(f"{name}/data" in file for name in root) else None


def open_pdebench(file: PlaneFile, hdf5: h5py.File, *, kind: str, task: str = "") -> StoredTrajectories:
    """Open a file in one of PDEBench's layouts.

    Numbers among the attributes of the file (``beta``, ``Nu``, ``eta``, ...) are the scalars of its trajectories.

    Args:
        file: The file.
        hdf5: The same file, open; only used here.
        kind: Which layout, as ``recognise_pdebench`` says.
        task: Name of its task; told by its content if empty.

    Raises:
        LayoutError: a dataset is missing, was never completely written, or does not fit the others.
    """
    openers = {
        "scalar": _open_scalar,
        "darcy": _open_darcy,
        "fluid": _open_fluid,
        "groups": _open_groups,
        "incompressible": _open_incompressible,
    }
    return openers[kind](file, hdf5, task)


def _open_scalar(file: PlaneFile, hdf5: h5py.File, task: str) -> StoredTrajectories:
    tensor = _dataset(hdf5, "tensor")
    known = {"beta": "advection", "rho": "reaction-diffusion", "Nu": "burgers"}
    return _open_at_root(
        file,
        hdf5,
        task=task or next((name for parameter, name in known.items() if parameter in hdf5.attrs), ""),
        channels=[Channel(FieldSpec("u"), "tensor")],
        variables={"tensor": variable_of(tensor, ("sample", "time"))},
        boundary="periodic",
    )


def _open_darcy(file: PlaneFile, hdf5: h5py.File, task: str) -> StoredTrajectories:
    tensor, permeability = _dataset(hdf5, "tensor"), _dataset(hdf5, "nu")
    if tensor.shape != (len(permeability), 1, *permeability.shape[1:]):
        raise LayoutError(
            f"{file.path}: tensor has shape {tensor.shape}, nu {permeability.shape}; expected (sample, 1, x, y) and "
            "(sample, x, y), one solution for every permeability. Fetch the file again."
        )
    return _open_at_root(
        file,
        hdf5,
        task=task or "darcy",
        channels=[Channel(FieldSpec("nu", in_time=False), "nu"), Channel(FieldSpec("u"), "tensor")],
        variables={"nu": variable_of(permeability, ("sample",)), "tensor": variable_of(tensor, ("sample", "time"))},
        boundary="wall",
        inputs=("nu",),
        targets=("u",),
    )


def _open_fluid(file: PlaneFile, hdf5: h5py.File, task: str) -> StoredTrajectories:
    shape = _dataset(hdf5, "density").shape
    datasets = {name: _dataset(hdf5, name) for name in FLUID[: len(shape)]}
    if different := [f"{name} {d.shape}" for name, d in datasets.items() if d.shape != shape]:
        raise LayoutError(
            f"{file.path}: density has shape {shape}, but {', '.join(different)}. All variables of a fluid have the "
            "shape (sample, time, *space). Fetch the file again."
        )
    fields = [FieldSpec(name, "velocity" if name.startswith("V") else "") for name in datasets]
    return _open_at_root(
        file,
        hdf5,
        task=task or "compressible-navier-stokes",
        channels=[Channel(field, field.name) for field in fields],
        variables={name: variable_of(dataset, ("sample", "time")) for name, dataset in datasets.items()},
        boundary=_named_boundary(file.path.name),
    )


def _open_at_root(
    file: PlaneFile,
    hdf5: h5py.File,
    *,
    channels: Sequence[Channel],
    variables: dict[str, Variable],
    task: str,
    boundary: Boundary,
    inputs: tuple[str, ...] = (),
    targets: tuple[str, ...] = (),
) -> StoredTrajectories:
    main = _dataset(hdf5, str(channels[-1].variable))
    samples, steps, *space = main.shape
    for name in variables:
        check_written(_dataset(hdf5, name))
    coordinates = {axis: _coordinate(hdf5, f"{axis}-coordinate", n) for axis, n in zip(AXES, space, strict=False)}
    # The published files have one time more than frames.
    steady = bool(inputs)
    times = np.zeros(1) if steady else _coordinate(hdf5, "t-coordinate", steps, longer=True)
    attributes = netcdf.attributes(hdf5)
    spec = TrajectorySpec(
        layout="pdebench",
        task=task,
        fields=tuple(channel.field for channel in channels),
        steps=steps,
        times=times,
        coordinates=coordinates,
        boundary=(boundary,) * len(space),
        time_scale=float(max(steps - 1, 1)),
        inputs=inputs,
        targets=targets,
        attributes=attributes,
        scalars=tuple(sorted(name for name, value in attributes.items() if isinstance(value, int | float))),
    )
    return StoredTrajectories(file, spec=spec, channels=channels, variables=variables, trajectories=samples)


def _open_groups(file: PlaneFile, hdf5: h5py.File, task: str) -> StoredTrajectories:
    groups = sorted(hdf5)  # seeds may be missing
    data = next(_dataset(hdf5, f"{group}/data") for group in groups if f"{group}/data" in hdf5)
    steps, *space, count = data.shape
    unknown = ("", tuple(f"channel_{i}" for i in range(count)), "open")
    found, names, boundary = GROUPED.get((len(space), count), unknown)
    variable = grouped_variable(hdf5, groups, "data", ("time",), points=(*space, count))
    fields = tuple(FieldSpec(name) for name in names)
    spec = TrajectorySpec(
        layout="pdebench",
        task=task or found,
        fields=fields,
        steps=steps,
        times=_coordinate(hdf5, f"{groups[0]}/grid/t", steps),
        coordinates={
            axis: _coordinate(hdf5, f"{groups[0]}/grid/{axis}", n) for axis, n in zip(AXES, space, strict=False)
        },
        boundary=(boundary,) * len(space),
        time_scale=float(max(steps - 1, 1)),
        attributes=netcdf.attributes(hdf5) | _configuration(hdf5[groups[0]].attrs.get("config", "")),
    )
    channels = [Channel(field, "data", i) for i, field in enumerate(fields)]
    return StoredTrajectories(
        file, spec=spec, channels=channels, variables={"data": variable}, trajectories=len(groups)
    )


def _open_incompressible(file: PlaneFile, hdf5: h5py.File, task: str) -> StoredTrajectories:
    velocity = _dataset(hdf5, "velocity")
    samples, saved, *space, _ = velocity.shape
    attributes = netcdf.attributes(hdf5)
    # A run that broke off says how far it came.
    latest = attributes.get("latestIndex", saved - 1)
    if not isinstance(latest, int) or latest < 0:
        raise LayoutError(
            f"{file.path}: the attribute latestIndex is {latest!r}; expected the number of the last frame, from 0 on. "
            "A run that saved no frame cannot be read."
        )
    steps = min(latest + 1, saved)
    attributes |= _configuration(attributes.get("config", ""))
    parts = {"velocity": True, "particles": True, **({"force": False} if "force" in hdf5 else {})}
    channels, variables = [], {}
    for name, in_time in parts.items():
        dataset = _dataset(hdf5, name)
        axes = ("sample", "time") if in_time else ("sample",)
        if dataset.shape[:-1] != (*velocity.shape[: len(axes)], *space):
            raise LayoutError(f"{file.path}: {name} has shape {dataset.shape}, velocity {velocity.shape}: no match.")
        check_written(dataset, steps=steps if in_time else None)
        count = dataset.shape[-1]
        variables[name] = variable_of(dataset, axes, points=(*space, count))
        names = [name] if count == 1 else [f"{name}_{axis}" for axis in AXES[:count]]
        channels += [Channel(FieldSpec(n, name, in_time=in_time), name, i) for i, n in enumerate(names)]
    times = _dataset(hdf5, "t")
    check_written(times, steps=steps)
    size = np.broadcast_to(attributes.get("domain_size", 1.0), len(space))
    spec = TrajectorySpec(
        layout="pdebench",
        task=task or "incompressible-navier-stokes",
        fields=tuple(channel.field for channel in channels),
        steps=steps,
        times=_common_times(file, times[:, :steps]),
        coordinates={a: (np.arange(n) + 0.5) * (s / n) for a, n, s in zip(AXES, space, size, strict=False)},
        boundary=("wall",) * len(space),
        time_scale=float(max(steps - 1, 1)),
        targets=tuple(channel.field.name for channel in channels if channel.field.in_time),
        attributes=attributes,
    )
    return StoredTrajectories(file, spec=spec, channels=channels, variables=variables, trajectories=samples)


def _dataset(hdf5: h5py.File, name: str) -> h5py.Dataset:
    dataset = hdf5.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise LayoutError(
            f"{hdf5.filename} has no dataset {name!r}, which files of this layout have; it has "
            f"{netcdf.describe(hdf5)}. Fetch the file again."
        )
    return dataset


def _coordinate(hdf5: h5py.File, name: str, count: int, *, longer: bool = False) -> np.ndarray:
    stored = _dataset(hdf5, name)
    check_written(stored)
    values = np.asarray(stored[()], float)
    if values.ndim != 1 or len(values) < count or (len(values) > count and not longer):
        wanted = f"at least {count}" if longer else str(count)
        raise LayoutError(
            f"{hdf5.filename}: {name} has shape {values.shape}, but the fields have {count} points along this axis, "
            f"so that {wanted} values are expected. Fetch or generate the file again."
        )
    return values[:count]


def _common_times(file: PlaneFile, times: np.ndarray) -> np.ndarray:
    times = np.asarray(times, float)
    # 1e-5 of a step: the times are float32 sums of the same steps.
    step = np.diff(times[0]).min(initial=np.inf)
    if not np.allclose(times, times[0], rtol=1e-6, atol=1e-5 * (step if np.isfinite(step) else 1.0)):
        raise LayoutError(
            f"{file.path}: its trajectories were saved at different times (dataset t). Resample them to common times."
        )
    return times[0]


def _configuration(text: str | bytes) -> dict[str, Any]:
    """The parameters in a configuration that a file carries as YAML text; nested ones have dots in their names."""
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return dict(_leaves(found)) if isinstance(found, Mapping) else {}


def _leaves(tree: Mapping, prefix: str = ""):
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _named_boundary(name: str) -> Boundary:
    """Boundary condition of a fluid, which only the name of the file tells."""
    if "trans" in name:
        return "open"
    return "periodic" if any(word in name for word in ("periodic", "KH_", "OTVortex", "Turb")) else "open"
