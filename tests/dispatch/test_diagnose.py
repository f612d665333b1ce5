"""What an infeasible program says: rows and limits by name, with numbers and units, and nothing else."""

import numpy as np
import pytest

from sciml.dispatch.programs import make_horizon_program, make_stage_program
from sciml.errors import InfeasibleError
from tests.dispatch.small_forms import small_form
from tests.dispatch.two_buses import stage_parameters, two_buses


def message(program, parameters):
    with pytest.raises(InfeasibleError) as raised:
        program.solve(parameters)
    return str(raised.value)


@pytest.mark.parametrize("network", ["dc", "soc"])
def test_a_target_above_the_largest_volume_is_named_with_both(cascade, network):
    program = make_stage_program(cascade, network, targets="strict")
    water = cascade.plants.volume_max
    text = message(program, stage_parameters(program, cascade, water=1.2 * water, target=water + np.eye(4)[1]))
    assert "target of Gorge is 25 hm3; volume of Gorge is at most 24 hm3." in text
    assert "Headwater" not in text
    assert "targets='penalised'" in text
    assert "write" in text


@pytest.mark.parametrize("network", ["dc", "soc"])
def test_a_target_that_needs_more_water_than_there_is_names_the_water(cascade, network):
    program = make_stage_program(cascade, network, targets="strict")
    water = np.array([300.0, 10.0, 30.0, 1.0])
    text = message(program, stage_parameters(program, cascade, water=water, target=[400.0, 5.0, 20.0, 0.5]))
    for part in (
        "water of Headwater is 300 hm3",
        "target of Headwater is 400 hm3",
        "turbine of Headwater is at least 0 m3/s",
        "spill of Headwater is at least 0 hm3",
    ):
        assert part in text
    assert "Gorge" not in text
    assert "load" not in text


def test_the_stage_of_a_horizon_is_named():
    case = two_buses()
    program = make_horizon_program(case, "dc", 3, targets="strict")
    target = [4.0, 11.0, 3.0]
    p = np.concatenate([[9.0, 9.0, 9.0], target, *[case.load(t)[0] for t in range(3)]])
    text = message(program, p)
    assert "target of lake, stage 2, is 11 hm3; volume of lake, stage 2, is at most 10 hm3." in text
    assert "stage 1" not in text
    assert "stage 3" not in text


def test_units_that_must_make_more_than_the_load_are_named():
    case = two_buses(thermals__power_min=[0.6, 0.5])
    program = make_stage_program(case, "dc")
    text = message(program, stage_parameters(program, case, water=0.0))
    for part in ("thermal of coal is at least 0.6 p.u.", "load of south is 0.8 p.u.", "deficit of south is at least 0"):
        assert part in text


def test_a_cone_that_has_the_largest_part_in_a_proof_is_named():
    # What the unit must make does not pass the line.
    case = two_buses(thermals__power_min=[0.9, 0.0], branches__rating=[0.4], branches__resistance=[0.03])
    program = make_stage_program(case, "soc")
    text = message(program, stage_parameters(program, case, water=0.0))
    assert "contradict each other: limit of thermal of coal; rating of line 1" in text


def test_names_stand_in_where_a_program_has_none():
    from sciml.dispatch.linear import LinearProgram

    program = LinearProgram(small_form([[1.0, 0.0]], 0, 0, [1.0, 1.0], upper=3.0))
    assert "row 1 is 5; column 1 is at most 3" in message(program, np.array([5.0]))


def test_a_program_of_many_contradictions_shows_the_first_few():
    from sciml.dispatch.linear import LinearProgram

    program = LinearProgram(small_form(np.ones((1, 20)), 0, 0, 0.0, upper=1.0))
    text = message(program, np.array([25.0]))
    assert text.count("row") + text.count("column") == 8
    assert "; and 13 more." in text
