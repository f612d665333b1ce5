"""Cases by name: the one that ships with the package, a folder, or one of the folder of cases."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sciml.dispatch.case import HydrothermalCase
from sciml.errors import ConfigError

CASES_FOLDER = "SCIML_HYDRO_CASES"  # environment variable: where folders of cases lie
OWN = "cascade"
_WEEK = 168.0  # h
_WEEK = 168.0  # h


def open_case(
    case: str | Path,
    *,
    stage_hours: float | None = None,
    load_scale: float = 1.0,
    initial_volume: Sequence[float] | float | None = None,
) -> HydrothermalCase:
    """The case of a name.

    Args:
        case: ``cascade``, the case of this package; a folder; or the name of a folder, such as ``bolivia``, in the one
            that the environment variable ``SCIML_HYDRO_CASES`` names.
        stage_hours: Length of a stage, h; None: that of the case.
        load_scale: Factor of all loads.
        initial_volume: hm3 of every plant, or of all; None: those of the case.

    Raises:
        ConfigError: there is no such case.
        LayoutError: a file of the folder is missing or unreadable.
        DataError: the content is wrong.
    """
    if str(case) == OWN:
        hours = _WEEK if stage_hours is None else stage_hours
        return HydrothermalCase.cascade(stage_hours=hours, load_scale=load_scale, initial_volume=initial_volume)
    folder = _find(Path(case))
    return HydrothermalCase.read(folder, stage_hours=stage_hours, load_scale=load_scale, initial_volume=initial_volume)


def _find(case: Path) -> Path:
    """The folder of a case."""
    cases = os.environ.get(CASES_FOLDER)
    for folder in (case, *([Path(cases) / case] if cases else [])):
        if folder.is_dir():
            return folder
    if cases is None:
        hint = f"Set the environment variable {CASES_FOLDER} to the folder that holds {case}"
    else:
        there = ", ".join(sorted(path.name for path in Path(cases).glob("*") if path.is_dir()))
        hint = f"{CASES_FOLDER}={cases} holds {there or 'no folders'}"
    raise ConfigError(
        f"case {str(case)!r} came, which is no folder; {OWN!r}, a folder, or the name of one is expected. {hint}. Of "
        "the public repositories, DecisionRules.jl has bolivia (examples/HydroPowerModels), HydroPowerModels.jl "
        "has case3 (testcases)."
    )
