import numpy as np
import pytest
import torch

from sciml.data import FieldSpec, Normaliser, compute_statistics, open_trajectories
from sciml.data import normalise as module
from sciml.data.normalise import moments, pool
from sciml.errors import ConfigError, DataError


def test_encoding_subtracts_the_mean_and_divides_by_the_deviation_of_each_channel():
    normaliser = Normaliser([1.0, 10.0], [2.0, 5.0])
    fields = torch.stack([torch.full((3, 3), 5.0), torch.full((3, 3), 0.0)])
    assert normaliser.encode(fields)[:, 0, 0].tolist() == [2.0, -2.0]


@pytest.mark.parametrize("leading", [(), (4,), (2, 5)])
@pytest.mark.parametrize("kind", [torch.from_numpy, np.asarray])
def test_decoding_undoes_encoding_for_any_leading_axes_arrays_and_tensors(kind, leading):
    fields = kind(np.random.default_rng(0).normal(3.0, 7.0, (*leading, 3, 6, 4)))
    normaliser = Normaliser([3.0, -1.0, 0.0], [7.0, 0.1, 2.0])
    encoded = normaliser.encode(fields)
    assert type(encoded) is type(fields)
    # 1e-14: two roundings in float64 of values up to 30.
    np.testing.assert_allclose(normaliser.decode(encoded), fields, rtol=1e-14, atol=1e-14)


def test_single_precision_stays_single_precision():
    assert Normaliser([1.0], [2.0]).encode(np.zeros((1, 2, 2), np.float32)).dtype == np.float32
    assert Normaliser([1.0], [2.0], dims=1).decode(torch.zeros(3, 1, 8)).dtype == torch.float32


def test_a_constant_channel_is_named():
    with pytest.raises(DataError, match=r"channel 'c' has mean 3 and standard deviation 0"):
        Normaliser.from_fields([FieldSpec("u", mean=0.0, std=1.0), FieldSpec("c", mean=3.0, std=0.0)])


def test_unknown_statistics_are_named_with_the_way_to_get_them():
    with pytest.raises(DataError, match=r"statistics of channel 'v' are not known\. Compute them .*compute_statistics"):
        Normaliser.from_fields([FieldSpec("u", mean=0.0, std=1.0), FieldSpec("v")])


def test_moments_of_trajectories_pool_to_the_moments_of_all():
    frames = np.random.default_rng(0).normal(5.0, 2.0, (6, 4, 3, 5, 5)) + np.arange(6)[:, None, None, None, None]
    means, variances = map(np.stack, zip(*(moments(trajectory) for trajectory in frames), strict=True))
    mean, std = pool(means, variances)
    # 1e-13: the same float64 sums of 600 numbers in another order.
    np.testing.assert_allclose(mean, frames.mean((0, 1, 3, 4)), rtol=1e-13)
    np.testing.assert_allclose(std, frames.std((0, 1, 3, 4)), rtol=1e-13)


def test_statistics_do_not_cancel_where_the_mean_is_large():
    # Float32 resolves 0.0078 at 1e5; sums of squares in float32, or E[x^2] - E[x]^2, would lose the deviation of 1.
    frames = (1e5 + np.random.default_rng(0).normal(size=(50, 1, 32, 32))).astype(np.float32)
    _, variance = moments(frames)
    assert variance[0] == pytest.approx(frames.astype(np.float64).var(), rel=1e-12)


def test_statistics_of_a_file_are_those_of_the_chosen_trajectories(hdf5):
    values = np.random.default_rng(0).normal(5.0, 2.0, (6, 4, 2, 5, 5)).astype(np.float32)
    trajectories = open_trajectories(hdf5(values))
    mean, std = compute_statistics(trajectories, range(3))
    exact = values[:3].astype(np.float64)
    # 1e-12: the same float64 sums of 300 numbers in another order.
    np.testing.assert_allclose(list(mean.values()), exact.mean((0, 1, 3, 4)), rtol=1e-12)
    np.testing.assert_allclose(list(std.values()), exact.std((0, 1, 3, 4)), rtol=1e-12)
    spec = trajectories.spec.with_statistics(mean, std)
    assert spec.fields[1].std == std["channel_1"]


def test_made_up_channels_keep_their_published_statistics(official):
    velocity = np.random.default_rng(0).normal(size=(2, 6, 2, 4, 4)).astype(np.float32)
    trajectories = open_trajectories(official("x.nc", velocity=(("sample", "time", "channel", "x", "y"), velocity)))
    mean, std = compute_statistics(trajectories)
    assert list(mean) == ["u", "v"]
    assert trajectories.spec.with_statistics(mean, std).select(["rho"])[0].std == 0.31


def test_statistics_of_nothing_are_an_error(hdf5):
    trajectories = open_trajectories(hdf5(np.zeros((2, 3, 1, 4, 4), np.float32)))
    with pytest.raises(ConfigError, match="no trajectory to compute statistics from"):
        compute_statistics(trajectories, [])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_statistics_of_broken_data_name_where_they_break(hdf5, value):
    values = np.zeros((3, 3, 2, 4, 4), np.float32)
    values[1, 2, 1, 0, 0] = value
    with pytest.raises(DataError, match=r"own\.h5: trajectory 1 has NaN or infinity in channel 'channel_1'"):
        compute_statistics(open_trajectories(hdf5(values)))


def test_progress_is_told(hdf5):
    seen = []
    trajectories = open_trajectories(hdf5(np.zeros((3, 3, 1, 4, 4), np.float32)))
    compute_statistics(trajectories, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(("patience", "shown"), [(0.0, True), (60.0, False)])
def test_a_bar_appears_only_when_it_takes_long(hdf5, monkeypatch, patience, shown):
    from rich.progress import Progress

    started = []
    monkeypatch.setattr(module, "SECONDS_WITHOUT_BAR", patience)
    monkeypatch.setattr(Progress, "start", lambda self: started.append(self))
    compute_statistics(open_trajectories(hdf5(np.zeros((3, 3, 1, 4, 4), np.float32))))
    assert bool(started) is shown
