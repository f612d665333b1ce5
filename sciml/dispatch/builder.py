"""Building a program from blocks of columns and rows that have names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from sciml.dispatch.program import Array, Cone, ConicForm

Terms = Mapping[str, sp.spmatrix | float]


class Builder:
    """Collects columns, then rows and cones over them, and puts them together.

    Columns come first. A term of a row is a matrix (row, column of the block), or a number: that multiple of the
    identity.
    """

    def __init__(self) -> None:
        self.columns: dict[str, slice] = {}
        self._lower: list[Array] = []
        self._upper: list[Array] = []
        self._cost: list[Array] = []
        self._column_names: list[str] = []
        self.rows: dict[str, slice] = {}
        self._row_lower: list[Array] = []
        self._row_upper: list[Array] = []
        self._row_names: list[str] = []
        self._matrices: list[sp.csr_matrix] = []
        self._cones: list[Cone] = []

    def column(
        self, name: str, owners: Sequence[str], *, lower: Array | float, upper: Array | float, cost: Array | float = 0.0
    ) -> None:
        """Add a block of columns, one an owner (a unit, plant, bus or branch)."""
        number = len(owners)
        self.columns[name] = slice(len(self._column_names), len(self._column_names) + number)
        self._column_names += [f"{name} of {owner}" for owner in owners]
        for values, found in ((lower, self._lower), (upper, self._upper), (cost, self._cost)):
            found.append(np.broadcast_to(np.asarray(values, dtype=float), (number,)))

    def row(
        self,
        name: str,
        owners: Sequence[str],
        terms: Terms,
        *,
        lower: Array | float = 0.0,
        upper: Array | float | None = None,
    ) -> None:
        """Add a block of rows lower <= sum of the terms <= upper (None: equal to ``lower``)."""
        number = len(owners)
        self.rows[name] = slice(len(self._row_names), len(self._row_names) + number)
        self._row_names += [f"{name} of {owner}" for owner in owners]
        self._row_lower.append(np.broadcast_to(np.asarray(lower, dtype=float), (number,)))
        self._row_upper.append(np.broadcast_to(np.asarray(lower if upper is None else upper, dtype=float), (number,)))
        self._matrices.append(self._assemble(terms, number))

    def cone(self, name: str, owners: Sequence[str], parts: Sequence[tuple[Terms, Array | float]]) -> None:
        """Add a block of cones |(s_1, s_2, ...)| <= s_0; part k is the terms and the constant of s_k in all of them."""
        number = len(owners)
        stacked: Any = sp.vstack([self._assemble(terms, number) for terms, _ in parts], format="csr")
        together = stacked[np.arange(len(parts) * number).reshape(len(parts), number).T.ravel()]
        offsets = np.stack([np.broadcast_to(np.asarray(offset, dtype=float), (number,)) for _, offset in parts], axis=1)
        for i, owner in enumerate(owners):
            rows = slice(i * len(parts), (i + 1) * len(parts))
            self._cones.append(Cone(together[rows], offsets[i], f"{name} of {owner}"))

    def build(self, parameters: Sequence[str]) -> ConicForm:
        """The program, with the right-hand sides of these blocks of rows as parameters, in this order."""
        blocks, start = {}, 0
        for name in parameters:
            rows = self.rows[name]
            blocks[name] = slice(start, start + rows.stop - rows.start)
            start = blocks[name].stop
        matrix: Any = sp.vstack(self._matrices, format="csc")
        return ConicForm(
            matrix=matrix,
            row_lower=np.concatenate(self._row_lower),
            row_upper=np.concatenate(self._row_upper),
            lower=np.concatenate(self._lower),
            upper=np.concatenate(self._upper),
            cost=np.concatenate(self._cost),
            parameter_rows=np.concatenate([np.arange(self.rows[n].start, self.rows[n].stop) for n in parameters]),
            blocks=blocks,
            columns=self.columns,
            rows=self.rows,
            row_names=tuple(self._row_names),
            column_names=tuple(self._column_names),
            cones=tuple(self._cones),
        )

    def _assemble(self, terms: Terms, number: int) -> sp.csr_matrix:
        width = len(self._column_names)
        total = sp.csr_matrix((number, width))
        for name, factor in terms.items():
            block = self.columns[name]
            matrix = factor * sp.identity(number) if isinstance(factor, float | int) else sp.csr_matrix(factor)
            left = sp.csr_matrix((number, block.start))
            right = sp.csr_matrix((number, width - block.stop))
            total = total + sp.hstack([left, matrix, right], format="csr")
        return total
