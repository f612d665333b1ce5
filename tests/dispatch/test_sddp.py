from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.convergence import Estimate
from sciml.dispatch.extensive import extensive_form
from sciml.dispatch.network import stage_form
from sciml.dispatch.program import Outcome
from sciml.dispatch.programs import solver_for
from sciml.dispatch.recourse import RecoursePrograms
from sciml.dispatch.risk import CVaR
from sciml.dispatch.sddp import SDDP
from sciml.errors import CheckpointError, ConfigError, InfeasibleError, ShapeError, SolverError

# A multiplier from a simplex is exact, one of an interior point costs the bound 1e-8 of the value a stage.
EQUAL = 1e-6


def tight(openings=2, **settings):
    """A case in which water is short: little is stored, and demand is a third higher."""
    return HydrothermalCase.cascade(openings=openings, initial_volume=[60, 3, 5, 0.5], load_scale=1.3, **settings)


def quiet(case, network="dc", stages=4, iterations=6, **settings):
    return SDDP(case, network, stages, **settings).train(iterations, progress=False)


def bounds(sddp):
    return [record.bound for record in sddp.history]


@pytest.mark.parametrize(
    "settings", [{}, {"multi_cut": True}, {"multi_cut": True, "paths": 3}], ids=["single cut", "multi cut", "paths"]
)
@pytest.mark.parametrize(
    ("openings", "stages", "network"), [(2, 3, "dc"), (3, 3, "dc"), (2, 2, "soc"), (2, 2, "dc_lossy")]
)
def test_a_tiny_tree_costs_what_its_extensive_form_costs(openings, stages, network, settings):
    case = tight(openings)
    form, parameters = extensive_form(case, stages, network)
    cost = solver_for(form).solve(parameters).value
    sddp = quiet(case, network, stages, 20, **settings)
    assert sddp.bound == pytest.approx(cost, rel=EQUAL)
    assert (np.array(bounds(sddp)) <= cost * (1 + 1e-12)).all()  # the tree's own rounding
    # Water is worth something, or there would be nothing to agree on.
    assert np.abs(sddp.cuts.slopes[0]).max() > 10


@pytest.mark.parametrize("multi_cut", [False, True], ids=["single cut", "multi cut"])
def test_a_tree_of_unequal_probabilities_weighs_its_branches(multi_cut):
    case = tight(2)
    odd = np.arange(len(case.inflows))[:, None] % 2 == 1
    case = replace(case, probabilities=np.where(odd, [0.9, 0.1], [0.3, 0.7]))
    form, parameters = extensive_form(case, 3)
    cost = solver_for(form).solve(parameters).value
    assert quiet(case, stages=3, iterations=15, multi_cut=multi_cut).bound == pytest.approx(cost, rel=EQUAL)
    assert abs(quiet(tight(2), stages=3, iterations=15).bound / cost - 1) > 0.001


def nested(case, stages, risk):
    """Risk-averse cost of a tree, by CVXPY: at every node rho of what the nodes after it cost."""
    form = stage_form(case, "dc")
    constraints = []

    def cost_of(stage, before):
        row = stage % len(case.inflows)
        costs = []
        for opening in range(case.inflows.shape[2]):
            x = cp.Variable(len(form.cost))
            water = case.volume_per_flow * case.inflows[row, :, opening]
            right = np.concatenate([np.zeros(len(case.plants.names)), case.load(stage)[0]])
            at = form.matrix[form.parameter_rows]
            right = right + form.row_lower[form.parameter_rows]
            others = np.setdiff1d(np.arange(len(form.row_lower)), form.parameter_rows)
            volume = cp.hstack([before + water, np.zeros(len(case.buses.names))])
            constraints.append(at @ x == right + volume)
            constraints.append(form.matrix[others] @ x == form.row_lower[others])
            for limit, sign in ((form.upper, 1), (form.lower, -1)):
                finite = np.flatnonzero(np.isfinite(limit))
                constraints.append(sign * x[finite] <= sign * limit[finite])
            after = cost_of(stage + 1, x[form.columns["volume"]]) if stage + 1 < stages else 0
            costs.append(form.cost @ x + after)
        costs, p, u = cp.hstack(costs), case.probabilities[row], cp.Variable()
        worst = u + p @ cp.pos(costs - u) / (1 - risk.level)
        return (1 - risk.weight) * (p @ costs) + risk.weight * worst

    objective = cost_of(0, case.plants.initial_volume)
    return cp.Problem(cp.Minimize(objective), constraints).solve(solver="HIGHS")


def test_the_risk_averse_cost_of_a_tree_is_that_of_its_nested_measure():
    case, risk = tight(3), CVaR(0.6, 0.5)
    sddp = quiet(case, stages=2, iterations=20, risk=risk)
    assert sddp.bound == pytest.approx(nested(case, 2, risk), rel=EQUAL)
    assert sddp.bound > 1.01 * quiet(case, stages=2, iterations=20).bound


