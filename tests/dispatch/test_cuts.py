import numpy as np
import pytest

from sciml.dispatch.cuts import Cuts, read_cuts, with_cuts
from sciml.dispatch.network import stage_form
from sciml.dispatch.programs import solver_for, typical_parameters
from sciml.errors import CheckpointError, ConfigError


def tangents(points, *, columns=None):
    """Cuts of (v - 5)^2, of one plant and two stages, that touch it at these points."""
    v = np.asarray(points, dtype=float)
    weights = np.ones(1) if columns is None else np.full(max(columns) + 1, 0.5)
    cuts = Cuts(["dam"], [weights, np.zeros(0)])
    slopes = 2 * (v - 5)
    intercepts = (v - 5) ** 2 - slopes * v
    columns = np.zeros(len(v), dtype=int) if columns is None else np.array(columns)
    cuts.append(0, intercepts, slopes[:, None], columns, v[:, None])
    return cuts


def test_the_value_is_the_highest_plane_and_at_least_0():
    cuts = tangents([0, 10])
    # 25 - 10 v and -75 + 10 v
    np.testing.assert_allclose(cuts.value(0, np.array([[0.0], [1.0], [4.0], [9.0]])), [25, 15, 0, 15], atol=1e-12)


def test_the_value_weighs_the_columns():
    cuts = tangents([0, 10], columns=[0, 1])
    np.testing.assert_allclose(cuts.value(0, np.array([[0.0], [10.0]])), [0.5 * 25, 0.5 * 25], atol=1e-12)


def test_few_cuts_are_all_selected():
    assert tangents([0, 1, 2]).selected(0, 3).tolist() == [0, 1, 2]
    assert tangents([0, 1, 2]).selected(0).tolist() == [0, 1, 2]


def test_the_selected_cuts_are_the_highest_at_the_points_visited_last():
    cuts = tangents([0, 10, 3, 7, 4])
    assert cuts.selected(0, 2).tolist() == [3, 4]
    assert cuts.selected(0, 3).tolist() == [2, 3, 4]


def test_a_cut_that_is_nowhere_the_highest_is_left_out():
    cuts = tangents([0, 10, 3])
    cuts.append(0, np.array([-50.0]), np.array([[1.0]]), np.array([0]), np.array([[3.0]]))
    assert cuts.selected(0, 3).tolist() == [0, 1, 2]


def test_a_selection_keeps_the_value_where_it_was_visited():
    points = np.random.default_rng(0).uniform(0, 10, 40)
    cuts = tangents(points)
    kept = cuts.selected(0, 30)
    last = points[-30:]
    heights = cuts.intercepts[0][kept] + last[:, None] * cuts.slopes[0][kept, 0]
    np.testing.assert_allclose(heights.max(1), (last - 5) ** 2, rtol=1e-12, atol=1e-12)
    assert len(kept) == 30


def test_every_column_keeps_its_own_cuts():
    cuts = tangents([0, 10, 3, 0, 10, 3], columns=[0, 0, 0, 1, 1, 1])
    assert cuts.selected(0, 2).tolist() == [1, 2, 4, 5]


def test_cuts_can_be_truncated():
    cuts = tangents([0, 10, 3])
    cuts.truncate([2, 0])
    assert cuts.counts == [2, 0]
    assert len(cuts) == 2
    assert cuts.points[0].shape == (2, 1)


def test_cuts_are_read_as_they_were_written(tmp_path):
    cuts = tangents([0, 10, 3], columns=[0, 1, 0])
    path = cuts.save(tmp_path / "new" / "cuts.npz", extra={"note": "own"})
    again, about = read_cuts(path)
    assert about["note"] == "own"
    assert again.plants == ("dam",)
    for name in ("weights", "intercepts", "slopes", "columns", "points"):
        for left, right in zip(getattr(again, name), getattr(cuts, name), strict=True):
            np.testing.assert_array_equal(left, right)
            assert left.dtype == right.dtype
    assert Cuts.load(path).counts == [3, 0]


def test_a_file_cut_short_says_what_to_do(tmp_path):
    path = tangents([0, 10]).save(tmp_path / "cuts.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match=r"cuts\.npz holds no cuts that can be read.*SDDP\.save"):
        Cuts.load(path)
    with pytest.raises(CheckpointError, match="missing"):
        Cuts.load(tmp_path / "other.npz")


def test_a_file_of_a_later_version_is_not_guessed_at(tmp_path, monkeypatch):
    monkeypatch.setattr("sciml.dispatch.cuts.FORMAT_VERSION", 99)
    path = tangents([0]).save(tmp_path / "cuts.npz")
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="format version 99; 1 can be read"):
        Cuts.load(path)


def test_cuts_as_rows_are_the_cuts_that_a_program_is_given(cascade):
    weights = np.array([0.25, 0.75])
    form = stage_form(cascade, "dc", future=weights.tolist())
    parameters = typical_parameters(cascade, form, 1)
    rng = np.random.default_rng(0)
    plants = len(cascade.plants.names)
    cuts = Cuts(cascade.plants.names, [weights, np.zeros(0)])
    slopes = -rng.uniform(10, 60, (6, plants))
    cuts.append(0, rng.uniform(3e4, 4e4, 6), slopes, np.array([0, 1, 0, 1, 0, 1]), np.zeros((6, plants)))
    rows = solver_for(with_cuts(form, cuts.intercepts[0], cuts.slopes[0], cuts.columns[0])).solve(parameters)
    given = solver_for(form)
    cuts.add_to(given, 0)
    assert rows.value == pytest.approx(given.solve(parameters).value, rel=1e-12)
    # Each column lies on its highest plane.
    theta = cuts.columns_value(0, rows.variables["volume"][None])[0]
    np.testing.assert_allclose(rows.variables["future"], theta, rtol=1e-9)
    assert (theta > 0).all()


def test_a_program_without_columns_for_the_future_says_so(cascade):
    with pytest.raises(ConfigError, match="no columns 'future'"):
        with_cuts(stage_form(cascade, "dc"), np.zeros(1), np.zeros((1, 4)), np.zeros(1, dtype=int))
