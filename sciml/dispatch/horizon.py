"""All stages of a hydrothermal system in one program: the deterministic equivalent of one path of inflows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.network import stage_form
from sciml.dispatch.program import Cone, ConicForm, Index


def horizon_form(
    case: HydrothermalCase,
    network: str,
    stages: int,
    *,
    targets: str | None = None,
    penalty: float | None = None,
) -> ConicForm:
    """The programs of all stages, each with the water that the one before leaves.

    Its parameters are those of ``stage_form``, of all stages, stage after stage within a block. ``water`` is K w, and
    at the first stage v_0 + K w. Variables are stage after stage, too: ``reshape(stages, -1)``.

    Args:
        case: The system.
        network: ``dc``, ``dc_lossy`` or ``soc``.
        stages: T, their number.
        targets: None, ``strict`` or ``penalised``.
        penalty: $ per hm3 of deviation from a penalised target.
    """
    stage = stage_form(case, network, targets=targets, penalty=penalty)
    rows, columns = len(stage.row_lower), len(stage.cost)
    water, volume = (np.arange(g.start, g.stop) for g in (stage.rows["water"], stage.columns["volume"]))  # type: ignore[union-attr]
    carried = sp.csc_matrix((np.full(len(water), -1.0), (water, volume)), shape=(rows, columns))
    matrix = sp.kron(sp.identity(stages), stage.matrix) + sp.kron(sp.eye(stages, k=-1), carried)

    def everywhere(index: Index, width: int) -> np.ndarray:
        inside = np.arange(width)[index]
        return (np.arange(stages)[:, None] * width + inside).ravel()

    blocks, parameters, start = {}, [], 0
    for name, block in stage.blocks.items():
        parameters.append(everywhere(stage.parameter_rows[block], rows))
        blocks[name] = slice(start, start + len(parameters[-1]))
        start = blocks[name].stop
    names = [f", stage {t + 1}" for t in range(stages)]
    return replace(
        stage,
        matrix=matrix.tocsc(),
        **{f: np.tile(getattr(stage, f), stages) for f in ("row_lower", "row_upper", "lower", "upper", "cost")},
        parameter_rows=np.concatenate(parameters),
        blocks=blocks,
        columns={name: everywhere(index, columns) for name, index in stage.columns.items()},
        rows={name: everywhere(index, rows) for name, index in stage.rows.items()},
        row_names=tuple(name + at for at in names for name in stage.row_names),
        column_names=tuple(name + at for at in names for name in stage.column_names),
        cones=tuple(
            _shifted(cone, t * columns, stages * columns, at) for t, at in enumerate(names) for cone in stage.cones
        ),
    )


def _shifted(cone: Cone, start: int, width: int, at: str) -> Cone:
    """The cone of a later stage, whose columns start further right."""
    matrix = cone.matrix
    moved = sp.csr_matrix((matrix.data, matrix.indices + start, matrix.indptr), shape=(len(cone.offset), width))
    return Cone(moved, cone.offset, cone.name + at)
