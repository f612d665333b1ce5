"""Programs of users: CVXPY and CasADi against their own solves and differences, and the worked example of the docs."""

import itertools
import re
import sys
from pathlib import Path

import casadi
import cvxpy as cp
import numpy as np
import pytest
import torch

from sciml.dispatch import optimal_value
from sciml.dispatch.conic import ConicProgram
from sciml.dispatch.linear import LinearProgram
from sciml.dispatch.user_programs import from_casadi, from_cvxpy
from sciml.errors import ConfigError, InfeasibleError, ShapeError, SolverError

GUIDE = Path(__file__).parents[2] / "docs" / "own_programs.md"
STEP = 1e-4
# Interior points err by 1e-8 or so in value, which a step of 1e-4 raises to 1e-4; curvature adds STEP^2.
CLOSE = 1e-4


def differences(program, parameters):
    """dQ/dp by central differences."""
    steps = STEP * np.eye(len(parameters))
    return np.array(
        [(program.solve(parameters + s).value - program.solve(parameters - s).value) / (2 * STEP) for s in steps]
    )


def transport():
    """A linear program, to be maximised; supply and demand are parameters, a table and a row."""
    supply, demand = cp.Parameter((2, 3), name="supply"), cp.Parameter(3, name="demand")
    sold = cp.Variable((2, 3), nonneg=True, name="sold")
    extra = cp.Variable(3, name="extra")
    revenue = cp.sum(cp.multiply(np.array([[3.0, 4.0, 5.0], [2.0, 6.0, 1.0]]), sold)) - 7 * cp.sum(extra)
    limits: list = [sold <= supply, sold[0] + sold[1] + extra == demand, extra >= 0, cp.sum(sold[0]) <= 4.0]
    return cp.Problem(cp.Maximize(revenue + cp.sum(supply[1]) - 2.5), limits), [supply, demand]


def portfolio():
    """A quadratic cost with a norm: of its parameters, one is in a cone, one in the cost, one in an equation."""
    radius, wanted, total = (
        cp.Parameter(size, name=name) for size, name in ((1, "radius"), (3, "wanted"), (1, "total"))
    )
    x = cp.Variable(3, name="x")
    root = np.array([[1.0, 0.2, 0.0], [0.2, 0.8, 0.1], [0.0, 0.1, 0.5]])
    cost = cp.sum_squares(root @ x) + cp.norm(x - wanted, 1) + 0.3 * cp.norm(x - 2 * wanted - 0.1)
    limits: list = [cp.norm(x) <= 0.9 * radius[0] + 0.1, cp.sum(x) == total[0]]
    return cp.Problem(cp.Minimize(cost), limits), [radius, wanted, total]


CASES = [
    (transport, LinearProgram, np.array([2.0, 1.0, 1.5, 0.5, 2.0, 1.0, 2.2, 2.7, 1.9])),
    (portfolio, ConicProgram, np.array([0.7, 0.3, -0.2, 0.5, 0.8])),
]


@pytest.mark.parametrize(("make", "solver", "parameters"), CASES, ids=["linear", "cone"])
def test_a_problem_in_cvxpy_gives_what_cvxpy_gives(make, solver, parameters):
    problem, given = make()
    program = from_cvxpy(problem, given)
    assert isinstance(program._program, solver)
    assert list(program.blocks) == [p.name() for p in given]
    found = program.solve(parameters)
    for p, block in zip(given, program.blocks.values(), strict=True):
        p.value = parameters[block].reshape(p.shape)
    problem.solve(cp.CLARABEL)
    assert found.value == pytest.approx(problem.value, rel=1e-7)  # CVXPY asks Clarabel for 1e-8
    for variable in problem.variables():
        np.testing.assert_allclose(found.variables[variable.name()], variable.value, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("make", "solver", "parameters"), CASES, ids=["linear", "cone"])
def test_multipliers_of_a_problem_in_cvxpy_are_its_differences(make, solver, parameters):
    program = from_cvxpy(*make())
    multipliers = program.solve(parameters).multipliers
    np.testing.assert_allclose(multipliers, differences(program, parameters), rtol=0, atol=CLOSE)
    assert np.count_nonzero(np.abs(multipliers) > 0.05) >= 4


def test_parameters_need_no_value_and_keep_that_which_they_have():
    problem, given = transport()
    given[0].value = np.ones((2, 3))
    from_cvxpy(problem, given)
    assert given[1].value is None
    np.testing.assert_array_equal(given[0].value, 1)


