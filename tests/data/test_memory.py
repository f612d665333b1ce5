"""Reading frames at random takes the same small memory however large the file is: 3.1 GB here, plain and compressed."""

import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from sciml.data import open_trajectories

SHAPE = (200, 60, 256, 256)  # 3.1 GB in single precision
RESIDENT = Path("/proc/self/statm")
LIMIT = 100e6
pytestmark = pytest.mark.skipif(not RESIDENT.exists(), reason="the resident memory is read from /proc")


def resident() -> int:
    return int(RESIDENT.read_text().split()[1]) * 4096


def plain(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    """A contiguous dataset, a hole in the file."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(np.dtype(np.float32))
    h5py.h5d.create(file.id, name.encode(), kind, space, layout)


def compressed(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    """A dataset in compressed chunks of four frames, or of one field a trajectory, each chunk packed once."""
    chunk = (1, 4, *shape[2:]) if len(shape) == 4 else (1, *shape[1:])
    dataset = file.create_dataset(name, shape, "<f4", chunks=chunk, compression="gzip")
    packed = zlib.compress(np.ones(chunk, np.float32).tobytes(), 1)
    for place in np.ndindex(*(n // c for n, c in zip(shape, chunk, strict=True))):
        dataset.id.write_direct_chunk(tuple(i * c for i, c in zip(place, chunk, strict=True)), packed)


@pytest.mark.parametrize("storage", [plain, compressed])
def test_reading_at_random_from_a_large_file_takes_no_memory(tmp_path, storage):
    with h5py.File(tmp_path / "Wave-Layer.nc", "w") as file:
        storage(file, "solution", SHAPE)
        storage(file, "c", (SHAPE[0], *SHAPE[2:]))  # which is kept, as far as it has room
    trajectories = open_trajectories(tmp_path / "Wave-Layer.nc")
    assert trajectories.direct == (storage is plain)
    trajectories.read_frames(np.array([0]), np.array([0]))
    before, most = resident(), 0
    rng = np.random.default_rng(0)
    for _ in range(50):
        frames = trajectories.read_frames(rng.integers(SHAPE[0], size=8), rng.integers(SHAPE[1], size=8))
        most = max(most, resident())
    assert frames.shape == (8, 2, *SHAPE[2:])
    assert most - before < LIMIT, f"{(most - before) / 1e6:.0f} MB"
