"""What the tests of dispatch share."""

import os
from pathlib import Path

import pytest

from sciml.dispatch.cascade import cascade_case
from sciml.dispatch.case import HydrothermalCase


@pytest.fixture(scope="session")
def hydro_cases() -> Path:
    """The folder of public cases, if there is one."""
    folder = os.environ.get("SCIML_HYDRO_CASES")
    if not folder:
        pytest.skip("SCIML_HYDRO_CASES names no folder of public cases (bolivia, case3, brasil_4)")
    return Path(folder)


@pytest.fixture(scope="session")
def cascade() -> HydrothermalCase:
    """The case of the package."""
    return cascade_case()
