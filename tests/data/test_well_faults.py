"""Files of The Well that contradict themselves are refused, and the message says what is wrong."""

import pytest

from sciml.data import open_trajectories
from sciml.errors import LayoutError
from tests.data.well_files import COUNT, STEPS

ENDS = [1, 0, 0, 0, 1]


def unwritten(file):
    file.name("t0_fields", "q")
    file.file.create_dataset("t0_fields/q", (COUNT, STEPS, 5, 6), "f4")


def half_written(file):
    file.name("t0_fields", "q")
    dataset = file.file.create_dataset("t0_fields/q", (COUNT, STEPS, 5, 6), "f4", chunks=(1, 1, 5, 6))
    dataset[:2] = 1.0


def never_written(path):
    def change(file):
        shape, attributes = file.file[path].shape, dict(file.file[path].attrs)
        del file.file[path]
        file.file.create_dataset(path, shape, "f4").attrs.update(attributes)

    return change


def never_written_scalar(file):
    file.scalar("nu", [0.5, 1.0, 2.0], sample=True)
    never_written("scalars/nu")(file)


def never_written_mask(file):
    file.boundary("walls", "WALL", ["x"], ENDS)
    never_written("boundary_conditions/walls/mask")(file)


def moving_grid(file):
    file.file["dimensions/x"].attrs["time_varying"] = True


def set_attribute(path, name, value):
    def change(file):
        file.file[path].attrs[name] = value

    return change


def delete(path):
    def change(file):
        del file.file[path]

    return change


def delete_attribute(path, name):
    def change(file):
        del file.file[path].attrs[name]

    return change


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (delete("dimensions"), r"no group 'dimensions'"),
        (delete("dimensions/time"), r"no group 'dimensions' with a dataset 'time'"),
        (delete("dimensions/y"), r"axis 'y' of 'spatial_dims' has no dataset"),
        (delete_attribute("/", "n_trajectories"), r"no attribute 'n_trajectories'"),
        (set_attribute("/", "n_trajectories", 5), r"p has shape \(3, 4, 5, 6\), but .* has shape \(5, 4, 5, 6\)"),
        (set_attribute("t0_fields/p", "time_varying", False), r"p has shape .* \(3, 5, 6\)"),
        (set_attribute("t0_fields/p", "sample_varying", False), r"p has shape .* \(4, 5, 6\)"),
        (set_attribute("t0_fields/p", "dim_varying", [True, False]), r"p has shape .* \(3, 4, 5\)"),
        (
            set_attribute("t0_fields/p", "dim_varying", [True]),
            r"'dim_varying' of /t0_fields/p has 1 entries for 2 axes",
        ),
        (set_attribute("t0_fields/p", "channels", ["a", "b"]), r"p has 1 components, but 2 entries in 'channels'"),
        (lambda file: file.name("t0_fields", "q"), r"'q' is named in 'field_names' of 't0_fields', but has no dataset"),
        (
            lambda file: file.file.create_group("t0_fields/g") and file.name("t0_fields", "g"),
            r"'t0_fields/g' is a group",
        ),
        (lambda file: file.field("p", 1) and file.field("p_x"), r"two channels named 'p_x'"),
        (unwritten, r"1 chunk\(s\) of /t0_fields/q were never written"),
        (half_written, r"4 chunk\(s\) of /t0_fields/q were never written"),
        (never_written("dimensions/time"), r"/dimensions/time were never written"),
        (never_written("dimensions/x"), r"/dimensions/x were never written"),
        (never_written_scalar, r"/scalars/nu were never written"),
        (never_written_mask, r"/boundary_conditions/walls/mask were never written"),
        (moving_grid, r"coordinate 'x' moves in time"),
        (lambda file: file.scalar("a", [1.0, 2.0]), r"scalars/a has shape \(2,\), but its attributes say 1 values"),
        (lambda file: file.scalar("a", [1.0, 2.0], sample=True), r"a has shape \(2,\), but .* each of 3 trajectories"),
        (lambda file: file.name("scalars", "a"), r"'a' is named in 'field_names' of 'scalars'"),
        (lambda file: file.boundary("a", "SLIP", ["x"], ENDS), r"'slip' on x; expected one of wall, open, periodic"),
        (lambda file: file.boundary("a", "WALL", ["w"], ENDS), r"'wall' on w; .* axes among x, y"),
        (lambda file: file.file.create_group("boundary_conditions/a"), r"needs the attributes 'bc_type'"),
        (delete("t0_fields/p"), r"'p' is named in 'field_names' of 't0_fields', but has no dataset"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(well, fault, message):
    with well() as file:
        file.field("p")
        fault(file)
    with pytest.raises(LayoutError, match=message):
        open_trajectories(file.path)


def test_a_file_without_fields_is_refused(well):
    with well() as file:
        pass
    with pytest.raises(LayoutError, match="names no field"):
        open_trajectories(file.path)


def test_a_file_that_was_cut_off_is_refused(well):
    with well() as file:
        file.field("p")
    path = file.path
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LayoutError, match="ends at byte"):
        open_trajectories(path)
