"""Sequence models: padding, streaming, roles of parameters, saving, errors."""

import pytest
import torch

import sciml
from sciml.errors import CheckpointError, ConfigError, ShapeError
from sciml.ssm.network import LAYERS, SequenceConfig, SequenceModel, build_sequence_model

LENGTHS = torch.tensor([20, 7, 13])
# Round-off of float64 over a few layers and different orders of summation.
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def model(layer="s5_ptd", *, bidirectional=False, **settings):
    """A small one in float64, in evaluation mode, with norms that are not those of the start."""
    torch.manual_seed(0)
    options = {"state": 8, "bidirectional": bidirectional}
    settings = {"inputs": 3, "outputs": 5, "layers": 2, "features": 6, **settings}
    net = SequenceModel(SequenceConfig(layer=layer, layer_options=options, **settings)).double()
    for name, buffer in net.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    return net.eval()


def sequences(batch=3, length=20):
    return torch.randn(batch, length, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "last", "none"])
def test_a_padded_sequence_gives_what_it_gives_alone(layer, bidirectional, pooling):
    net = model(layer, bidirectional=bidirectional, pooling=pooling)
    x = sequences()
    for i, length in enumerate(LENGTHS):
        x[i, length:] = 1e3
    y = net(x, LENGTHS)
    for i, length in enumerate(LENGTHS):
        alone = net(x[i : i + 1, :length])[0]
        torch.testing.assert_close(y[i, :length] if pooling == "none" else y[i], alone, **CLOSE)
        if pooling == "none":
            assert (y[i, length:] == 0).all()


def test_batch_norm_in_training_does_not_see_the_padding():
    x, more = sequences(), torch.cat([sequences(), torch.full((3, 4, 3), 7.0, dtype=torch.float64)], dim=1)
    outputs = []
    for u in (x, more):
        net = model(norm="batch").train()
        outputs.append((net(u, LENGTHS), net.blocks[-1].norm.running_var))
    torch.testing.assert_close(outputs[0], outputs[1], **CLOSE)


@pytest.mark.parametrize("layer", LAYERS)
def test_step_by_step_and_chunk_by_chunk_give_what_the_whole_gives(layer):
    net = model(layer, pooling="none")
    x = sequences()
    whole = net(x)
    state, outputs = net.initial_state(3), []
    for k in range(x.shape[1]):
        y, state = net.step(x[:, k], state)
        outputs.append(y)
    torch.testing.assert_close(torch.stack(outputs, dim=1), whole, **CLOSE)
    first, middle = net.stream(x[:, :9], net.initial_state(3))
    second, end = net.stream(x[:, 9:], middle)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, **CLOSE)
    torch.testing.assert_close(end, state, **CLOSE)


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("prenorm", [False, True])
@pytest.mark.parametrize("activation", ["gelu", "half_glu1", "half_glu2", "full_glu"])
def test_every_kind_of_block_runs_step_by_step(norm, prenorm, activation):
    net = model("s4d", pooling="none", norm=norm, prenorm=prenorm, activation=activation, dropout=0.3)
    x, state = sequences(length=4), net.initial_state(3)
    whole = net(x)
    for k in range(4):
        y, state = net.step(x[:, k], state)
        torch.testing.assert_close(y, whole[:, k], **CLOSE)


def test_tokens_are_streamed_as_well():
    net = model(encoder="tokens", inputs=9, pooling="none")
    tokens = torch.randint(9, (2, 6))
    state = net.initial_state(2)
    for k in range(6):
        y, state = net.step(tokens[:, k], state)
        torch.testing.assert_close(y, net(tokens)[:, k], **CLOSE)


def test_a_pair_is_compared_by_one_encoder_and_padding_of_either_means_nothing():
    net = model(pairs=True, outputs=2)
    a, b = sequences(), sequences().flip(0)
    y = net(a, LENGTHS, inputs2=b, lengths2=LENGTHS.flip(0))
    assert y.shape == (3, 2)
    # A sequence is encoded alike on either side.
    first, second = net._pooled(a, LENGTHS, None), net._pooled(b, LENGTHS.flip(0), None)
    torch.testing.assert_close(first, second.flip(0), **CLOSE)
    torch.testing.assert_close(y[1:2], net(a[1:2, :7], inputs2=b[1:2, :7]), **CLOSE)


