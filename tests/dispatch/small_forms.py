"""Programs of a few columns, for the solvers' tests."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from sciml.dispatch.program import Cone, ConicForm


def small_form(matrix, row_lower, row_upper, cost, *, lower=0.0, upper=np.inf, parameter_rows=None, **more):
    """min cost . x, row_lower <= matrix x <= row_upper; every row's right-hand side is a parameter unless said."""
    matrix = np.asarray(matrix, dtype=float)
    height, width = matrix.shape
    rows = np.arange(height) if parameter_rows is None else np.asarray(parameter_rows)

    def vector(value, size):
        return np.broadcast_to(np.asarray(value, dtype=float), (size,)).copy()

    return ConicForm(
        matrix=sp.csc_matrix(matrix),
        row_lower=vector(row_lower, height),
        row_upper=vector(row_upper, height),
        lower=vector(lower, width),
        upper=vector(upper, width),
        cost=vector(cost, width),
        parameter_rows=rows,
        blocks={"right": slice(0, len(rows))},
        columns={"x": slice(0, width)},
        rows={"all": slice(0, height)},
        **more,
    )


def box_with_a_floor():
    """min x + 2 y, x + y >= p_1, x - y in [-1, 1] + p_2, 3 x + y = p_3 + 0 (x, y free)."""
    return small_form(
        [[1, 1], [1, -1], [3, 1]], [0, -1, 0], [np.inf, 1, 0], [1, 2], lower=-np.inf, parameter_rows=[0, 1, 2]
    )


def two_stages_of_water(futures=1):
    """min future, volume = p: what a cut says comes out."""
    form = small_form(np.eye(2, 2 + futures), 0, 0, [0, 0, *np.full(futures, 1 / futures)])
    return replace(form, columns={"volume": slice(0, 2), "future": slice(2, 2 + futures)})


def norm_below(radius):
    """min -x - y, |(x, y)| <= radius, x = p_1: a cone that may leave nothing."""
    cone = Cone(sp.csr_matrix(np.vstack([np.zeros(2), np.eye(2)])), np.array([radius, 0.0, 0.0]))
    return small_form(
        [[1, 0]], 0, 0, [-1, -1], lower=-np.inf, cones=(cone,), row_names=("width of table",), column_names=("x", "y")
    )
