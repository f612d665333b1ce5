"""Pathfinder and Path-X: are two dots joined by a dashed path, in a picture that is read pixel by pixel?"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from sciml.data.sequences.pathfinder_layout import UNITS, Drawing, lay_out
from sciml.data.sequences.ragged import SequenceTask
from sciml.data.sequences.storage import Block, store

CLASSES = ("apart", "joined")
EXAMPLES_IN_A_BLOCK = 256


def open_pathfinder(
    *,
    path: str | os.PathLike | None = None,
    folder: str | os.PathLike = ".data",
    size: int = 32,
    dashes: int = 14,
    distractors: int = 6,
    distractor_dashes: int = 4,
    train: int = 160_000,
    validation: int = 20_000,
    test: int = 20_000,
    seed: int = 0,
    workers: int | None = None,
) -> SequenceTask:
    """Pathfinder, rendered once, or read from its published files: 32 x 32 pixels, or 128 x 128 for Path-X.

    The numbers of pictures and of dashes are the published ones. The sizes and distances of what is drawn are our own
    choice, as is the rule that both classes have exactly half of the pictures.

    Args:
        path: Folder of the published files, with the folders ``imgs`` and ``metadata``; None: they are rendered.
        folder: Where rendered data are kept.
        size: Pixels along a side: a sequence has size**2 positions.
        dashes: Dashes of the long paths.
        distractors: Most short paths.
        distractor_dashes: Dashes of a short path.
        train: Pictures to train on.
        validation: Pictures to validate with.
        test: Pictures to test with.
        seed: Seed of the pictures.
        workers: Threads that render; one for every CPU core by default.

    Raises:
        ConfigError: the picture is too small, or paths have too few dashes.
        LayoutError: the published files are not there, or are no such files.

    Reference:
        arXiv:2011.04006, section 2.2.5; arXiv:1805.08315.
    """
    if path is not None:
        from sciml.data.sequences.lra_images import open_pathfinder_files

        return open_pathfinder_files(path, size=size, folder=folder, workers=workers)
    drawing = Drawing(size=size, dashes=dashes, distractors=distractors, distractor_dashes=distractor_dashes)
    name = f"Pathfinder{size}"
    make = partial(make_block, drawing, seed=seed)
    recipe = {"version": 1, "seed": seed, **vars(drawing)}
    splits, block = (train, validation, test), EXAMPLES_IN_A_BLOCK
    stored = store(folder, name, make, recipe=recipe, splits=splits, block=block, workers=workers)
    return pathfinder_task(name, stored)


def pathfinder_task(name: str, stored: Any) -> SequenceTask:
    """The task of pictures on disk."""
    parts, normaliser = stored.parts(), stored.normaliser
    return SequenceTask(name, "classification", *parts, outputs=2, classes=CLASSES, normaliser=normaliser)


def make_block(drawing: Drawing, examples: range, *, seed: int) -> Block:
    """The pictures of one block; a function of the seed and of the first example. Classes alternate."""
    random = np.random.default_rng([seed, examples.start])
    target = np.arange(examples.start, examples.stop) % 2
    pictures = render(drawing, *lay_out(drawing, target == 1, random))
    lengths = np.full((len(examples), 1), drawing.size**2)
    return Block(pictures.reshape(-1, 1), lengths, target.astype(np.uint8))


def render(
    drawing: Drawing, dashes: Float[np.ndarray, "picture dash end 2"], dots: Float[np.ndarray, "picture dot 2"]
) -> UInt8[np.ndarray, "picture row column"]:
    """Pictures of dashes with round ends and of dots, white on black and antialiased.

    The brightness of a pixel is 1/2 + r - d, cut to [0, 1], d: distance of its centre from the stroke, r: half the
    thickness of the stroke, in pixels.
    """
    count, unit = len(dashes), drawing.size / UNITS
    strokes = np.concatenate([dashes, np.stack([dots, dots], 2)], 1) * unit
    radius = np.full(strokes.shape[1], drawing.thickness / 2 * unit)
    radius[-dots.shape[1] :] = drawing.dot * unit
    canvas = np.zeros((count, drawing.size, drawing.size), np.float32)
    picture, stroke = np.nonzero(np.isfinite(strokes[:, :, 0, 0]))
    begin, end = strokes[picture, stroke, 0], strokes[picture, stroke, 1]
    reach = np.ceil(np.maximum(drawing.dash / 2 + drawing.thickness / 2, drawing.dot) * unit + 1)
    offset = np.arange(-reach, reach + 1)
    # Pixels near the middle of every stroke; those beyond the border are cut off.
    places = np.floor((begin + end) / 2)
    row = (places[:, 0, None] + offset)[:, :, None].astype(np.int64)
    column = (places[:, 1, None] + offset)[:, None, :].astype(np.int64)
    inside = (row >= 0) & (row < drawing.size) & (column >= 0) & (column < drawing.size)
    along = (end - begin)[:, None, None]
    to_pixel = np.stack(np.broadcast_arrays(row + 0.5, column + 0.5), -1) - begin[:, None, None]
    squared = np.maximum((along**2).sum(-1), np.finfo(float).tiny)
    share = np.clip((to_pixel * along).sum(-1) / squared, 0.0, 1.0)
    distance = np.sqrt(np.square(to_pixel - share[..., None] * along).sum(-1))
    bright = np.clip(0.5 + radius[stroke][:, None, None] - distance, 0.0, 1.0).astype(np.float32)
    lit = inside & (bright > 0)
    where = np.broadcast_to((picture[:, None, None] * drawing.size + row) * drawing.size + column, lit.shape)[lit]
    np.maximum.at(canvas.reshape(-1), where, bright[lit])
    return np.rint(255 * canvas).astype(np.uint8)
