"""Cases from files: what is read, and what is said about files that are wrong."""

import json
import math
from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from sciml.dispatch.case import HydrothermalCase
from sciml.errors import DataError, LayoutError
from tests.dispatch.files import MATPOWER, Files

read = HydrothermalCase.read


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def assert_same(first, second, **tolerance):
    for field in fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if is_dataclass(a):
            assert_same(a, b, **tolerance)
        elif isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, b, err_msg=field.name, **tolerance)
        elif field.name != "name":
            assert a == b, field.name


def test_all_of_a_case_is_read(files):
    case = read(files.write())
    assert (case.base, case.deficit_cost, case.stage_hours) == (100, 60000, 168)
    assert case.buses.names == ("NORTH", "bus 20", "bus 30")
    assert case.buses.reference == 0
    np.testing.assert_array_equal(case.buses.load, [0, 0.9, 0.6])
    np.testing.assert_array_equal(case.buses.reactive_load, [0, 0.3, 0.1])
    np.testing.assert_array_equal(case.buses.conductance, [0, 0, 0.01])
    np.testing.assert_array_equal(case.buses.susceptance, [0, 0, 0.05])
    np.testing.assert_array_equal(case.branches.start, [0, 1, 0])
    np.testing.assert_array_equal(case.branches.end, [1, 2, 2])
    np.testing.assert_array_equal(case.branches.rating, [1.5, np.inf, 0.5])
    np.testing.assert_array_equal(case.branches.tap, [1, 1.02, 1])
    np.testing.assert_array_equal(case.branches.charging_start, [0.02, 0, 0])
    # No limit is one of 60 degrees; a limit of 0 at one side is a limit.
    np.testing.assert_allclose(case.branches.angle_min, [-math.pi / 3, -math.pi / 3, 0])
    np.testing.assert_allclose(case.branches.angle_max, [math.pi / 3, math.pi / 3, 0.5])
    assert case.thermals.names == ("unit 1", "unit 2")
    np.testing.assert_array_equal(case.thermals.cost, [2000, 5000])
    np.testing.assert_array_equal(case.thermals.power_min, [0, 0.1])
    assert case.plants.names == ("plant 1", "LOWER")
    np.testing.assert_array_equal(case.plants.bus, [0, 2])
    np.testing.assert_array_equal(case.plants.cost, [0, 10])
    np.testing.assert_array_equal(case.plants.spill_cost, [0, 0])
    np.testing.assert_array_equal(case.turbine_limit, [40, 60])
    assert case.plants.turbine_links == case.plants.spill_links == ((0, 1),)
    np.testing.assert_array_equal(case.inflows[0], [[20, 30], [5, 6]])
    np.testing.assert_array_equal(case.probabilities[2], [0.25, 0.75])
    np.testing.assert_array_equal(case.demand, [[0, 0.9, 0.6], [0, 1.0, 0.7]])


def test_arguments_come_before_the_files(files):
    files.hydro.pop("stage_hours")
    case = read(files.write(), load_scale=0.5, initial_volume=[7.0, 2.0], deficit_cost=100)
    assert (case.stage_hours, case.deficit_cost) == (1, 10000)
    np.testing.assert_array_equal(case.plants.initial_volume, [7, 2])
    np.testing.assert_array_equal(case.buses.load, [0, 0.45, 0.3])
    np.testing.assert_array_equal(case.load(1)[0], [0, 0.5, 0.35])
    np.testing.assert_allclose(case.load(1)[1], [0, 0.5 / 3, 0.35 / 6])
    assert read(files.folder, stage_hours=24).volume_per_flow == pytest.approx(0.0864)


def test_probabilities_are_equal_and_demand_constant_without_files(files):
    folder = files.write()
    (folder / "scenarioprobability.csv").unlink()
    (folder / "demand.csv").unlink()
    case = read(folder)
    np.testing.assert_array_equal(case.probabilities, 0.5)
    assert case.demand is None
    np.testing.assert_array_equal(case.load(5)[0], case.buses.load)


def test_a_matpower_file_gives_the_same_case(files):
    folder = files.write()
    expected = read(folder)
    (folder / "PowerModels.json").unlink()
    (folder / "network.m").write_text(MATPOWER)
    case = read(folder)
    assert case.buses.names == ("bus 10", "bus 20", "bus 30")
    for part in ("buses", "branches", "thermals", "plants"):
        object.__setattr__(getattr(case, part), "names", getattr(expected, part).names)
    assert_same(case, expected, rtol=1e-14)


@pytest.mark.parametrize("kind", ["rows", "pairs"])
def test_tables_may_be_lists(files, kind):
    expected = read(files.write())
    for name in ("bus", "gen", "branch", "load", "shunt"):
        table = files.network[name]
        rows = [{**row, "index": int(key)} for key, row in table.items()]
        files.network[name] = rows[::-1] if kind == "rows" else [[key, row] for key, row in table.items()]
    assert_same(read(files.write()), expected)


