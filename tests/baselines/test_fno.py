"""The Fourier neural operator does not know the grid, commutes with translations, and learns."""

import json

import pytest
import torch

import sciml
from sciml.baselines.fno import FNO, FNOConfig, build_fno
from sciml.baselines.spectral import SpectralConv
from sciml.data.spec import FieldSpec
from sciml.errors import CheckpointError, ConfigError, ShapeError
from sciml.poseidon.rollout import rollout

SMALL = {"num_channels": 2, "num_out_channels": 2, "width": 8, "modes": 5, "layers": 3, "projection": 16}


def small(**changes):
    torch.manual_seed(0)
    net = FNO(FNOConfig(**{**SMALL, **changes}))
    for layer in net.layers:  # as after training: the lead time matters
        torch.nn.init.normal_(layer.condition.weight, std=0.3)
    return net.eval()


def smooth(size, *, channels=2, wavenumbers=4, dtype=torch.float32, seed=0):
    """One function of wavenumbers up to a bound, sampled on the grid i / size."""
    generator = torch.Generator().manual_seed(seed)
    span = 2 * wavenumbers + 1
    modes = torch.randn(2, channels, span, span, dtype=torch.complex128, generator=generator) / span
    k = torch.arange(-wavenumbers, wavenumbers + 1, dtype=torch.float64)
    wave = torch.exp(2j * torch.pi * k[:, None] * torch.arange(size) / size)
    return torch.einsum("bckl,kx,ly->bcxy", modes, wave, wave).real.to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_a_spectral_convolution_is_the_same_operator_on_every_grid(dtype, tolerance):
    torch.manual_seed(0)
    layer = SpectralConv(2, 3, 5).to(dtype)
    coarse, fine = layer(smooth(16, dtype=dtype)), layer(smooth(48, dtype=dtype))
    # Exact up to round-off: neither grid aliases anything of a band-limited field.
    torch.testing.assert_close(fine[..., ::3, ::3], coarse, rtol=0, atol=tolerance)


def test_a_spectral_convolution_multiplies_every_mode_by_its_matrix():
    torch.manual_seed(0)
    layer = SpectralConv(1, 1, 3).double()
    x, y = torch.meshgrid(*[torch.arange(8, dtype=torch.float64) / 8] * 2, indexing="ij")
    for k, row in ((2, 2), (-1, 4), (0, 0)):
        phase = 2 * torch.pi * (k * x + 1 * y)
        re, im = layer.weight[row, 1, 0, 0].detach()
        expected = re * torch.cos(phase) - im * torch.sin(phase)  # Re (re + i im) exp(i phase)
        torch.testing.assert_close(layer(torch.cos(phase)[None, None])[0, 0], expected)


def test_a_spectral_convolution_drops_what_it_does_not_keep():
    x = torch.cos(2 * torch.pi * 3 * torch.arange(16) / 16).expand(1, 1, 16, 16)
    assert SpectralConv(1, 1, 3)(x).abs().max() < 1e-6
    assert SpectralConv(1, 1, 4)(x).abs().max() > 0.1


@pytest.mark.parametrize("shape", [(9, 8), (5, 12)])
def test_the_gradient_of_a_spectral_convolution_is_exact(shape):
    torch.manual_seed(0)
    layer = SpectralConv(2, 3, 3).double()
    fields = torch.randn(1, 2, *shape, dtype=torch.float64, requires_grad=True)

    def function(x, weight):
        return torch.func.functional_call(layer, {"weight": weight}, x)

    assert torch.autograd.gradcheck(function, (fields, layer.weight))


