"""Linear programs: closed forms, cuts, and solves that depend on nothing but their parameters."""

import subprocess
import sys

import numpy as np
import pytest

from sciml.dispatch.horizon import horizon_form
from sciml.dispatch.linear import LinearProgram
from sciml.dispatch.network import stage_form
from sciml.dispatch.programs import typical_parameters
from sciml.errors import ConfigError, InfeasibleError, ShapeError, SolverError
from tests.dispatch.small_forms import box_with_a_floor, norm_below, small_form, two_stages_of_water
from tests.dispatch.two_buses import stage_parameters, two_buses

ROUND_OFF = 1e-12


def linear_stage(case, **options):
    form = stage_form(case, "dc", **options)
    return LinearProgram(form, typical=typical_parameters(case, form, 1))


def random_stages(case, program, number, seed=0):
    rng = np.random.default_rng(seed)
    limit = case.plants.volume_max
    water = rng.uniform(0, 1, (number, len(limit))) * limit
    return [stage_parameters(program, case, water=w, stage=t % 52, target=0.8 * w) for t, w in enumerate(water)]


def assert_same(one, other):
    assert one.value == other.value
    np.testing.assert_array_equal(one.multipliers, other.multipliers)
    for name, values in one.variables.items():
        np.testing.assert_array_equal(values, other.variables[name])


def test_multipliers_are_the_derivatives_by_the_parameters_of_any_kind_of_row():
    program = LinearProgram(box_with_a_floor())
    # x + y >= 1 and 3 x + y = 2: x = y = 1/2.
    found = program.solve(np.array([1.0, 0.0, 2.0]))
    np.testing.assert_allclose(found.variables["x"], [0.5, 0.5], rtol=ROUND_OFF)
    np.testing.assert_allclose(found.multipliers, [2.5, 0.0, -0.5], atol=ROUND_OFF)
    # x - y <= 1 + p_2 binds instead: x = 1 + p_2 + y, so y = (p_3 - 3 - 3 p_2) / 4.
    found = program.solve(np.array([-9.0, 0.0, 2.0]))
    np.testing.assert_allclose(found.variables["x"], [0.75, -0.25], rtol=ROUND_OFF)
    np.testing.assert_allclose(found.multipliers, [0.0, -1.25, 0.75], atol=ROUND_OFF)


