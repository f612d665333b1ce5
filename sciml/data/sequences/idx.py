"""Sequential Fashion-MNIST from its IDX files: pictures of clothes, read pixel by pixel, or in a permuted order."""

from __future__ import annotations

import gzip
import os
from math import prod
from pathlib import Path

import numpy as np

from sciml.data.normalise import Normaliser
from sciml.data.sequences.ragged import SequenceTask, equal_lengths
from sciml.data.sequences.storage import statistics
from sciml.errors import ConfigError, LayoutError

CLASSES = (
    "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
USUAL_PLACE = "/usr/share/datasets/fashion-mnist"
PARTS = {"train": "train", "test": "t10k"}


def open_fashion_mnist(
    *,
    path: str | os.PathLike | None = None,
    folder: str | os.PathLike = ".data",
    validation: int = 5_000,
    permute: int | None = None,
) -> SequenceTask:
    """Fashion-MNIST as sequences of 784 pixels: 60,000 to train and validate with, 10,000 for the test.

    The validation pictures are the last ones of the training files; pixels are normalised by the others.

    Args:
        path: Folder of the four IDX files, compressed or not; None: ``FOLDER/fashion-mnist``, or where the Debian
            package ``dataset-fashion-mnist`` puts them.
        folder: Where data are kept.
        validation: Pictures set aside for validation.
        permute: Seed of one order in which the pixels of all pictures are read; None: row by row. 0 by habit.

    Raises:
        LayoutError: the files are not there, or are no such files.
        ConfigError: no picture is left to train on.

    Reference:
        arXiv:1708.07747; permuted pixels: arXiv:1504.00941, section 4.2.
    """
    places = [Path(path)] if path else [Path(folder) / "fashion-mnist", Path(USUAL_PLACE)]
    place = next((p for p in places if _find(p, "train-labels-idx1-ubyte")), None)
    if place is None:
        raise LayoutError(
            f"there is no train-labels-idx1-ubyte[.gz] in {' or '.join(map(str, places))}. Install the Debian package "
            "dataset-fashion-mnist (apt install dataset-fashion-mnist), or give the folder of the four files with "
            "data.path=FOLDER."
        )
    pictures, labels = {}, {}
    for part, prefix in PARTS.items():
        pictures[part] = _read(place, f"{prefix}-images-idx3-ubyte", axes=3)
        labels[part] = _read(place, f"{prefix}-labels-idx1-ubyte", axes=1).astype(np.int64)
        if len(pictures[part]) != len(labels[part]):
            raise LayoutError(
                f"{place} has {len(pictures[part])} pictures and {len(labels[part])} labels of the part {prefix}: they "
                "do not belong together. Fetch all four files again."
            )
    count = len(labels["train"]) - validation
    if count < 1 or validation < 0:
        raise ConfigError(
            f"validation is {validation}, but there are {len(labels['train'])} pictures to train and validate with. "
            "Set fewer aside."
        )
    known, unseen = (equal_lengths(p.reshape(len(p), -1, 1), labels[k]) for k, p in pictures.items())
    length = prod(pictures["train"].shape[1:])
    return SequenceTask(
        "Fashion-MNIST" if permute is None else "permuted Fashion-MNIST",
        "classification",
        train=known[:count],
        validation=known[count:],
        test=unseen,
        outputs=len(CLASSES),
        classes=CLASSES,
        normaliser=Normaliser(*statistics(known.values[: count * length]), dims=0),
        permutation=None if permute is None else np.random.default_rng(permute).permutation(length),
    )


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Read an IDX file of bytes, compressed by gzip or not.

    Args:
        path: The file: two zero bytes, the type 8 (unsigned byte), the number of axes, a big-endian 32-bit extent of
            each, then the bytes.

    Returns:
        A uint8 array.

    Raises:
        LayoutError: it is no such file, or is cut short.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError) as error:
        raise LayoutError(f"{path} cannot be read ({error}). Fetch it again.") from error
    axes = content[3] if content[:3] == b"\x00\x00\x08" and len(content) > 3 else 0
    shape = np.frombuffer(content, ">i4", axes, offset=4).tolist() if len(content) >= 4 + 4 * axes else []
    if not axes or not shape or len(content) != 4 + 4 * axes + prod(shape):
        raise LayoutError(
            f"{path} ({len(content)} bytes) is no IDX file of bytes, or is cut short; expected two zero bytes, the "
            "type 8, the number of axes and their extents, and one byte a value. Fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _find(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _read(folder: Path, name: str, *, axes: int) -> np.ndarray:
    found = _find(folder, name)
    if found is None:
        raise LayoutError(f"{folder / name}[.gz] is missing. Put all four IDX files into one folder.")
    values = read_idx(found)
    if values.ndim != axes:
        raise LayoutError(f"{found} has {values.ndim} axes, {axes} are expected. Fetch it again.")
    return values
