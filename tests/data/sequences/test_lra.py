import os
import pickle

import numpy as np
import pytest

from sciml.data.sequences import SequenceDataset, open_aan, open_cifar10, open_imdb
from sciml.errors import ConfigError, DataError, LayoutError


def text(tokens):
    return bytes(int(t) - 1 for t in tokens if t).decode()


def write_aan(folder):
    folder.mkdir(parents=True)
    rows = {
        "train": ["1.0\tA\tB\tabcdef\tgh", '0.0\tC\tD\t"i" j\t'],
        "eval": ["1\tA\tC\tk\tl"],
        "test": ["0\tB\tD\tm\tn"],
    }
    for part, lines in rows.items():
        (folder / f"new_aan_pairs.{part}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_pairs_of_papers_are_bytes_cut_to_a_length(tmp_path):
    write_aan(tmp_path / "lra_release" / "tsv_data")
    task = open_aan(path=tmp_path / "lra_release", folder=tmp_path, max_length=4)
    assert (task.kind, task.vocabulary, task.outputs, task.ragged) == ("retrieval", 257, 2, True)
    batch = SequenceDataset(task, task.train).__getitems__([0, 1])
    assert [text(row) for row in batch["inputs"]] == ["abcd", '"i" ']
    assert [text(row) for row in batch["inputs2"]] == ["gh", " "]
    assert (batch["lengths2"].tolist(), batch["target"].tolist()) == ([2, 1], [1, 0])
    assert (len(task.validation), len(task.test)) == (1, 1)


def test_a_changed_file_is_read_again(tmp_path):
    folder = write_aan(tmp_path / "aan")
    open_aan(folder=tmp_path)
    (folder / "new_aan_pairs.test.tsv").write_text("0\tB\tD\tother\tn\n")
    task = open_aan(folder=tmp_path)
    assert text(task.test.padded(np.array([0]))[0]) == "other"


def test_a_broken_line_and_missing_texts_are_named(tmp_path):
    with pytest.raises(LayoutError, match=r"new_aan_pairs\.train\.tsv is missing.*lra_release\.gz"):
        open_aan(folder=tmp_path)
    folder = write_aan(tmp_path / "aan")
    with (folder / "new_aan_pairs.train.tsv").open("a") as file:
        file.write("1.0\tonly three\tcolumns\n")
    with pytest.raises(DataError, match=r"train\.tsv, example 2: 5 columns .* are expected, 3 came"):
        open_aan(folder=tmp_path)


def write_imdb(folder, count=4):
    for part in ("train", "test"):
        for side in ("neg", "pos"):
            (folder / part / side).mkdir(parents=True)
            for i in range(count):
                (folder / part / side / f"{i}_7.txt").write_text(f"{part} {side} {i}")
    return folder


def test_reviews_alternate_between_the_classes_so_that_every_part_is_balanced(tmp_path):
    write_imdb(tmp_path / "aclImdb", count=12)
    task = open_imdb(folder=tmp_path, validation=4)
    assert [len(part) for part in (task.train, task.validation, task.test)] == [20, 4, 24]
    assert [text(row) for row in task.validation.padded(np.arange(4))] == [
        "train neg 10",
        "train pos 10",
        "train neg 11",
        "train pos 11",
    ]
    assert task.validation.target.tolist() == [0, 1, 0, 1]
    assert text(task.test.padded(np.array([1]))[0]) == "test pos 0"


def test_missing_reviews_say_what_to_fetch(tmp_path):
    with pytest.raises(LayoutError, match=r"0 reviews in neg and 0 in pos.*aclImdb_v1\.tar\.gz.*data\.path=FOLDER"):
        open_imdb(folder=tmp_path)
    with pytest.raises(ConfigError, match="validation is 8, but there are 8 reviews"):
        open_imdb(path=write_imdb(tmp_path / "aclImdb"), folder=tmp_path, validation=8)


def write_cifar(folder, *, binary=False, each=4):
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for i, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        pictures, labels = random.integers(0, 256, (each, 3072), np.uint8), [(i + k) % 10 for k in range(each)]
        if binary:
            (folder / f"{name}.bin").write_bytes(
                np.concatenate([np.array(labels, np.uint8)[:, None], pictures], 1).tobytes()
            )
        else:
            # As the published files were written: byte strings for keys.
            (folder / name).write_bytes(pickle.dumps({b"data": pictures, b"labels": labels}, protocol=2))
    return folder


@pytest.mark.parametrize("grayscale", [True, False])
def test_both_versions_of_cifar_hold_the_same_pixels(tmp_path, grayscale):
    tasks = [
        open_cifar10(path=write_cifar(tmp_path / str(binary), binary=binary), grayscale=grayscale, validation=5)
        for binary in (False, True)
    ]
    for a, b in zip(*((t.train, t.validation, t.test) for t in tasks), strict=True):
        assert np.array_equal(a.values, b.values)
        assert np.array_equal(a.target, b.target)
    task = tasks[0]
    assert [len(part) for part in (task.train, task.validation, task.test)] == [15, 5, 4]
    assert (task.length, task.features) == (1024, 1 if grayscale else 3)
    raw = pickle.loads((tmp_path / "False" / "data_batch_1").read_bytes())[b"data"][0].reshape(3, 1024).T.astype(float)
    expected = raw @ [[0.299], [0.587], [0.114]] if grayscale else raw
    # Grey values are rounded to whole numbers.
    assert task.train.padded(np.array([0]))[0] == pytest.approx(expected, abs=0.5 + 1e-9)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_batch_that_would_run_code_or_is_damaged_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_cifar(tmp_path / "cifar-10-batches-py")
    for content in (pickle.dumps(Harmful()), b"", b"\x80\x02", pickle.dumps({b"data": 3, b"labels": [1]})):
        (folder / "data_batch_2").write_bytes(content)
        with pytest.raises(LayoutError, match="data_batch_2 is no batch of CIFAR-10, or is damaged"):
            open_cifar10(folder=tmp_path, validation=5)
    assert not (tmp_path / "harm").exists()


def test_missing_batches_say_what_to_fetch(tmp_path):
    with pytest.raises(LayoutError, match=r"cifar-10-python\.tar\.gz.*data\.path=FOLDER"):
        open_cifar10(folder=tmp_path)
