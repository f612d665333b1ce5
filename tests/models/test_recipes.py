"""What fine-tuning recipes train, and what they leave as it is."""

import copy
from functools import partial

import lightning as L
import pytest
import torch

import sciml
from datamodules.trajectories import TrajectoryData
from models.memory import step_memory
from models.poseidon import OperatorLearning
from models.recipes import NEW, RunningMean, TrainFirst, freeze, lora
from models.sharding import plain_network
from sciml.errors import ConfigError
from sciml.poseidon.blocks import recompute_activations
from sciml.poseidon.build import build_scot
from sciml.poseidon.config import ScOTConfig
from sciml.poseidon.loss import grouped_relative_loss
from sciml.poseidon.network import ScOT
from tests.e2e.halves import HalvedLosses
from tests.flows import write_flows
from tests.models.trainers import quiet_trainer

TINY = {
    "patch_size": 2,
    "embed_dim": 8,
    "depths": (1, 2),
    "num_heads": (2, 2),
    "skip_connections": (1, 0),
    "window_size": 4,
    "initial_norm_scale": 1.0,
}
SMALL = partial(build_scot, **TINY)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_flows(tmp_path_factory.mktemp("recipes") / "NS-PwC.nc", trajectories=6)


def trained(path, folder, *, steps=3, callbacks=(), batch_size=4, channels_in=("u", "v"), resume=None, **settings):
    """A model after a few steps, and its trainer."""
    kind = settings.pop("kind", OperatorLearning)
    options = {key: settings.pop(key) for key in ("precision", "accumulate_grad_batches") if key in settings}
    L.seed_everything(0, verbose=False)
    model = kind(SMALL, **{"learning_rate": 1e-2, "schedule": "constant", **settings})
    trainer = quiet_trainer(folder, steps=steps, limit_val_batches=0, callbacks=list(callbacks), **options)
    data = TrajectoryData(
        str(path), channels_in=channels_in, channels_out=["u", "v"], validation=1, test=1, batch_size=batch_size
    )
    trainer.fit(model, data, ckpt_path=resume)
    return model, trainer


@pytest.fixture(scope="module")
def start(path, tmp_path_factory):
    """The weights before training."""
    seen = {}

    class Keep(L.Callback):
        def on_train_start(self, trainer, pl_module):
            seen.update({name: p.detach().clone() for name, p in pl_module.net.named_parameters()})

    trained(path, tmp_path_factory.mktemp("start"), steps=1, callbacks=[Keep()])
    return seen


def moved(net, start):
    """Groups of parameters that are not what they were."""
    names = {id(p): name for name, p in net.named_parameters()}
    for p in net.parameters():
        p.requires_grad_(True)
    groups = net.parameter_groups()
    return {g for g, ps in groups.items() if any(not torch.equal(p, start[names[id(p)]]) for p in ps)}


def network(size=8):
    torch.manual_seed(0)
    return ScOT(ScOTConfig(image_size=size, num_channels=2, num_out_channels=2, **TINY))


def gradients(net):
    torch.manual_seed(1)
    net.zero_grad()
    net(torch.randn(3, 2, 8, 8), torch.tensor([0.1, 0.5, 1.0])).square().mean().backward()
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def test_a_frozen_backbone_stays_while_embedding_and_conditioning_learn(path, tmp_path, start):
    model, _ = trained(path, tmp_path, recipe=freeze)
    assert moved(model.net, start) == set(NEW)


def test_freezing_changes_no_other_gradient():
    whole, frozen = network(), network()
    freeze(frozen)
    expected, found = gradients(whole), gradients(frozen)
    assert 0 < len(found) < len(expected)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-8)  # other kernels: float32 round-off


def test_the_embedding_learns_alone_before_all_do(path, tmp_path, start):
    alone, _ = trained(path, tmp_path, steps=2, callbacks=[TrainFirst(2)])
    assert moved(alone.net, start) == set(NEW)
    together, _ = trained(path, tmp_path, steps=3, callbacks=[TrainFirst(2)])
    assert moved(together.net, start) == {*NEW, "backbone", "no_decay"}


