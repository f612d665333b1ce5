"""Networks that are trained side by side do not feel each other."""

from functools import partial

import lightning as L
import pytest
import torch

from datamodules.trajectories import TrajectoryData
from models.poseidon import OperatorLearning
from sciml.poseidon.build import build_scot
from tests.flows import write_flows
from tests.models.trainers import quiet_trainer

TINY = {"patch_size": 4, "embed_dim": 8, "depths": (1,), "num_heads": (2,), "skip_connections": (0,)}
STEPS = 3


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_flows(tmp_path_factory.mktemp("rivals") / "NS-PwC.nc", trajectories=6)


SMALL = partial(build_scot, **TINY)


def trained(path, folder, *, network=SMALL, **settings):
    """A model after a few steps with gradients that are clipped, and its test errors."""
    L.seed_everything(0, verbose=False)
    model = OperatorLearning(network, **{"learning_rate": 1e-2, **settings})
    trainer = quiet_trainer(folder, steps=STEPS, gradient_clip_val=0.1, limit_val_batches=0)
    data = TrajectoryData(str(path), channels=["u", "v"], validation=1, test=1, batch_size=4)
    trainer.fit(model, data)
    return model, trainer.test(model, data, verbose=False)[0]


def test_a_rival_changes_nothing_for_the_network_beside_it(path, tmp_path):
    alone, _ = trained(path, tmp_path)
    beside, _ = trained(path, tmp_path, rivals={"other": {"network": partial(SMALL, initial_norm_scale=1.0)}})
    for name, weight in alone.net.state_dict().items():
        torch.testing.assert_close(beside.net.state_dict()[name], weight, rtol=0, atol=0)


def test_a_rival_learns_as_it_would_alone_at_its_own_rate(path, tmp_path):
    def started(*described):
        torch.manual_seed(1)
        return build_scot(*described, **TINY, initial_norm_scale=1.0)

    alone, _ = trained(path, tmp_path, network=started, learning_rate=3e-3)
    beside, _ = trained(path, tmp_path, rivals={"other": {"network": started, "learning_rate": 3e-3}})
    for name, weight in alone.net.state_dict().items():
        torch.testing.assert_close(beside.rival_nets["other"].state_dict()[name], weight, rtol=0, atol=0)


def test_the_forecasts_of_rivals_are_judged_beside_those_of_the_network(path, tmp_path):
    _, errors = trained(path, tmp_path, rivals={"other": {"network": SMALL}, "none": None})
    assert {"test/direct", "test/autoregressive", "test/persistence"} < errors.keys()
    assert {"test/other, direct", "test/other, autoregressive"} < errors.keys()
    assert not any("none" in name for name in errors)
