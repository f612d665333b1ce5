import math

import numpy as np
import pytest
import torch

from sciml.metrics import BANDS, band_errors, energy_spectrum, nrmse, relative_error, vrmse


def test_relative_l1_of_a_hand_example():
    # Channel 0: |1-2| + |2-2| over |2| + |2| = 1/4. Channels 1 and 2: (1 + 0) + (0 + 3) over (1 + 1) + (2 + 4) = 1/2.
    target = torch.tensor([[[2.0, 2.0], [1.0, 1.0], [2.0, 4.0]]])
    prediction = torch.tensor([[[1.0, 2.0], [2.0, 1.0], [2.0, 1.0]]])
    error = relative_error(prediction, target, slices=(0, 1, 3))
    assert error.tolist() == [[0.25, 0.5]]


def test_relative_l2_of_a_hand_example():
    target, prediction = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[0.0, 0.0]]])
    assert relative_error(prediction, target, p=2).item() == pytest.approx(1.0)
    assert relative_error(prediction + torch.tensor([3.0, 0.0]), target, p=2).item() == pytest.approx(0.8)


def test_every_sample_has_its_own_error_in_any_dimension():
    target = torch.ones(3, 2, 4, 5, 6)
    scale = torch.tensor([1.0, 1.5, 0.0]).reshape(3, 1, 1, 1, 1)
    np.testing.assert_allclose(relative_error(target * scale, target)[:, 0], [0.0, 0.5, 1.0])


def test_a_vanishing_target_gives_a_large_but_finite_error():
    error = relative_error(torch.ones(1, 1, 4), torch.zeros(1, 1, 4))
    assert error.item() == pytest.approx(4e10)


def test_rms_errors_of_a_hand_example():
    # Errors 1 and 3: mean square 5. Truth 4 and 2: mean square 10, variance 1.
    target, prediction = torch.tensor([[[4.0, 2.0]]]), torch.tensor([[[5.0, 5.0]]])
    assert nrmse(prediction, target).item() == pytest.approx(math.sqrt(5 / 10))
    assert vrmse(prediction, target).item() == pytest.approx(math.sqrt(5 / 1))


def test_the_mean_of_the_truth_has_variance_scaled_error_1_whatever_the_mean():
    target = 100 + torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    constant = target.mean((2, 3), keepdim=True).expand_as(target)
    torch.testing.assert_close(vrmse(constant, target), torch.ones(2, 3).double())
    assert nrmse(constant, target).max() < 0.02


def test_what_is_blank_does_not_count():
    target, prediction = torch.tensor([[[4.0, 2.0, torch.nan]]]), torch.tensor([[[5.0, 5.0, 7.0]]])
    assert nrmse(prediction, target).item() == pytest.approx(math.sqrt(5 / 10))
    assert vrmse(prediction, target).item() == pytest.approx(math.sqrt(5))


def wave(kx, ky, height=32, width=48):
    x, y = torch.meshgrid(*(torch.arange(n).double() / n for n in (height, width)), indexing="ij")
    return (2 * math.pi * (kx * x + ky * y)).cos()


def test_a_wave_has_all_its_energy_in_its_shell():
    spectrum = energy_spectrum(3 * wave(3, 4))
    assert spectrum[5].item() == pytest.approx(9 / 2)  # the mean square of the wave
    assert (spectrum.sum() - spectrum[5]).item() == pytest.approx(0, abs=1e-12)


def test_the_energies_of_a_spectrum_add_up_to_the_mean_square():
    fields = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(energy_spectrum(fields).sum(-1), fields.square().mean((2, 3)))


def test_errors_are_found_in_the_band_in_which_they_are():
    target = wave(1, 0)[None, None]
    prediction = target + (0.1 * wave(0, 4) + 0.2 * wave(5, 0) + 0.3 * wave(12, 0) + 0.4 * wave(0, 13))[None, None]
    found = band_errors(prediction, target)[0, 0].tolist()
    assert list(BANDS) == ["low", "middle", "high"]
    assert found == pytest.approx([0.1, math.hypot(0.2, 0.3), 0.4])
    assert math.hypot(*found) == pytest.approx(nrmse(prediction, target).item())
