r"""Cuts: a convex function of the stored water, the cost of later stages, from below by planes.

    theta_c(v) = max(0, max over the cuts i of column c: intercept_i + slope_i . v)
    future cost of a stage = sum_c weight_c theta_c(v)

There is one column, or with multiple cuts one for each opening of the next stage.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import scipy.sparse as sp

from sciml.dispatch.program import Array, ConicForm
from sciml.errors import CheckpointError, ConfigError

FORMAT_VERSION = 1
_POINTS = 4  # a cut that is kept: the points, visited last, that choose the cuts


class Cuts:
    """The cuts of all stages; those of a stage bound what comes after it.

    Args:
        plants: Their names, in the order of a slope.
        weights: (column,) of each stage; empty at the last.

    Attributes:
        intercepts: (cut,) of each stage, $.
        slopes: (cut, plant) of each stage, $ per hm3: minus the water values.
        columns: (cut,) of each stage, the column that a cut bounds.
        points: (cut, plant) of each stage, hm3: the volumes where a cut was made.
    """

    def __init__(self, plants: Sequence[str], weights: Sequence[Array]):
        self.plants = tuple(plants)
        self.weights = [np.asarray(w, dtype=float) for w in weights]
        width = len(self.plants)
        self.intercepts = [np.zeros(0) for _ in weights]
        self.slopes = [np.zeros((0, width)) for _ in weights]
        self.columns = [np.zeros(0, dtype=int) for _ in weights]
        self.points = [np.zeros((0, width)) for _ in weights]

    def __len__(self) -> int:
        """Cuts of all stages."""
        return sum(self.counts)

    @property
    def stages(self) -> int:
        """T, their number."""
        return len(self.weights)

    @property
    def counts(self) -> list[int]:
        """Cuts of each stage."""
        return [len(intercepts) for intercepts in self.intercepts]

    def append(self, stage: int, intercepts: Array, slopes: Array, columns: Array, points: Array) -> None:
        """Add cuts to a stage; arguments as the attributes of one stage."""
        self.intercepts[stage] = np.append(self.intercepts[stage], intercepts)
        self.slopes[stage] = np.concatenate([self.slopes[stage], slopes])
        self.columns[stage] = np.append(self.columns[stage], columns)
        self.points[stage] = np.concatenate([self.points[stage], points])

    def truncate(self, counts: Sequence[int]) -> None:
        """Forget all but the first cuts of each stage."""
        for parts in (self.intercepts, self.slopes, self.columns, self.points):
            parts[:] = [part[:n] for part, n in zip(parts, counts, strict=True)]

    def columns_value(self, stage: int, volumes: Array) -> Array:
        """Each theta at volumes (point, plant), hm3: (point, column), $."""
        heights = self.intercepts[stage] + volumes @ self.slopes[stage].T
        theta = np.zeros((len(volumes), len(self.weights[stage])))
        np.maximum.at(theta.T, self.columns[stage], heights.T)
        return theta

    def value(self, stage: int, volumes: Array) -> Array:
        """Future cost after a stage at volumes (point, plant), hm3: (point,), $."""
        return self.columns_value(stage, volumes) @ self.weights[stage]

    def selected(self, stage: int, most: int | None = None) -> Array:
        """Positions of the cuts that matter: of each column, the highest at the points that were visited last.

        A cut that is nowhere the highest is left out, as in level-1 selection, and comes back if it is at a new point.

        Args:
            stage: Whose.
            most: Cuts to keep of each column; a column that has no more keeps all. None: all cuts.

        Reference:
            de Matos, Philpott, Finardi, Improving the performance of stochastic dual dynamic programming, Journal of
            Computational and Applied Mathematics 290 (2015), section 4.
        """
        if most is None or len(self.intercepts[stage]) <= most:
            return np.arange(len(self.intercepts[stage]))
        kept = []
        for column in range(len(self.weights[stage])):
            own = np.flatnonzero(self.columns[stage] == column)
            if len(own) > most:
                last = self.points[stage][own[: -_POINTS * most - 1 : -1]]
                heights = self.intercepts[stage][own] + last @ self.slopes[stage][own].T
                highest = heights.argmax(axis=1)
                _, first = np.unique(highest, return_index=True)
                own = own[highest[np.sort(first)[:most]]]
            kept.append(own)
        return np.sort(np.concatenate(kept))

    def add_to(self, program: Any, stage: int, *, most: int | None = None) -> None:
        """Give the cuts of a stage to a program with columns ``future`` of these weights.

        Args:
            program: As ``make_stage_program(..., future=cuts.weights[stage])`` makes it.
            stage: Whose cuts.
            most: As in ``selected``.
        """
        for i in self.selected(stage, most):
            program.add_cut(self.intercepts[stage][i], self.slopes[stage][i], int(self.columns[stage][i]))

    def save(self, path: str | Path, *, extra: Mapping[str, Any] | None = None) -> Path:
        """Write the cuts to one file, NumPy's ``.npz``; a reader never sees half a file.

        Args:
            path: Of the file.
            extra: What else to keep, of values that JSON knows.

        Returns:
            The path.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {"format_version": FORMAT_VERSION, "plants": self.plants, **(extra or {})}
        beside = path.with_name(f".{path.name}")
        with open(beside, "wb") as file:
            np.savez_compressed(
                file,
                about=np.array(json.dumps(about)),
                counts=np.array(self.counts),
                widths=np.array([len(w) for w in self.weights]),
                weights=np.concatenate(self.weights),
                intercepts=np.concatenate(self.intercepts),
                slopes=np.concatenate(self.slopes),
                columns=np.concatenate(self.columns),
                points=np.concatenate(self.points),
            )
        os.replace(beside, path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Cuts:
        """Read cuts that ``Cuts.save`` or ``SDDP.save`` wrote.

        Raises:
            CheckpointError: the file is missing, damaged, or of a later version.
        """
        return read_cuts(path)[0]


def read_cuts(path: str | Path) -> tuple[Cuts, dict[str, Any]]:
    """Cuts and what else was kept with them; see ``Cuts.load``."""
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        about = json.loads(str(content["about"]))
        version = about["format_version"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise CheckpointError(
            f"{path} holds no cuts that can be read: it is missing, damaged or cut short ({error}). Give a file that "
            "SDDP.save or Cuts.save wrote."
        ) from error
    if version > FORMAT_VERSION:
        raise CheckpointError(f"{path} has format version {version}; {FORMAT_VERSION} can be read. Update sciml.")
    ends, stops = np.cumsum(content["counts"])[:-1], np.cumsum(content["widths"])[:-1]
    cuts = Cuts(about["plants"], np.split(content["weights"], stops))
    for name in ("intercepts", "slopes", "columns", "points"):
        setattr(cuts, name, np.split(content[name], ends))
    return cuts, about


def with_cuts(form: ConicForm, intercepts: Array, slopes: Array, columns: Array) -> ConicForm:
    """A stage's program with cuts as rows: future[column] - slope . volume >= intercept.

    Args:
        form: With columns ``volume`` and ``future``.
        intercepts: (cut,), $.
        slopes: (cut, plant), $ per hm3.
        columns: (cut,).

    Raises:
        ConfigError: the program has no columns ``future``.
    """
    if "future" not in form.columns:
        raise ConfigError("the program has no columns 'future'; make it with future=cuts.weights[stage].")
    number, width = len(intercepts), len(form.cost)
    future, volume = (np.arange(width)[form.columns[name]] for name in ("future", "volume"))
    rows = np.zeros((number, width))
    rows[:, volume] = -slopes
    rows[np.arange(number), future[columns]] = 1
    return replace(
        form,
        matrix=sp.vstack([form.matrix, sp.csc_matrix(rows)], format="csc"),
        row_lower=np.append(form.row_lower, intercepts),
        row_upper=np.append(form.row_upper, np.full(number, np.inf)),
        row_names=(*form.row_names, *(f"cut {i + 1}" for i in range(number))),
    )
