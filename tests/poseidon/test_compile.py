"""Compiled networks: one graph, the same numbers, in inference and in training."""

import pytest
import torch

from sciml.pde.compilation import compiler_available
from sciml.poseidon import rollout
from tests.poseidon.small import small_network

ONE_STAGE = {"depths": (2,), "num_heads": (2,), "skip_connections": (1,)}  # compiling takes seconds for every block
ONE_BLOCK = {**ONE_STAGE, "depths": (1,), "skip_connections": (0,)}
FIELDS, TIMES = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([0.3, 0.8])


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def close(ours, theirs):
    # The same sums in another order: rounding of float32 through some forty layers.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


def gradients(net):
    net.zero_grad()
    net(FIELDS, TIMES).square().mean().backward()
    return {name: parameter.grad for name, parameter in net.named_parameters()}


@pytest.mark.parametrize("changes", [{}, {**ONE_STAGE, "resolution": "native", "periodic_windows": True}])
def test_the_network_is_one_graph(changes):
    net, compiled = small_network(**changes), small_network(**changes)
    compiled.compile(backend="eager", fullgraph=True)  # fullgraph: a break is an error
    with torch.no_grad():
        close(compiled(FIELDS, TIMES), net(FIELDS, TIMES))


def test_training_is_one_graph_with_the_same_gradients():
    net, compiled = small_network(**ONE_STAGE).train(), small_network(**ONE_STAGE).train()
    compiled.compile(backend="aot_eager", fullgraph=True)
    ours, theirs = gradients(compiled), gradients(net)
    largest = max(gradient.abs().max() for gradient in theirs.values())
    for name, gradient in theirs.items():
        # Some gradients are sums that cancel: compare with the largest of all.
        assert (ours[name] - gradient).abs().max() < 1e-5 * largest, name


def test_a_rollout_compiles_once():
    graphs, net = [], small_network(**ONE_BLOCK)

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    net.compile(backend=count, fullgraph=True)
    with torch.no_grad():
        compiled = list(rollout(net, FIELDS, 1.0, [0.1, 0.2, 0.3, 0.4]))
        close(compiled[-1], list(rollout(small_network(**ONE_BLOCK), FIELDS, 1.0, [0.1, 0.2, 0.3, 0.4]))[-1])
    assert len(graphs) == 1


def test_a_compiled_network_follows_its_weights():
    net = small_network(**ONE_BLOCK)
    net.compile(backend="eager", fullgraph=True)
    with torch.no_grad():
        before = net(FIELDS, TIMES)
        for name, parameter in net.named_parameters():
            if "continuous_position_bias" in name:
                parameter.mul_(2.0)
        after = net(FIELDS, TIMES)
    assert not torch.allclose(before, after)


@pytest.mark.skipif(not compiler_available(), reason="there is no C++ compiler")
def test_compiled_code_gives_the_same_prediction():
    net, compiled = small_network(**ONE_STAGE), small_network(**ONE_STAGE)
    compiled.compile(fullgraph=True)
    with torch.no_grad():
        close(compiled(FIELDS, TIMES), net(FIELDS, TIMES))
