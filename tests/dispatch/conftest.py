"""What the tests of dispatch share."""

from pathlib import Path

import pytest

from sciml.dispatch.cascade import cascade_case
from sciml.dispatch.case import HydrothermalCase
from tests.dispatch.public_cases import folder


@pytest.fixture(scope="session")
def hydro_cases() -> Path:
    """The folder of public cases, if there is one."""
    return folder()


@pytest.fixture(scope="session")
def cascade() -> HydrothermalCase:
    """The case of the package."""
    return cascade_case()
