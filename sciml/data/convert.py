"""Write trajectories of any layout that can be read in one that others read: Poseidon's or The Well's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from sciml.data.detect import open_trajectories
from sciml.data.pairs import split
from sciml.data.published import TASKS
from sciml.data.spec import TrajectorySpec
from sciml.data.splits import SPLITS
from sciml.data.view import View
from sciml.data.well_statistics import FILE, write_statistics
from sciml.data.write_poseidon import write_poseidon
from sciml.data.write_well import write_well
from sciml.errors import ConfigError, WriteError

Layout = Literal["poseidon", "the_well"]


def convert(
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    to: Layout,
    task: str | None = None,
    drop: Sequence[str] = (),
    validation: int | None = None,
    test: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the trajectories of a file, a folder or a pattern in another layout, a few frames at a time.

    Made-up channels (the density 1 of an incompressible flow) are left out, and what the reader subtracts from
    published pressures is put back. A conversion to ``poseidon`` that was interrupted goes on where it stopped.

    Args:
        source: What ``open_trajectories`` opens.
        target: The file to make; for ``the_well`` also a folder (a name without ``.h5`` or ``.hdf5``), which gets
            ``data/train``, ``data/valid``, ``data/test`` and ``stats.yaml``, the statistics of the training set.
        to: ``poseidon`` or ``the_well``.
        task: Name of the published task, where the source does not say it.
        drop: Names of channels and scalars to leave out.
        validation: Trajectories that go to ``data/valid``, before the test set; as published by default, or none.
        test: Trajectories that go to ``data/test``, the last ones; as published by default, or none.
        overwrite: Replace a file of this name; a folder is never replaced.
        progress: Called with (done, total) after every trajectory.

    Returns:
        The path of the target.

    Raises:
        ConfigError: the layout cannot say what the source holds, or does not exist.
        WriteError: the target exists, or cannot be written.
    """
    if to not in get_args(Layout):
        raise ConfigError(f"to is {to!r}; the layouts that can be written are {', '.join(get_args(Layout))}.")
    target = Path(target).absolute()
    with open_trajectories(source, task=task) as opened:
        view = View(opened, drop=drop, offset=_subtracted(opened.spec))
        count = _Counter(len(view), progress)
        if to == "poseidon":
            write_poseidon(view, target, overwrite=overwrite, progress=count)
        elif target.suffix in (".h5", ".hdf5"):
            write_well(view, target, overwrite=overwrite, progress=count)
        else:
            _write_folder(view, target, validation=validation, test=test, progress=count)
    return target


class _Counter:
    """Calls ``progress(done, total)`` with one more done each time."""

    def __init__(self, total: int, progress: Callable[[int, int], None]):
        self.done, self.total, self.progress = 0, total, progress

    def __call__(self) -> None:
        self.done += 1
        self.progress(self.done, self.total)


def _subtracted(spec: TrajectorySpec) -> dict[str, float]:
    """What the reader of the published files subtracts from what is stored, by channel."""
    if spec.task not in TASKS or spec.replica or spec.layout != "poseidon":
        return {}
    return {field.spec.name: field.shift for field in TASKS[spec.task].fields if field.shift}


def _write_folder(
    view: View, target: Path, *, validation: int | None, test: int | None, progress: Callable[[], None]
) -> None:
    if target.exists():
        raise WriteError(f"{target} exists already, and folders are not replaced. Choose another name, or remove it.")
    parts = dict(zip(SPLITS, _split(view, validation, test), strict=True))
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # left behind by a kill
    try:
        for name, indices in parts.items():
            if len(indices):
                file = part / "data" / name / f"{target.name}_{name}.hdf5"
                statistics = write_well(View(view, indices=indices), file, name=target.name, progress=progress)
                if name == "train":
                    write_statistics(part / FILE, statistics)
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _split(view: View, validation: int | None, test: int | None) -> tuple[range, range, range]:
    """As asked for, else as published, else all to train on."""
    asked = (validation, view.spec.validation, 0), (test, view.spec.test, 0)
    validation, test = (next(n for n in numbers if n is not None) for numbers in asked)
    try:
        return split(len(view), validation=validation, test=test)
    except ConfigError as error:
        raise ConfigError(
            f"{view.path}: {error} Say how many with validation=..., test=... (--validation, --test), or write one "
            "file (NAME.hdf5)."
        ) from error
