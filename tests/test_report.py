import re

import numpy as np
import pytest
from PIL import Image

from sciml import plots
from sciml.report import Report, versions


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    truth, guess = rng.standard_normal((2, 16, 16))
    return [{"truth": truth, "prediction": guess, "error": np.abs(truth - guess)}] * 2


def test_the_vorticity_of_a_rigid_wave_is_exact_up_to_the_order_of_the_stencil():
    n = 128
    x, y = np.meshgrid(np.arange(n) / n, np.arange(n) / n, indexing="ij")
    k = 2 * np.pi
    velocity = np.stack([np.sin(k * y), np.sin(k * x)])
    exact = k * np.cos(k * x) - k * np.cos(k * y)
    # Central differences: relative error (k h)^2 / 6 = 4e-4 of each term.
    assert np.abs(plots.vorticity(velocity) - exact).max() < 2 * k * (k / n) ** 2 / 6


def test_columns_of_a_row_share_their_colours_and_the_error_starts_at_zero(rows):
    figure = plots.field_table(rows, labels=["a", "b"])
    limits = [axis.get_images()[0].get_clim() for axis in figure.axes if axis.get_images()]
    assert limits[0] == limits[1]
    assert limits[0][0] == -limits[0][1]
    assert limits[2] == (0, limits[0][1])


def test_x_runs_to_the_right_and_y_upwards():
    field = np.zeros((8, 8))
    field[6, 1] = 1.0
    image = plots.field_table([{"f": field}]).axes[0].get_images()[0]
    assert image.get_array()[1, 6] == 1.0
    assert image.origin == "lower"


def test_a_rollout_gif_has_one_frame_for_each_time(rows, tmp_path):
    columns = {name: np.stack([field, 0.5 * field, 0.25 * field]) for name, field in rows[0].items()}
    path = plots.rollout_gif(tmp_path / "r.gif", [0.0, 0.1, 0.2], columns)
    with Image.open(path) as image:
        assert image.n_frames == 3


def test_error_curves_show_the_median_and_the_middle_half():
    errors = np.tile(np.arange(5.0)[:, None], (1, 3))
    axis = plots.error_curves([0.1, 0.2, 0.3], {"direct": errors}).axes[0]
    assert axis.lines[0].get_ydata().tolist() == [2.0, 2.0, 2.0]
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (1.0, 3.0)


def test_a_report_needs_no_other_file_and_escapes_what_it_shows(rows, tmp_path):
    report = Report("a <title>", "x < y & z", tmp_path / "figures")
    report.section("Section", "text")
    report.figure("fields", plots.field_table(rows), "caption")
    report.table(["name", "value"], [["pi", 3.14159265], ["n", 7]])
    report.code("a <b>")
    page = report.write(tmp_path / "report.html").read_text()
    assert "a &lt;title&gt;" in page
    assert "x &lt; y &amp; z" in page
    assert "<td>3.142</td>" in page
    assert "<td>7</td>" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert (tmp_path / "figures/fields.png").read_bytes()[1:4] == b"PNG"


def test_versions_name_what_is_missing():
    found = versions(["torch", "no-such-package"])
    assert found["torch"].startswith("2.")
    assert found["no-such-package"] == "not installed"
