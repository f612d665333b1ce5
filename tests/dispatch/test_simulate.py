from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from sciml.dispatch.duality import StageCost
from sciml.dispatch.policies import CutPolicy, Myopic, TargetPolicy
from sciml.dispatch.results import violation_share
from sciml.dispatch.simulate import simulate
from sciml.errors import ConfigError, DataError, InfeasibleError, ShapeError
from tests.dispatch.runs import inflows, one_cut, rule


def test_costs_are_those_of_the_programs_with_strict_targets(cascade):
    w, made = inflows(cascade), rule(cascade)
    results = simulate(TargetPolicy(made, cascade), w, case=cascade)
    with torch.no_grad(), StageCost(cascade, "dc", 4) as cost:
        strict = cost.by_stage(made(torch.tensor(w)), torch.tensor(w)).numpy()
    np.testing.assert_allclose(results.cost.transpose("scenario", "stage"), strict, rtol=1e-9)
    assert violation_share(results) < 1e-9


@pytest.mark.parametrize("network", ["dc_lossy", "soc", "ac"])
def test_a_policy_is_judged_in_any_network(cascade, network):
    w = inflows(cascade, scenarios=2, stages=2)
    results = simulate(TargetPolicy(rule(cascade), cascade), w, case=cascade, network=network)
    # Losses of 2 to 6 % are generated as well.
    generated = results.thermal.sum("unit") + results.hydro.sum("plant") + results.deficit.sum("bus")
    losses = generated - results.demand.sum("bus")
    assert ((losses > 1) & (losses < 0.06 * generated)).all()
    # Interior points meet targets of up to 560 hm3 to 1e-9 of their size.
    assert np.abs(results.volume - results.target).max() < 1e-5
    assert results.attrs["network"] == network


def test_results_do_not_depend_on_the_number_of_workers(cascade):
    policy = CutPolicy(one_cut(cascade), cascade)
    alone, shared = (simulate(policy, inflows(cascade), case=cascade, workers=n) for n in (0, 2))
    xr.testing.assert_identical(alone, shared)


