"""Wave vectors in the order of their eigenvalues: sets of the lowest ones, and the first one that a set lacks."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from sciml.barron.box import Boundary, sine_axes
from sciml.barron.transform import wave_unit

WaveVectors = Int64[Tensor, "mode dimension"]


def lowest_frequencies(
    dimension: int,
    boundary: Boundary,
    box: Sequence[float] | None = None,
    *,
    count: int,
) -> WaveVectors:
    """All wave vectors up to the largest eigenvalue for which there are at most ``count``, at least the lowest shell.

    Args:
        dimension: Number of coordinates.
        boundary: Boundary condition.
        box: Sides of the box; None for the unit cube.
        count: Largest number of wave vectors.

    Returns:
        One of each pair k, -k, shape (mode, dimension).
    """
    found: list[tuple[int, ...]] = []
    for _, shell in itertools.groupby(_by_eigenvalue(dimension, boundary, box), key=lambda item: round(item[0], 6)):
        vectors: list[tuple[int, ...]] = []
        for _, vector in shell:
            vectors += _signs(vector, boundary)
            if found and len(found) + len(vectors) > count:
                return torch.tensor(found)
        found += vectors
    raise AssertionError("there are infinitely many wave vectors")


def first_missing_eigenvalue(frequencies: WaveVectors, boundary: Boundary, box: Sequence[float] | None = None) -> float:
    """Smallest eigenvalue |w_k|^2 of a wave vector that is not in the set, counted on the whole integer lattice.

    Args:
        frequencies: One of each pair k, -k, whose first nonzero component is positive, shape (mode, dimension).
        boundary: Boundary condition.
        box: Sides of the box; None for the unit cube.
    """
    known = set(map(tuple, frequencies.tolist()))
    for eigenvalue, vector in _by_eigenvalue(frequencies.shape[1], boundary, box):
        if not known.issuperset(_signs(vector, boundary)):
            return eigenvalue
    raise AssertionError("a finite set lacks a wave vector")


def _by_eigenvalue(
    dimension: int, boundary: Boundary, box: Sequence[float] | None
) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Eigenvalues and nonnegative wave vectors in increasing order, endlessly.

    A best-first walk of a tree. A node is a list of (axis, steps above the lowest frequency) in the order of the axes;
    its at most three children add a step to the last axis, add the next axis, or move a single step on the last axis to
    the next one. Axes are sorted by the cost of their first step, so that no child is below its parent.
    """
    sine = sine_axes(boundary, dimension)
    base = [0] * dimension if sine is None else sine.long().tolist()
    square = wave_unit(dimension, boundary, box).square().tolist()
    axes = sorted(range(dimension), key=lambda i: square[i] * (2 * base[i] + 1))

    def cost(place: int, steps: int) -> float:
        axis = axes[place]
        return square[axis] * ((base[axis] + steps) ** 2 - base[axis] ** 2)

    lowest = sum(s * b * b for s, b in zip(square, base, strict=True))
    queue: list[tuple[float, tuple[tuple[int, int], ...]]] = [(lowest, ())]
    while queue:
        eigenvalue, node = heapq.heappop(queue)
        vector = list(base)
        for place, steps in node:
            vector[axes[place]] += steps
        yield eigenvalue, tuple(vector)
        place, steps = node[-1] if node else (-1, 0)
        if node:
            more = eigenvalue + cost(place, steps + 1) - cost(place, steps)
            heapq.heappush(queue, (more, (*node[:-1], (place, steps + 1))))
        if place + 1 < dimension:
            heapq.heappush(queue, (eigenvalue + cost(place + 1, 1), (*node, (place + 1, 1))))
            if steps == 1:
                moved = eigenvalue - cost(place, 1) + cost(place + 1, 1)
                heapq.heappush(queue, (moved, (*node[:-1], (place + 1, 1))))


def _signs(vector: tuple[int, ...], boundary: Boundary) -> list[tuple[int, ...]]:
    """The wave vectors with these absolute values: all signs after the first nonzero component, if periodic."""
    if boundary != "periodic":
        return [vector]
    choices, leading = [], True
    for k in vector:
        choices.append((k,) if k == 0 or leading else (k, -k))
        leading &= k == 0
    return list(itertools.product(*choices))
