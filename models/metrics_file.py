"""``metrics.csv`` of a run: written row by row, continued when the run is resumed."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only


class MetricsFile(Logger):
    """Logs to one CSV file with a column ``step``.

    Lightning's own CSV logger deletes what an earlier process wrote into the same folder. This one keeps the rows of
    the steps before the one it resumes at, so that a killed and resumed run leaves one complete file.

    Args:
        path: The file to write.
        flush_every: Write after so many rows.
    """

    def __init__(self, path: str | Path, *, flush_every: int = 20):
        super().__init__()
        self.path = Path(path)
        self.flush_every = flush_every
        self._rows: list[dict[str, Any]] | None = None  # all rows; None until the first one shows where we resume
        self._columns: list[str] = ["step"]
        self._written = 0

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """A run has one file."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: Hydra keeps the configuration beside the file."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row."""
        step = int(step or 0)
        if self._rows is None:
            self._rows = [row for row in _read(self.path) if int(row["step"]) < step]
            self._columns = list(dict.fromkeys(["step", *(key for row in self._rows for key in row)]))
        self._rows.append({"step": step, **{key: float(value) for key, value in metrics.items()}})
        if len(self._rows) - self._written >= self.flush_every:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Write what has come since the last time; the whole file if there are new columns."""
        if self._rows is None or len(self._rows) == self._written:
            return
        columns = list(dict.fromkeys([*self._columns, *(key for row in self._rows[self._written :] for key in row)]))
        whole = columns != self._columns or self._written == 0
        self._columns = columns
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w" if whole else "a", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            if whole:
                writer.writeheader()
            writer.writerows(self._rows if whole else self._rows[self._written :])
        self._written = len(self._rows)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the rest."""
        self.save()


def read_curves(path: Path, names: Sequence[str]) -> dict[str, tuple[list[float], list[float]]]:
    """Steps and values of the named columns, where they have any."""
    rows = _read(path)
    curves = {name: [(float(r["step"]), float(r[name])) for r in rows if r.get(name)] for name in names}
    return {name: ([s for s, _ in points], [v for _, v in points]) for name, points in curves.items() if points}


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    # A process killed while writing leaves half a line.
    return [row for row in rows if None not in row.values() and (row["step"] or "").isdigit()]