@pytest.mark.parametrize("targets", [None, "penalised"])
def test_a_solve_depends_on_its_parameters_alone_to_the_last_bit(cascade, targets):
    one, other = (linear_stage(cascade, targets=targets) for _ in range(2))
    parameters = random_stages(cascade, one, 12)
    forward = [one.solve(p) for p in parameters]
    backward = [other.solve(p) for p in reversed(parameters)][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert_same(a, b)


def test_an_infeasible_program_in_between_changes_nothing(cascade):
    program = linear_stage(cascade, targets="strict")
    [p] = random_stages(cascade, program, 1)
    before = program.solve(p)
    with pytest.raises(InfeasibleError):
        program.solve(stage_parameters(program, cascade, water=0.0, target=1.0))
    assert_same(before, program.solve(p))


def test_a_solve_depends_on_the_cuts_and_not_on_when_they_came(cascade):
    rng = np.random.default_rng(3)
    one, other = (linear_stage(cascade, future=[1.0]) for _ in range(2))
    parameters = random_stages(cascade, one, 6)
    for slope in -rng.uniform(0, 300, (20, 4)):
        intercept = rng.uniform(4e4, 5e4)
        one.add_cut(intercept, slope)
        one.solve(parameters[0])
        other.add_cut(intercept, slope)
    for p in parameters:
        assert_same(one.solve(p), other.solve(p))


def test_the_future_is_the_highest_cut():
    program = LinearProgram(two_stages_of_water())
    water = np.array([2.0, 1.0])
    assert program.solve(water).value == 0
    program.add_cut(10.0, np.array([-1.0, -2.0]))
    program.add_cut(6.0, np.array([-0.5, 0.0]))
    found = program.solve(water)
    assert found.value == pytest.approx(6.0)
    np.testing.assert_allclose(found.multipliers, [-1, -2])
    found = program.solve(np.array([4.0, 2.0]))
    assert found.value == pytest.approx(4.0)
    np.testing.assert_allclose(found.multipliers, [-0.5, 0])
    program.remove_cuts(np.array([0]))
    assert program.solve(np.array([0.0, 0.0])).value == pytest.approx(6.0)
    program.remove_cuts(np.array([0]))
    assert program.solve(np.array([0.0, 0.0])).value == 0


def test_a_cut_bounds_its_own_column():
    program = LinearProgram(two_stages_of_water(futures=2))
    program.add_cut(10.0, np.zeros(2), column=1)
    program.add_cut(4.0, np.zeros(2), column=0)
    found = program.solve(np.zeros(2))
    np.testing.assert_allclose(found.variables["future"], [4, 10])
    assert found.value == pytest.approx(7.0)


@pytest.mark.parametrize("cuts", [0, 3])
def test_a_solver_in_trouble_is_tried_in_other_ways_to_the_same_optimum(cascade, cuts):
    calm, troubled = (linear_stage(cascade, future=[1.0]) for _ in range(2))
    for program in (calm, troubled):
        for i in range(cuts):
            program.add_cut(1e4, np.array([-10.0, -5.0, 0.0, 0.0]) * i)
    [p] = random_stages(cascade, calm, 1, seed=4)
    expected = calm.solve(p)
    assert expected.attempts == 1
    troubled._highs.setOptionValue("simplex_iteration_limit", 0)
    found = troubled.solve(p)
    assert found.attempts > 1
    assert found.value == pytest.approx(expected.value, rel=1e-7)  # HiGHS's own tolerance
    troubled._highs.setOptionValue("simplex_iteration_limit", 10_000)
    assert troubled.solve(p).attempts == 1


def test_no_optimum_after_all_attempts_is_an_error_that_says_what_to_look_at():
    program = LinearProgram(small_form([[1.0, -1.0]], 0, 0, [-1.0, 0.0]))
    with pytest.raises(SolverError, match=r"Unbounded after 5 attempts.*case.summary.*write"):
        program.solve(np.zeros(1))


def test_wrong_parameters_are_refused_with_their_names(cascade):
    program = linear_stage(cascade)
    with pytest.raises(ShapeError, match=r"\(3,\) came; \(12,\) is expected, in blocks: water 4, load 8"):
        program.solve(np.zeros(3))
    p = stage_parameters(program, cascade, water=[1, np.nan, 1, np.inf])
    with pytest.raises(SolverError, match="not finite: water of Gorge, water of Lowland"):
        program.solve(p)


@pytest.mark.parametrize("suffix", [".lp", ".mps"])
def test_a_program_is_written_with_its_names_and_last_parameters(tmp_path, suffix):
    case = two_buses()
    program = LinearProgram(horizon_form(case, "dc", 2, targets="strict"))
    p = np.concatenate([[4.5, 0.25], [1.0, 2.5], case.load(0)[0], case.load(1)[0]])
    with pytest.raises(InfeasibleError):
        program.solve(p)
    path = program.write(tmp_path / f"stage{suffix}")
    text = path.read_text()
    assert "target_of_lake__stage_2" in text
    assert "volume_of_lake__stage_1" in text
    assert "2.5" in text
    import highspy

    again = highspy.Highs()
    again.setOptionValue("output_flag", False)
    again.readModel(str(path))
    again.run()
    assert again.getModelStatus() == highspy.HighsModelStatus.kInfeasible


def test_a_program_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere.*existing folder"):
        LinearProgram(box_with_a_floor()).write(tmp_path / "nowhere" / "program.lp")


def test_cones_are_sent_to_the_other_solver():
    with pytest.raises(ConfigError, match="ConicProgram"):
        LinearProgram(norm_below(1.0))


def test_nothing_is_printed():
    code = """
from sciml.dispatch.linear import LinearProgram
from tests.dispatch.small_forms import box_with_a_floor
print(LinearProgram(box_with_a_floor()).solve([1, 0, 2]).value)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1.5\n", "")


def test_a_missing_solver_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(ConfigError, match=r"sciml-kit\[dispatch\]"):
        LinearProgram(box_with_a_floor())
