"""Two processes learn what one learns from the same samples."""

import pytest
import torch

import sciml
from tests.e2e.conftest import train

TINY = (
    "model.network.embed_dim=8",
    "model.network.depths=[1,1]",
    "model.network.num_heads=[2,2]",
    "model.network.skip_connections=[1,0]",
    "callbacks.progress=null",
    "data.num_workers=0",
    "test=false",
)


@pytest.fixture(scope="module")
def one(tmp_path_factory, data_dir):
    """One process with the doubled batch. The loss is relative to the targets of a process's own batch, so that two
    processes minimise the mean of the losses of two halves, not the loss of the whole."""
    halves = ("model._target_=tests.e2e.halves.HalvedLosses", "data.batch_size=12")
    result = train(tmp_path_factory.mktemp("one"), *TINY, *halves, data_dir=data_dir)
    assert result.code == 0, result.out
    return result


@pytest.mark.parametrize("trainer", ["ddp", "fsdp"])
def test_two_processes_learn_as_one_does_from_the_mean_loss_of_two_halves(one, trainer, tmp_path, data_dir):
    settings = (f"trainer={trainer}", "trainer.devices=2", "data.batch_size=6")
    two = train(tmp_path, *TINY, *settings, data_dir=data_dir)
    assert two.code == 0, two.out
    # Sums in another order: float32 round-off, enlarged by AdamW where a gradient is nearly 0.
    assert two.losses() == pytest.approx(one.losses(), rel=1e-5)
    expected = sciml.load(one.runs[0]).state_dict()
    found = sciml.load(two.runs[0]).state_dict()
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-4)
    # Only the first process writes and speaks.
    assert len(two.runs) == 1
    assert two.out.count("Run folder:") == two.out.count("Training:") == 1
    assert {path.name for path in (two.runs[0] / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