def test_the_bound_rises_and_stays_below_the_simulated_cost():
    sddp = quiet(tight(4), stages=8, iterations=30)
    # Cuts are only added; what a simplex leaves is rounding.
    assert (np.diff(bounds(sddp)) > -1e-9 * sddp.bound).all()
    assert sddp.bound > bounds(sddp)[0]
    cost = sddp.estimate(100)
    assert cost.failed == 0
    assert sddp.bound < cost.mean + 2 * cost.half_width
    assert cost.mean < 1.1 * sddp.bound


def test_a_stage_is_served_with_its_own_load():
    case = tight(2)
    demand = case.demand.copy()
    demand[2] *= 1.2
    assert quiet(replace(case, demand=demand)).bound > 1.02 * quiet(case).bound
    demand = case.demand.copy()
    demand[4] *= 1.2  # after the last stage
    assert quiet(replace(case, demand=demand)).bound == quiet(case).bound


def test_numbers_do_not_depend_on_the_number_of_workers():
    alone = quiet(tight(3), paths=2, iterations=4)
    shared = quiet(tight(3), paths=2, iterations=4, workers=2)
    assert bounds(shared) == bounds(alone)
    assert [record.cost for record in shared.history] == [record.cost for record in alone.history]
    np.testing.assert_array_equal(shared.cuts.slopes[0], alone.cuts.slopes[0])
    np.testing.assert_array_equal(shared.estimate(5).costs, alone.estimate(5).costs)
    shared.close()


@pytest.mark.parametrize(
    "settings", [{}, {"multi_cut": True, "paths": 2}, {"risk": CVaR(0.8, 0.3), "cut_selection": 3}]
)
def test_training_goes_on_from_a_file_to_the_same_numbers(tmp_path, settings):
    whole = quiet(tight(3), iterations=7, **settings)
    quiet(tight(3), iterations=3, **settings).save(tmp_path / "sddp.npz")
    resumed = SDDP.load(tmp_path / "sddp.npz", tight(3)).train(4, progress=False)
    assert bounds(resumed) == bounds(whole)
    assert [record.cost for record in resumed.history] == [record.cost for record in whole.history]
    for left, right in zip(resumed.cuts.intercepts, whole.cuts.intercepts, strict=True):
        np.testing.assert_array_equal(left, right)


def test_ctrl_c_leaves_whole_iterations_from_which_training_goes_on(monkeypatch):
    whole = quiet(tight(3))
    sddp = SDDP(tight(3), "dc", 4)
    add_cuts, calls = SDDP._add_cuts, []

    def interrupted(self, stage, volumes):
        calls.append(len(self.cuts))
        if len(calls) == 3 + 3:  # at the last stage but one of the second iteration
            raise KeyboardInterrupt
        return add_cuts(self, stage, volumes)

    monkeypatch.setattr(SDDP, "_add_cuts", interrupted)
    sddp.train(6, progress=False)
    assert sddp.verdict == "interrupted"
    assert bounds(sddp) == bounds(whole)[:1]
    assert len(sddp.cuts) == whole.history[0].cuts < calls[-1]
    assert np.isfinite(sddp.estimate(3).mean)
    sddp.train(5, progress=False)
    assert bounds(sddp) == bounds(whole)
    assert sddp.cuts.counts == whole.cuts.counts


class Unreliable:
    """A stage's program whose solver gives up at some of the inflows."""

    def __init__(self, program, fails):
        self._program, self._fails = program, fails

    def solve(self, parameters):
        if self._fails(parameters):
            raise SolverError("no optimum")
        return self._program.solve(parameters)


def test_a_cut_from_a_failed_solve_is_dropped_and_counted(monkeypatch):
    sound = quiet(tight(3), stages=3, iterations=8)
    make, solves = RecoursePrograms._make, []

    def fails(parameters):
        solves.append(parameters)
        return len(solves) % 7 == 0

    monkeypatch.setattr(RecoursePrograms, "_make", lambda self, stage: Unreliable(make(self, stage), fails))
    sddp = quiet(tight(3), stages=3, iterations=12)
    assert sum(record.dropped for record in sddp.history) > 3
    assert len(sddp.cuts) > 0
    assert all(np.isfinite(slopes).all() for slopes in sddp.cuts.slopes)
    assert 0 < sddp.bound <= sound.bound * (1 + 1e-12)
    assert sddp.estimate(20).failed > 0


def test_an_attempt_at_lower_accuracy_lowers_the_value_by_more():
    case = tight(2)
    programs = RecoursePrograms(case, "soc", [np.zeros(0)], quiet_cuts(case))
    parameters = np.concatenate([[0.0], programs._typical(0, case.plants.initial_volume)])
    program = programs._program(0)
    exact = program.solve(parameters[1:])

    def with_attempts(attempts):
        program.solve = lambda _: Outcome(exact.value, exact.multipliers, exact.variables, "optimal", attempts)
        return programs.solve(parameters).value

    assert exact.value - with_attempts(1) == pytest.approx(1e-8 * exact.value, rel=1e-3)
    assert exact.value - with_attempts(2) == pytest.approx(1e-5 * exact.value, rel=1e-3)


