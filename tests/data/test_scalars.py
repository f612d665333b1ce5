"""Parameters of the equation: from a file into batches, by name and normalised."""

import h5py
import numpy as np
import pytest
import torch

from sciml.data import TrajectoryWriter, open_trajectories
from sciml.data.dataset import PairDataset
from sciml.data.forecast import ForecastDataset
from sciml.data.pairs import FixedInput
from sciml.data.scalars import normalised_scalars, scalar_specs
from sciml.data.spec import FieldSpec
from sciml.errors import ConfigError, ShapeError

VISCOSITY = np.array([0.5, 0.1, 0.4, 0.2])


def written(path, task="mine", **scalars):
    axis = np.arange(4) / 4
    with TrajectoryWriter(
        path,
        task=task,
        variable="velocity",
        channels=("u", "v"),
        trajectories=4,
        times=np.linspace(0, 1, 3),
        coordinates={"x": axis, "y": axis},
        boundary=("periodic", "periodic"),
        scalars=scalars,
    ) as writer:
        writer.write(0, np.random.default_rng(0).standard_normal((4, 3, 2, 4, 4)).astype(np.float32))
    return path


@pytest.mark.parametrize("task", ["mine", "NS-PwC"])
def test_a_variable_with_one_number_a_trajectory_is_a_scalar_in_your_own_and_in_published_layouts(tmp_path, task):
    path = written(tmp_path / "flows.nc", task, viscosity=VISCOSITY, forcing=np.arange(4))
    with open_trajectories(path) as trajectories:
        assert set(trajectories.spec.scalars) == {"viscosity", "forcing"}
        assert trajectories.scalars([3, 0])["viscosity"].tolist() == [0.2, 0.5]
        assert trajectories.spec.names == (("u", "v") if task == "mine" else ("rho", "u", "v", "p"))  # as ever


def test_a_variable_along_another_axis_is_no_scalar(tmp_path):
    path = written(tmp_path / "flows.nc", viscosity=VISCOSITY)
    with h5py.File(path, "a") as file:
        file.create_dataset("weights", data=np.ones(4)).dims[0].attach_scale(file["x"])  # as many points as samples
    assert open_trajectories(path).spec.scalars == ("viscosity",)


def test_xarray_reads_what_the_writer_says(tmp_path):
    xarray = pytest.importorskip("xarray")
    with xarray.open_dataset(written(tmp_path / "flows.nc", viscosity=VISCOSITY), engine="h5netcdf") as file:
        assert file["viscosity"].dims == ("sample",)
        np.testing.assert_array_equal(file["viscosity"], VISCOSITY)


def test_a_scalar_needs_one_number_for_each_trajectory(tmp_path):
    with pytest.raises(ShapeError, match=r"'nu' has shape \(3,\); expected one number for each of the 4"):
        written(tmp_path / "flows.nc", nu=[1.0, 2.0, 3.0])


def test_batches_hold_the_chosen_scalars_normalised_over_the_training_trajectories(tmp_path):
    trajectories = open_trajectories(written(tmp_path / "flows.nc", viscosity=VISCOSITY, forcing=np.arange(4)))
    spec = trajectories.spec.with_statistics(dict.fromkeys("uv", 0.0), dict.fromkeys("uv", 1.0))
    chosen = scalar_specs([(trajectories, range(3))], ["viscosity"])
    mean, std = VISCOSITY[:3].mean(), VISCOSITY[:3].std()
    assert (chosen[0].mean, chosen[0].std) == pytest.approx((mean, std))
    pairs = PairDataset(trajectories, FixedInput(2, stride=1, start=0), spec=spec, scalars=chosen)
    expected = torch.tensor((VISCOSITY - mean) / std, dtype=torch.float32)[:, None]
    torch.testing.assert_close(pairs.__getitems__([0, 2, 4, 6])["scalars"], expected)
    torch.testing.assert_close(ForecastDataset(pairs).__getitems__([1, 3])["scalars"], expected[[1, 3]])
    assert "scalars" not in PairDataset(trajectories, FixedInput(1, stride=1, start=0), spec=spec, scalars=())[0]


def test_files_that_lack_a_scalar_do_not_count_for_it(tmp_path):
    one, two, without = (
        open_trajectories(written(tmp_path / f"{name}.nc", **scalars))
        for name, scalars in (("one", {"nu": np.full(4, 1.0)}), ("two", {"nu": np.full(4, 4.0)}), ("without", {}))
    )
    (nu,) = scalar_specs([(without, range(4)), (one, range(4)), (two, range(2))], ["nu"])
    values = [1.0] * 4 + [4.0] * 2
    assert (nu.mean, nu.std) == pytest.approx((np.mean(values), np.std(values)))


def test_given_statistics_and_values_come_before_those_of_the_file(tmp_path):
    trajectories = open_trajectories(written(tmp_path / "flows.nc", nu=np.full(4, 3.0)))
    (nu,) = scalar_specs([(trajectories, range(4))], ["nu"], known={"nu": (1.0, 4.0)})
    assert normalised_scalars(trajectories, [0, 1], [0, 0], [nu]).tolist() == [[0.5], [0.5]]
    assert normalised_scalars(trajectories, [0, 1], [0, 0], [nu], given={"nu": 9.0}).tolist() == [[2.0], [2.0]]
    absent = FieldSpec("mu", mean=0.0, std=2.0)
    assert normalised_scalars(trajectories, [0], [0], [absent], given={"mu": 1.0}).tolist() == [[0.5]]


def test_a_scalar_that_is_missing_or_constant_is_named(tmp_path):
    trajectories = open_trajectories(written(tmp_path / "flows.nc", nu=np.full(4, 0.1)))
    with pytest.raises(ConfigError, match=r"scalar 'mu' is not in .*flows.nc; it has nu\. Name one that is there"):
        scalar_specs([(trajectories, range(4))], ["mu"])
    with pytest.raises(ConfigError, match=r"'nu' is 0.1 in all training trajectories .* data.statistics=\{nu: \[MEAN"):
        scalar_specs([(trajectories, range(3))], ["nu"])
    with pytest.raises(ConfigError, match="scalar 'mu' is not in"):
        normalised_scalars(trajectories, [0], [0], [FieldSpec("mu", mean=0.0, std=1.0)])
