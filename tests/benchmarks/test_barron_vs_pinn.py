"""The benchmark of elliptic solvers: right-hand sides, going on after a stop, and what its report says."""

import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from sciml.barron.jet import AutogradJet

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # where `python benchmarks/...` finds its neighbours

from benchmarks.barron_vs_pinn import Case, finished, report

CASE = Case("linear", 5, "decaying")


def measured(method, setting, error, *, cpu=None, **more):
    shared = {"cpu": cpu or setting, "L2": error / 2, "H1": error, "absolute": 10 * error, "size": 7}
    return {"method": method, **asdict(CASE), "setting": setting, **shared, **more}


@pytest.mark.parametrize("spectrum", ["exact", "decaying"])
@pytest.mark.parametrize("equation", ["linear", "cubic"])
def test_the_right_hand_side_is_that_of_a_solution_of_size_one(equation, spectrum):
    case = Case(equation, 3, spectrum)
    x = torch.rand(2000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u = case.solution(x)
    assert float(u.square().mean().sqrt()) == pytest.approx(1, abs=0.1)  # a mean over random points
    laplacian = AutogradJet(x[:50], case.solution).laplacian
    expected = u[:50] - laplacian + (u[:50] ** 3 if equation == "cubic" else 0)
    torch.testing.assert_close(case.source(x[:50]), expected, rtol=1e-10, atol=1e-10)


def test_errors_are_those_of_a_network_that_is_one_percent_too_large():
    errors = CASE.errors(lambda x: 1.01 * CASE.solution(x))
    assert (errors["L2"], errors["H1"]) == (pytest.approx(0.01, rel=1e-6), pytest.approx(0.01, rel=1e-6))


def test_smaller_tolerances_are_not_asked_for_where_one_was_missed_or_took_too_long():
    reached = measured("solve", 1e-1, 1e-2, cpu=1.0, verdict="converged")
    assert not finished([reached], [1e-1, 1e-2])
    assert finished([reached, measured("solve", 1e-2, 1e-3, cpu=9.0, verdict="converged")], [1e-1, 1e-2])
    assert finished([reached | {"verdict": "beyond 80 frequencies"}], [1e-1, 1e-2])
    assert finished([reached | {"cpu": 1000.0}], [1e-1, 1e-2])


def test_the_report_compares_with_a_quarter_of_the_time(tmp_path):
    records = [
        measured("solve", 1e-2, 1e-4, cpu=9.0, certificate=1.5e-3),
        measured("solve", 1e-5, 1e-6, cpu=30.0, certificate=2e-5),
        *(measured("deepxde", budget, error, cpu=budget + 1) for budget, error in ((40.0, 5e-2), (160.0, 1e-2))),
        *(measured("ritz", budget, error) for budget, error in ((40.0, 2e-2), (160.0, 3e-2))),
    ]
    text = report(records, tmp_path)
    assert (tmp_path / "report.md").read_text() == text
    assert (tmp_path / "curves.png").stat().st_size > 5_000
    row = "| linear | 5 | decaying | 1.0e-04 | 1.0e-06 | 5.0e-02 | 1.0e-02 | 2.0e-02 | 3.0e-02 |  | 2e+02 | 1e+04 |"
    assert row in text
    assert "Certificate over true H1 error, 2 runs: 1.50 to 2.00." in text
