import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sciml.data import AllPairs, FixedInput, ForecastDataset, PairDataset, identity, open_trajectories
from sciml.errors import ConfigError


@pytest.fixture
def trajectories(replica):
    frames = np.random.default_rng(0).standard_normal((5, 21, 2, 8, 8)).astype(np.float32)
    return open_trajectories(replica("flow.nc", frames))


def forecasts(trajectories, pairs, indices=None):
    channels = {"channels_in": ["u", "v"], "channels_out": ["v"]}
    return ForecastDataset(PairDataset(trajectories, pairs, trajectory_indices=indices, **channels))


def test_a_batch_holds_the_initial_fields_and_all_that_follow(trajectories):
    dataset = forecasts(trajectories, FixedInput(3, stride=4, start=2), indices=[3, 1])
    (batch,) = DataLoader(dataset, batch_size=2, collate_fn=identity)
    truth = torch.from_numpy(np.stack([trajectories.read(i, channels=["u", "v"]) for i in (3, 1)]))
    spec = trajectories.spec.select(["u", "v"])
    mean, std = (torch.tensor([getattr(f, key) for f in spec]).view(2, 1, 1) for key in ("mean", "std"))
    torch.testing.assert_close(batch["fields"], ((truth[:, 2] - mean) / std).float())
    expected = ((truth[:, [6, 10, 14]] - mean) / std).float()[:, :, 1:]
    torch.testing.assert_close(batch["targets"], expected)
    torch.testing.assert_close(batch["lead_times"], torch.tensor([0.2, 0.4, 0.6]))
    assert batch["trajectory"].tolist() == [3, 1]


def test_one_item_is_a_batch_without_its_axis(trajectories):
    dataset = forecasts(trajectories, FixedInput(3, stride=4))
    item = dataset[-1]
    assert item["fields"].shape == (2, 8, 8)
    assert item["targets"].shape == (3, 1, 8, 8)
    assert item["lead_times"].shape == (3,)
    assert item["trajectory"] == 4
    assert len(dataset) == 5


def test_pairs_that_start_at_several_steps_are_refused(trajectories):
    with pytest.raises(ConfigError, match=r"starts at several. Use FixedInput"):
        forecasts(trajectories, AllPairs(3))
