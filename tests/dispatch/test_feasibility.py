import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from sciml.dispatch.feasibility import feasibility
from sciml.dispatch.policies import Myopic, TargetPolicy
from sciml.dispatch.simulate import simulate
from sciml.errors import DataError
from tests.dispatch.runs import inflows, rule, transformed

NETWORKS = ("dc", "dc_lossy", "soc", "ac")


@pytest.fixture(scope="module")
def simulated(cascade):
    """Results by network, of a case in which no term of the equations is 0."""
    case = transformed(cascade)
    policy = TargetPolicy(rule(case), case)
    w = inflows(case, scenarios=2, stages=2)
    return case, {network: simulate(policy, w, case=case, network=network) for network in NETWORKS}


@pytest.mark.parametrize("network", NETWORKS)
def test_equations_and_limits_hold_with_taps_shifts_and_shunts(simulated, network):
    case, results = simulated
    report = feasibility(results[network], case)
    assert report.holds, str(report)
    # What interior points leave: 1e-8 of the largest volume, or p.u., and some.
    assert max(check.violation / check.scale for check in report.balances) < 3e-7
    assert report.violation_share < 1e-7


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("volume", "water balance"),
        ("spill", "water balance"),
        ("inflow", "water balance"),
        ("turbine", "water balance"),
        ("thermal", "power balance"),
        ("hydro", "power balance"),
        ("deficit", "power balance"),
        ("angle", "power balance"),
        ("flow", "branch equations"),
        ("flow_end", "branch equations"),
        ("voltage", "reactive power balance"),
        ("voltage_squared", "reactive power balance"),
        ("product_real", "power balance"),
        ("product_imaginary", "power balance"),
        ("hydro_reactive", "reactive power balance"),
        ("thermal_reactive", "reactive power balance"),
        ("reactive_flow", "branch equations"),
    ],
)
def test_a_wrong_number_is_found_where_it_is(simulated, network, variable, name):
    case, results = simulated
    results = results[network]
    if variable not in results or (network == "dc_lossy" and variable == "flow_end"):  # of no equation but its own
        return
    values = results[variable].values.copy()
    values[1, 1, 1] += 1e-3 * (case.base if results[variable].attrs["units"] in ("MW", "Mvar") else 1)
    report = feasibility(results.assign({variable: (results[variable].dims, values)}), case)
    [check] = [check for check in report.balances if check.name == name]
    assert not report.holds
    assert check.violation > 1e-4
    assert check.where.endswith("stage 2, scenario 1")
    assert f"at {check.where}" in str(report)


@pytest.mark.parametrize(
    ("variable", "index", "value", "name"),
    [
        ("volume", 3, 3.1, "volume"),
        ("turbine", 0, 75.1, "turbined flow"),
        ("spill", 2, -0.1, "spill"),
        ("thermal", 4, 40.1, "thermal power"),
        ("deficit", 4, -0.1, "deficit"),
        ("flow", 2, 80.1, "branch rating"),
        ("voltage", 1, 1.06, "voltage"),
        ("hydro_reactive", 1, 50.0, "hydro reactive power"),
    ],
)
def test_a_limit_that_is_exceeded_is_named(simulated, variable, index, value, name):
    case, results = simulated
    results = results["ac"]
    values = results[variable].values.copy()
    values[0, 1, index] = value
    report = feasibility(results.assign({variable: (results[variable].dims, values)}), case)
    [check] = [check for check in report.limits if check.name == name]
    assert check.violation > 9e-4
    owner = results[results[variable].dims[2]].values[index]
    assert check.where == f"{owner}, stage 1, scenario 1"


def test_voltage_products_and_losses_that_are_too_good_are_found(simulated):
    case, results = simulated
    for network, variable, name in (("soc", "voltage_squared", "voltage products"), ("dc_lossy", "flow_end", "losses")):
        changed = results[network].assign({variable: 0.9 * results[network][variable]})
        [check] = [check for check in feasibility(changed, case).limits if check.name == name]
        assert check.violation > 1e-3


def test_deficit_spill_and_solves_are_counted(cascade):
    w = inflows(cascade, scenarios=2, stages=3)
    w[1] = 0
    w[0, 0] = 500
    results = simulate(Myopic(cascade), w, case=cascade, initial_volume=np.zeros(4))
    report = feasibility(results, cascade)
    assert report.deficit_share == pytest.approx(float(results.deficit.sum() / (2 * results.demand.sum())))
    assert report.deficit_share > 0.05
    assert report.deficit_stages == pytest.approx(float((results.deficit.sum("bus") > 1e-2).mean()))
    assert report.spill == pytest.approx(float(results.spill.sum() / 2))
    assert report.statuses == {"optimal": 6}
    assert report.deviation is None
    assert json.loads(json.dumps(report.to_dict()))["holds"] is True


def test_minimum_flows_that_may_be_missed_are_no_limit(cascade):
    plants = replace(cascade.plants, turbine_min=np.full(4, 30.0), outflow_violation_cost=np.full(4, 1.0))
    case = replace(cascade, plants=plants)
    results = simulate(Myopic(case), np.ones((1, 1, 4)), case=case, initial_volume=np.zeros(4))
    assert feasibility(results, case).holds
    hard = replace(case, plants=replace(plants, outflow_violation_cost=np.zeros(4)))
    assert not feasibility(results, hard).holds


def test_results_from_a_file_are_checked_as_well(cascade, tmp_path):
    results = simulate(Myopic(cascade), inflows(cascade), case=cascade)
    results.to_netcdf(tmp_path / "results.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "results.nc", engine="h5netcdf") as read:
        assert feasibility(read, cascade) == feasibility(results, cascade)


def test_results_of_another_case_are_refused(cascade):
    results = simulate(Myopic(cascade), inflows(cascade), case=cascade)
    other = replace(cascade, name="other", plants=replace(cascade.plants, names=("A", "B", "C", "D")))
    with pytest.raises(DataError, match="results of case 'cascade' came with case 'other'"):
        feasibility(results, other)