def quiet_cuts(case):
    sddp = SDDP(case, "dc", 1)
    return [sddp._stage_cuts(0)]


def test_a_sweep_over_volumes_needs_no_path():
    case = tight(2)
    sddp = SDDP(case, "dc", 3).sweep(np.outer(np.linspace(0, 0.4, 9), case.plants.volume_max))
    form, parameters = extensive_form(case, 3)
    cost = solver_for(form).solve(parameters).value
    assert 0.95 * cost < sddp.bound <= cost * (1 + 1e-12)
    assert np.isnan(sddp.history[0].cost)
    with pytest.raises(ShapeError, match=r"\(3,\) came; \(point, plant\) = \(n, 4\)"):
        sddp.sweep(np.zeros(3))


def test_few_selected_cuts_lose_little():
    every = quiet(tight(3), stages=6, iterations=30, cut_selection=None)
    few = quiet(tight(3), stages=6, iterations=30, cut_selection=4)
    assert max(every.cuts.counts) > 4
    # Bolivia, 24 stages, 120 iterations: 50 cuts of 120 lose 1e-5, 15 lose 3e-4.
    assert few.bound == pytest.approx(every.bound, rel=3e-3)
    assert few.bound <= every.bound * (1 + 3e-3)


def test_training_stops_at_what_comes_first():
    case = tight(2)
    assert quiet(case, iterations=2).verdict == "2 iterations"
    stalled = SDDP(case, "dc", 3).train(None, stall=1e-6, patience=5, progress=False)
    assert stalled.verdict.startswith("the bound has stalled at ")
    assert len(stalled.history) % 5 == 0
    confident = SDDP(case, "dc", 3).train(None, confident=50, patience=5, progress=False)
    assert "within the interval of the cost" in confident.verdict
    timed = SDDP(case, "dc", 3).train(None, seconds=0.05, progress=False)
    assert timed.verdict.endswith("CPU seconds")
    assert timed.history[-1].seconds >= 0.05 > (timed.history[-2].seconds if len(timed.history) > 1 else 0)


def test_seconds_go_on_in_a_second_training():
    sddp = quiet(tight(2), iterations=2)
    first = sddp.history[-1].seconds
    sddp.train(1, progress=False)
    assert first < sddp.history[-1].seconds < first + 5


def test_training_tells_what_it_is_given_and_prints_lines_where_there_is_no_terminal(capsys):
    seen = []
    SDDP(tight(2), "dc", 3).train(3, progress=seen.append)
    assert [record.iteration for record in seen] == [1, 2, 3]
    SDDP(tight(2), "dc", 3).train(12, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"iteration {i}" for i in (1, 2, 3, 4, 5, 10)]
    assert "bound " in lines[0]
    assert "CPU s" in lines[0]


def test_an_estimate_has_the_interval_of_students_t():
    estimate = Estimate(np.array([1.0, 2.0, 3.0, 4.0]))
    # t_0.975 with 3 degrees of freedom is 3.18245; the standard error is 1.29099 / 2.
    assert estimate.mean == 2.5
    assert estimate.half_width == pytest.approx(3.18245 * 1.29099 / 2, rel=1e-5)
    assert str(estimate) == "2.50 ± 2.05 (95 %, 4 scenarios)"


def test_settings_that_cannot_work_are_errors_that_say_what_to_do():
    case = tight(2)
    with pytest.raises(ConfigError, match="train on 'soc', and judge on 'ac'"):
        SDDP(case, "ac", 3)
    with pytest.raises(ConfigError, match="leave out multi_cut"):
        SDDP(case, "dc", 3, multi_cut=True, risk=CVaR())
    with pytest.raises(ConfigError, match="1 or more"):
        SDDP(case, "dc", 0)
    with pytest.raises(ConfigError, match="training without an end"):
        SDDP(case, "dc", 3).train(None)
    with pytest.raises(ConfigError, match="bounds a risk-adjusted one"):
        SDDP(case, "dc", 3, risk=CVaR()).train(confident=10)
    cheap = replace(case, thermals=replace(case.thermals, cost=-case.thermals.cost))
    with pytest.raises(ConfigError, match="negative cost"):
        SDDP(cheap, "dc", 3)
    with pytest.raises(ConfigError, match="Take fewer stages, or SDDP"):
        extensive_form(case, 20)


def test_a_file_of_another_case_is_refused(tmp_path):
    sddp = quiet(tight(2), iterations=1)
    path = sddp.save(tmp_path / "sddp.npz")
    with pytest.raises(CheckpointError, match="made for another case"):
        SDDP.load(path, tight(3))
    sddp.cuts.save(path)
    with pytest.raises(CheckpointError, match="cuts but no training"):
        SDDP.load(path, tight(2))


def test_a_stage_without_a_solution_is_named():
    case = tight(2)
    plants = case.plants
    dry = replace(case, plants=replace(plants, turbine_min=case.turbine_limit, outflow_violation_cost=0 * plants.cost))
    with pytest.raises(InfeasibleError, match="stage 1: the program has no solution"):
        quiet(dry, stages=3)
