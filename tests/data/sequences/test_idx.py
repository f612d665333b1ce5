import gzip
import struct

import numpy as np
import pytest

from sciml.data.sequences import SequenceDataset, open_fashion_mnist
from sciml.data.sequences import idx as module
from sciml.data.sequences.idx import read_idx
from sciml.errors import ConfigError, LayoutError


def idx(array):
    return b"\0\0\x08" + struct.pack(f">B{array.ndim}i", array.ndim, *array.shape) + array.tobytes()


def write_pictures(folder, *, train=12, test=5, compress=True):
    """Four IDX files with random pictures of 4 x 4 pixels; picture i has class i % 10."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        pictures = random.integers(0, 256, (count, 4, 4), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        for name, array in (("images-idx3", pictures), ("labels-idx1", labels)):
            path = folder / f"{prefix}-{name}-ubyte{'.gz' if compress else ''}"
            path.write_bytes(gzip.compress(idx(array)) if compress else idx(array))
    return folder


@pytest.mark.parametrize("compress", [True, False])
def test_validation_is_cut_from_the_end_of_the_training_part(tmp_path, compress):
    write_pictures(tmp_path / "fashion-mnist", compress=compress)
    task = open_fashion_mnist(folder=tmp_path, validation=3)
    assert [part.target.tolist() for part in (task.train, task.validation, task.test)] == [
        [0, 1, 2, 3, 4, 5, 6, 7, 8],
        [9, 0, 1],
        [0, 1, 2, 3, 4],
    ]
    assert (task.length, task.features, task.outputs, task.encoder) == (16, 1, 10, "continuous")


def test_pixels_are_read_row_by_row_and_normalised_by_the_training_part(tmp_path):
    folder = write_pictures(tmp_path)
    task = open_fashion_mnist(path=folder, validation=3)
    pictures = read_idx(folder / "train-images-idx3-ubyte.gz").reshape(12, 16).astype(float)
    mean, std = pictures[:9].mean(), pictures[:9].std()
    batch = SequenceDataset(task, task.validation).__getitems__([0, 2])
    # float32
    assert batch["inputs"].squeeze(2).numpy() == pytest.approx((pictures[[9, 11]] - mean) / std, abs=1e-5)


def test_the_permuted_pixels_are_the_same_pixels_in_one_order(tmp_path):
    folder = write_pictures(tmp_path)
    rows, mixed, again = (
        SequenceDataset(task, task.test).__getitems__([0, 1])["inputs"]
        for task in (open_fashion_mnist(path=folder, validation=3, permute=seed) for seed in (None, 0, 0))
    )
    order = np.random.default_rng(0).permutation(16)
    assert (mixed == rows[:, order]).all()
    assert (mixed == again).all()
    assert (mixed != rows).any()


def test_missing_files_name_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "USUAL_PLACE", str(tmp_path / "usual"))
    with pytest.raises(LayoutError, match=r"apt install dataset-fashion-mnist.*data\.path=FOLDER"):
        open_fashion_mnist(folder=tmp_path)
    write_pictures(tmp_path / "usual")
    assert len(open_fashion_mnist(folder=tmp_path, validation=3).test) == 5


def test_damaged_files_are_named(tmp_path):
    folder = write_pictures(tmp_path, compress=False)
    path = folder / "train-images-idx3-ubyte"
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:7], b"", b"\x1f\x8b\x08broken", b"\0\0\x0d" + whole[3:]):
        path.write_bytes(content)
        with pytest.raises(LayoutError, match=r"train-images-idx3-ubyte.*Fetch it again"):
            open_fashion_mnist(path=folder, validation=3)
    path.write_bytes(idx(np.zeros((11, 4, 4), np.uint8)))
    with pytest.raises(LayoutError, match="11 pictures and 12 labels"):
        open_fashion_mnist(path=folder, validation=3)


def test_a_validation_part_that_leaves_nothing_is_named(tmp_path):
    with pytest.raises(ConfigError, match="validation is 12, but there are 12 pictures"):
        open_fashion_mnist(path=write_pictures(tmp_path), validation=12)
