"""Behaviour of scOT that published numbers do not cover: other sizes and shapes, conditioning, errors, groups."""

import copy
import pickle

import pytest
import torch

from sciml.errors import ConfigError, ShapeError
from sciml.poseidon import ScOT, ScOTConfig, rollout
from sciml.poseidon.loss import grouped_relative_loss
from sciml.poseidon.resample import spectral_resample
from tests.poseidon import small

# The small network with three channels in, on a larger grid and with larger patches.
SMALL = {**small.SMALL, "image_size": 32, "patch_size": 4, "depths": (2, 2), "num_channels": 3}


def network(**changes):
    return small.small_network(**{**SMALL, **changes})


@pytest.mark.parametrize("size", [(32, 32), (32, 48), (20, 36), (30, 33), (4, 64)])
def test_any_shape_gives_a_prediction_of_the_same_shape(size):
    prediction = network()(torch.randn(2, 3, *size), 0.5)
    assert prediction.shape == (2, 2, *size)
    assert prediction.isfinite().all()


def test_a_field_that_is_not_square_is_not_resampled_and_uses_all_its_points():
    net, fields = network(), torch.randn(1, 3, 32, 48)
    moved = fields.clone()
    moved[..., -1] += 1.0
    assert (net(moved, 0.5) - net(fields, 0.5)).abs().max() > 1e-3


def test_a_square_field_of_another_size_is_resampled_spectrally_as_published():
    def low_pass(fields):  # without the Nyquist mode, which the two grids do not treat alike
        return spectral_resample(spectral_resample(fields, (30, 30)), (32, 32))

    net, coarse = network(), low_pass(torch.randn(1, 3, 32, 32))
    fine = spectral_resample(coarse, (64, 64))
    ours, theirs = low_pass(spectral_resample(net(fine, 0.5), (32, 32))), low_pass(net(coarse, 0.5))
    # The same network on the same Fourier series: equal up to what float32 loses in two FFTs and a forward pass.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * theirs.abs().max().item())


def test_resampling_is_exact_for_resolved_waves():
    def wave(n):
        x = torch.arange(n, dtype=torch.float64) / n
        return torch.cos(2 * torch.pi * (2 * x[:, None] + 3 * x[None, :]))[None, None]

    for new in (24, 10):
        torch.testing.assert_close(spectral_resample(wave(16), (new, new)), wave(new), rtol=0, atol=1e-14)


def test_resampling_by_an_odd_number_of_points_says_what_to_do():
    with pytest.raises(ShapeError, match=r"32x32.*33x33.*even number.*image_size"):
        spectral_resample(torch.zeros(1, 1, 32, 32), (33, 33))


def test_the_lead_time_matters_with_conditioning_and_is_ignored_without():
    fields = torch.randn(1, 3, 32, 32)
    net = network()
    assert (net(fields, 0.1) - net(fields, 0.9)).abs().max() > 1e-3
    plain = network(use_conditioning=False)
    assert torch.equal(plain(fields, 0.1), plain(fields, 0.9))


def test_samples_of_a_batch_do_not_see_each_other():
    net, fields, times = network(), torch.randn(3, 3, 32, 32), torch.tensor([0.1, 0.5, 0.9])
    together = net(fields, times)
    alone = torch.cat([net(fields[i : i + 1], times[i : i + 1]) for i in range(3)])
    # Rounding of matrix products of different sizes.
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5 * alone.abs().max().item())


def test_the_residual_is_the_first_channels_of_the_input():
    fields = torch.randn(1, 3, 32, 32)
    with_residual, without = network(learn_residual=True), network()
    torch.testing.assert_close(with_residual(fields, 0.5), without(fields, 0.5) + fields[:, :2])


