"""The noise that a layer sees is the one that was asked for."""

import pytest
import torch
from torch import nn

from sciml.ssm.network import SequenceConfig, SequenceModel
from sciml.ssm.noise import fourier_noise, time_steps

W, AMPLITUDE = 325.4, 0.1


def model(layer):
    torch.manual_seed(0)
    config = SequenceConfig(layer=layer, layer_options={"state": 8}, layers=2, features=4)
    return SequenceModel(config).eval()


def read_by_layers(net, x, **noise):
    """What every layer reads, without and with noise."""
    seen = []
    hooks = [block.layer.register_forward_hook(lambda module, args, _: seen.append(args[0])) for block in net.blocks]
    with torch.no_grad():
        net(x)
        with fourier_noise(net, W, generator=torch.Generator().manual_seed(3), **noise):
            net(x)
    for hook in hooks:
        hook.remove()
    return seen[:2], seen[2:]


def test_the_first_layer_reads_a_cosine_of_the_frequency_in_its_own_time():
    net, x = model("s4d"), torch.randn(5, 300, 1)
    clean, noisy = read_by_layers(net, x, amplitude=AMPLITUDE)
    added = (noisy[0] - clean[0]).double()
    dt = net.blocks[0].layer.continuous_system().step[:, 0].double()
    amplitude = added[:, :1]
    assert ((amplitude >= 0) & (amplitude < AMPLITUDE)).all()
    assert amplitude.unique().numel() == 5 * 4, "one draw for each sample and feature"
    expected = amplitude * torch.cos(W * dt * torch.arange(300)[:, None])
    torch.testing.assert_close(added, expected, rtol=0, atol=1e-6)  # float32 round-off of inputs of order one


def test_every_layer_is_disturbed_and_none_any_longer_afterwards():
    net, x = model("s5"), torch.randn(2, 30, 1)
    clean, noisy = read_by_layers(net, x, amplitude=AMPLITUDE)
    assert (noisy[1] - clean[1]).abs().max() > 1e-3
    with torch.no_grad():
        before = net(x)
        with pytest.raises(RuntimeError, match="on purpose"), fourier_noise(net, W):
            raise RuntimeError("on purpose")
        torch.testing.assert_close(net(x), before, rtol=0, atol=0)


def test_a_layer_with_one_step_a_state_has_their_geometric_mean():
    class System:
        step = torch.tensor([[0.1, 0.4], [0.01, 1.0]])

    torch.testing.assert_close(time_steps(System), torch.tensor([0.2, 0.1]))


def test_other_modules_are_left_alone():
    net = nn.Linear(3, 3)
    x = torch.randn(2, 5, 3)
    with fourier_noise(net, W):
        noisy = net(x)
    torch.testing.assert_close(noisy, net(x), rtol=0, atol=0)
