"""Reading planes straight from the file gives the numbers that h5py gives, however the file is stored."""

import os
import pickle

import h5py
import numpy as np
import pytest

from sciml.data import open_trajectories
from sciml.data.handle import open_hdf5
from sciml.data.variable import variable_of
from sciml.errors import DataError, LayoutError
from tests.data.numbers import numbered

SHAPE = (3, 5, 2, 7, 8)  # fewer than 2048 values: half precision can tell them apart
PLAIN = {
    "contiguous": {},
    "a chunk per frame": {"chunks": (1, 1, *SHAPE[2:])},
    "a chunk per channel": {"chunks": (1, 1, 1, *SHAPE[3:])},
    "a chunk per trajectory": {"chunks": (1, *SHAPE[1:])},
    "chunks that the shape does not divide": {"chunks": (2, 3, 2, *SHAPE[3:])},
    "float64": {"dtype": "<f8"},
}
OTHER = {
    "gzip": {"chunks": (1, 1, *SHAPE[2:]), "compression": "gzip"},
    "shuffle and lzf": {"chunks": (1, *SHAPE[1:]), "compression": "lzf", "shuffle": True},
    "chunks across space": {"chunks": (1, 1, 2, 4, 4)},
    "big endian": {"dtype": ">f4"},
    "half precision": {"dtype": "<f2"},
    "user block": {"file": {"userblock_size": 1024}},
}


def reads_directly(trajectories) -> bool:
    return all(variable.table is not None for variable in trajectories._variables.values())


@pytest.mark.parametrize("storage", [*PLAIN, *OTHER])
def test_every_storage_gives_the_numbers_that_were_written(hdf5, storage):
    values = numbered(*SHAPE)
    with open_trajectories(hdf5(values, **(PLAIN | OTHER)[storage])) as trajectories:
        assert reads_directly(trajectories) == (storage in PLAIN)
        trajectory, step = np.array([2, 0, 1, 2, 0]), np.array([4, 0, 3, 4, 1])
        np.testing.assert_array_equal(trajectories.read_frames(trajectory, step), values[trajectory, step])
        np.testing.assert_array_equal(trajectories.read(1, 1, 4), values[1, 1:4])
        np.testing.assert_array_equal(trajectories.read(2, channels=["channel_1"]), values[2, :, 1:])


@pytest.mark.parametrize("storage", [*PLAIN, *OTHER])
def test_channels_come_in_the_order_asked_for(hdf5, storage):
    values = numbered(*SHAPE)
    with open_trajectories(hdf5(values, **(PLAIN | OTHER)[storage])) as trajectories:
        np.testing.assert_array_equal(trajectories.read(0, channels=["channel_1", "channel_0"]), values[0][:, ::-1])


def test_a_chunk_that_was_never_written_reads_as_the_fill_value(tmp_path):
    with h5py.File(tmp_path / "holes.h5", "w") as file:
        dataset = file.create_dataset("fields", SHAPE, "<f4", chunks=(1, 1, *SHAPE[2:]), fillvalue=7.0)
        dataset[1, 2] = 3.0
    trajectories = open_trajectories(tmp_path / "holes.h5")
    assert (trajectories.read(0) == 7.0).all()
    assert (trajectories.read(1)[2] == 3.0).all()


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
def test_what_netcdf_lets_be_read_where_nothing_was_written_is_no_value(tmp_path, dtype):
    chunks = (1, 1, *SHAPE[2:])
    with h5py.File(tmp_path / "holes.nc", "w") as file:
        dataset = file.create_dataset("fields", SHAPE, dtype, chunks=chunks, fillvalue=9.9692099683868690e36)
        dataset[1:] = 3.0
    with pytest.raises(LayoutError, match=r"5 chunk\(s\) of /fields were never written"):
        open_trajectories(tmp_path / "holes.nc")


def test_a_damaged_chunk_is_named(hdf5):
    path = hdf5(numbered(*SHAPE), **OTHER["gzip"])
    with h5py.File(path) as file:
        damaged = file["fields"].id.get_chunk_info_by_coord((1, 2, 0, 0, 0))
    with path.open("r+b") as file:
        file.seek(damaged.byte_offset)
        file.write(bytes(damaged.size))
    trajectories = open_trajectories(path)
    with pytest.raises(LayoutError, match=r"/fields cannot be read at sample 1, time 2 .* file is damaged"):
        trajectories.read(1)


def test_a_frame_that_is_asked_for_twice_is_read_once(hdf5, monkeypatch):
    values = numbered(*SHAPE)
    trajectories = open_trajectories(hdf5(values))
    asked = []
    preadv = os.preadv
    monkeypatch.setattr(
        os, "preadv", lambda fd, views, offset: asked.append(views[0].nbytes) or preadv(fd, views, offset)
    )
    frames = trajectories.read_frames(np.array([1, 1, 1]), np.array([2, 3, 2]))
    np.testing.assert_array_equal(frames, values[1, [2, 3, 2]])
    assert sum(asked) == 2 * values[0, 0].nbytes


