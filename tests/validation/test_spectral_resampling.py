"""Spectral resampling is exact on band-limited fields: they are sums of waves, which it samples elsewhere."""

import math

import pytest
import torch

from sciml.poseidon.resample import spectral_resample

pytestmark = pytest.mark.validation


def waves(height, width, *, highest):
    """A random real sum of all waves with frequencies of at most ``highest``, sampled on a grid of the unit square."""
    generator = torch.Generator().manual_seed(0)
    k = torch.arange(-highest, highest + 1, dtype=torch.float64)
    amplitude = torch.randn(2, len(k), len(k), dtype=torch.complex128, generator=generator)
    y, x = (torch.exp(2j * math.pi * k[:, None] * torch.arange(n) / n) for n in (height, width))
    return torch.einsum("ckl,ky,lx->cyx", amplitude, y, x).real[None]


@pytest.mark.parametrize("old", [(24, 24), (32, 20), (21, 21)])
@pytest.mark.parametrize("larger", [(2, 2), (26, 8), (104, 104)])
def test_waves_below_the_nyquist_frequency_of_both_grids_are_sampled_exactly(old, larger):
    new = (old[0] + larger[0], old[1] + larger[1])
    coarse, fine = (waves(*size, highest=9) for size in (old, new))
    # Rounding of float64, some 1e-15 for each of a few hundred waves.
    tolerance = {"rtol": 0, "atol": 1e-13 * coarse.abs().max().item()}
    torch.testing.assert_close(spectral_resample(coarse, new), fine, **tolerance)
    torch.testing.assert_close(spectral_resample(fine, old), coarse, **tolerance)


def test_waves_above_the_nyquist_frequency_of_the_new_grid_are_cut_and_the_others_stay():
    fine, cut = waves(64, 64, highest=20), spectral_resample(waves(64, 64, highest=20), (22, 22))
    # What is left has frequencies of at most 11; -11 alone survives of the two Nyquist waves, so look at |k| <= 10.
    ours, theirs = (torch.fft.fft2(field, norm="forward") for field in (cut, fine))
    inside = torch.cat([torch.arange(11), torch.arange(-10, 0)])
    low, expected = (s[..., inside[:, None], inside] for s in (ours, theirs))
    torch.testing.assert_close(low, expected, rtol=0, atol=1e-13)
    assert theirs.abs()[..., 15, 15].min() > 0.01  # there was something to cut


@pytest.mark.parametrize("size", [(48, 48), (16, 16)])
def test_the_mean_is_kept(size):
    field = torch.randn(1, 2, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(spectral_resample(field, size).mean((2, 3)), field.mean((2, 3)), rtol=0, atol=1e-14)
