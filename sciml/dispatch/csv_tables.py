"""The CSV files of a case: inflows, probabilities of the openings, and demand; numbers without a header."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sciml.errors import DataError, LayoutError

Array = np.ndarray

_TINY = 1e-200  # below: what was left in memory that nobody wrote to


def clean(value: float) -> float:
    """The number, or 0 for denormal garbage such as 6e-316."""
    return 0.0 if abs(value) < _TINY else value


def read_inflows(path: Path, plants: int) -> Array:
    """Inflows, (row, plant, opening), m3/s, from one row a stage and one block of columns a plant.

    Raises:
        DataError: the plants do not divide the number of columns.
    """
    found = _numbers(path)
    columns = found.shape[1]
    if columns % plants:
        raise DataError(
            f"{path} has {columns} columns, which {plants} plants do not divide. Columns are blocks, one a plant in "
            "the order of hydro.json, each of one column an opening."
        )
    return found.reshape(len(found), plants, -1)


def read_probabilities(path: Path, rows: int, openings: int) -> Array:
    """Probabilities, (row, opening); equal ones without a file.

    Raises:
        DataError: the file has another number of columns than there are openings, or too few rows.
    """
    if not path.is_file():
        return np.full((rows, openings), 1 / openings)
    found = _numbers(path)
    if found.shape[1] != openings or len(found) < rows:
        raise DataError(
            f"{path} has {len(found)} rows and {found.shape[1]} columns; {rows} rows, one a row of inflows.csv, of "
            f"{openings} probabilities, one an opening, are expected. Leave the file out for equal probabilities."
        )
    return found[:rows]


def read_demand(path: Path, loads: Sequence[int], buses: int) -> Array | None:
    """Active load, (row, bus), p.u., from one column a load or one a bus; None without a file.

    Args:
        path: Of the file.
        loads: Bus of each load.
        buses: Their number.

    Raises:
        DataError: the number of columns is neither that of the loads nor that of the buses.
    """
    if not path.is_file():
        return None
    found = _numbers(path)
    if found.shape[1] == len(loads):
        demand = np.zeros((len(found), buses))
        for column, bus in zip(found.T, loads, strict=True):
            demand[:, bus] += column
        return demand
    if found.shape[1] == buses:
        return found
    raise DataError(
        f"{path} has {found.shape[1]} columns; one a load ({len(loads)}) or one a bus ({buses}), in p.u., is expected."
    )


def _numbers(path: Path) -> Array:
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    # A comma at the end of every line is no column.
    if rows and all(not row[-1].strip() for row in rows):
        rows = [row[:-1] for row in rows]
    widths = [len(row) for row in rows]
    if len(set(widths)) != 1:
        odd = next((i for i, width in enumerate(widths, 1) if width != widths[0]), 0)
        what = f"row {odd} has {widths[odd - 1]} columns, row 1 has {widths[0]}" if rows else "it is empty"
        raise LayoutError(f"{path} is no table: {what}. Rows of equal length, without a header, are expected.")
    numbers = np.empty((len(rows), widths[0]))
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            try:
                numbers[i, j] = clean(float(cell))
            except ValueError:
                raise LayoutError(
                    f"{path}, row {i + 1}, column {j + 1}: {cell!r} came; a number is expected, and no header."
                ) from None
    return numbers