def test_neighbouring_frames_are_one_read_and_unwanted_channels_are_not_read(hdf5, monkeypatch):
    values = numbered(*SHAPE)
    trajectories = open_trajectories(hdf5(values))
    asked = []
    preadv = os.preadv
    monkeypatch.setattr(
        os, "preadv", lambda fd, views, offset: asked.append(views[0].nbytes) or preadv(fd, views, offset)
    )
    trajectories.read(1)
    assert asked == [values[1].nbytes]
    asked.clear()
    trajectories.read_frames(np.array([0]), np.array([0]), channels=["channel_1"])
    assert asked == [values[0, 0, 1].nbytes]


def test_a_short_read_is_continued(hdf5, monkeypatch):
    values = numbered(*SHAPE)
    trajectories = open_trajectories(hdf5(values))
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, views, offset: preadv(fd, [views[0][:100]], offset))
    np.testing.assert_array_equal(trajectories.read(2), values[2])


def test_no_frames_are_an_empty_array(hdf5):
    trajectories = open_trajectories(hdf5(numbered(*SHAPE)))
    assert trajectories.read(0, 2, 2).shape == (0, *SHAPE[2:])


@pytest.mark.parametrize(("trajectory", "step"), [(3, 0), (-1, 0), (0, 5), (0, -1)])
def test_a_trajectory_or_step_out_of_range_is_named(hdf5, trajectory, step):
    trajectories = open_trajectories(hdf5(numbered(*SHAPE)))
    with pytest.raises(DataError, match=rf"has no (trajectory|step) {trajectory or step}: it has \d, counted from 0"):
        trajectories.read_frames(np.array([trajectory]), np.array([step]))


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(LayoutError, match=r"gone\.nc does not exist"):
        open_trajectories(tmp_path / "gone.nc")
    with pytest.raises(LayoutError, match="is a folder"):
        open_trajectories(tmp_path)


def test_a_foreign_file_is_refused(tmp_path):
    (tmp_path / "text.nc").write_text("not HDF5" * 100)
    with pytest.raises(LayoutError, match="cannot be opened as HDF5 or NetCDF-4"):
        open_trajectories(tmp_path / "text.nc")


@pytest.mark.parametrize("storage", ["contiguous", "a chunk per frame"])
def test_a_truncated_file_says_where_it_ends(hdf5, storage):
    path = hdf5(numbered(*SHAPE), **PLAIN[storage])
    size = path.stat().st_size
    os.truncate(path, size - 500)
    with pytest.raises(LayoutError, match=rf"ends at byte {size - 500}, but its frames need {size} bytes"):
        open_trajectories(path)


def test_a_file_cut_while_it_is_open_says_which_bytes_are_missing(hdf5):
    path = hdf5(numbered(*SHAPE))
    trajectories = open_trajectories(path)
    trajectories.read(0)
    os.truncate(path, path.stat().st_size - 500)
    with pytest.raises(LayoutError, match=r"ends at byte \d+, but the frame at byte \d+ needs \d+ bytes"):
        trajectories.read(2)


def test_a_file_that_was_replaced_is_not_read_with_the_old_offsets(hdf5):
    trajectories = open_trajectories(hdf5(numbered(*SHAPE)))
    hdf5(numbered(*SHAPE)[:, :, :1])
    with pytest.raises(LayoutError, match="changed or replaced"):
        trajectories.read(0)


@pytest.mark.parametrize("storage", ["contiguous", "gzip"])
def test_trajectories_can_be_pickled_and_closed_and_go_on_reading(hdf5, storage):
    values = numbered(*SHAPE)
    trajectories = open_trajectories(hdf5(values, **(PLAIN | OTHER)[storage]))
    trajectories.read(0)
    copy = pickle.loads(pickle.dumps(trajectories))
    np.testing.assert_array_equal(copy.read(1), values[1])
    trajectories.close()
    trajectories.close()
    np.testing.assert_array_equal(trajectories.read(2), values[2])


def test_closing_gives_the_descriptor_back(hdf5):
    before = set(os.listdir("/dev/fd"))
    trajectories = open_trajectories(hdf5(numbered(*SHAPE)))
    trajectories.read(0)
    assert len(os.listdir("/dev/fd")) == len(before) + 1
    trajectories.close()
    assert len(os.listdir("/dev/fd")) == len(before)


@pytest.mark.parametrize("storage", ["contiguous", "gzip"])
def test_a_forked_process_opens_the_file_for_itself(hdf5, storage):
    values = numbered(*SHAPE)
    trajectories = open_trajectories(hdf5(values, **(PLAIN | OTHER)[storage]))
    trajectories.read(0)
    descriptor, file = trajectories._file._descriptor, trajectories._file._hdf5
    child = os.fork()
    if child == 0:
        same = np.array_equal(trajectories.read(1), values[1])
        shared = trajectories._file._descriptor == descriptor and trajectories._file._hdf5 is file
        os._exit(0 if same and not shared else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(trajectories.read(2), values[2])


def test_a_file_that_something_else_holds_open_can_be_read(hdf5):
    path = hdf5(numbered(*SHAPE))
    for locking in (True, False):
        with h5py.File(path, "r", locking=locking):
            assert len(open_trajectories(path)) == 3


def test_an_offset_table_knows_every_chunk(hdf5):
    path = hdf5(numbered(*SHAPE), chunks=(2, 3, 2, *SHAPE[3:]))
    with open_hdf5(path) as file:
        variable = variable_of(file["fields"], ("sample", "time", "channel"))
    assert variable.table.shape == (2, 2, 1)
    assert len(np.unique(variable.table)) == 4
