"""A problem written in CVXPY as a ``ConicForm``, and how its right-hand sides depend on parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from sciml.dispatch.program import Array, Cone, ConicForm
from sciml.errors import ConfigError

if TYPE_CHECKING:
    import cvxpy

_SHAPED = ("symmetric", "diag", "PSD", "NSD", "sparsity")  # attributes whose entries are not free


@dataclass(frozen=True)
class StandardForm:
    r"""min c . x + offset + price . p over a form whose parameters are ``moving`` p.

    Attributes:
        form: The program, to be minimised; its columns are ``x``.
        moving: (parameter of the form, parameter).
        offset: Of the objective.
        price: (parameter,), of the parameters in the objective.
        variables: Name, first column and shape of each variable, entries column after column.
    """

    form: ConicForm
    moving: sp.csr_matrix
    offset: float
    price: Array
    variables: Sequence[tuple[str, int, tuple[int, ...]]]


def standard_form(problem: cvxpy.Problem, parameters: Sequence[cvxpy.Parameter]) -> StandardForm:
    """What CVXPY makes of a problem, once: see ``from_cvxpy`` for the arguments and for what it raises."""
    cvxpy = _import_cvxpy()
    _check(problem, parameters)
    unset = [p for p in parameters if p.value is None]
    for parameter in unset:
        parameter.value = parameter.project(np.zeros(parameter.shape))
    try:
        # Quadratic objectives become cones, too.
        data, chain, _ = problem.get_problem_data(cvxpy.CLARABEL, solver_opts={"use_quad_obj": False})
    finally:
        for parameter in unset:
            parameter.value = None
    program, dimensions = data[cvxpy.settings.PARAM_PROB], data["dims"]
    others = [kind for kind in ("exp", "psd", "p3d", "pnd") if getattr(dimensions, kind, None)]
    if others:
        raise ConfigError(
            f"the problem needs cones of kind {', '.join(others)}; a linear, quadratic or second-order cone program "
            "is expected. Write smooth functions such as log and exp in CasADi: from_casadi."
        )

    # CVXPY holds -A and b, column after column, and c and the offset, times (parameters, 1).
    height, width = data["A"].shape
    tensor: Any = sp.csc_matrix(program.A)
    costs: Any = sp.csc_matrix(program.q)
    start = program.param_id_to_col
    chosen = np.concatenate([start[p.id] + _row_order(p.shape) for p in parameters])
    constants = np.ones(tensor.shape[1])
    for parameter in program.parameters:
        columns = slice(start[parameter.id], start[parameter.id] + parameter.size)
        constants[columns] = np.ravel(parameter.value, order="F") if parameter.value is not None else 0
    constants[chosen] = 0
    inside, right = tensor[: height * width], tensor[height * width :]
    _check_sides(abs(inside[:, chosen]).sum(0) + abs(costs[:-1, chosen]).sum(0), parameters)
    entries = sp.coo_matrix(inside @ sp.csc_matrix(constants[:, None]))

    moving = sp.csr_matrix(right[:, chosen])
    moves = np.diff(moving.indptr) > 0
    form = _form(
        matrix=-sp.csr_matrix(entries.reshape((height, width), order="F")),
        right=right @ constants,
        cost=costs[:-1] @ constants,
        moves=moves,
        sizes=(dimensions.zero, dimensions.nonneg, dimensions.soc),
        names=_row_names(problem, program.constraints),
    )
    return StandardForm(
        form=form,
        moving=moving[moves],
        offset=float((costs[-1] @ constants).sum()),
        price=costs[-1, chosen].toarray().ravel(),
        variables=_variables(problem, chain, program.var_id_to_col),
    )


def _form(
    *,
    matrix: Any,
    right: Array,
    cost: Array,
    moves: Array,
    sizes: tuple[int, int, Sequence[int]],
    names: Sequence[str],
) -> ConicForm:
    """The form of min cost . x, right - matrix x being zero, nonnegative or in second-order cones in turn.

    A parameter is added to rows, so that a row of a cone that moves becomes an equality, matrix x + y = right, and its
    y, a new column, is in the cone. An inequality of a single variable that does not move is a bound.
    """
    height, width = matrix.shape
    zero, nonnegative, cones = sizes
    linear = zero + nonnegative
    inequality = (np.arange(height) >= zero) & (np.arange(height) < linear)
    bound = inequality & ~moves & (np.diff(matrix.indptr) == 1)
    entry = matrix.indptr[:-1][bound]
    column, factor = matrix.indices[entry], matrix.data[entry]
    lower, upper = np.full(width, -np.inf), np.full(width, np.inf)
    np.minimum.at(upper, column[factor > 0], (right[bound] / factor)[factor > 0])
    np.maximum.at(lower, column[factor < 0], (right[bound] / factor)[factor < 0])

    lifted = np.flatnonzero(moves & (np.arange(height) >= linear))
    added = sp.csr_matrix((np.ones(len(lifted)), (lifted, np.arange(len(lifted)))), shape=(height, len(lifted)))
    free = np.full(len(lifted), np.inf)
    rows = np.flatnonzero(((np.arange(height) < linear) & ~bound) | moves)
    stays = np.where(moves, 0.0, 1.0)
    in_cone: Any = sp.csr_matrix(sp.hstack([-sp.diags(stays) @ matrix, added]))
    ends = linear + np.cumsum([0, *cones])
    whole: Any = sp.csr_matrix(sp.hstack([matrix, added]))
    return ConicForm(
        matrix=whole[rows].tocsc(),
        row_lower=np.where(inequality, -np.inf, right)[rows],
        row_upper=right[rows],
        lower=np.append(lower, -free),
        upper=np.append(upper, free),
        cost=np.append(cost, np.zeros(len(lifted))),
        parameter_rows=np.searchsorted(rows, np.flatnonzero(moves)),
        blocks={"right": slice(0, int(moves.sum()))},
        columns={"x": slice(0, width)},
        rows={"constraints": slice(0, len(rows))},
        row_names=tuple(names[i] for i in rows.tolist()),
        column_names=tuple(f"column {i + 1}" for i in range(width + len(lifted))),
        cones=tuple(Cone(in_cone[a:b], (stays * right)[a:b]) for a, b in pairwise(ends.tolist())),
    )


def _check(problem: cvxpy.Problem, parameters: Sequence[cvxpy.Parameter]) -> None:
    there = problem.parameters()
    names, chosen = [p.name() for p in parameters], {p.id for p in parameters}
    if not names or chosen - {p.id for p in there}:
        raise ConfigError(
            f"parameters {names} came; some of those of the problem are expected: {[p.name() for p in there]}."
        )
    if len(set(names)) < len(names):
        raise ConfigError(f"parameters named {names} came; different names are expected: cp.Parameter(..., name=...).")
    leaves = [*parameters, *problem.variables()]
    shaped = [leaf.name() for leaf in leaves if any(leaf.attributes.get(kind) for kind in _SHAPED)]
    if shaped:
        raise ConfigError(f"{shaped} have entries that are not free ({', '.join(_SHAPED)}); write that as constraints.")
    unset = [p.name() for p in there if p.id not in chosen and p.value is None]
    if unset:
        raise ConfigError(
            f"parameters {unset} have no value; give them one, or name them among the program's parameters."
        )
    if problem.is_mixed_integer():
        raise ConfigError("the problem has integer variables, and so no multipliers; relax them.")
    if not problem.is_dcp():
        raise ConfigError("the problem does not follow CVXPY's rules of convexity: see problem.is_dcp().")
    if not problem.is_dpp():
        bad = [str(part) for part in (problem.objective, *problem.constraints) if not part.is_dcp(dpp=True)]
        raise ConfigError(
            f"parameters are no right-hand sides in {'; '.join(bad)}: they multiply each other, or stand in functions "
            "that are not affine. Make what comes out of that a parameter of its own."
        )


def _check_sides(weights: Array, parameters: Sequence[cvxpy.Parameter]) -> None:
    """Raise where a parameter has a weight in the factors of variables, in the objective or in a constraint."""
    used, first = np.ravel(weights) > 0, 0
    for parameter in parameters:
        if used[first : first + parameter.size].any():
            raise ConfigError(
                f"parameter {parameter.name()!r} multiplies variables; a right-hand side is expected, as in A @ x <= p."
                " Leave it a constant, or write the problem in CasADi: from_casadi has parameters anywhere."
            )
        first += parameter.size


def _row_order(shape: tuple[int, ...]) -> Array:
    """Places of the entries, taken row after row, in a list that has them column after column."""
    return np.arange(np.prod(shape, dtype=int)).reshape(shape, order="F").ravel()


def _row_names(problem: cvxpy.Problem, constraints: Sequence[Any]) -> list[str]:
    """Of every row, the constraint that it comes from, as the user wrote it."""
    written: Mapping[int, str] = {constraint.id: str(constraint) for constraint in problem.constraints}
    sizes = [sum(part.size for part in constraint.args) for constraint in constraints]
    named = [written.get(constraint.id, str(constraint)) for constraint in constraints]
    return [
        name if size == 1 else f"{name}, entry {i + 1}"
        for name, size in zip(named, sizes, strict=True)
        for i in range(size)
    ]


def _variables(
    problem: cvxpy.Problem, chain: Any, columns: Mapping[int, int]
) -> list[tuple[str, int, tuple[int, ...]]]:
    became = chain.compose_var_id_map()
    found = []
    for variable in problem.variables():
        [last] = became.get(variable.id, [variable.id])
        found.append((variable.name(), columns[last], variable.shape))
    return found


def _import_cvxpy() -> Any:
    try:
        import cvxpy
    except ImportError as error:
        raise ConfigError("problems written in CVXPY need it: pip install cvxpy.") from error
    return cvxpy