@pytest.mark.parametrize("coordinates", [False, True])
def test_the_network_gives_the_same_function_on_a_finer_grid(coordinates):
    net = small(coordinates=coordinates).double()
    errors = []
    for size in (16, 32, 64):
        with torch.no_grad():
            coarse, fine = (net(smooth(n, wavenumbers=2, dtype=torch.float64), 0.5) for n in (size, 2 * size))
        errors.append(((fine[..., ::2, ::2] - coarse).norm() / coarse.norm()).item())
    # GELU makes harmonics of every order, whose aliases on the coarse grid die out as it resolves them. Coordinates are
    # not periodic: the jump of x at the edge has modes that decay as 1 / k, so that only first order is left.
    assert errors[2] < (2e-2 if coordinates else 1e-4), errors
    assert errors[2] < errors[0] / (3 if coordinates else 100), errors


def test_the_network_commutes_with_translations_unless_it_knows_the_coordinates():
    fields = smooth(16)
    for coordinates in (False, True):
        net = small(coordinates=coordinates)
        with torch.no_grad():
            difference = net(fields.roll((3, 5), (-2, -1)), 0.5) - net(fields, 0.5).roll((3, 5), (-2, -1))
        assert (difference.abs().max() > 1e-2) == coordinates
        assert (difference.abs().max() < 1e-5) != coordinates  # round-off of values of order 1


def test_the_prediction_depends_on_the_lead_time_of_its_own_sample_only():
    net, fields = small(), smooth(16)
    with torch.no_grad():
        both = net(fields, torch.tensor([0.2, 0.9]))
        for k, time in enumerate((0.2, 0.9)):
            # One sample and a batch are summed in another order: float32 round-off.
            torch.testing.assert_close(both[k : k + 1], net(fields[k : k + 1], time), rtol=1e-5, atol=1e-5)
        assert (net(fields, 0.2) - net(fields, 0.9)).abs().max() > 1e-2


def test_a_residual_is_added_to_the_first_channels():
    plain, residual = small(num_channels=3), small(num_channels=3, learn_residual=True)
    fields = smooth(16, channels=3)
    with torch.no_grad():
        torch.testing.assert_close(residual(fields, 0.3), plain(fields, 0.3) + fields[:, :2])


def test_under_autocast_the_transforms_stay_in_single_precision():
    net, fields = small(), smooth(16)
    layer = net.layers[0].spectral
    hidden = torch.randn(2, 8, 16, 16)
    with torch.no_grad():
        expected = layer(hidden), layer(hidden.bfloat16().float()).bfloat16()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert net(fields, 0.5).dtype == torch.bfloat16
            assert torch.equal(layer(hidden), expected[0])
            assert torch.equal(layer(hidden.bfloat16()), expected[1])


def test_a_few_steps_of_training_lower_the_loss():
    net = small().train()
    fields, times = smooth(16), torch.tensor([0.0, 1.0])
    target = fields.roll(4, -1) * times[:, None, None, None] + fields * (1 - times[:, None, None, None])
    groups = net.parameter_groups()
    optimizer = torch.optim.AdamW([p for group in groups.values() for p in group], lr=1e-2)
    losses = []
    for _ in range(40):
        loss = (net(fields, times) - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0], losses[-1]


def test_it_can_be_run_without_numbers_to_estimate_its_memory():
    with torch.device("meta"):
        net = FNO(FNOConfig(**SMALL))
        assert net(torch.empty(3, 2, 16, 16), torch.empty(3)).shape == (3, 2, 16, 16)


def test_every_parameter_is_in_one_group():
    net = small()
    groups = net.parameter_groups()
    assert sorted(id(p) for group in groups.values() for p in group) == sorted(map(id, net.parameters()))
    assert len(groups["time_embedding"]) == 2 * SMALL["layers"]
    assert all(p.ndim == 1 for p in groups["no_decay"])
    assert all(p.ndim > 1 for p in groups["backbone"])


def test_predictions_can_be_fed_back():
    net, fields = small(num_channels=3), smooth(16, channels=3)
    with torch.no_grad():
        first, second = rollout(net, fields, 0.8, 2)
        torch.testing.assert_close(second, net(torch.cat([first, fields[:, 2:]], dim=1), 0.4))