def test_other_parameters_are_constants():
    x, p, price = cp.Variable(2, name="x"), cp.Parameter(2, name="p"), cp.Parameter(2, name="price")
    problem = cp.Problem(cp.Minimize(price @ x), [x >= p])
    with pytest.raises(ConfigError, match=r"\['price'\] have no value"):
        from_cvxpy(problem, [p])
    price.value = np.array([2.0, 3.0])
    np.testing.assert_allclose(from_cvxpy(problem, [p]).solve(np.array([1.0, 4.0])).multipliers, [2.0, 3.0])


def test_a_parameter_that_is_no_right_hand_side_is_named():
    x, y = cp.Variable(2, name="x"), cp.Variable(2, boolean=True)
    p, price, power = (cp.Parameter(2, name=n) for n in ("p", "price", "power"))

    def refused(objective, constraints, parameters, match):
        with pytest.raises(ConfigError, match=match):
            from_cvxpy(cp.Problem(cp.Minimize(objective), constraints), parameters)

    refused(price @ x, [x >= p], [p, price], "'price' multiplies variables")
    refused(cp.sum(x), [cp.multiply(power, x) >= p], [p, power], "'power' multiplies variables")
    power.value = np.ones(2)
    refused(cp.sum(x), [x >= cp.multiply(p, power)], [p], "no right-hand sides in")
    power.value = None
    refused(cp.sum(cp.exp(x)), [x >= p], [p], "from_casadi")
    refused(cp.sum(x) + cp.sum(y), [x >= p], [p], "integer")
    refused(-cp.sum_squares(x), [x >= p], [p], "convexity")
    refused(cp.sum(x), [x >= 0], [p], "those of the problem are expected")
    refused(cp.sum(x), [x >= p], [], "are expected")
    refused(cp.sum(x), [x >= p, x >= cp.Parameter(2, name="p")], [p, p], "different names")
    matrix = cp.Parameter((2, 2), name="matrix", symmetric=True)
    refused(cp.sum(x), [x >= matrix[0]], [matrix], "matrix")


def test_without_cvxpy_it_is_said_how_to_get_it(monkeypatch):
    problem, given = transport()
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(ConfigError, match="pip install cvxpy"):
        from_cvxpy(problem, given)


def test_a_conflict_is_told_as_it_was_written():
    x, p = cp.Variable(2, nonneg=True, name="x"), cp.Parameter(name="p")
    program = from_cvxpy(cp.Problem(cp.Minimize(cp.sum(x)), [cp.sum(x) <= p, x[0] + 2 * x[1] >= 3, x[1] <= 1]), [p])
    with pytest.raises(InfeasibleError, match=r"Sum\(x.*<= p"):
        program.solve(np.array([0.5]))


@pytest.mark.parametrize("symbol", [casadi.SX, casadi.MX], ids=["SX", "MX"])
def test_multipliers_of_a_program_in_casadi_are_its_differences(symbol):
    # Rosenbrock's valley in a disc: parameters in the objective, in a constraint and in front of a variable.
    x, curve, disc = symbol.sym("x", 2), symbol.sym("curve", 1), symbol.sym("disc", 2)
    program = from_casadi(
        {"x": x},
        (1 - x[0]) ** 2 + curve * (x[1] - x[0] ** 2) ** 2 + disc[1] * x[1],
        [casadi.sumsqr(x) - disc[0]],
        {"curve": curve, "disc": disc},
        row_lower=-np.inf,
    )
    p = np.array([3.0, 0.5, 0.2])
    found = program.solve(p)
    assert program.blocks == {"curve": slice(0, 1), "disc": slice(1, 3)}
    assert np.sum(found.variables["x"] ** 2) == pytest.approx(0.5, rel=1e-6)
    np.testing.assert_allclose(found.multipliers, differences(program, p), rtol=0, atol=CLOSE)
    assert np.abs(found.multipliers).min() > 1e-3


def test_tables_of_symbols_are_taken_column_after_column():
    x, p = casadi.SX.sym("x", 2, 2), casadi.SX.sym("p", 2, 2)
    program = from_casadi({"x": x}, casadi.sumsqr(x), casadi.vec(x - p), {"p": p})
    found = program.solve(np.arange(4.0))
    np.testing.assert_allclose(found.variables["x"], np.arange(4.0), atol=1e-7)
    np.testing.assert_allclose(found.multipliers, 2 * np.arange(4.0), atol=1e-6)


def test_a_nonconvex_program_is_solved_from_its_start():
    x, p = casadi.SX.sym("x"), casadi.SX.sym("p")
    for start in (-1.0, 1.0):  # two valleys, x = -+1 at p = 0
        program = from_casadi({"x": x}, (x**2 - 1) ** 2 + p * x, casadi.SX(0, 1), {"p": p}, start=start)
        found = program.solve(np.zeros(1))
        assert found.multipliers == pytest.approx(start, abs=1e-6)


