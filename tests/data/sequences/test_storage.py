import threading

import numpy as np
import pytest

from sciml.data.sequences.storage import Block, statistics, store
from sciml.errors import WriteError

SPLITS, BLOCK = (50, 10, 13), 8


def make(examples):
    random = np.random.default_rng(examples.start)
    lengths = random.integers(1, 9, (len(examples), 1))
    return Block(random.normal(3, 2, (lengths.sum(), 2)).astype(np.float32), lengths, np.arange(len(examples)))


def stored(folder, make=make, **settings):
    return store(folder, "some", make, **{"recipe": {"seed": 0}, "splits": SPLITS, "block": BLOCK, **settings})


def content(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def whole(tmp_path):
    return content(stored(tmp_path / "whole").path)


def stopping(after, made):
    def make_some(examples):
        made.append(examples.start)
        if examples.start >= after:
            raise RuntimeError("killed")
        return make(examples)

    return make_some


def test_what_is_read_is_what_was_made(tmp_path):
    parts = stored(tmp_path).parts()
    assert [len(part) for part in parts] == list(SPLITS)
    first = make(range(0, 8))
    ends = np.cumsum(first.lengths)
    assert np.array_equal(parts[0].values[: ends[-1]], first.values)
    assert np.array_equal(parts[0].padded(np.array([2]))[0], first.values[ends[1] : ends[2]])
    last = make(range(72, 73))
    assert np.array_equal(parts[2].padded(np.array([12]))[0], last.values)


def test_an_interrupted_making_goes_on_and_leaves_the_same_bytes(tmp_path, whole):
    made = []
    with pytest.raises(RuntimeError, match="killed"):
        stored(tmp_path, stopping(24, made), workers=1)
    (part,) = tmp_path.glob("*.part")
    kept = len((part / "journal").read_bytes().splitlines())
    assert kept >= 1
    again = []
    resumed = stored(tmp_path, lambda examples: (again.append(examples.start), make(examples))[1])
    assert min(again) == kept * BLOCK
    assert content(resumed.path) == whole
    assert not list(tmp_path.glob("*.part"))


def test_what_a_kill_left_beyond_the_journal_does_not_count(tmp_path, whole):
    with pytest.raises(RuntimeError):
        stored(tmp_path, stopping(32, []), workers=1)
    (part,) = tmp_path.glob("*.part")
    for name in ("values.bin", "lengths.bin", "target.bin"):
        with (part / name).open("ab") as file:
            file.write(b"half a block")
    with (part / "journal").open("ab") as file:
        file.write(b'{"values": {"dtype"')
    assert content(stored(tmp_path).path) == whole


def test_a_finished_data_set_is_not_made_again_and_other_settings_make_another(tmp_path):
    path = stored(tmp_path).path
    assert stored(tmp_path, stopping(0, [])).path == path
    for other in ({"recipe": {"seed": 1}}, {"splits": (51, 9, 13)}, {"block": 16}):
        assert stored(tmp_path, **other).path != path


def test_of_two_that_ask_at_once_one_makes_and_the_other_waits(tmp_path, whole):
    made, found = [], []

    def slow(examples):
        made.append(examples.start)
        threading.Event().wait(0.01)
        return make(examples)

    both = [threading.Thread(target=lambda: found.append(stored(tmp_path, slow).path)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(made) == list(range(0, sum(SPLITS), BLOCK))
    assert [content(path) for path in found] == [whole, whole]


def test_statistics_are_those_of_the_training_part(tmp_path):
    data = stored(tmp_path)
    train = data.parts()[0]
    values = np.concatenate([train.padded(np.array([i]))[0] for i in range(len(train))]).astype(np.float64)
    # Stored as float64, summed in another order.
    assert data.normaliser.mean == pytest.approx(values.mean(0), rel=1e-12)
    assert data.normaliser.std == pytest.approx(values.std(0), rel=1e-12)


def test_statistics_do_not_cancel_where_the_mean_is_large():
    values = 1e6 + np.random.default_rng(0).normal(size=(5000, 1))
    assert statistics(values)[1] == pytest.approx(values.std(0).tolist(), rel=1e-9)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"some_\w+\.part cannot be written.*data_dir=FOLDER"):
        stored(tmp_path / "file")
