"""The pictures of the Long Range Arena from their published files: CIFAR-10 and Pathfinder, pixel by pixel."""

from __future__ import annotations

import os
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sciml.data.normalise import Normaliser
from sciml.data.sequences.lra_text import RELEASE
from sciml.data.sequences.pathfinder import pathfinder_task
from sciml.data.sequences.ragged import SequenceTask, equal_lengths
from sciml.data.sequences.storage import Block, statistics, store
from sciml.errors import ConfigError, DataError, LayoutError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
LUMA = (299, 587, 114)
"""Weights of red, green and blue in a grey picture, in thousandths (ITU-R BT.601)."""

DIFFICULTIES = ("curv_contour_length_14", "curv_contour_length_9", "curv_baseline")
PICTURES_IN_A_BLOCK = 512


def open_cifar10(
    *,
    path: str | os.PathLike | None = None,
    folder: str | os.PathLike = ".data",
    grayscale: bool = True,
    validation: int = 5_000,
) -> SequenceTask:
    """CIFAR-10 as sequences of 1024 pixels: 50,000 to train and validate with, 10,000 for the test.

    Args:
        path: Folder of the six batches, of the Python or the binary version; None: a folder of that name in ``folder``.
        folder: Where data are kept.
        grayscale: Grey pixels, as in the Long Range Arena, or red, green and blue.
        validation: Pictures set aside from the end of the training batches.

    Raises:
        LayoutError: the batches are not there, or are no such files.
        ConfigError: no picture is left to train on.

    Reference:
        arXiv:2011.04006, section 2.2.4.
    """
    places = [Path(path)] if path else [Path(folder) / f"cifar-10-batches-{kind}" for kind in ("py", "bin")]
    candidates = [(place, ending) for place in places for ending in ("", ".bin")]
    found = [(place, ending) for place, ending in candidates if (place / f"data_batch_1{ending}").is_file()]
    if not found:
        raise LayoutError(
            f"there is no data_batch_1 in {' or '.join(map(str, places))}. Fetch cifar-10-python.tar.gz "
            "(www.cs.toronto.edu/~kriz/cifar.html), unpack it and give the folder cifar-10-batches-py with "
            "data.path=FOLDER."
        )
    place, ending = found[0]
    batches = [read_cifar_batch(place / f"data_batch_{i}{ending}") for i in range(1, 6)]
    pictures, labels = (np.concatenate(each) for each in zip(*batches, strict=True))
    unseen_pictures, unseen_labels = read_cifar_batch(place / f"test_batch{ending}")
    count = len(labels) - validation
    if count < 1 or validation < 0:
        raise ConfigError(f"validation is {validation}, but there are {len(labels)} pictures. Set fewer aside.")
    known = equal_lengths(_pixels(pictures, grayscale), labels)
    return SequenceTask(
        "CIFAR-10",
        "classification",
        train=known[:count],
        validation=known[count:],
        test=equal_lengths(_pixels(unseen_pictures, grayscale), unseen_labels),
        outputs=len(CLASSES),
        classes=CLASSES,
        normaliser=Normaliser(*statistics(known.values[: count * SIDE**2]), dims=0),
    )