def test_equal_time_steps_change_nothing_and_others_do():
    net = model("s5", pooling="none")
    x = sequences()
    ones = torch.ones(3, 20, dtype=torch.float64)
    torch.testing.assert_close(net(x, steps=ones), net(x), **CLOSE)
    assert (net(x, steps=2 * ones) - net(x)).abs().max() > 1e-3


def test_irregular_sequences_are_streamed_as_well():
    net = model("s5", pooling="none")
    x, steps = sequences(), 0.5 + torch.rand(3, 20, dtype=torch.float64)
    whole, (first, state) = net(x, steps=steps), net.stream(x[:, :9], net.initial_state(3), steps=steps[:, :9])
    torch.testing.assert_close(first, whole[:, :9], **CLOSE)
    y, _ = net.step(x[:, 9], state, steps=steps[:, 9])
    torch.testing.assert_close(y, whole[:, 9], **CLOSE)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_parameter_has_one_role_and_gets_a_gradient(layer):
    net = model(layer, bidirectional=True, norm="batch").train()
    groups = net.parameter_groups()
    found = [id(p) for parameters in groups.values() for p in parameters]
    assert sorted(found) == sorted(id(p) for p in net.parameters())
    assert all(
        groups[role] for role in ("eigenvalues", "step", "input", "output", "skip", "norm", "weights", "no_decay")
    )
    assert {id(p) for p in groups["norm"]} == {id(p) for n, p in net.named_parameters() if "norm" in n}
    net(sequences()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
    assert not any(p.is_complex() for p in net.parameters())


def test_frozen_parameters_have_no_role():
    net = model()
    net.head.requires_grad_(False)
    assert sum(map(len, net.parameter_groups().values())) == len(list(net.parameters())) - 2


def test_half_precision_changes_little():
    net = model().float()
    x = sequences().float()
    exact = net(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = net(x).float()
    assert rough.isfinite().all()
    # bfloat16 keeps 8 bits: each of a dozen linear maps rounds by up to 2^-9.
    assert (rough - exact).abs().max() < 0.03 * exact.abs().max()


@pytest.mark.parametrize("layer", LAYERS)
def test_a_saved_model_is_loaded_by_its_folder(layer, tmp_path):
    net = model(layer, bidirectional=True, norm="batch").float()
    net.save_pretrained(tmp_path, extra={"task": "classification"})
    again = sciml.load(tmp_path)
    assert isinstance(again, SequenceModel)
    assert not again.training
    assert again.config == net.config
    x = sequences().float()
    torch.testing.assert_close(again(x, LENGTHS), net(x, LENGTHS), rtol=0, atol=0)


def test_a_model_with_a_layer_of_its_own_is_loaded_with_that_layer(tmp_path):
    def make_layer(features):
        return sciml.S4D(features, state=12)

    net = SequenceModel(SequenceConfig(layers=1, features=6), make_layer=make_layer).eval()
    net.save_pretrained(tmp_path)
    x = torch.randn(2, 9, 1)
    torch.testing.assert_close(sciml.load(tmp_path, make_layer=make_layer)(x), net(x), rtol=0, atol=0)
    with pytest.raises(
        CheckpointError, match=r"do not fit their config.json .* or give the make_layer it was made with"
    ):
        sciml.load(tmp_path)
    with pytest.raises(ConfigError, match=r"image_size came .* a sequence model has no such option"):
        sciml.load(tmp_path, image_size=64)


@pytest.mark.parametrize(
    ("task", "shape"),
    [("classification", (3, 5)), ("regression", (3, 5)), ("sequence", (3, 20, 5)), ("retrieval", (3, 5))],
)
def test_a_model_is_built_for_every_task(task, shape):
    net = build_sequence_model(task=task, encoder="continuous", inputs=3, outputs=5, layers=1, features=4)
    pair = {"inputs2": sequences().float()} if task == "retrieval" else {}
    assert net(sequences().float(), **pair).shape == shape


WRONG_CONFIG = {
    "encoder": ({"encoder": "words"}, r"encoder is 'words'; continuous, tokens, pixels is expected"),
    "layer": ({"layer": "s6"}, r"layer is 's6'; s4, s4d, s4_ptd, s5, s5_ptd is expected"),
    "option": ({"layer_options": {"stat": 8}}, r"layer='s5_ptd' cannot be made with \{'stat': 8\}"),
    "number": ({"features": 0}, r"features is 0; a whole number of at least 1"),
    "dropout": ({"dropout": 1.0}, r"dropout is 1.0; a fraction in \[0, 1\)"),
    "pairs": ({"pairs": True, "pooling": "none"}, r"pooling='none' makes none. Set pooling='mean'"),
}


@pytest.mark.parametrize("case", WRONG_CONFIG)
def test_wrong_settings_say_what_is_expected(case):
    settings, message = WRONG_CONFIG[case]
    with pytest.raises(ConfigError, match=message):
        SequenceModel(SequenceConfig(**settings))
    with pytest.raises(ConfigError, match="task is 'guess'; classification, "):
        build_sequence_model(task="guess", encoder="continuous", inputs=1, outputs=1)


WRONG_INPUT = {
    "features": (lambda net: net(torch.randn(2, 9, 4).double()), ShapeError, r"\(2, 9, 4\).* \(batch, length, 3\)"),
    "no batch": (lambda net: net(torch.randn(9, 3).double()), ShapeError, r"\(9, 3\) came; a batch of sequences"),
    "lengths": (lambda net: net(sequences(), LENGTHS[:2]), ShapeError, r"lengths of shape \(2,\) .* 3 whole numbers"),
    "too long": (lambda net: net(sequences(), LENGTHS + 1), ShapeError, r"lengths from 8 to 21 .* of 20 steps"),
    "empty": (lambda net: net(sequences(), LENGTHS * 0), ShapeError, r"a sequence of length 0 .* Leave out empty"),
    "steps": (lambda net: net(sequences(), steps=torch.ones(3, 9)), ShapeError, r"time steps of shape \(3, 9\)"),
    "pooled": (lambda net: net.initial_state(3), ConfigError, r"pools \(pooling='mean'\)"),
}


@pytest.mark.parametrize("case", WRONG_INPUT)
def test_wrong_input_says_what_is_expected(case):
    call, error, message = WRONG_INPUT[case]
    with pytest.raises(error, match=message):
        call(model())


def test_what_a_model_cannot_do_is_said():
    with pytest.raises(ConfigError, match="bidirectional layers need whole sequences"):
        model(bidirectional=True, pooling="none").initial_state(2)
    net = model(pooling="none").train()
    with pytest.raises(ConfigError, match=r"step\(\) came in training mode"):
        net.step(sequences()[:, 0], net.initial_state(3))
    with pytest.raises(ConfigError, match=r"knows one time step only\. Use layer='s5_ptd'"):
        model("s4d")(sequences(), steps=torch.ones(3, 20))
    with pytest.raises(ShapeError, match="compares pairs: give inputs2"):
        model(pairs=True)(sequences())
    with pytest.raises(ShapeError, match="tokens are whole numbers"):
        model(encoder="tokens", inputs=4)(sequences())
    with pytest.raises(ShapeError, match="images of shape \\(batch, 3, height, width\\)"):
        model(encoder="pixels")(sequences())


def test_what_is_no_sequence_model_is_not_loaded_as_one(tmp_path):
    from sciml.baselines.fno import FNO, FNOConfig

    FNO(FNOConfig(width=4, modes=2, layers=1)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="a model of type 'fno'; 'sequence' is expected"):
        SequenceModel.from_pretrained(tmp_path)