def test_a_resumed_run_knows_what_is_trained(path, tmp_path):
    whole, _ = trained(path, tmp_path, steps=4, callbacks=[TrainFirst(3)])
    _, trainer = trained(path, tmp_path, steps=2, callbacks=[TrainFirst(3)])
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    resumed, _ = trained(path, tmp_path, steps=4, callbacks=[TrainFirst(3)], resume=tmp_path / "two.ckpt")
    for name, weight in whole.net.state_dict().items():
        torch.testing.assert_close(resumed.net.state_dict()[name], weight, rtol=0, atol=0)


def test_low_rank_updates_start_as_nothing_and_are_all_that_the_backbone_learns(path, tmp_path, start):
    net = network()
    fields = torch.randn(2, 2, 8, 8)
    before = net(fields, 0.5)
    lora(net, rank=2)
    torch.testing.assert_close(net(fields, 0.5), before, rtol=0, atol=0)

    model, _ = trained(path, tmp_path, recipe=partial(lora, rank=2))
    for name, parameter in model.net.named_parameters():
        if name.endswith(".original"):
            plain = name.replace("parametrizations.weight.original", "weight")
            assert torch.equal(parameter, start[plain])
        elif name.endswith((".up", ".down")):
            assert parameter.abs().max() > 0  # up started at 0; all 3 layers of attention, output and MLP have one
    # Blocks: 1 + 2 in the encoder and as many in the decoder, with query, key, value and three dense layers each.
    assert sum(name.endswith(".up") for name, _ in model.net.named_parameters()) == 6 * 6


def test_saved_low_rank_updates_are_part_of_plain_weights(path, tmp_path):
    model, _ = trained(path, tmp_path, recipe=partial(lora, rank=2))
    model.net.licence = "kept"
    assert plain_network(model.net).licence == "kept"
    model.export(tmp_path / "model")
    loaded = sciml.load(tmp_path / "model")
    assert loaded.state_dict().keys() == network().state_dict().keys()
    fields = torch.randn(2, 2, 8, 8)
    # Merged before the product with the tokens, as in training: the same numbers but for the copy.
    torch.testing.assert_close(loaded(fields, 0.3), model.net.eval()(fields, 0.3), rtol=1e-6, atol=1e-6)


def test_a_group_or_layer_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="no group of parameters neck; it has embedding_recovery"):
        freeze(network(), train=["neck"])
    with pytest.raises(ConfigError, match="no linear layer called q"):
        lora(network(), targets=["q"])
    with pytest.raises(ConfigError, match="rank of the low-rank updates is 0"):
        lora(network(), rank=0)


def test_recomputed_activations_give_the_same_gradients_and_take_less_memory():
    net = network()
    kept, memory = gradients(net), step_memory(net, 3, (8, 8), channels=2)
    recompute_activations(net)
    again = gradients(net)
    assert kept.keys() == again.keys()
    for name, gradient in kept.items():
        torch.testing.assert_close(again[name], gradient, rtol=0, atol=0)
    assert step_memory(net, 3, (8, 8), channels=2) < 0.8 * memory


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_half_precision_learns_nearly_the_same(path, tmp_path, precision):
    def loss(precision):
        model, trainer = trained(path, tmp_path, precision=precision)
        return trainer.callback_metrics["train/loss"].item(), model.net.state_dict()

    (exact, _), (half, weights) = loss("32-true"), loss(precision)
    assert half == pytest.approx(exact, rel=0.02)  # bfloat16 has 8 bits: 0.4 % a rounding
    assert half != exact
    assert all(weight.dtype == torch.float32 and weight.isfinite().all() for weight in weights.values())