@pytest.mark.parametrize(
    "changes", [{"residual_model": "resnet"}, {"use_absolute_embeddings": True}, {"qkv_bias": False}]
)
def test_other_architectures_run_and_learn(changes):
    net = network(**changes).train()
    net(torch.randn(2, 3, 32, 32), 0.5).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_dropout_and_stochastic_depth_act_in_training_only():
    net = network(drop_path_rate=0.5, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    fields = torch.randn(2, 3, 32, 32)
    assert torch.equal(net(fields, 0.5), net(fields, 0.5))
    net.train()
    assert not torch.equal(net(fields, 0.5), net(fields, 0.5))


def test_nothing_changes_in_forward_and_copies_behave_alike():
    net, fields = network(), torch.randn(1, 3, 32, 32)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    attributes = [vars(m).keys() for m in net.modules()]
    with torch.no_grad():
        first = net(fields, 0.5)
        net(torch.randn(1, 3, 20, 44), 0.5)
        assert torch.equal(net(fields, 0.5), first)
    assert [vars(m).keys() for m in net.modules()] == attributes
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        with torch.no_grad():
            assert torch.equal(twin(fields, 0.5), first)


def test_what_is_remembered_for_inference_follows_the_weights():
    net, fields = network(), torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        first = net(fields, 0.5)
        for parameter in net.encoder["layers"][0].blocks[0].attention["self"].continuous_position_bias_mlp.parameters():
            parameter.mul_(2.0)
        second = net(fields, 0.5)
    assert not torch.equal(first, second)
    torch.testing.assert_close(net(fields, 0.5), second, rtol=0, atol=1e-5 * second.abs().max().item())


def test_gradients_reach_the_initial_fields_through_a_rollout():
    fields = torch.randn(1, 3, 32, 32, requires_grad=True)
    *_, last = rollout(network(), fields, 1.0, 3)
    last.square().sum().backward()
    assert fields.grad.abs().max() > 0


def test_a_rollout_carries_channels_that_are_not_predicted():
    seen = []
    net = network()
    net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    fields = torch.randn(1, 3, 32, 32)
    list(rollout(net, fields, torch.tensor([0.9]), [0.5, 0.5]))
    assert torch.equal(seen[1][:, 2:], fields[:, 2:])
    assert not torch.equal(seen[1][:, :2], fields[:, :2])


@pytest.mark.parametrize("steps", [0, [], -1])
def test_a_rollout_without_steps_is_refused(steps):
    with pytest.raises(ConfigError, match="steps is"):
        list(rollout(network(), torch.randn(1, 3, 32, 32), 1.0, steps))


def test_a_rollout_of_a_network_that_predicts_more_than_it_reads_is_refused():
    with pytest.raises(ConfigError, match="cannot be fed back"):
        list(rollout(network(num_channels=1), torch.randn(1, 1, 32, 32), 1.0, 2))


@pytest.mark.parametrize(
    ("fields", "time", "message"),
    [
        (torch.zeros(1, 5, 32, 32), 0.5, r"5 channels, the network expects 3.*in_channels=5"),
        (torch.zeros(3, 32, 32), 0.5, r"\(3, 32, 32\) came.*batch axis"),
        (torch.zeros(2, 3, 32, 32), torch.zeros(3), r"\(3,\) came for a batch of 2"),
    ],
)
def test_wrong_shapes_are_explained(fields, time, message):
    with pytest.raises(ShapeError, match=message):
        network()(fields, time)


def test_absolute_positions_refuse_another_grid():
    with pytest.raises(ShapeError, match="8x12 tokens came"):
        network(use_absolute_embeddings=True)(torch.zeros(1, 3, 32, 48), 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depths": (2, 2, 2)}, "depths has 3 stages, num_heads 2"),
        ({"embed_dim": 9}, "9 wide, which 2 heads do not divide"),
        ({"hidden_act": "relu"}, "only 'gelu'"),
        ({"p": 3}, "p is 3"),
        ({"residual_model": "dense"}, "'convnext' or 'resnet'"),
    ],
)
def test_settings_that_contradict_each_other_are_explained(changes, message):
    with pytest.raises(ConfigError, match=message):
        ScOTConfig(**{**SMALL, **changes})


def test_an_unknown_size_lists_the_known_ones():
    with pytest.raises(ConfigError, match="no Poseidon-XL; the sizes are T, S, B, L"):
        ScOTConfig.preset("XL")


