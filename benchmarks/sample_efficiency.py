"""Test error against the number of training trajectories: a fine-tuned scOT, the same from scratch, and an FNO.

    python benchmarks/sample_efficiency.py [--tasks NS-PwC Wave-Gauss ACE] [--trajectories 4 16 64 256] [--seeds 0 1]
    python benchmarks/sample_efficiency.py --report        # only rebuild figure and tables from results.jsonl

Each point is one run of ``train.py experiment=poseidon/sample_efficiency``: three networks take the same steps on the
same batches and are judged after the last step, without selection, on the same test trajectories. A seed sets the
random weights and the order of the samples; the training trajectories are the first ones of one generated file. The
learning rates are the same for all points: those of ``configs/model/poseidon_nano.yaml``, and the FNO's in the
experiment. A point that is finished is not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from sciml.sample_efficiency import Gain, accuracy_gain, efficiency_gain, median_gain

ROOT = Path(__file__).resolve().parents[1]
METRICS = {
    "fine-tuned": "test/direct",
    "from scratch": "test/scratch, direct",
    "FNO": "test/fno, direct",
    "persistence": "test/persistence",
}
LEARNERS = ("fine-tuned", "from scratch", "FNO")
TEST, LARGEST = 64, 256  # of one file for all points, the test trajectories last

# Flows are normalised as in pretraining, other quantities by their own statistics.
_FLOW = ("data.channels=[rho,u,v,p]", "data.statistics=${model.pretrained}", "+data.generate.tracer=false")
# The wave speed is given and not predicted; an FNO that knows where it is can learn boundaries that are not periodic.
_WAVE = ("data.channels_in=[u,c]", "data.channels_out=[u]", "model.rivals.fno.network.coordinates=true")
TASKS = {"NS-PwC": _FLOW, "NS-SL": _FLOW, "Wave-Gauss": _WAVE, "Wave-Layer": _WAVE, "ACE": ()}

Record = dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained", default="poseidon-nano", help="weights to start from")
    parser.add_argument("--tasks", nargs="+", default=["NS-PwC", "Wave-Gauss", "ACE"], choices=TASKS, metavar="TASK")
    parser.add_argument("--trajectories", nargs="+", type=int, default=[4, 16, 64, 256], metavar="N")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], metavar="SEED")
    parser.add_argument("--steps", type=int, default=400, help="optimiser steps of every network")
    parser.add_argument("--resolution", type=int, default=64, help="grid points along either axis")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads of a run")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/reports/sample_efficiency")
    parser.add_argument("--report", action="store_true", help="only write figure and tables")
    return parser.parse_args()


def read_records(path: Path) -> list[Record]:
    """Finished points; half a line, left by a process that was killed while writing, is no point."""
    records = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def append_records(path: Path, records: Iterable[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.is_file() and not path.read_text().endswith("\n")
    with path.open("a") as file:
        file.write("\n" * torn + "".join(json.dumps(record) + "\n" for record in records))
        file.flush()
        os.fsync(file.fileno())


def finished(records: Iterable[Record], point: Mapping[str, Any]) -> bool:
    """Whether every method was measured at a point with these settings."""
    methods = {r["method"] for r in records if all(r.get(key) == value for key, value in point.items())}
    return methods >= METRICS.keys()


def architecture(pretrained: str) -> list[str]:
    """Settings that give the network from scratch the architecture of the pretrained one."""
    from dataclasses import asdict

    from sciml.hub import resolve_folder
    from sciml.poseidon.checkpoint import read_config

    of_the_data = ("image_size", "num_channels", "num_out_channels", "channel_slice_list_normalized_loss")
    settings = asdict(read_config(resolve_folder(pretrained)))
    return [
        f"++model.rivals.scratch.network.{key}={list(value) if isinstance(value, tuple) else value}"
        for key, value in settings.items()
        if key not in of_the_data and value is not None
    ]


def measure(point: Mapping[str, Any], *, threads: int | None) -> list[Record]:
    """Train and test the three networks in one run; its folder is removed if all went well."""
    name = "_".join(str(point[key]) for key in ("task", "trajectories", "seed"))
    folder = ROOT / "outputs/sample_efficiency" / name
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir(parents=True)
    command = [
        *(sys.executable, str(ROOT / "train.py"), "experiment=poseidon/sample_efficiency"),
        *(f"hydra.run.dir={folder}", f"seed={point['seed']}", f"trainer.max_steps={point['steps']}"),
        *(f"data.generate.task={point['task']}", f"data.generate.resolution={point['resolution']}"),
        *(f"data.generate.trajectories={point['file']}", f"data.test={TEST}"),
        *(f"data.trajectories={point['trajectories']}", f"model.pretrained={point['pretrained']}"),
        *([f"threads={threads}"] if threads else []),
        *TASKS[point["task"]],
        *architecture(point["pretrained"]),
    ]
    started = time.perf_counter()
    with (folder / "log.txt").open("w") as log:
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT).returncode
    if code:
        sys.exit(f"{name} failed:\n{(folder / 'log.txt').read_text()[-2000:]}\nIts folder: {folder}")
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    errors = {method: float(next(row[key] for row in rows if row.get(key))) for method, key in METRICS.items()}
    seconds = round(time.perf_counter() - started, 1)
    shutil.rmtree(folder)
    return [{**point, "method": method, "error": error, "seconds": seconds} for method, error in errors.items()]


def curves(records: Iterable[Record], task: str, method: str) -> dict[int, list[float]]:
    """Errors of every seed by number of trajectories; of a point that was measured twice, the last."""
    latest = {
        (r["trajectories"], r["seed"]): r["error"] for r in records if r["task"] == task and r["method"] == method
    }
    counts = sorted({count for count, _ in latest})
    return {count: [error for (n, _), error in latest.items() if n == count] for count in counts}


def medians(records: Iterable[Record], task: str, method: str) -> dict[int, float]:
    return {count: median(errors) for count, errors in curves(records, task, method).items()}


def report(records: list[Record], folder: Path) -> str:
    """Write ``curves.png`` and ``report.md``; returns the latter."""
    draw(records, folder / "curves.png")
    settings = {key: records[0][key] for key in ("pretrained", "steps", "resolution")}
    seeds = sorted({r["seed"] for r in records})
    lines = [
        "# What pretraining gains",
        "",
        f"`{settings['pretrained']}` fine-tuned, the same network from random weights, and an FNO: {settings['steps']} "
        f"steps each on the same batches, {settings['resolution']} x {settings['resolution']}, seeds "
        f"{', '.join(map(str, seeds))}. Median relative L1 error of the last frame, forecast directly from the first, "
        f"over {TEST} test trajectories; median over the seeds (smallest to largest).",
        "",
        "![Error against number of training trajectories](curves.png)",
        "",
        "| task | trajectories | " + " | ".join(METRICS) + " | fine-tuned / from scratch |",
        "|---|---" + "|---" * (len(METRICS) + 1) + "|",
    ]
    gains: dict[str, list[Gain]] = {"fine-tuned": [], "from scratch": []}
    summary = []
    for task in dict.fromkeys(r["task"] for r in records):
        spread = {method: curves(records, task, method) for method in METRICS}
        middle = {method: medians(records, task, method) for method in METRICS}
        for count in spread["FNO"]:
            cells = [_cell(spread[method][count]) for method in METRICS]
            ratio = middle["fine-tuned"][count] / middle["from scratch"][count]
            lines.append(f"| {task} | {count} | {' | '.join(cells)} | {ratio:.2f} |")
        most, fewest = max(middle["FNO"]), min(middle["FNO"])
        at = max(most // 8, fewest)
        row = [task, str(most)]
        for method, found in gains.items():
            found.append(efficiency_gain(middle[method], middle["FNO"]))
            row += [str(found[-1]), f"{accuracy_gain(middle[method], middle['FNO'], at=at):.2f} (at {at})"]
        summary.append("| " + " | ".join(row) + " |")
    lines += [
        "",
        "Efficiency gain EG = S / s: the network needs s trajectories for the error that the FNO has with S, the most "
        "measured. Accuracy gain AG: the FNO's error over the network's with S / 8 trajectories, as published (128 of "
        "1024). Between measured numbers the curves are straight on logarithmic axes; beyond them a gain is a bound.",
        "",
        "| task | S | EG fine-tuned | AG fine-tuned | EG from scratch | AG from scratch |",
        "|---|---|---|---|---|---|",
        *summary,
        f"| median | | {median_gain(gains['fine-tuned'])} | | {median_gain(gains['from scratch'])} | |",
    ]
    text = "\n".join(lines) + "\n"
    (folder / "report.md").write_text(text)
    return text


def _cell(errors: list[float]) -> str:
    spread = f" ({min(errors):.3f} to {max(errors):.3f})" if max(errors) > min(errors) else ""
    return f"{median(errors):.3f}{spread}"


def draw(records: list[Record], path: Path) -> None:
    """One panel a task: median over the seeds, with their range shaded."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    tasks = list(dict.fromkeys(r["task"] for r in records))
    figure = Figure(figsize=(3.3 * len(tasks) + 0.4, 3.2), layout="constrained")
    colours = {"fine-tuned": "#2b6cb0", "from scratch": "#c05621", "FNO": "#2f855a", "persistence": "#718096"}
    for axis, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        for method, colour in colours.items():
            points = curves(records, task, method)
            counts, middle = list(points), [median(errors) for errors in points.values()]
            style = {"marker": "o", "markersize": 4} if method in LEARNERS else {"linestyle": "--", "linewidth": 1}
            axis.plot(counts, middle, color=colour, label=method, **style)
            axis.fill_between(counts, *zip(*map(_range, points.values()), strict=True), color=colour, alpha=0.15, lw=0)
        axis.set(title=task, xscale="log", yscale="log", xlabel="training trajectories")
        axis.xaxis.set(
            major_locator=FixedLocator(counts), minor_locator=NullLocator(), major_formatter=ScalarFormatter()
        )
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("relative L1 error")
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def _range(errors: list[float]) -> tuple[float, float]:
    return min(errors), max(errors)


def main() -> None:
    options = arguments()
    path = options.out / "results.jsonl"
    # A folder may be given from anywhere; the run starts in the root of the repository.
    pretrained = str(Path(options.pretrained).resolve()) if Path(options.pretrained).exists() else options.pretrained
    settings = {
        "pretrained": pretrained,
        "steps": options.steps,
        "resolution": options.resolution,
        "file": max(*options.trajectories, LARGEST) + TEST,
    }
    points = [
        {"task": task, "trajectories": count, "seed": seed, **settings}
        for task in options.tasks
        for seed in options.seeds
        for count in options.trajectories
    ]
    for i, point in enumerate(points if not options.report else []):
        if not finished(read_records(path), point):
            print(
                f"[{i + 1}/{len(points)}] {point['task']}, {point['trajectories']} trajectories, seed {point['seed']}"
            )
            append_records(path, measure(point, threads=options.threads))
    records = [r for r in read_records(path) if all(r.get(key) == value for key, value in settings.items())]
    if not records:
        sys.exit(f"{path} has no point with the settings {settings}. Run without --report first.")
    print(report(records, options.out))


if __name__ == "__main__":
    main()