def read_cifar_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read one batch of CIFAR-10.

    Args:
        path: Of the Python version, or, with the ending ``.bin``, of the binary version.

    Returns:
        Pictures, uint8, shape (picture, colour, row, column), and classes, int64, shape (picture,).

    Raises:
        LayoutError: it is missing, or is no such file.
    """
    try:
        if path.suffix == ".bin":
            records = np.fromfile(path, np.uint8).reshape(-1, 1 + 3 * SIDE**2)
            labels, pictures = records[:, 0], records[:, 1:]
        else:
            with path.open("rb") as file:
                batch = _ArrayUnpickler(file, encoding="bytes").load()
            labels, pictures = np.asarray(batch[b"labels"]), np.asarray(batch[b"data"], np.uint8)
        return pictures.reshape(-1, 3, SIDE, SIDE), labels.astype(np.int64)
    except (OSError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise LayoutError(f"{path} is no batch of CIFAR-10, or is damaged ({error}). Fetch it again.") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays and plain values, and nothing that could run code."""

    ALLOWED = frozenset({"_reconstruct", "ndarray", "dtype", "encode"})

    def find_class(self, module: str, name: str) -> Any:
        """The few names that arrays are made of."""
        if name not in self.ALLOWED or module.split(".")[0] not in ("numpy", "_codecs"):
            raise pickle.UnpicklingError(f"it wants {module}.{name}")
        # The name of this module has changed since the files were written.
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _pixels(pictures: np.ndarray, grayscale: bool) -> np.ndarray:
    """Pixels of shape (picture, position, feature)."""
    if grayscale:
        grey = sum(weight * pictures[:, i].astype(np.int32) for i, weight in enumerate(LUMA))
        return ((np.asarray(grey) + 500) // 1000).astype(np.uint8).reshape(len(pictures), -1, 1)
    return np.ascontiguousarray(pictures.reshape(len(pictures), 3, -1).swapaxes(1, 2))


def open_pathfinder_files(
    path: str | os.PathLike, *, size: int = 32, folder: str | os.PathLike = ".data", workers: int | None = None
) -> SequenceTask:
    """Pathfinder as published: PNG files in ``imgs``, classes in ``metadata``; 80 % to train, 10 % and 10 % after them.

    Pictures of no bytes, of which the published set has one, are left out.

    Args:
        path: The folder of ``imgs`` and ``metadata``, or one above it, such as ``lra_release`` or ``pathfinder32``, in
            which the hardest set (14 dashes) of this size is looked for.
        size: Pixels along a side.
        folder: Where the pixels are kept.
        workers: Threads that read; one for every CPU core by default.

    Raises:
        LayoutError: the folders are not there, or a picture cannot be read.
        DataError: a picture has another size.
    """
    place = _find_pathfinder(Path(path), size)
    pictures: list[tuple[Path, int]] = []
    for listing in sorted((place / "metadata").glob("*.npy"), key=lambda p: (len(p.stem), p.stem)):
        # In spite of their name these are texts: folder, file, number, class, and the parameters of the picture.
        for line in listing.read_text().splitlines():
            words = line.split()
            if len(words) < 4 or not words[3].isdigit():
                raise LayoutError(f"{listing}: {line[:60]!r} is no line of folder, file, number and class. {RELEASE}")
            pictures.append((place / words[0] / words[1], int(words[3])))
    pictures = [each for each in pictures if not each[0].is_file() or each[0].stat().st_size]
    tenth = len(pictures) // 10
    if not tenth:
        raise LayoutError(f"{place / 'metadata'} lists {len(pictures)} pictures; at least 10 are expected. {RELEASE}")
    name = f"Pathfinder{size}_published"
    stored = store(
        folder,
        name,
        partial(_read_pictures, pictures, size),
        recipe={"version": 1, "source": str(place.absolute()), "size": size},
        splits=(len(pictures) - 2 * tenth, tenth, tenth),
        block=PICTURES_IN_A_BLOCK,
        workers=workers,
    )
    return pathfinder_task(name, stored)


def _find_pathfinder(path: Path, size: int) -> Path:
    above = [path, path / f"pathfinder{size}", path / "lra_release" / f"pathfinder{size}"]
    inside = [place / difficulty for place in above for difficulty in DIFFICULTIES]
    found = next((place for place in (path, *inside) if (place / "metadata").is_dir()), None)
    if found is None:
        raise LayoutError(
            f"there is no folder pathfinder{size}/{DIFFICULTIES[0]} with imgs and metadata in {path}. {RELEASE}"
        )
    return found


def _read_pictures(pictures: list[tuple[Path, int]], size: int, examples: range) -> Block:
    from PIL import Image

    chosen = pictures[examples.start : examples.stop]
    pixels = np.empty((len(chosen), size, size), np.uint8)
    for row, (path, _) in zip(pixels, chosen, strict=True):
        try:
            with Image.open(path) as picture:
                grey = np.asarray(picture.convert("L"))
        except OSError as error:
            raise LayoutError(f"{path} cannot be read ({error}). {RELEASE}") from error
        if grey.shape != row.shape:
            raise DataError(f"{path} has {grey.shape} pixels, {row.shape} are expected. Set data.source.size.")
        row[:] = grey
    lengths = np.full((len(chosen), 1), size**2)
    return Block(pixels.reshape(-1, 1), lengths, np.array([label for _, label in chosen], np.uint8))