def test_the_results_are_written_and_read_back(cascade, tmp_path):
    results = simulate(TargetPolicy(rule(cascade), cascade), inflows(cascade), case=cascade)
    results.to_netcdf(tmp_path / "results.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "results.nc", engine="h5netcdf") as read:
        xr.testing.assert_identical(results, read.load())


def test_variables_have_dimensions_names_and_units(cascade):
    results = simulate(TargetPolicy(rule(cascade), cascade), inflows(cascade), case=cascade)
    assert dict(results.sizes) == {"stage": 4, "scenario": 3, "unit": 5, "plant": 4, "bus": 8, "branch": 10}
    assert results.plant.values.tolist() == list(cascade.plants.names)
    assert results.bus.values.tolist() == list(cascade.buses.names)
    assert results.stage.values.tolist() == [1, 2, 3, 4]
    assert results.volume.dims == ("stage", "scenario", "plant")
    assert all("units" in variable.attrs and "long_name" in variable.attrs for variable in results.data_vars.values())
    units = {name: results[name].attrs["units"] for name in ("thermal", "volume", "price", "water_value", "cost")}
    assert units == {"thermal": "MW", "volume": "hm3", "price": "$/MWh", "water_value": "$/hm3", "cost": "$"}
    np.testing.assert_allclose(results.hydro, results.turbine * cascade.plants.production, rtol=1e-12)
    np.testing.assert_allclose(results.demand[2], 100 * cascade.load(2)[0], rtol=1e-12)


def test_a_water_value_is_what_a_little_more_water_saves(cascade):
    # One stage in which all stored water is used: cost falls with every drop. Kinks lie between two one-sided slopes.
    w, v = 0.2 * inflows(cascade, scenarios=1, stages=1), np.array([5.0, 3.0, 4.0, 1.0])
    results = simulate(Myopic(cascade), w, case=cascade, initial_volume=v)
    cost, h = float(results.cost.sum()), 1e-3
    for plant in range(4):
        step = h * np.eye(4)[plant]
        more, less = (
            float(simulate(Myopic(cascade), w, case=cascade, initial_volume=v + s).cost.sum()) for s in (step, -step)
        )
        value = float(results.water_value[0, 0, plant])
        # Costs of 1e4 $ are exact to 1e-8 $, slopes so to 1e-5 $/hm3.
        assert (cost - more) / h - 1e-4 <= value <= (less - cost) / h + 1e-4
    assert float(results.water_value.max()) > 50


def test_a_price_is_what_a_little_more_load_costs(cascade):
    w = inflows(cascade, scenarios=1, stages=1)
    results = simulate(Myopic(cascade), w, case=cascade, initial_volume=0.0 * cascade.plants.volume_max)
    bus, h = cascade.buses.names.index("City"), 1e-4  # p.u.
    costs = []
    for sign in (1, -1):
        demand = cascade.demand.copy()
        demand[:, bus] += sign * h
        case = replace(cascade, demand=demand)
        costs.append(float(simulate(Myopic(case), w, case=case, initial_volume=0 * demand[0, :4]).cost.sum()))
    cost, per_mwh = float(results.cost.sum()), h * cascade.base
    price = float(results.price[0, 0, bus])
    assert (cost - costs[1]) / per_mwh - 1e-4 <= price <= (costs[0] - cost) / per_mwh + 1e-4
    assert 20 < price < 130


def test_a_missed_target_costs_its_penalty_apart_from_the_operating_cost(cascade):
    class Emptied:
        def start(self, scenarios):
            return None

        def step(self, stage, inflow, volume, memory):
            return torch.full_like(volume, -2.0), None  # 2 hm3 below the limit

    with pytest.warns(UserWarning, match=r"penalties are \d+\.\d% of all cost, above 5%"):
        results = simulate(TargetPolicy(Emptied(), cascade), inflows(cascade), case=cascade)
    np.testing.assert_allclose(results.penalty, 50_000 * 2 * 4, rtol=1e-9)
    thermal = (results.thermal * results.thermal_cost).sum("unit") + 500 * results.deficit.sum("bus")
    np.testing.assert_allclose(results.cost, thermal, rtol=1e-9)
    total = float(results.penalty.sum() + results.cost.sum())
    assert violation_share(results) == pytest.approx(float(results.penalty.sum()) / total)


def test_limits_that_may_be_missed_at_a_cost_are_paid_for(cascade):
    low = np.array([30.0, 0, 0, 0])
    plants = replace(cascade.plants, turbine_min=low, outflow_violation_cost=np.array([7.0, 0, 0, 0]))
    case = replace(cascade, plants=plants)
    full = 0 * low + 1e-3
    dry = np.full((1, 1, 4), 1.0)
    results = simulate(Myopic(case), dry, case=case, initial_volume=full)
    missing = 30 - float(results.turbine[0, 0, 0])
    assert missing > 20
    thermal = float((results.thermal * results.thermal_cost).sum() + 500 * results.deficit.sum())
    assert float(results.cost.sum()) == pytest.approx(thermal + 7 * missing, rel=1e-9)


def test_scenarios_can_begin_with_volumes_of_their_own(cascade):
    w = inflows(cascade, scenarios=2)
    volumes = np.stack([cascade.plants.volume_min, cascade.plants.volume_max])
    both = simulate(Myopic(cascade), w, case=cascade, initial_volume=volumes)
    alone = simulate(Myopic(cascade), w[1:], case=cascade, initial_volume=volumes[1])
    np.testing.assert_allclose(both.volume[:, 1], alone.volume[:, 0], atol=1e-9)


def test_progress_is_told_after_every_stage(cascade):
    told = []
    simulate(Myopic(cascade), inflows(cascade), case=cascade, progress=lambda *done: told.append(done))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_bad_inflows_are_named(cascade):
    w = inflows(cascade)
    with pytest.raises(ShapeError, match=r"inflows of shape \(3, 4, 3\) came; .* with 4 plants"):
        simulate(Myopic(cascade), w[..., :3], case=cascade)
    w[1, 2, 3] = np.nan
    with pytest.raises(DataError, match="inflow of Lowland is nan m3/s in scenario 1, stage 3"):
        simulate(Myopic(cascade), w, case=cascade)
    w[1, 2, 3] = -1
    with pytest.raises(DataError, match="inflow of Lowland is -1 m3/s"):
        simulate(Myopic(cascade), w, case=cascade)
    with pytest.raises(ShapeError, match=r"initial volumes of shape \(3,\) came"):
        simulate(Myopic(cascade), abs(w), case=cascade, initial_volume=np.zeros(3))
    with pytest.raises(ConfigError, match="network is 'acdc'"):
        simulate(Myopic(cascade), abs(w), case=cascade, network="acdc")


def test_an_infeasible_stage_is_named_with_policy_and_scenario(cascade):
    plants = replace(cascade.plants, turbine_min=np.array([60.0, 0, 0, 0]))
    case = replace(cascade, plants=plants)
    w = inflows(cascade)
    w[2, 1:] = 0.0
    volume = np.array([60.0, 0, 0, 0])  # 36.3 hm3 a stage at 60 m3/s
    w[:, 0] = w[:2, 1:] = 80.0
    with pytest.raises(InfeasibleError, match=r"^myopic, stage [23], scenario 2: .*Headwater"):
        simulate(Myopic(case), w, case=case, initial_volume=volume)
