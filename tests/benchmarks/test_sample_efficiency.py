"""The sample-efficiency benchmark goes on after a kill, and its report says what was measured."""

import json

from benchmarks.sample_efficiency import METRICS, append_records, finished, read_records, report

POINT = {"task": "ACE", "trajectories": 4, "seed": 0, "pretrained": "nano", "steps": 400, "resolution": 64, "file": 128}
FACTORS = {"fine-tuned": 1.0, "from scratch": 2.0, "FNO": 4.0, "persistence": 8.0}


def measured(**changes):
    """Errors that fall as n^-1/2: fine-tuned ones are a fourth of those of the FNO."""
    point = {**POINT, **changes}
    spread = 1.0 + 0.1 * point["seed"]
    size = spread * point["trajectories"] ** -0.5
    return [{**point, "method": method, "error": FACTORS[method] * size, "seconds": 1.0} for method in METRICS]


def test_a_point_is_finished_when_all_methods_are_there_with_its_settings():
    assert finished(measured(), POINT)
    assert not finished(measured()[:-1], POINT)
    for other in ({"seed": 1}, {"steps": 200}, {"pretrained": "other"}, {"file": 256}):
        assert not finished(measured(), POINT | other)


def test_half_a_line_is_left_out_and_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "results.jsonl"
    append_records(path, measured())
    with path.open("a") as file:
        file.write(json.dumps(measured(seed=1)[0])[:40])
    assert read_records(path) == measured()
    append_records(path, measured(seed=1))
    assert read_records(path) == measured() + measured(seed=1)


def test_the_report_gives_the_gains_of_the_measured_curves(tmp_path):
    records = [r for count in (4, 16, 64) for seed in (0, 2) for r in measured(trajectories=count, seed=seed)]
    text = report(records, tmp_path)
    assert (tmp_path / "report.md").read_text() == text
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    # Medians over the seeds: 1.1 times the factors. 64 / 16 = 4 trajectories do, which is the fewest: a bound.
    assert "| ACE | 4 | 0.550 (0.500 to 0.600) | 1.100 (1.000 to 1.200) | 2.200 (2.000 to 2.400) |" in text
    assert "| ACE | 64 | 0.138 (0.125 to 0.150) |" in text
    assert "| ACE | 64 | > 16 | 4.00 (at 8) | 4 | 2.00 (at 8) |" in text
    assert "| median | | > 16 | | 4 | |" in text
    assert "0.50 |" in text  # fine-tuned / from scratch
