"""All branches of a small tree of inflows in one program: what SDDP must agree with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.network import stage_form
from sciml.dispatch.program import Array, Cone, ConicForm, Index
from sciml.errors import ConfigError

_LARGEST = 50_000  # nodes


def extensive_form(case: HydrothermalCase, stages: int, network: str = "dc") -> tuple[ConicForm, Array]:
    r"""The program of a whole tree: min over all nodes n of sum_n P(n) c . x_n, each with the water of its parent.

    Every stage branches into all openings, the first one too, so that there are R + R^2 + ... + R^T nodes, stage after
    stage. Its optimal value is what SDDP's bound goes to, at an exponential price: for two to five stages.

    Args:
        case: The system.
        stages: T.
        network: ``dc``, ``dc_lossy`` or ``soc``.

    Returns:
        The program, for ``solver_for``, and its parameters: ``water`` (node * plant,) is K w, and at the first stage
        v_0 + K w; ``load`` (node * bus,) and, of ``soc``, ``reactive_load``. Variables are node after node.

    Raises:
        ConfigError: the tree has more than 50,000 nodes.
    """
    rows, _, openings = case.inflows.shape
    sizes = [openings ** (t + 1) for t in range(stages)]
    if sum(sizes) > _LARGEST:
        raise ConfigError(
            f"the tree of {openings} openings and {stages} stages has {sum(sizes):,} nodes; at most {_LARGEST:,} are "
            "expected. Take fewer stages, or SDDP, whose work grows with the stages, not with the tree."
        )
    stage_of = np.repeat(np.arange(stages), sizes)
    opening = np.concatenate([np.arange(size) % openings for size in sizes])
    start = np.cumsum([0, *sizes[:-1]])
    parent = np.concatenate([start[t - 1] + np.arange(size) // openings for t, size in enumerate(sizes)])
    first = stage_of == 0
    probability = case.probabilities[stage_of % rows, opening]
    for t in range(1, stages):
        now = stage_of == t
        probability[now] *= probability[parent[now]]

    inflow = case.inflows[stage_of % rows, :, opening]
    given = {"water": case.volume_per_flow * inflow + first[:, None] * case.plants.initial_volume}
    loads = [case.load(t) for t in range(stages)]
    for name, values in zip(("load", "reactive_load"), zip(*loads, strict=True), strict=True):
        given[name] = np.stack(values)[stage_of]
    stage = stage_form(case, network)
    later = np.flatnonzero(~first)
    before = sp.csr_matrix((np.ones(len(later)), (later, parent[later])), shape=(len(first), len(first)))
    return _repeated(stage, before, probability), np.concatenate([given[name].ravel() for name in stage.blocks])


def _repeated(stage: ConicForm, before: sp.csr_matrix, weights: Array) -> ConicForm:
    """A copy of the stage's program for each node, weighted; ``before`` has a 1 at (node, its parent)."""
    nodes = len(weights)
    rows, columns = len(stage.row_lower), len(stage.cost)
    water, volume = np.arange(rows)[stage.rows["water"]], np.arange(columns)[stage.columns["volume"]]
    carried = sp.csc_matrix((np.full(len(water), -1.0), (water, volume)), shape=(rows, columns))

    def everywhere(index: Index | Array, width: int) -> Array:
        return (np.arange(nodes)[:, None] * width + np.arange(width)[index]).ravel()

    size = {name: block.stop - block.start for name, block in stage.blocks.items()}
    ends = np.cumsum([nodes * n for n in size.values()]).tolist()
    at = sp.csr_matrix(sp.identity(nodes))
    return replace(
        stage,
        matrix=sp.csc_matrix(sp.kron(at, stage.matrix) + sp.kron(before, carried)),
        **{name: np.tile(getattr(stage, name), nodes) for name in ("row_lower", "row_upper", "lower", "upper")},
        cost=np.kron(weights, stage.cost),
        parameter_rows=np.concatenate([everywhere(stage.parameter_rows[b], rows) for b in stage.blocks.values()]),
        blocks={name: slice(end - nodes * size[name], end) for name, end in zip(size, ends, strict=True)},
        columns={name: everywhere(index, columns) for name, index in stage.columns.items()},
        rows={name: everywhere(index, rows) for name, index in stage.rows.items()},
        row_names=tuple(f"{name}, node {n + 1}" for n in range(nodes) for name in stage.row_names),
        column_names=tuple(f"{name}, node {n + 1}" for n in range(nodes) for name in stage.column_names),
        cones=tuple(Cone(sp.csr_matrix(sp.kron(at[n], c.matrix)), c.offset) for n in range(nodes) for c in stage.cones),
    )
