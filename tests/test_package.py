import subprocess
import sys

import pytest

import sciml
from sciml import errors


def test_every_public_name_can_be_had():
    for name in sciml.__all__:
        assert getattr(sciml, name) is not None
    assert set(sciml.__all__) <= set(dir(sciml))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="no attribute 'lode'; it has S4, S4D"):
        _ = sciml.lode


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, sciml; print({'torch', 'h5py', 'matplotlib', 'xarray', 'lightning'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_every_error_is_a_sciml_error_and_a_builtin():
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.SciMLError)]
    assert len(kinds) > 5
    for kind in kinds:
        assert kind is errors.SciMLError or issubclass(kind, ValueError | OSError | ArithmeticError)