def test_parameter_groups_follow_the_published_rules():
    net = network(use_absolute_embeddings=True)
    names = {id(p): name for name, p in net.named_parameters()}
    groups = {group: {names[id(p)] for p in ps} for group, ps in net.parameter_groups().items()}
    assert sorted(name for group in groups.values() for name in group) == sorted(names.values())  # every one, once
    assert "embeddings.norm.weight.weight" in groups["embedding_recovery"]
    assert "patch_recovery.mixup.weight" in groups["embedding_recovery"]
    block = "encoder.layers.0.blocks.0."
    assert block + "layernorm_before.bias.weight" in groups["time_embedding"]
    assert block + "attention.self.continuous_position_bias_mlp.0.weight" in groups["no_decay"]
    assert block + "attention.self.query.bias" in groups["no_decay"]
    assert block + "attention.self.logit_scale" in groups["backbone"]
    assert "residual_blocks.0.0.weight" in groups["backbone"]  # layer scale


def test_the_first_prediction_is_small_as_published_or_alive_on_request():
    torch.manual_seed(0)
    fields = torch.randn(1, 3, 32, 32)
    published, alive = (ScOT(ScOTConfig(**SMALL, initial_norm_scale=scale)) for scale in (0.0, 1.0))
    assert published(fields, 1.0).abs().max() < 0.05
    assert alive(fields, 1.0).abs().max() > 0.15
    norm = alive.encoder["layers"][0].blocks[0].layernorm_after
    assert norm.weight.bias.tolist() == [1.0] * 8
    assert norm.bias.bias.tolist() == [0.0] * 8


def test_the_loss_of_a_hand_example():
    target = torch.tensor([[[1.0, 1.0], [2.0, 0.0]], [[3.0, 3.0], [0.0, 2.0]]])
    prediction = target + torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [2.0, 1.0]]])
    # Group 0: mean 2/4 over mean 8/4 = 1/4. Group 1: 4/4 over 4/4 = 1. The batch is averaged before dividing.
    assert grouped_relative_loss(prediction, target, slices=(0, 1, 2)).item() == pytest.approx(0.625)
    assert grouped_relative_loss(prediction, target).item() == pytest.approx(6 / 8)
    assert grouped_relative_loss(prediction, target, p=2).item() == pytest.approx(8 / 8)
    mask = torch.tensor([False, True]).expand(2, 2)  # channel 1 counts as right, and stays in the mean over groups
    assert grouped_relative_loss(prediction, target, slices=(0, 1, 2), mask=mask).item() == pytest.approx(0.125)


@pytest.mark.parametrize("size", [(48, 48), (32, 64), (16, 40), (16, 16)])
def test_a_native_network_works_on_any_grid_as_if_it_had_been_made_for_it(size):
    native, made_for_it = network(resolution="native"), network(image_size=size)
    fields = torch.randn(1, 3, *size)
    assert torch.equal(native(fields, 0.5), made_for_it(fields, 0.5))


def test_a_native_network_uses_every_point_of_a_square_of_another_size():
    native, published = network(resolution="native"), network()
    wave = torch.cos(torch.pi * torch.arange(64.0)).expand(1, 3, 64, 64)  # too fine for the nominal 32 points
    silence = torch.zeros_like(wave)
    torch.testing.assert_close(published(wave, 0.5), published(silence, 0.5), rtol=0, atol=1e-3)
    assert (native(wave, 0.5) - native(silence, 0.5)).abs().max() > 1e-2


def test_spectral_resampling_needs_the_same_aspect_ratio_not_a_square():
    net, fields = network(image_size=(16, 32)), torch.randn(1, 3, 32, 64)
    expected = spectral_resample(net(spectral_resample(fields, (16, 32)), 0.5), (32, 64))
    torch.testing.assert_close(net(fields, 0.5), expected)


def test_an_unknown_choice_of_resolution_is_explained():
    with pytest.raises(ConfigError, match="'spectral' or 'native'"):
        network(resolution="bilinear")