class Weights(L.Callback):
    """Keeps a weight after every step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(pl_module.net.patch_recovery.mixup.weight.detach().clone())


def test_the_running_mean_of_the_weights_is_what_is_saved(path, tmp_path):
    weights = Weights()
    model, _ = trained(path, tmp_path, steps=4, callbacks=[weights, RunningMean(0.5)])
    mean = weights.seen[0]  # the mean starts with the first step
    for weight in weights.seen[1:]:
        mean = 0.5 * mean + 0.5 * weight
    model.export(tmp_path / "model")
    torch.testing.assert_close(sciml.load(tmp_path / "model").patch_recovery.mixup.weight, mean)


def test_a_resumed_run_goes_on_with_weights_and_mean(path, tmp_path):
    saved = tmp_path / "two.ckpt"

    class SaveAfterTwo(L.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.global_step == 2:
                trainer.save_checkpoint(saved)

    whole, trainer = trained(path, tmp_path, steps=4, callbacks=[RunningMean(0.5), SaveAfterTwo()])
    resumed, _ = trained(path, tmp_path, steps=4, callbacks=[RunningMean(0.5)], resume=saved)
    for name, weight in whole.net.state_dict().items():
        torch.testing.assert_close(resumed.net.state_dict()[name], weight, rtol=0, atol=0)

    # A test after training takes the mean of the checkpoint, not the weights that training would go on with.
    kept = torch.load(saved, weights_only=True)
    trainer.test(whole, trainer.datamodule, ckpt_path=saved, verbose=False)
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(weight, kept["state_dict"][name], rtol=0, atol=0)
    assert any(not torch.equal(v, kept["state_dict"][k]) for k, v in kept["current_model_state"].items())


def test_accumulated_gradients_are_the_mean_over_batches(path, tmp_path):
    twice, _ = trained(path, tmp_path, batch_size=4, accumulate_grad_batches=2)
    once, _ = trained(path, tmp_path, batch_size=8, kind=HalvedLosses, interleaved=False)
    for name, weight in once.net.state_dict().items():
        # Sums in another order, enlarged by AdamW where a gradient is nearly 0: below 1 % of a step of 1e-2.
        torch.testing.assert_close(twice.net.state_dict()[name], weight, rtol=0, atol=1e-4)


def test_pushforward_trains_the_last_step_on_the_networks_own_prediction(path, tmp_path):
    model, _ = trained(path, tmp_path, steps=1, pushforward=1)
    torch.manual_seed(0)
    batch = {
        "fields": torch.randn(3, 2, 8, 8),
        "lead_time": torch.tensor([0.2, 0.5, 1.0]),
        "target": torch.randn(3, 2, 8, 8),
    }
    half = batch["lead_time"] / 2
    known = model.net(batch["fields"], half).detach()
    expected = grouped_relative_loss(model.net(known, half), batch["target"], slices=model.slices)
    found = model._loss(model.net, batch)
    torch.testing.assert_close(found, expected)
    parameters = list(model.net.parameters())
    torch.testing.assert_close(torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters))
    model.pushforward = 0
    assert model._loss(model.net, batch) != found


def test_pushforward_needs_predictions_that_can_be_fed_back(path, tmp_path):
    with pytest.raises(ConfigError, match=r"model.pushforward=1 feeds predictions back, but these data cannot be"):
        trained(path, tmp_path, pushforward=1, channels_in=("v", "u"))
    with pytest.raises(ConfigError, match=r"model.pushforward is -1"):
        OperatorLearning(SMALL, pushforward=-1)


def test_what_will_be_trained_is_printed(path, tmp_path, capsys):
    model, _ = trained(path, tmp_path, recipe=freeze, learning_rate_time=2e-3)
    out = capsys.readouterr().out
    rows = {line.split("│")[1].strip(): line for line in out.splitlines() if line.startswith("│")}
    count = {True: 0, False: 0}
    for parameter in model.net.parameters():
        count[parameter.requires_grad] += parameter.numel()
    assert f"{count[False]:,}" in rows["frozen"]
    assert "0.002" in rows["time_embedding"]
    assert "backbone" not in rows
    # 4 trajectories of 36 pairs in batches of 4.
    assert "Training: 3 steps of 4 pairs, 36 steps an epoch (144 pairs), 1 epochs; about" in out


def test_a_model_with_a_recipe_can_be_copied():
    net = network()
    lora(net, rank=2)
    twin = copy.deepcopy(net)
    fields = torch.randn(1, 2, 8, 8)
    torch.testing.assert_close(twin(fields, 0.5), net(fields, 0.5), rtol=0, atol=0)