def test_what_is_out_of_service_is_not_there(files):
    files.network["gen"]["1"]["gen_status"] = 0
    files.network["branch"]["2"]["br_status"] = 0
    files.network["load"]["2"]["status"] = 0
    files.network["shunt"]["1"]["status"] = 0
    files.demand = files.demand[:, :1]
    case = read(files.write())
    assert case.thermals.names == ("unit 2",)
    assert len(case.branches.names) == 2
    assert case.buses.load.sum() == pytest.approx(0.9)
    assert case.buses.susceptance.sum() == 0


def test_demand_may_have_a_column_for_each_bus(files):
    files.demand = np.array([[0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(read(files.write()).demand, [[0.1, 0.2, 0.3]])


def test_a_soft_smallest_flow_or_volume_may_be_missed(files):
    files.plant(2).update(min_turn=1000.0, minimal_outflow_violation_cost=5.0)
    files.plant(1).update(min_volume=30.0, minimal_volume_violation_cost=5.0)
    case = read(files.write())
    np.testing.assert_array_equal(case.plants.outflow_violation_cost, [0, 5])
    np.testing.assert_array_equal(case.plants.volume_violation_cost, [5, 0])


def set_value(where, key, value):
    """A change of a file's content."""

    def change(files):
        target = files
        for step in where:
            target = getattr(target, step) if hasattr(target, str(step)) else target[step]
        target[key] = value

    return change


def plant(number, **values):
    return lambda files: files.plant(number).update(values)


WRONG = {
    "unknown plant": (plant(1, downstream_turn=[7]), "downstream_turn of plant 1 names plant 7, which hydro.json"),
    "circle": (plant(2, downstream_spill=[1]), "water flows in a circle among the plants plant 1, LOWER"),
    "into itself": (plant(2, downstream_turn=[2]), "in a circle among the plants LOWER, or to one from itself"),
    "negative volume": (plant(2, min_volume=-1.0), "the smallest volume of LOWER, -1, is negative"),
    "too full": (plant(2, initial_volume=6.0), "initial volume of LOWER, 6 hm3, is above its largest volume, 5 hm3"),
    "too empty": (plant(2, initial_volume=0.5), "volume of LOWER, 0.5 hm3, is below its smallest volume, 1 hm3"),
    "volumes crossed": (plant(1, min_volume=60.0), "the smallest volume of plant 1, 60, is above its largest, 50"),
    "NaN volume": (plant(1, max_volume=math.nan), r"volume_max of plant 1 \(plants\) is not a number"),
    "no key": (lambda files: files.plant(2).pop("max_turn"), "LOWER has no 'max_turn'; it has index, index_grid"),
    "no number": (plant(2, max_turn="many"), "max_turn of LOWER is 'many'; a number is expected"),
    "no generator": (plant(2, index_grid=9), "LOWER feeds generator 9, which the network does not have in service"),
    "one generator for two": (plant(2, index_grid=3), "LOWER feeds generator 3, as another plant does"),
    "same index": (plant(2, index=1), "hydro.json gives plants the same index: 1, 1 came"),
    "no production": (plant(2, production_factor=0), "the production factor of LOWER is not positive"),
    "flow above turbine": (plant(2, min_turn=61.0, max_turn=70.0), "flow of LOWER, 61 m3/s, is above what its turb"),
    "NaN inflow": (set_value(["inflows"], (1, 3), math.nan), "inflow of LOWER in row 2, opening 2, is not a number"),
    "negative inflow": (set_value(["inflows"], (2, 0), -4.0), "inflow of plant 1 in row 3, opening 1, is negative"),
    "columns": (lambda f: setattr(f, "inflows", f.inflows[:, :3]), "has 3 columns, which 2 plants do not divide"),
    "probabilities": (set_value(["probabilities"], 1, [0.2, 0.2]), "the probabilities of row 2 sum to 0.4"),
    "negative probability": (set_value(["probabilities"], 1, [-0.5, 1.5]), "of row 2 are negative in part"),
    "few probabilities": (lambda f: setattr(f, "probabilities", f.probabilities[:2]), "has 2 rows and 2 columns"),
    "demand": (lambda f: setattr(f, "demand", np.ones((2, 4))), r"has 4 columns; one a load \(2\) or one a bus \(3\)"),
    "NaN demand": (set_value(["demand"], (1, 0), math.nan), "the demand of bus 20 in row 2 is not a number"),
    "missing bus": (set_value(["network", "load", "2"], "load_bus", 99), r"load 2 is at bus 99 \(load_bus\)"),
    "branch to nowhere": (set_value(["network", "branch", "3"], "t_bus", 99), r"branch 3 is at bus 99 \(t_bus\)"),
    "unit nowhere": (set_value(["network", "gen", "2"], "gen_bus", 99), r"unit 2 is at bus 99 \(gen_bus\), which"),
    "no reference": (set_value(["network", "bus", "1"], "bus_type", 2), "0 buses are of type 3, the reference"),
    "two references": (set_value(["network", "bus", "2"], "bus_type", 3), r"2 buses \(NORTH, bus 20\) are of type 3"),
    "limits of power": (set_value(["network", "gen", "2"], "pmin", 0.7), "power of unit 2, 0.7, is above its l"),
    "quadratic": (set_value(["network", "gen", "2"], "cost", [3, 1, 0]), "cost of unit 2 is not linear"),
    "piecewise": (set_value(["network", "gen", "1"], "model", 1), "cost of unit 1 is piecewise linear"),
    "no impedance": (
        lambda f: f.network["branch"]["1"].update(br_r=0, br_x=0),
        "branch 1 has no impedance; join its buses",
    ),
    "ground": (set_value(["network", "branch", "1"], "g_fr", 0.1), "branch 1 has a conductance to ground, g_fr=0.1"),
    "rating": (set_value(["network", "branch", "1"], "rate_a", -1), "the rating of branch 1, -1, is negative"),
    "direct current": (set_value(["network"], "dcline", {"1": {}}), "has 1 entries in 'dcline', which a hydrothermal"),
    "mixed units": (set_value(["network"], "per_unit", False), "is in mixed units; write it per unit"),
    "no deficit cost": (lambda f: f.network.pop("cost_deficit"), "has no cost_deficit; pass deficit_cost="),
    "a table of nothing": (set_value(["network"], "gen", {"a": {}}), "the table 'gen' of .* cannot be read"),
    "no plants": (set_value(["hydro"], "Hydrogenerators", []), "hydro.json has no list of plants, \"Hydrogenerators\""),
    "no hours": (set_value(["hydro"], "stage_hours", 0), "stage_hours is 0.0; a positive number of hours"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_content_is_named(wrong, files):
    change, message = WRONG[wrong]
    change(files)
    with pytest.raises((DataError, LayoutError), match=message):
        read(files.write())


def test_an_island_is_named(files):
    for branch in ("2", "3"):
        files.network["branch"][branch]["br_status"] = 0
    with pytest.raises(DataError, match="bus 30 is not connected with the reference, NORTH; islands"):
        read(files.write())


def test_a_smallest_flow_that_the_driest_opening_cannot_give_is_refused_only_if_that_is_certain(files):
    # K = 0.6048 hm3 per m3/s. LOWER holds 1 hm3 above its smallest volume and gets 5 m3/s in the driest opening; plant
    # 1 can send it at most its 20 hm3 and 20 m3/s, which is more than enough.
    files.plant(2)["min_turn"] = 30.0
    assert read(files.write()).plants.turbine_min[1] == 30
    # By its turbine alone plant 1 passes 40 m3/s: with 5 m3/s and 1 hm3 that makes 46.65 m3/s.
    files.plant(1)["downstream_spill"] = []
    files.plant(2)["min_turn"] = 46.6
    assert read(files.write()).plants.turbine_min[1] == 46.6
    files.plant(2)["min_turn"] = 46.7
    with pytest.raises(DataError, match=r"LOWER cannot release its smallest turbine flow, 46\.7 m3/s, .* give 46\.65"):
        read(files.write())
    # An empty store upstream has nothing but its inflow, 20 m3/s.
    files.plant(2)["min_turn"] = 27.0
    with pytest.raises(DataError, match=r"LOWER cannot release .*, 27 m3/s, .* give 26\.65"):
        read(files.write(), initial_volume=[0.0, 2.0])
    # An opening that never comes does not count: the other brings 36 m3/s and 1 hm3.
    files.probabilities = np.array([[0.0, 1.0]] * 3)
    assert read(files.write(), initial_volume=[0.0, 2.0]).plants.turbine_min[1] == 27


def test_missing_files_say_what_a_case_is_and_where_to_get_one(files, tmp_path):
    with pytest.raises(LayoutError, match=r"nowhere is not a folder\. A case is a folder with PowerModels"):
        read(tmp_path / "nowhere")
    folder = files.write()
    (folder / "PowerModels.json").unlink()
    (folder / "inflows.csv").unlink()
    with pytest.raises(LayoutError, match=r"has no inflows\.csv, no network\. .*HydroPowerModels\.jl \(testcases\)"):
        read(folder)
    files.write()
    (folder / "PowerModels.json").unlink()
    for name in ("a.m", "b.m"):
        (folder / name).write_text(MATPOWER)
    with pytest.raises(LayoutError, match=r"several networks: a\.m, b\.m\. Keep one"):
        read(folder)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("hydro.json", "{", r"hydro\.json is not JSON"),
        ("hydro.json", "[]", r"hydro\.json holds a list; an object"),
        ("PowerModels.json", "nothing", r"PowerModels\.json is not JSON"),
        ("inflows.csv", "1,2,3,4\n1,2,3\n", "inflows.csv is no table: row 2 has 3 columns, row 1 has 4"),
        ("inflows.csv", "", "inflows.csv is no table: it is empty"),
        ("inflows.csv", "a,b,c,d\n1,2,3,4\n", "row 1, column 1: 'a' came; a number is expected, and no header"),
        ("inflows.csv", "1,2,,4\n", "row 1, column 3: '' came; a number"),
    ],
)
def test_unreadable_files_are_named(files, name, text, message):
    folder = files.write()
    (folder / name).write_text(text)
    with pytest.raises(LayoutError, match=message):
        read(folder)


def test_a_comma_at_the_end_of_every_line_is_no_column(files):
    expected = read(files.write())
    path = files.folder / "inflows.csv"
    path.write_text("\n".join(line + "," for line in path.read_text().splitlines()) + "\n\n")
    assert_same(read(files.folder), expected)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mpc.baseMVA = 100;", "", "has no mpc.baseMVA; a MATPOWER case of version 2"),
        ("mpc.gencost", "mpc.costs", "has no mpc.gencost"),
        ("10 20 0.01 0.1 0.04", "10 20 x 0.1 0.04", "mpc.branch in .*: could not convert string to float: 'x'"),
        ("100 1 60 0 0 0;", "100;", "row 4 of mpc.gen in .* has 7 columns; at least 10"),
        ("\t2 0 0 2 0.1 0 0;\n\t2 0 0 2 1 0 0;\n", "", "mpc.gencost in .* has 3 rows; one a unit, 5"),
        ("2 0 0 3 0 50 7", "2 0 0 3 1 50 7", "cost of unit 2 is not linear"),
        ("2 0 0 2 20 0 0", "1 0 0 2 0 0 9 9", "cost of unit 1 is piecewise linear"),
    ],
)  # fmt: skip
def test_a_wrong_matpower_file_is_named(files, old, new, message):
    folder = files.write()
    (folder / "PowerModels.json").unlink()
    (folder / "network.m").write_text(MATPOWER.replace(old, new))
    with pytest.raises((DataError, LayoutError), match=message):
        read(folder)


def test_bolivia_is_read_with_what_its_files_lack(hydro_cases):
    case = read(hydro_cases / "bolivia", load_scale=0.6, initial_volume=0)
    assert (len(case.buses.names), len(case.branches.names), len(case.thermals.names)) == (28, 31, 23)
    assert case.plants.names[:3] == ("SIS", "COR", "KAN")
    assert case.inflows.shape == (48, 11, 15)
    assert (case.stage_hours, case.deficit_cost) == (168, 6000)
    # Sums of the published data: 804.22 MW of load, 506.7 MW of thermal units.
    assert case.buses.load.sum() == pytest.approx(0.6 * 8.0422, abs=1e-4)
    assert case.thermals.power_max.sum() == pytest.approx(5.067, abs=1e-3)
    names = case.plants.names
    links = {(names[up], names[down]) for up, down in case.plants.turbine_links}
    assert links == {("COR", "SIS"), ("ZON", "CHU"), ("TAQ1", "TAQ2")}
    assert not case.plants.spill_cost.any()
    np.testing.assert_array_equal(case.plants.cost, 10)
    assert "COR -t> SIS" in case.summary()


def test_a_public_case_is_the_same_from_matpower_and_from_json(hydro_cases, tmp_path):
    source = hydro_cases / "case3"
    for name in ("hydro.json", "inflows.csv", "scenarioprobability.csv", "PowerModels.m"):
        (tmp_path / name).write_text((source / name).read_text())
    json_case, matpower = read(source), read(tmp_path, deficit_cost=1000)
    assert_same(json_case, matpower, atol=1e-4)  # the JSON file rounds 60 degrees to 1.0472


def test_the_four_systems_of_brazil_are_read(hydro_cases):
    case = read(hydro_cases / "brasil_4")
    assert case.buses.names == ("SE", "NE", "N", "S", "Tr")
    assert (len(case.thermals.names), len(case.plants.names)) == (95, 4)
    assert case.inflows.shape == (12, 4, 25)
    assert case.demand.shape == (84, 5)
    # Limits between the systems, trans.csv: 3850, 500, 2000, 1980 and 1574.4 MW.
    np.testing.assert_allclose(case.branches.rating, [38.5, 5, 20, 19.8, 15.744])
    assert (
        json.loads((hydro_cases / "brasil_4" / "PowerModels.json").read_text())["load"]["1"]["pd"] == case.demand[0, 0]
    )
