"""Data sets whose parts lie in the folders ``train``, ``valid`` and ``test``, opened as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from sciml.data.parts import JoinedTrajectories, part_files
from sciml.data.trajectories import Trajectories
from sciml.data.view import View

SPLITS = ("train", "valid", "test")


def split_folders(path: str | os.PathLike) -> dict[str, Path]:
    """The folders of the parts of a data set, by name; empty if the path is no such data set.

    Args:
        path: The folder NAME of a data set, NAME/data, or one of its parts, NAME/data/train.
    """
    path = Path(path).absolute()
    if path.name in SPLITS and path.parent.name == "data" and path.is_dir():
        return {path.name: path}
    return {split: at / split for at in (path, path / "data") for split in SPLITS if (at / split).is_dir()}


def open_splits(
    path: str | os.PathLike, folders: Mapping[str, Path], open_file: Callable[[Path], Trajectories]
) -> JoinedTrajectories:
    """Open all files of a data set as one: those to train on first, then those to validate and to test with.

    ``spec.validation`` and ``spec.test`` are the sizes of these parts, so that ``split`` finds them again. Where some
    files have more steps than others, those count that all of them have.

    Args:
        path: The data set.
        folders: The folders of its parts, as ``split_folders`` finds them.
        open_file: Opens one file.

    Raises:
        LayoutError: a folder is empty, or two files do not hold the same fields on the same grid.
    """
    parts = {split: [open_file(file) for file in part_files(folder) or ()] for split, folder in folders.items()}
    every = [part for split in SPLITS for part in parts.get(split, ())]
    steps = min(part.spec.steps for part in every)
    joined = JoinedTrajectories(path, [p if p.spec.steps == steps else View(p, steps=steps) for p in every])
    counts = {split: sum(map(len, files)) for split, files in parts.items()}
    if "train" in counts:
        test = counts.get("test", 0 if "valid" in counts else None)
        joined.spec = replace(joined.spec, validation=counts.get("valid"), test=test)
    return joined
