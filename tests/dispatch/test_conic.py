"""Second-order cone programs: closed forms, agreement with the linear solver, cuts, and what happens in trouble."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from sciml.dispatch import conic
from sciml.dispatch.conic import ConicProgram
from sciml.dispatch.linear import LinearProgram
from sciml.dispatch.network import stage_form
from sciml.dispatch.programs import make_stage_program
from sciml.errors import ConfigError, InfeasibleError, ShapeError, SolverError
from tests.dispatch.small_forms import box_with_a_floor, norm_below, small_form, two_stages_of_water
from tests.dispatch.two_buses import stage_parameters, two_buses

INTERIOR = 1e-7  # Clarabel is asked for 1e-10, relative to the size of the data
ROOT = 1e-5  # of the gap: a multiplier's error where the optimum lies on a curved cone


def test_the_multiplier_of_a_cone_program_is_the_derivative_of_its_closed_form():
    program = ConicProgram(norm_below(2.0))
    for x in (0.5, -1.2):
        found = program.solve(np.array([x]))
        y = np.sqrt(4 - x**2)
        assert found.value == pytest.approx(-x - y, rel=INTERIOR)
        assert found.multipliers == pytest.approx(-1 + x / y, rel=ROOT)
        assert (found.status, found.attempts) == ("optimal", 1)


@pytest.mark.parametrize("parameters", [[1.0, 0.0, 2.0], [-9.0, 0.0, 2.0], [-9.0, 5.0, 2.0]])
def test_inequalities_have_parameters_on_both_sides_as_the_linear_solver_has_them(parameters):
    linear, cone = LinearProgram(box_with_a_floor()), ConicProgram(box_with_a_floor())
    one, other = (program.solve(np.array(parameters)) for program in (linear, cone))
    assert one.value == pytest.approx(other.value, abs=INTERIOR)
    np.testing.assert_allclose(one.multipliers, other.multipliers, atol=INTERIOR)


def test_a_linear_program_has_the_same_optimum_and_multipliers_with_both_solvers(cascade):
    rng = np.random.default_rng(0)
    form = stage_form(cascade, "dc", targets="penalised")
    linear, cone = LinearProgram(form), ConicProgram(form)
    for stage in range(4):
        water = rng.uniform(0.3, 0.6, 4) * cascade.plants.volume_max
        p = stage_parameters(form, cascade, water=water, target=0.77 * water, stage=stage)
        one, other = linear.solve(p), cone.solve(p)
        assert one.value == pytest.approx(other.value, rel=INTERIOR)
        np.testing.assert_allclose(one.multipliers, other.multipliers, rtol=1e-5, atol=1e-3)  # $ of thousands


def test_a_solve_depends_on_its_parameters_alone_to_the_last_bit(cascade):
    one, other = (make_stage_program(cascade, "soc", targets="penalised") for _ in range(2))
    rng = np.random.default_rng(1)
    parameters = [
        stage_parameters(one, cascade, water=w, target=0.5 * w, stage=t)
        for t, w in enumerate(rng.uniform(0, 1, (4, 4)) * cascade.plants.volume_max)
    ]
    forward = [one.solve(p) for p in parameters]
    backward = [other.solve(p) for p in reversed(parameters)][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert a.value == b.value
        np.testing.assert_array_equal(a.multipliers, b.multipliers)


def test_the_future_is_the_highest_cut_of_its_column():
    program = ConicProgram(two_stages_of_water(futures=2))
    water = np.array([2.0, 1.0])
    program.add_cut(10.0, np.array([-1.0, -2.0]), column=1)
    program.add_cut(5.0, np.array([-0.5, 0.0]), column=1)
    program.add_cut(3.0, np.zeros(2), column=0)
    found = program.solve(water)
    np.testing.assert_allclose(found.variables["future"], [3, 6], rtol=INTERIOR)
    np.testing.assert_allclose(found.multipliers, [-0.5, -1], rtol=INTERIOR)  # each column has the weight 1/2
    program.remove_cuts(np.array([0, 2]))
    np.testing.assert_allclose(program.solve(water).variables["future"], [0, 4], atol=INTERIOR)
    program.remove_cuts(np.array([0]))
    assert program.solve(water).value == pytest.approx(0, abs=INTERIOR)


def test_one_proof_of_infeasibility_alone_is_not_believed(monkeypatch):
    program = ConicProgram(norm_below(2.0))
    expected = program.solve(np.array([0.5]))
    wrong = SimpleNamespace(status="PrimalInfeasible", z=np.zeros(4))
    monkeypatch.setattr(program, "_updated", lambda right: SimpleNamespace(solve=lambda: wrong))
    found = program.solve(np.array([0.5]))
    assert found.attempts == 2
    assert found.value == pytest.approx(expected.value, rel=INTERIOR)


def test_a_solver_in_trouble_is_tried_in_other_ways_to_the_same_optimum(monkeypatch):
    program = ConicProgram(norm_below(2.0))
    expected = program.solve(np.array([0.5]))
    monkeypatch.setattr(conic, "_LADDER", (("optimal", {"max_iter": 1}), *conic._LADDER))
    found = program.solve(np.array([0.5]))
    assert found.attempts == 2
    assert found.value == expected.value


def test_an_optimum_that_is_only_coarse_says_so(monkeypatch):
    monkeypatch.setattr(conic, "_LADDER", (("optimal", {"max_iter": 1}), conic._LADDER[-1]))
    found = ConicProgram(norm_below(2.0)).solve(np.array([0.5]))
    assert found.status == "optimal to 1e-06"
    assert found.multipliers == pytest.approx(-1 + 0.5 / np.sqrt(3.75), rel=1e-3)


def test_no_optimum_after_all_attempts_is_an_error(monkeypatch):
    monkeypatch.setattr(conic, "_LADDER", (("optimal", {"max_iter": 1}),) * 2)
    with pytest.raises(SolverError, match="MaxIterations after 2 attempts") as raised:
        ConicProgram(norm_below(2.0)).solve(np.array([0.5]))
    assert not isinstance(raised.value, InfeasibleError)


def test_an_unbounded_program_is_an_error_and_not_an_optimum():
    with pytest.raises(SolverError, match="DualInfeasible"):
        ConicProgram(small_form([[1.0, -1.0]], 0, 0, [-1.0, 0.0])).solve(np.zeros(1))


def test_a_cone_that_leaves_nothing_names_the_row_that_asks_for_more():
    with pytest.raises(InfeasibleError, match="width of table"):
        ConicProgram(norm_below(2.0)).solve(np.array([2.5]))


def test_rows_that_contradict_each_other_without_the_cones_are_named_with_their_numbers():
    case = two_buses(branches__resistance=[0.03])
    program = make_stage_program(case, "soc", targets="strict")
    with pytest.raises(InfeasibleError, match=r"target of lake is 12 hm3; volume of lake is at most 10 hm3"):
        program.solve(stage_parameters(program, case, water=13.0, target=12.0))
    found = program.solve(stage_parameters(program, case, water=10.0, target=9.0))
    assert found.attempts == 1


def test_the_linear_part_is_asked_also_where_the_solver_proves_nothing(monkeypatch):
    monkeypatch.setattr(conic, "_LADDER", (("optimal", {"max_iter": 1}),))
    case = two_buses()
    program = make_stage_program(case, "soc", targets="strict")
    with pytest.raises(InfeasibleError, match="target of lake is 12 hm3"):
        program.solve(stage_parameters(program, case, water=13.0, target=12.0))


def test_a_written_program_is_the_program_with_its_last_parameters(tmp_path):
    clarabel = conic.import_clarabel()
    program = ConicProgram(norm_below(2.0))
    expected = program.solve(np.array([0.5]))
    content = json.loads(program.write(tmp_path / "program.json").read_text())
    entries = content["A"]
    cost, right = np.array(content["c"]), np.array(content["b"])
    A = sp.csc_matrix((entries["value"], (entries["row"], entries["column"])), shape=(len(right), len(cost)))
    kinds = {
        "zero": clarabel.ZeroConeT,
        "nonnegative": clarabel.NonnegativeConeT,
        "second-order": clarabel.SecondOrderConeT,
    }
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    cones = [kinds[kind](size) for kind, size in content["cones"]]
    solver = clarabel.DefaultSolver(sp.csc_matrix((len(cost), len(cost))), cost, A, right, cones, settings)
    assert solver.solve().obj_val == pytest.approx(expected.value, rel=1e-6)
    assert content["rows"] == ["width of table"]


def test_wrong_parameters_are_refused(cascade):
    program = make_stage_program(cascade, "soc")
    with pytest.raises(ShapeError, match="reactive_load 8"):
        program.solve(np.zeros(5))
    with pytest.raises(SolverError, match="not finite: water of Headwater"):
        program.solve(stage_parameters(program, cascade, water=[np.inf, 0, 0, 0]))


def test_a_missing_solver_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "clarabel", None)
    with pytest.raises(ConfigError, match=r"sciml-kit\[dispatch\]"):
        ConicProgram(norm_below(1.0))
