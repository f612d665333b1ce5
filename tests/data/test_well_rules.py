"""The rules of The Well's published validator, one by one: what we write keeps them, and our check of them can fail."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from sciml.data.convert import convert
from tests.data.numbers import numbered
from tests.data.well_files import violations

FORMATS = Path(__file__).parents[1] / "fixtures/formats/the_well"
EVOLVING = ("sample", "time", "channel", "x", "y")


def test_the_rules_pass_the_published_file_that_the_validator_passes():
    assert violations(FORMATS / "datasets/dummy/data/train/dummy_valid.hdf5") == []


def test_the_rules_refuse_the_published_file_that_the_validator_refuses():
    # It is the publishers' own example; the validator stops at the first of these.
    assert violations(FORMATS / "dummy_from_their_writer.hdf5") == [
        "time: time_varying",
        "x: time_varying",
        "y: time_varying",
        "x_periodic: associated_dims is a list",
        "x_periodic: associated_dims are axes",
        "y_periodic: associated_dims is a list",
        "y_periodic: associated_dims are axes",
    ]


@pytest.fixture
def converted(well, tmp_path):
    """A file of ours with a scalar, a vector, a tensor, a constant field, a parameter and two conditions."""
    with well("source.hdf5") as file:
        file.field("p")
        file.field("velocity", 1)
        file.field("stress", 2)
        file.field("height", time=False, varies=(True, False))
        file.scalar("nu", 0.5)
        file.boundary("ends", "WALL", ["x"], [1, 0, 0, 0, 1])
        file.boundary("around", "PERIODIC", ["y"], [1, 0, 0, 0, 0, 1])
    return convert(file.path, tmp_path / "converted.hdf5", to="the_well")


def test_a_converted_file_keeps_all_rules(converted):
    assert violations(converted) == []


def attribute(path, name, value=None):
    """Set an attribute, or take it away."""

    def change(file):
        if value is None:
            del file[path].attrs[name]
        else:
            file[path].attrs[name] = value

    return change


def without(path):
    def change(file):
        del file[path]

    return change


def cut(path):
    """One entry less along the first axis."""

    def change(file):
        values, attributes = file[path][1:], dict(file[path].attrs)
        del file[path]
        file.create_dataset(path, data=values).attrs.update(attributes)

    return change


WALL = "boundary_conditions/x_wall"
BROKEN = {
    "no data set name": attribute("/", "dataset_name"),
    "no grid type": attribute("/", "grid_type"),
    "an unknown grid type": attribute("/", "grid_type", "triangles"),
    "another number of dimensions": attribute("/", "n_spatial_dims", 3),
    "a number of trajectories that is none": attribute("/", "n_trajectories", "three"),
    "no parameters": attribute("/", "simulation_parameters"),
    "a parameter that is no attribute": attribute("/", "nu"),
    "a parameter that is no scalar": without("scalars/nu"),
    **{
        f"no {group}": without(group)
        for group in ("dimensions", "boundary_conditions", "scalars", "t0_fields", "t1_fields", "t2_fields")
    },
    "no time": without("dimensions/time"),
    "no x": without("dimensions/x"),
    "no axes": attribute("dimensions", "spatial_dims"),
    "an axis that is no list": attribute("dimensions", "spatial_dims", "x"),
    "time that does not say whether it varies": attribute("dimensions/time", "time_varying"),
    "an axis whose flag is a number": attribute("dimensions/y", "sample_varying", 0),
    "no list of fields": attribute("t0_fields", "field_names"),
    "a field that is not there": without("t1_fields/velocity"),
    "a field without a flag": attribute("t0_fields/p", "sample_varying"),
    "a field whose flags for axes are numbers": attribute("t0_fields/p", "dim_varying", [1, 1]),
    "a field with a flag too many": attribute("t0_fields/p", "dim_varying", [True] * 3),
    "a field with a trajectory less": cut("t0_fields/p"),
    "a constant field that says it has time": attribute("t0_fields/height", "time_varying", True),
    "a scalar without a flag": attribute("scalars/nu", "time_varying"),
    "a scalar that says it varies": attribute("scalars/nu", "sample_varying", True),
    "a condition without a type": attribute(WALL, "bc_type"),
    "a condition of an unknown type": attribute(WALL, "bc_type", "SLIP"),
    "a condition without fields": attribute(WALL, "associated_fields"),
    "a condition whose axis is no list": attribute(WALL, "associated_dims", "x"),
    "a condition on an unknown axis": attribute(WALL, "associated_dims", np.array(["w"], h5py.string_dtype())),
    "a condition without a flag": attribute(WALL, "sample_varying"),
    "a condition without a mask": without(f"{WALL}/mask"),
    "a mask of another size": cut(f"{WALL}/mask"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_every_rule_can_be_broken(converted, rule):
    with h5py.File(converted, "r+") as file:
        BROKEN[rule](file)
    assert violations(converted)


@pytest.mark.parametrize("task", ["NS-PwC", "Wave-Layer", "Poisson-Gauss", "CE-RP"])
def test_published_files_of_the_other_layout_become_files_that_keep_all_rules(official, tmp_path, task):
    plane, evolving = ("sample", "x", "y"), ("sample", "time", "x", "y")
    variables = {
        "NS-PwC": {"velocity": (EVOLVING, numbered(3, 21, 3, 4, 4))},
        "Wave-Layer": {"solution": (evolving, numbered(3, 21, 4, 4)), "c": (plane, numbered(3, 4, 4))},
        "Poisson-Gauss": {"source": (plane, numbered(3, 4, 4)), "solution": (plane, numbered(3, 4, 4))},
        "CE-RP": {"data": (EVOLVING, numbered(3, 21, 5, 4, 4))},
    }[task]
    made = convert(official(f"{task}.nc", **variables), tmp_path / "made", to="the_well", validation=1, test=1)
    files = sorted(made.rglob("*.hdf5"))
    assert len(files) == 3
    assert {path.name: violations(path) for path in files} == {path.name: [] for path in files}
