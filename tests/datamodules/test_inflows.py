"""Scenarios of inflows: whose they are, and that a run can go on with them."""

import types

import numpy as np
import pytest
import torch

from datamodules.inflows import InflowData
from sciml.dispatch.inflow_models import openings_to_inflows
from sciml.errors import ConfigError


def data(**settings):
    made = InflowData(**{"stages": 6, "batch_size": 4, "batches": 3, "validation": 5, "test": 7, **settings})
    made.setup("fit")
    return made


def trainer(step=0, rank=0, world=1):
    device = types.SimpleNamespace(root_device=torch.device("cpu"))
    return types.SimpleNamespace(
        global_step=step,
        global_rank=rank,
        world_size=world,
        limit_train_batches=1.0,
        accumulate_grad_batches=1,
        is_global_zero=rank == 0,
        strategy=device,
    )


def batches(made, **settings):
    made.trainer = trainer(**settings)  # type: ignore[assignment]
    return list(made.train_dataloader())


def test_a_batch_holds_inflows_and_their_openings():
    made = data()
    for batch in (next(iter(made.train_dataloader())), next(iter(made.val_dataloader()))):
        assert batch["inflows"].dtype == torch.float64
        assert batch["inflows"].shape[1:] == (6, 4)
        expected = openings_to_inflows(made.case, batch["openings"].numpy())
        np.testing.assert_array_equal(batch["inflows"], expected)


def test_scenarios_that_begin_later_in_the_year_have_its_loads_and_openings():
    whole, later = data(), data(first_stage=30)
    batch = next(iter(later.train_dataloader()))
    # What programs, rules and SDDP are made of counts stages from where the scenarios begin.
    np.testing.assert_array_equal(openings_to_inflows(later.case, batch["openings"].numpy()), batch["inflows"])
    np.testing.assert_array_equal(openings_to_inflows(whole.case, batch["openings"].numpy(), 30), batch["inflows"])
    for mine, theirs in zip(later.case.load(4), whole.case.load(34), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(later.case.load(4)[0], whole.case.load(4)[0])


def test_training_validation_and_test_have_scenarios_of_their_own():
    made = data(batch_size=7, validation=7)
    found = [next(iter(loader))["openings"] for loader in
             (made.train_dataloader(), made.val_dataloader(), made.test_dataloader())]  # fmt: skip
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])
    assert not torch.equal(found[0], found[2])


def test_scenarios_to_judge_by_stay_when_the_seed_of_the_run_changes():
    first, second = data(seed=1), data(seed=2)
    for name in ("val_dataloader", "test_dataloader"):
        a, b = (next(iter(getattr(made, name)())) for made in (first, second))
        assert torch.equal(a["inflows"], b["inflows"])
    a, b = (next(iter(made.train_dataloader())) for made in (first, second))
    assert not torch.equal(a["inflows"], b["inflows"])
    other = next(iter(data(test_seed=5).test_dataloader()))
    assert not torch.equal(other["inflows"], next(iter(first.test_dataloader()))["inflows"])


def test_more_test_scenarios_begin_with_the_same_ones():
    few, many = (next(iter(data(test=number).test_dataloader()))["inflows"] for number in (4, 9))
    assert torch.equal(few, many[:4])


def test_a_run_goes_on_where_it_stopped():
    whole = [batch["inflows"] for step in (0, 3) for batch in batches(data(), step=step)]
    assert len(whole) == 6
    assert not any(torch.equal(a, b) for i, a in enumerate(whole) for b in whole[:i])
    resumed = [batch["inflows"] for batch in batches(data(), step=4)]
    assert all(torch.equal(a, b) for a, b in zip(resumed, whole[4:], strict=True))


def test_processes_share_the_scenarios_of_a_batch():
    alone = batches(data(batch_size=8))
    shares = [batches(data(batch_size=4), rank=rank, world=2) for rank in (0, 1)]
    for batch, first, second in zip(alone, *shares, strict=True):
        assert torch.equal(batch["inflows"][0::2], first["inflows"])
        assert torch.equal(batch["inflows"][1::2], second["inflows"])


def test_loader_processes_change_nothing():
    for a, b in zip(data().train_dataloader(), data(num_workers=1).train_dataloader(), strict=True):
        assert torch.equal(a["inflows"], b["inflows"])


def test_the_case_is_scaled_as_asked():
    made = data(stage_hours=24, load_scale=0.5, initial_volume=1.0)
    assert made.case.stage_hours == 24
    assert made.case.buses.load.sum() == pytest.approx(1.65)
    assert made.case.plants.initial_volume.tolist() == [1.0] * 4


def test_inflows_out_of_sample_come_from_the_process():
    made = data(test_inflows="autoregressive", persistence=0.5)
    assert "openings" in next(iter(made.val_dataloader()))
    batch = next(iter(made.test_dataloader()))
    assert set(batch) == {"inflows"}
    known = torch.from_numpy(made.case.inflows[:6]).permute(2, 0, 1)
    assert not (batch["inflows"][:, None] == known).any()


def test_years_to_judge_by_are_in_no_training():
    made = data(inflows="historical", batch_size=30, validation=2, test=2)
    years = torch.from_numpy(made.case.inflows[:6]).permute(2, 0, 1)

    def found(loader):
        inflows = next(iter(loader))["inflows"]
        return {k for path in inflows for k, year in enumerate(years) if torch.equal(path, year)}

    parts = [found(loader) for loader in (made.train_dataloader(), made.val_dataloader(), made.test_dataloader())]
    assert parts == [set(range(8)), {8, 9}, {10, 11}]


def test_scenarios_longer_than_a_year_may_be_many():
    made = data(inflows="historical", stages=60, validation=2, test=5)
    inflows = next(iter(made.test_dataloader()))["inflows"]
    assert len({tuple(path.ravel().tolist()) for path in inflows}) > 2


WRONG = {
    "no case": ({"case": "atlantis"}, "case 'atlantis' came, which is no folder"),
    "no stages": ({"stages": 0}, "data.stages is 0; a whole number of at least 1"),
    "half a batch": ({"batch_size": 1.5}, "data.batch_size is 1.5; a whole number"),
    "source": ({"inflows": "rain"}, "data.inflows=rain came; one of openings, autoregressive, historical"),
    "test source": ({"test_inflows": "rain"}, "data.test_inflows=rain came"),
    "years": ({"inflows": "historical", "validation": 2, "test": 3}, "data.test=3, but cascade has 2 different years"),
    "years of the test": (
        {"test_inflows": "historical", "test": 13},
        "data.test=13, but cascade has 12 different years",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings_say_what_is_expected(case):
    settings, message = WRONG[case]
    with pytest.raises(ConfigError, match=message):
        data(**settings)


def test_a_case_that_is_not_open_yet_says_so():
    with pytest.raises(ConfigError, match="call setup"):
        _ = InflowData().case


def test_a_public_case_is_found_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("SCIML_HYDRO_CASES", str(tmp_path))
    with pytest.raises(ConfigError, match=r"bolivia.* holds no folders\. Of the public repositories"):
        data(case="bolivia")