@pytest.mark.parametrize("loader", [sciml.load, FNO.from_pretrained])
def test_what_was_saved_is_loaded_from_its_folder_or_its_run(loader, tmp_path):
    net, fields = small(coordinates=True), smooth(16)
    net.save_pretrained(tmp_path / "run" / "model", extra={"task": "NS-PwC"})
    for place in ("run", "run/model"):
        again = loader(tmp_path / place)
        assert isinstance(again, FNO)
        assert not again.training
        with torch.no_grad():
            assert torch.equal(again(fields, 0.3), net(fields, 0.3))
    content = json.loads((tmp_path / "run/model/config.json").read_text())
    assert content["model_type"] == "fno"
    assert content["sciml"]["task"] == "NS-PwC"


def test_damaged_folders_say_what_is_wrong(tmp_path):
    with pytest.raises(CheckpointError, match=r"has a config\.json"):
        FNO.from_pretrained(tmp_path)
    folder = small().save_pretrained(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"width": 9}))
    with pytest.raises(CheckpointError, match=r"do not fit their config\.json.*lifting"):
        sciml.load(folder)
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "swinv2"}))
    with pytest.raises(CheckpointError, match="type 'swinv2'; 'fno' is expected"):
        FNO.from_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        FNO.from_pretrained(folder)


def test_options_that_an_fno_does_not_have_are_refused(tmp_path):
    folder = small().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"in_channels .* an FNO has no such option"):
        sciml.load(folder, in_channels=3)


def test_wrong_input_says_what_is_expected():
    net = small()
    with pytest.raises(ShapeError, match=r"\(2, 3, 16, 16\) came; \(batch, 2, height, width\) is expected"):
        net(smooth(16, channels=3), 0.5)
    with pytest.raises(ShapeError, match="one number per sample"):
        net(smooth(16), torch.ones(3))
    with pytest.raises(ShapeError, match="5 modes were asked for, but a grid of 8x8 resolves the wavenumbers 0 to 3"):
        net(smooth(8, wavenumbers=2), 0.5)


def test_a_network_is_built_for_the_fields_of_the_data():
    u, c = FieldSpec("u"), FieldSpec("c", in_time=False)
    net = build_fno([u, c], [u], (16, 24), width=8, modes=8)
    assert (net.config.num_channels, net.config.num_out_channels) == (2, 1)
    with pytest.raises(ConfigError, match=r"modes is 9, but the fields of 16x24 points resolve 8"):
        build_fno([u, c], [u], (16, 24), modes=9)
    with pytest.raises(ConfigError, match="1 spatial axes"):
        build_fno([u], [u], (16,))
    with pytest.raises(ConfigError, match="set learn_residual=false"):
        FNOConfig(num_channels=1, num_out_channels=2, learn_residual=True)
    with pytest.raises(ConfigError, match="width is 0"):
        FNOConfig(width=0)


def test_scalars_are_constant_channels_of_their_own_sample(tmp_path):
    net, plain = small(scalars=("nu", "mu")), small(num_channels=4)
    plain.load_state_dict(net.state_dict())
    fields, scalars = smooth(16), torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    constant = scalars[..., None, None].expand(-1, -1, 16, 16)
    with torch.no_grad():
        prediction = net(fields, 0.4, scalars)
        assert torch.equal(prediction, plain(torch.cat([fields, constant], dim=1), 0.4))
        again = sciml.load(net.save_pretrained(tmp_path))
        assert torch.equal(again(fields, 0.4, scalars), prediction)
        first, second = rollout(net, fields, 0.8, 2, scalars=scalars)  # type: ignore[arg-type]
        assert torch.equal(second, net(first, 0.4, scalars))
    with pytest.raises(ShapeError, match=r"reads the scalars nu, mu, but none came"):
        net(fields, 0.4)
    with pytest.raises(ShapeError, match=r"some of shape \(2, 1\) came .* shape \(2, 2\) is expected"):
        net(fields, 0.4, scalars[:, :1])
    with pytest.raises(ShapeError, match=r"reads the scalars \(none\)"):
        small()(fields, 0.4, scalars)
