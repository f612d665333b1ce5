import csv

from models.metrics_file import MetricsFile, read_curves


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_columns_that_come_later_are_added_to_the_whole_file(tmp_path):
    log = MetricsFile(tmp_path / "metrics.csv", flush_every=1)
    log.log_metrics({"train/loss": 1.0}, step=0)
    log.log_metrics({"val/error": 0.5}, step=1)
    assert rows(log.path) == [
        {"step": "0", "train/loss": "1.0", "val/error": ""},
        {"step": "1", "train/loss": "", "val/error": "0.5"},
    ]


def test_a_resumed_run_keeps_earlier_steps_and_replaces_those_it_repeats(tmp_path):
    path = tmp_path / "metrics.csv"
    first = MetricsFile(path)
    for step in range(6):
        first.log_metrics({"train/loss": float(step)}, step=step)
    first.finalize("killed")
    second = MetricsFile(path)
    second.log_metrics({"train/loss": 40.0, "lr": 0.1}, step=4)
    second.finalize("success")
    assert read_curves(path, ["train/loss", "lr"]) == {
        "train/loss": ([0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 2.0, 3.0, 40.0]),
        "lr": ([4.0], [0.1]),
    }


def test_half_a_line_left_by_a_kill_is_dropped(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,train/loss,lr\n0,1.0,0.1\n1,2.0\n")
    log = MetricsFile(path)
    log.log_metrics({"train/loss": 3.0}, step=1)
    log.finalize("success")
    assert [row["train/loss"] for row in rows(path)] == ["1.0", "3.0"]


def test_no_file_has_no_curves(tmp_path):
    assert read_curves(tmp_path / "none.csv", ["train/loss"]) == {}