def test_a_program_in_casadi_that_cannot_be_solved_says_why():
    x, p = casadi.SX.sym("x", 2), casadi.SX.sym("p")
    rows = [casadi.sumsqr(x) - 1, x[0] - p]
    names = ["disc", "left edge"]
    limits = {"row_lower": np.array([-np.inf, 0.0]), "row_upper": np.array([0.0, np.inf])}
    program = from_casadi({"x": x}, casadi.sum1(x), rows, {"p": p}, row_names=names, **limits)
    with pytest.raises(InfeasibleError, match="violated most: left edge by 2"):
        program.solve(np.array([3.0]))
    with pytest.raises(SolverError, match="whether the objective is bounded"):
        from_casadi({"x": x}, casadi.sum1(x), x[0] - p, {"p": p}).solve(np.zeros(1))
    with pytest.raises(SolverError, match="block p"):
        program.solve(np.array([np.inf]))
    with pytest.raises(ShapeError, match=r"lower of shape \(3,\) came; a number or \(2,\)"):
        from_casadi({"x": x}, casadi.sum1(x), x[0] - p, {"p": p}, lower=np.zeros(3))
    with pytest.raises(ShapeError, match="1 row_names came for 2 rows"):
        from_casadi({"x": x}, casadi.sum1(x), rows, {"p": p}, row_names=["disc"])


def test_gradients_flow_through_a_program_of_ones_own():
    x, p = casadi.SX.sym("x", 2), casadi.SX.sym("p", 2)
    program = from_casadi({"x": x}, casadi.sumsqr(x - p) / 2, casadi.sum1(x), {"p": p})  # (p_1 + p_2)^2 / 4
    parameters = torch.tensor([[1.0, 2.0], [0.5, -3.0]], dtype=torch.float64, requires_grad=True)
    values = optimal_value(program, parameters)
    values.sum().backward()
    total = parameters.detach().sum(1)
    torch.testing.assert_close(values.detach(), total**2 / 4, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(parameters.grad, (total / 2)[:, None].expand(2, 2), rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def guide():
    """What the code of the guide leaves behind, run as it is written."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        exec(block, names)  # the claim is that this very text runs
    return names


def test_the_rule_of_the_guide_beats_the_planner_who_looks_one_week_ahead(guide):
    saved = guide["saved"]
    error = saved.std() / len(saved) ** 0.5
    # The guide prints 171 +- 28 $ of 2046: more than 5 % beyond four standard errors.
    assert saved.mean() - 4 * error > 0.05 * guide["myopic"].mean()
    np.testing.assert_allclose(guide["shop"].solve(np.array([3.0, 2.0])).multipliers, [-2.5, -1.5], rtol=1e-6)


def test_the_rule_of_the_guide_is_near_the_optimum_of_an_instance_with_all_paths_written_out(guide):
    weeks, low, high = 3, np.array([10.0, 8.0, 6.0]), np.array([40.0, 30.0, 20.0])
    paths = np.array(list(itertools.product([0, 1], repeat=weeks)))
    demand = np.where(paths[:, :, None] == 1, high, low)

    # One program of all paths: what is ordered in a week is the same on paths that agreed until then.
    nodes = {
        (w, *path[:w]): (cp.Variable(3, nonneg=True), cp.Variable(3, nonneg=True))
        for path in paths
        for w in range(weeks)
    }
    total, limits = 0, [made @ guide["hours"] <= 95.0 for made, _ in nodes.values()]
    for path, wanted in zip(paths, demand, strict=True):
        net = 0
        for w in range(weeks):
            made, bought = nodes[(w, *path[:w])]
            net = net + made + bought - wanted[w]
            total += made @ guide["make"] + bought @ guide["buy"]
            total += cp.pos(net) @ guide["store"] + cp.neg(net) @ guide["late"]
    problem = cp.Problem(cp.Minimize(total / len(paths)), limits)
    problem.solve(cp.CLARABEL)
    optimum = float(problem.value)  # type: ignore[arg-type]

    torch.manual_seed(0)
    rule, program = guide["OrderUpTo"](weeks, demand.mean((0, 1))), guide["inventory"](weeks)
    every = torch.tensor(demand)
    guide["train"](rule, program, lambda: every)
    with torch.no_grad():
        reached = guide["cost"](program, rule(every), every).mean().item()
    # All paths are in every batch, so that nothing is left to chance but the descent on a function with kinks.
    assert optimum * (1 - 1e-6) <= reached <= 1.01 * optimum
