"""Exported programs: the network as a graph of a fixed shape, without this package."""

import torch

from tests.poseidon.small import small_network

FIELDS, TIMES = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([0.3, 0.8])


def test_an_exported_program_predicts_the_same_after_a_trip_through_a_file(tmp_path):
    net = small_network()
    with torch.no_grad():
        program = torch.export.export(net, (FIELDS, TIMES))
    torch.export.save(program, tmp_path / "scot.pt2")
    loaded = torch.export.load(tmp_path / "scot.pt2").module()
    for fields, times in ((FIELDS, TIMES), (2 * FIELDS.flip(0), TIMES / 2)):
        with torch.no_grad():
            ours, theirs = loaded(fields, times), net(fields, times)
        # The same operations, but for attention in stock operations: rounding of float32.
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


def test_an_exported_program_resamples_fields_of_another_size():
    net, fields = small_network(depths=(1, 1)), torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        program = torch.export.export(net, (fields, TIMES[:1])).module()
        ours, theirs = program(fields, TIMES[:1]), net(fields, TIMES[:1])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


def test_what_was_remembered_for_inference_is_not_frozen_into_the_program():
    net = small_network(depths=(1, 1))
    with torch.no_grad():
        net(FIELDS, TIMES)  # now the position biases are remembered
        program = torch.export.export(net, (FIELDS, TIMES))
        module = program.module()
        for name, parameter in module.named_parameters():
            if "continuous_position_bias" in name:
                parameter.mul_(2.0)
        assert not torch.allclose(module(FIELDS, TIMES), net(FIELDS, TIMES))
