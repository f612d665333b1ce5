import pytest
import torch

from models.optimisation import make_scheduler
from sciml.errors import ConfigError


def rates(schedule, warmup, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = make_scheduler(optimizer, schedule=schedule, warmup=warmup, steps=steps)["scheduler"]
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found, optimizer.param_groups[0]["lr"]


def test_cosine_rises_linearly_and_falls_to_zero():
    found, last = rates("cosine", 0.1, 100)
    assert found[:10] == pytest.approx([0.2 * (k + 1) for k in range(10)])
    assert found[10] == pytest.approx(2.0)
    assert found[55] == pytest.approx(1.0)  # half-way down
    assert last == pytest.approx(0.0)


def test_constant_stays():
    found, _ = rates("constant", 0.0, 10)
    assert found == [2.0] * 10


@pytest.mark.parametrize(("schedule", "warmup"), [("linear", 0.1), ("cosine", 1.0), ("cosine", -0.1)])
def test_settings_that_cannot_work_are_named(schedule, warmup):
    with pytest.raises(ConfigError, match=r"is expected"):
        rates(schedule, warmup, 10)
