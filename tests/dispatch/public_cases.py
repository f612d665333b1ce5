"""Cases that tests are about: the one of the package, and public ones where they are at hand."""

import os
from pathlib import Path

import pytest

from sciml.dispatch.cascade import cascade_case
from sciml.dispatch.case import HydrothermalCase


def folder():
    """The folder of public cases; the test is skipped where there is none."""
    found = os.environ.get("SCIML_HYDRO_CASES")
    if not found:
        pytest.skip("SCIML_HYDRO_CASES names no folder of public cases (bolivia, case3, brasil_4)")
    return Path(found)


def public_case(name, **settings):
    return HydrothermalCase.read(folder() / name, **settings)


def bolivia():
    """The Bolivian system in the published set-up."""
    return public_case("bolivia", stage_hours=168, load_scale=0.6, initial_volume=0)


CASES = {"cascade": cascade_case, "bolivia": bolivia}
