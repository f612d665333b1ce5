from functools import partial
from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
import torch
from hydra.utils import instantiate

from datamodules.sequences import SequenceData
from sciml.data.sequences import open_fashion_mnist, open_listops
from sciml.errors import ConfigError
from tests.data.sequences.test_idx import write_pictures

LISTOPS = partial(
    open_listops, train=200, validation=20, test=30, min_length=10, max_length=80, max_depth=5, max_args=6
)
CONFIGS = ("aan", "cifar10", "imdb", "listops", "pathfinder", "pathx", "psfmnist", "series", "sfmnist", "sequences")


def opened(folder, source=LISTOPS, **settings):
    data = SequenceData(source, folder=str(folder), **{"batch_size": 16, **settings})
    data.prepare_data()
    data.setup("fit")
    return data


def test_the_data_tell_what_a_network_needs_to_know(tmp_path):
    data = opened(tmp_path)
    assert (data.task, data.encoder, data.vocabulary, data.outputs) == ("classification", "tokens", 16, 10)
    assert 60 < data.length < 80
    write_pictures(tmp_path / "fashion-mnist")
    data = opened(tmp_path, partial(open_fashion_mnist, validation=2))
    assert (data.encoder, data.vocabulary, data.features, data.length) == ("continuous", None, 1, 16)


def test_parts_are_cut_from_the_start(tmp_path):
    whole, some = opened(tmp_path), opened(tmp_path, train=33, validation=4, test=5, eval_batch_size=3)
    assert [len(some.train_dataloader().dataset), len(some.val_dataloader().dataset)] == [33, 4]
    batches = list(some.test_dataloader())
    assert [len(batch["target"]) for batch in batches] == [3, 2]
    first = next(iter(whole.test_dataloader()))
    assert torch.equal(torch.cat([batch["target"] for batch in batches]), first["target"][:5])


@pytest.mark.parametrize("pool", [1, 4])
def test_a_resumed_epoch_goes_on_with_the_next_batch(tmp_path, pool):
    data = opened(tmp_path, length_pool=pool, seed=7)
    whole = list(data.train_dataloader())
    assert len(whole) == 13
    data.trainer = SimpleNamespace(
        global_step=5,
        limit_train_batches=1.0,
        accumulate_grad_batches=1,
        global_rank=0,
        world_size=1,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )
    resumed = list(data.train_dataloader())
    assert len(resumed) == 8
    for a, b in zip(whole[5:], resumed, strict=True):
        assert torch.equal(a["inputs"], b["inputs"])
        assert torch.equal(a["lengths"], b["lengths"])


def test_putting_like_lengths_together_saves_padding(tmp_path):
    positions = [
        sum(batch["inputs"].numel() for batch in opened(tmp_path, length_pool=pool).train_dataloader())
        for pool in (1, 12)
    ]
    assert positions[1] < 0.75 * positions[0]


def test_workers_read_the_same_batches(tmp_path):
    alone, helped = (list(opened(tmp_path, num_workers=n).train_dataloader()) for n in (0, 1))
    assert all(torch.equal(a["inputs"], b["inputs"]) for a, b in zip(alone, helped, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": "many"}, "data.batch_size is 'many'; a whole number of at least 1"),
        ({"train": 0}, "data.train is 0"),
        ({"test": 31}, "data.test=31, but ListOps has 30 of them"),
        ({"source": None}, "data.source is null.*data=sfmnist"),
    ],
)
def test_what_cannot_work_is_named(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        opened(tmp_path, **settings)
    with pytest.raises(ConfigError, match="not open yet"):
        _ = SequenceData(LISTOPS).task


@pytest.mark.parametrize("name", CONFIGS)
def test_every_setting_of_a_configuration_is_one_of_its_source(name):
    configs = Path(__file__).parents[2] / "configs"
    with hydra.initialize_config_dir(str(configs), version_base="1.3"):
        config = hydra.compose("train", [f"data={name}", "run_dir=run"])
    data = instantiate(config.data, _convert_="all")
    assert isinstance(data, SequenceData)
    if name != "sequences":
        accepted = data.source.func.__annotations__
        assert set(data.source.keywords) <= set(accepted)
        assert {"path", "folder"} <= set(accepted)
    assert data.seed == 0
