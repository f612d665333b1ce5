"""The published Helmholtz file: groups of samples, in the order of their numbers."""

import h5py
import numpy as np
import pytest

from sciml.data import PairDataset, SteadyPair, open_trajectories
from sciml.errors import LayoutError
from tests.data.numbers import numbered

COUNT = 12  # more than ten: Sample_10 stands before Sample_2 in the file
A, U, BC = 1.5 + numbered(COUNT, 4, 6), -numbered(COUNT, 4, 6), 0.25 + np.arange(COUNT) / 64


@pytest.fixture
def helmholtz(tmp_path):
    with h5py.File(tmp_path / "any name.h5", "w") as file:
        for i in range(COUNT):
            group = file.create_group(f"Sample_{i}")
            group["a"], group["u"], group["bc"] = A[i].astype("f8"), U[i].astype("f8"), BC[i]
    return tmp_path / "any name.h5"


def test_a_sample_is_a_minus_one_the_boundary_value_as_a_field_and_u(helmholtz):
    trajectories = open_trajectories(helmholtz)
    spec = trajectories.spec
    assert (len(trajectories), spec.task, spec.steady, spec.shape) == (COUNT, "Helmholtz", True, (4, 6))
    assert (spec.inputs, spec.targets, spec.validation, spec.test) == (("a", "bc"), ("u",), 128, 512)
    assert (spec.fields[2].mean, spec.fields[2].std) == (0.11523915668552, 0.8279975746)
    assert trajectories.direct
    for i in (0, 2, 10, 11):
        fields = trajectories.read(i)[0]
        np.testing.assert_array_equal(fields[0], A[i] - 1)
        np.testing.assert_array_equal(fields[1], np.full((4, 6), BC[i], np.float32))
        np.testing.assert_array_equal(fields[2], U[i])


def test_a_batch_is_input_fields_and_normalised_solution(helmholtz):
    dataset = PairDataset(open_trajectories(helmholtz), SteadyPair())
    batch = dataset.__getitems__([10, 3])
    np.testing.assert_array_equal(batch["fields"][:, 0], A[[10, 3]] - 1)
    # 1e-4: values up to 300 times 1 / std in float32.
    np.testing.assert_allclose(batch["target"][:, 0], (U[[10, 3]] - 0.11523915668552) / 0.8279975746, atol=1e-4)


def test_samples_of_the_other_byte_order_are_read_right_and_a_mixture_is_refused(helmholtz):
    with h5py.File(helmholtz, "r+") as file:
        for i in range(COUNT):
            del file[f"Sample_{i}/u"]
            file[f"Sample_{i}/u"] = U[i].astype(">f8")
    with open_trajectories(helmholtz) as trajectories:
        np.testing.assert_array_equal(trajectories.read(10)[0, 2], U[10])
    with h5py.File(helmholtz, "r+") as file:
        del file["Sample_4/u"]
        file["Sample_4/u"] = U[4].astype("<f8")
    with pytest.raises(LayoutError, match=r"Sample_4/u is \(4, 6\) float64, but Sample_0/u is \(4, 6\) >f8"):
        open_trajectories(helmholtz)


@pytest.mark.parametrize("name", ["a", "u", "bc"])
def test_a_sample_that_was_begun_and_never_written_is_refused(helmholtz, name):
    with h5py.File(helmholtz, "r+") as file:
        shape = file[f"Sample_7/{name}"].shape
        del file[f"Sample_7/{name}"]
        file.create_dataset(f"Sample_7/{name}", shape, "<f8")
    with pytest.raises(LayoutError, match=f"/Sample_7/{name} were never written"):
        open_trajectories(helmholtz)


@pytest.mark.parametrize("name", ["a", "u", "bc"])
def test_a_sample_that_lacks_something_is_named(helmholtz, name):
    with h5py.File(helmholtz, "r+") as file:
        del file[f"Sample_7/{name}"]
    with pytest.raises(LayoutError, match=f"group 'Sample_7' has no dataset '{name}'"):
        open_trajectories(helmholtz)
