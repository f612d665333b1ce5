"""Files in the layout of The Well, made field by field, and the rules that its published validator checks."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from tests.data.numbers import numbered

TEXT = h5py.string_dtype()
COUNT, STEPS = 3, 4
SIZES = (5, 6, 7)
AXES = ("x", "y", "z")


class WellFileMaker:
    """Writes a small file, one dataset at a time, with values that are all different."""

    def __init__(self, path: Path, *, dims: int = 2, axes=AXES, count=COUNT, steps=STEPS):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.axes, self.space = path, axes[:dims], SIZES[:dims]
        self.count, self.steps = count, steps
        self.file = h5py.File(path, "w")
        self.file.attrs.update(
            {"dataset_name": "made", "grid_type": "cartesian", "n_spatial_dims": dims, "n_trajectories": count}
        )
        self.file.attrs["simulation_parameters"] = np.array([], TEXT)
        for name in ("dimensions", "boundary_conditions", "scalars", "t0_fields", "t1_fields", "t2_fields"):
            group = self.file.create_group(name)
            if name.endswith("fields") or name == "scalars":
                group.attrs["field_names"] = np.array([], TEXT)
        self.file["dimensions"].attrs["spatial_dims"] = np.array(self.axes, TEXT)
        self.values("dimensions/time", np.linspace(0, 1, steps), time=True)
        for axis, points in zip(self.axes, self.space, strict=True):
            self.values(f"dimensions/{axis}", np.arange(points) / points)

    def values(self, path: str, values, *, sample=False, time=False):
        dataset = self.file.create_dataset(path, data=np.asarray(values))
        dataset.attrs["sample_varying"], dataset.attrs["time_varying"] = sample, time
        return dataset

    def name(self, group: str, name: str) -> None:
        names = list(self.file[group].attrs["field_names"])
        self.file[group].attrs["field_names"] = np.array([*names, name], TEXT)

    def scalar(self, name: str, values, **varying):
        self.name("scalars", name)
        return self.values(f"scalars/{name}", values, **varying)

    def field(self, name, order=0, *, sample=True, time=True, varies=None, flat=False, start=0, dtype="f4", **how):
        dims = len(self.space)
        varies = (True,) * dims if varies is None else varies
        space = [n for n, stored in zip(self.space, varies, strict=True) if stored]
        components = (dims**order,) if flat else (dims,) * order
        shape = ((self.count,) * sample, (self.steps,) * time, tuple(space), components)
        values = start + numbered(*(n for part in shape for n in part))
        self.name(f"t{order}_fields", name)
        dataset = self.file.create_dataset(f"t{order}_fields/{name}", data=values.astype(dtype), **how)
        dataset.attrs["sample_varying"], dataset.attrs["time_varying"] = sample, time
        dataset.attrs["dim_varying"] = np.array(varies, bool)
        return dataset

    def boundary(self, name: str, kind: str, axes, mask, *, sample=False):
        group = self.file.create_group(f"boundary_conditions/{name}")
        group["mask"] = np.asarray(mask, bool)
        group.attrs["bc_type"] = kind
        group.attrs["associated_dims"] = axes if isinstance(axes, str) else np.array(axes, TEXT)
        group.attrs["associated_fields"] = np.array([], TEXT)
        group.attrs["sample_varying"], group.attrs["time_varying"] = sample, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def whole(dataset: h5py.Dataset, space: tuple[int, ...], count=COUNT, steps=STEPS) -> np.ndarray:
    """A field with all its axes: (trajectory, time, *space, component)."""
    values, attributes = dataset[()], dataset.attrs
    if not attributes["sample_varying"]:
        values = values[None]
    if not attributes["time_varying"]:
        values = values[:, None]
    for axis, stored in enumerate(attributes["dim_varying"]):
        if not stored:
            values = np.expand_dims(values, 2 + axis)
    values = values.reshape(*values.shape[: 2 + len(space)], -1)
    return np.broadcast_to(values, (count, steps, *space, values.shape[-1]))


def violations(path: Path) -> list[str]:
    """What the published validator would object to: attributes, their types, groups, datasets and shapes."""
    found: list[str] = []

    def check(holds, what: str) -> bool:
        if not holds:
            found.append(what)
        return bool(holds)

    def flags(item, where):
        kinds = ("sample_varying", "time_varying")
        return all([check(isinstance(item.attrs.get(kind), np.bool_), f"{where}: {kind}") for kind in kinds])

    def names(item, key, where):
        listed = item.attrs.get(key)
        ok = check(isinstance(listed, np.ndarray), f"{where}: {key} is a list")
        return [n for n in listed if check(isinstance(n, str), f"{where}: {key} holds texts")] if ok else []

    with h5py.File(path) as file:
        root = file.attrs
        check(isinstance(root.get("dataset_name"), str), "dataset_name")
        check(root.get("grid_type") in ("cartesian", "spherical"), "grid_type")
        for key in ("n_spatial_dims", "n_trajectories"):
            check(isinstance(root.get(key), np.integer), key)
        groups = ("dimensions", "boundary_conditions", "scalars", "t0_fields", "t1_fields", "t2_fields")
        if not all([check(group in file, group) for group in groups]):
            return found
        for name in names(file, "simulation_parameters", "root"):
            check(name in root and name in file["scalars"], f"parameter {name}")
        axes = names(file["dimensions"], "spatial_dims", "dimensions")
        check(len(axes) == root.get("n_spatial_dims", 0) > 0, "n_spatial_dims")
        if missing := [axis for axis in ("time", *axes) if axis not in file["dimensions"]]:
            return [*found, f"dimensions: {missing[0]}"]
        extent = {axis: file["dimensions"][axis].shape[-1] for axis in (*axes, "time")}

        def leading(item):
            sample = (root["n_trajectories"],) * bool(item.attrs["sample_varying"])
            return (*sample, *(extent["time"],) * bool(item.attrs["time_varying"]))

        for axis in ("time", *axes):
            item = file["dimensions"][axis]
            if flags(item, axis):
                check(item.shape[: item.ndim - (axis != "time")] == leading(item), f"shape of {axis}")
        for name in names(file["scalars"], "field_names", "scalars"):
            if check(name in file["scalars"], f"scalar {name}") and flags(item := file["scalars"][name], name):
                check(item.shape == leading(item), f"shape of {name}")
        for order in range(3):
            group = file[f"t{order}_fields"]
            for name in names(group, "field_names", group.name):
                if not (check(name in group, name) and flags(item := group[name], name)):
                    continue
                varies = item.attrs.get("dim_varying")
                flagged = isinstance(varies, np.ndarray) and varies.dtype == bool and len(varies) == len(axes)
                if check(flagged, f"dim_varying of {name}"):
                    space = tuple(extent[axis] for axis, stored in zip(axes, varies, strict=True) if stored)
                    check(item.shape == (*leading(item), *space, *(len(axes),) * order), f"shape of {name}")
        for name, item in file["boundary_conditions"].items():
            kind = str(item.attrs.get("bc_type")).upper()
            check(kind in ("PERIODIC", "WALL", "OPEN"), f"{name}: bc_type")
            check(isinstance(item.attrs.get("associated_fields"), np.ndarray), f"{name}: associated_fields is a list")
            along = names(item, "associated_dims", name)
            known = check(along and set(along) <= set(axes), f"{name}: associated_dims are axes")
            if flags(item, name) and check("mask" in item, f"{name}: mask") and known:
                space = tuple(extent[axis] for axis in along)
                check(item["mask"].shape == (*leading(item), *space), f"{name}: shape of mask")
    return found
