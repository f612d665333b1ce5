"""Where the paths and dots of a Pathfinder picture are: random, and apart from each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from sciml.errors import ConfigError, DataError

SMALLEST = 16
UNITS = 32
"""Side of a picture in the units of ``Drawing``."""
CELLS_IN_A_UNIT = 3
CANDIDATES = 8
"""Directions that a path tries at every dash."""
FORESIGHT = 4.0
"""How far ahead it looks."""
TRIES, TRIES_OF_A_PATH = 60, 6


@dataclass(frozen=True)
class Drawing:
    """What is drawn; lengths in units of 1/32 of the side of the picture, so that every size shows the same.

    Every picture has two long paths. Dots mark both ends of one of them (the classes' ``joined``), or one end of each
    (``apart``), so that nothing but following the path tells the two apart. Short paths distract.

    Args:
        size: Pixels along a side.
        dashes: Dashes of a long path. Good values: 6 (easy), 9, 14 (hard): those of the published sets.
        distractors: Most short paths; those that find no room are left out.
        distractor_dashes: Dashes of a short path.
        dash: Length of a dash.
        gap: Distance from a dash to the next one.
        thickness: Thickness of a dash.
        dot: Radius of a dot.
        spacing: Least distance between dashes that are not neighbours on a path; more than the gap.
        bend: Largest change of direction from a dash to the next, degrees.
    """

    size: int = 32
    dashes: int = 14
    distractors: int = 6
    distractor_dashes: int = 4
    dash: float = 1.4
    gap: float = 1.1
    thickness: float = 0.7
    dot: float = 1.0
    spacing: float = 2.3
    bend: float = 50.0

    def __post_init__(self):
        least = self.gap + max(self.thickness, self.dot - self.thickness / 2)
        if self.size < SMALLEST or self.dashes < 2 or self.spacing <= least:
            raise ConfigError(
                f"size {self.size}, dashes {self.dashes}, spacing {self.spacing}; expected at least {SMALLEST} pixels, "
                f"2 dashes, and a spacing above {least:.3g}, or else dots and paths that pass by look joined."
            )


def lay_out(
    drawing: Drawing, joined: Bool[np.ndarray, " picture"], random: np.random.Generator
) -> tuple[Float[np.ndarray, "picture dash end 2"], Float[np.ndarray, "picture dot 2"]]:
    """Draw paths that keep their distance, and choose where the dots are.

    Args:
        drawing: What is drawn.
        joined: Whether the dots of a picture are joined.
        random: Source of the randomness.

    Returns:
        Both ends of every dash, of which those of paths that found no room are infinite, and the places of the two
        dots, in units of 1/32 of the side.
    """
    paths = [drawing.dashes] * 2 + [drawing.distractor_dashes] * drawing.distractors
    first = np.cumsum([0, *paths])
    dashes = np.full((len(joined), first[-1], 2, 2), np.inf)
    taken = np.tile(_blank(drawing), (len(joined), 1))
    todo = np.arange(len(joined))
    for _ in range(TRIES):
        # A picture where one of the long paths finds no room is begun anew.
        fresh, room = np.full((len(todo), *dashes.shape[1:]), np.inf), np.tile(_blank(drawing), (len(todo), 1))
        for i in (0, 1):
            _add_path(drawing, room, fresh, slice(first[i], first[i + 1]), random, tries=TRIES_OF_A_PATH)
        complete = np.isfinite(fresh[:, first[:2], 0, 0]).all(1)
        dashes[todo[complete]], taken[todo[complete]] = fresh[complete], room[complete]
        todo = todo[~complete]
        if not len(todo):
            break
    else:
        raise DataError(
            f"two paths of {drawing.dashes} dashes find no room in a picture. Draw fewer dashes, or shorter ones."
        )
    for i in range(2, len(paths)):
        _add_path(drawing, taken, dashes, slice(first[i], first[i + 1]), random, tries=3)
    ends = np.stack([dashes[:, [first[0], first[1]], 0], dashes[:, [first[1] - 1, first[2] - 1], 1]], 2)
    return dashes, _dots(ends, joined, random)


def _add_path(
    drawing: Drawing, taken: np.ndarray, dashes: np.ndarray, place: slice, random: np.random.Generator, *, tries: int
) -> None:
    """Try to add a path to every picture, at ``dashes[:, place]``; it stays infinite where there is no room."""
    todo = np.arange(len(dashes))
    for _ in range(tries):
        if not len(todo):
            return
        room = taken[todo]
        grown, complete = _grow(drawing, room, place.stop - place.start, random)
        dashes[todo[complete], place], taken[todo[complete]] = grown[complete], room[complete]
        todo = todo[~complete]


def _grow(
    drawing: Drawing, taken: Bool[np.ndarray, "picture cell"], length: int, random: np.random.Generator
) -> tuple[Float[np.ndarray, "picture dash end 2"], Bool[np.ndarray, " picture"]]:
    """Let a path grow dash by dash, each in a random direction that keeps the distance and does not end in a corner.

    Returns:
        The dashes, whose surroundings are then taken, and whether all of them found room.
    """
    count = len(taken)
    rows = np.arange(count)
    own, complete = np.empty((count, length, 2, 2)), np.ones(count, bool)
    tip, heading = random.uniform(0, UNITS, (count, 2)), np.zeros(count)
    for k in range(length):
        # A dash keeps its distance from all but the one before.
        if k >= 2:
            _take(drawing, taken, own[:, k - 2])
        bend = np.radians(drawing.bend) if k else np.pi
        angle = heading[:, None] + bend * random.uniform(-1, 1, (count, CANDIDATES))
        direction = np.stack([np.sin(angle), np.cos(angle)], -1)
        begin = np.broadcast_to(tip[:, None], direction.shape)
        end = begin + drawing.dash * direction
        ahead = end + FORESIGHT * direction
        free = _free(drawing, taken, np.stack([begin, (begin + end) / 2, end], 2))
        open_ahead = _free(drawing, taken, np.stack([(end + ahead) / 2, ahead], 2))
        chosen = (free * (1 + open_ahead)).argmax(1)
        complete &= free[rows, chosen]
        own[:, k, 0], own[:, k, 1], heading = tip, end[rows, chosen], angle[rows, chosen]
        tip = own[:, k, 1] + drawing.gap * direction[rows, chosen]
    for k in range(max(length - 2, 0), length):
        _take(drawing, taken, own[:, k])
    return own, complete


# Where a path may go is kept on a grid of cells, a third of a unit wide, with a frame around the picture.


def _frame(drawing: Drawing) -> int:
    return int(np.ceil(max(drawing.spacing, FORESIGHT + drawing.dash) * CELLS_IN_A_UNIT)) + 1


def _blank(drawing: Drawing) -> Bool[np.ndarray, " cell"]:
    """Cells of an empty picture: those outside, and near the border, are taken."""
    border = int(np.ceil((drawing.dot + 0.5) * CELLS_IN_A_UNIT))
    inside = UNITS * CELLS_IN_A_UNIT - 2 * border
    return np.pad(np.zeros((inside, inside), bool), border + _frame(drawing), constant_values=True).ravel()


def _cell(drawing: Drawing, points: Float[np.ndarray, "*point 2"]) -> Int[np.ndarray, " *point"]:
    frame = _frame(drawing)
    last = UNITS * CELLS_IN_A_UNIT + frame - 1
    places = np.clip((points * CELLS_IN_A_UNIT).astype(np.int64), -frame, last) + frame
    return places[..., 0] * (UNITS * CELLS_IN_A_UNIT + 2 * frame) + places[..., 1]


def _free(
    drawing: Drawing, taken: Bool[np.ndarray, "picture cell"], points: Float[np.ndarray, "picture candidate point 2"]
) -> Bool[np.ndarray, "picture candidate"]:
    """Whether none of the points of a candidate lies in a cell that is taken."""
    picture = np.arange(len(points))[:, None, None]
    return np.logical_not(np.any(taken[picture, _cell(drawing, points)], axis=2))


def _take(drawing: Drawing, taken: Bool[np.ndarray, "picture cell"], dash: Float[np.ndarray, "picture end 2"]) -> None:
    """Mark the cells within the spacing of a dash in every picture, in place."""
    frame = _frame(drawing)
    offset = np.arange(-frame, frame + 1)
    disc = np.hypot(offset[:, None], offset) <= drawing.spacing * CELLS_IN_A_UNIT
    row, column = np.nonzero(disc)
    around = (row - frame) * (UNITS * CELLS_IN_A_UNIT + 2 * frame) + column - frame
    # A path that has failed may have left the picture; its marks are thrown away with it.
    points = np.clip(np.concatenate([dash, dash.mean(1, keepdims=True)], 1), 0, UNITS - 1e-9)
    cells = _cell(drawing, points)
    taken[np.arange(len(taken))[:, None, None], cells[..., None] + around] = True


def _dots(
    ends: Float[np.ndarray, "picture path end 2"], joined: Bool[np.ndarray, " picture"], random: np.random.Generator
) -> Float[np.ndarray, "picture dot 2"]:
    """Two ends of one long path where they are joined, one end of each otherwise."""
    rows = np.arange(len(ends))
    which = random.integers(0, 2, (2, len(ends)))
    same = ends[rows, which[0]]
    other = np.stack([ends[rows, 0, which[0]], ends[rows, 1, which[1]]], 1)
    return np.where(joined[:, None, None], same, other)
