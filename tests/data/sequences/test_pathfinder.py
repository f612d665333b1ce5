import numpy as np
import pytest
from scipy import ndimage

from sciml.data.sequences import open_pathfinder, pathfinder_layout
from sciml.data.sequences.pathfinder import make_block, render
from sciml.data.sequences.pathfinder_layout import Drawing, lay_out
from sciml.errors import ConfigError, DataError, LayoutError

FINE = Drawing(size=256)


@pytest.fixture(scope="module")
def scenes():
    joined = np.arange(96) % 2 == 1
    return joined, *lay_out(FINE, joined, np.random.default_rng(5))


def test_dots_are_on_one_path_exactly_where_the_class_says_so(scenes):
    # A gap is 8 * (1.1 - 0.7) = 3.2 pixels wide; what is not joined is at least 8 * (2.3 - 0.24 - 1.0 - 0.35) = 5.7
    # pixels apart (0.24: half the diagonal of a cell). Discs of radius 2 bridge the one and not the other.
    joined, dashes, dots = scenes
    disc = np.hypot(*np.mgrid[-2:3, -2:3]) <= 2
    for picture, (a, b), same in zip(render(FINE, dashes, dots), (8 * dots).astype(int), joined, strict=True):
        parts, _ = ndimage.label(ndimage.binary_dilation(picture > 127, disc), np.ones((3, 3)))
        assert parts[tuple(a)] > 0
        assert (parts[tuple(a)] == parts[tuple(b)]) == same


def test_both_long_paths_are_always_there_and_most_pictures_have_distractors(scenes):
    there = np.isfinite(scenes[1][:, :, 0, 0])
    assert there[:, : 2 * FINE.dashes].all()
    short = there[:, 2 * FINE.dashes :: FINE.distractor_dashes].sum(1)
    assert short.mean() > 2
    assert short.max() <= FINE.distractors


def test_nothing_is_drawn_outside_and_dashes_have_their_length(scenes):
    _, dashes, dots = scenes
    there = dashes[np.isfinite(dashes[:, :, 0, 0])]
    assert ((there > 0) & (there < 32)).all()
    assert ((dots > FINE.dot) & (dots < 32 - FINE.dot)).all()
    assert np.linalg.norm(there[:, 1] - there[:, 0], axis=1) == pytest.approx(FINE.dash)


def test_a_stroke_has_the_brightness_of_its_distance():
    one = np.array([[[[16.0, 10.0], [16.0, 20.0]]]])
    far = np.full((1, 2, 2), 30.0)
    picture = render(Drawing(dash=10.0), one, far)[0] / 255
    # Pixel centres at half a pixel from the axis, r = 0.35; rounded to 8 bits.
    assert picture[15:17, 12:18] == pytest.approx(np.full((2, 6), 0.5 + 0.35 - 0.5), abs=1 / 255)
    assert picture[16, 20] == pytest.approx(0.5 + 0.35 - np.hypot(0.5, 0.5), abs=1 / 255)
    assert picture[14, 10:20].max() == 0


def test_the_classes_are_balanced_and_equally_bright():
    block = make_block(Drawing(), range(512), seed=0)
    assert block.target.mean() == 0.5
    bright = block.values.reshape(512, -1).mean(1)
    a, b = bright[block.target == 0], bright[block.target == 1]
    # Four and a half standard errors: one in 1e5 by chance.
    assert abs(a.mean() - b.mean()) < 4.5 * np.sqrt((a.var() + b.var()) / 256)


def test_pictures_are_rendered_once_and_are_the_same_with_any_number_of_threads(tmp_path):
    numbers = {"train": 270, "validation": 10, "test": 20}
    task = open_pathfinder(folder=tmp_path / "a", workers=1, **numbers)
    other = open_pathfinder(folder=tmp_path / "b", workers=3, **numbers)
    assert np.array_equal(task.train.values, other.train.values)
    assert (task.length, task.features, task.outputs, task.ragged) == (1024, 1, 2, False)
    assert [len(part) for part in (task.train, task.validation, task.test)] == [270, 10, 20]
    assert task.test.target.mean() == 0.5
    pixels = task.train.values[: 270 * 1024].astype(float)
    assert task.normaliser.mean == pytest.approx(pixels.mean())
    assert task.normaliser.std == pytest.approx(pixels.std())


def test_settings_that_cannot_be_drawn_are_named(monkeypatch):
    with pytest.raises(ConfigError, match=r"spacing above 1\.8, or else dots and paths that pass by look joined"):
        Drawing(spacing=1.7)
    monkeypatch.setattr(pathfinder_layout, "TRIES", 2)
    with pytest.raises(DataError, match="two paths of 60 dashes find no room in a picture"):
        lay_out(Drawing(dashes=60), np.ones(2, bool), np.random.default_rng(0))


def write_published(folder, count=20):
    from PIL import Image

    (folder / "imgs" / "0").mkdir(parents=True)
    (folder / "metadata").mkdir()
    lines = []
    for i in range(count):
        Image.fromarray(np.full((32, 32), i, np.uint8)).save(folder / "imgs" / "0" / f"sample_{i}.png")
        lines.append(f"imgs/0 sample_{i}.png {i} {i % 2} 1.0 14")
    (folder / "metadata" / "0.npy").write_text("\n".join(lines) + "\n")
    return folder


def test_published_pictures_are_found_in_the_release_and_cut_in_tenths(tmp_path):
    folder = write_published(tmp_path / "lra_release" / "pathfinder32" / "curv_contour_length_14", 21)
    (folder / "imgs" / "0" / "sample_7.png").write_bytes(b"")  # as one of the published ones
    task = open_pathfinder(path=tmp_path, folder=tmp_path / "data")
    assert [len(part) for part in (task.train, task.validation, task.test)] == [16, 2, 2]
    numbers = [i for i in range(21) if i != 7]
    assert task.train.padded(np.arange(16))[:, 5, 0].tolist() == numbers[:16]
    assert task.test.padded(np.arange(2))[:, 0, 0].tolist() == numbers[18:]
    assert task.test.target.tolist() == [i % 2 for i in numbers[18:]]


def test_published_pictures_of_another_size_or_none_are_named(tmp_path):
    with pytest.raises(LayoutError, match=r"pathfinder32/curv_contour_length_14 with imgs and metadata.*lra_release"):
        open_pathfinder(path=tmp_path, folder=tmp_path)
    write_published(tmp_path / "curv_contour_length_14")
    with pytest.raises(DataError, match=r"sample_0\.png has \(32, 32\) pixels, \(128, 128\) are expected"):
        open_pathfinder(path=tmp_path, folder=tmp_path, size=128)
