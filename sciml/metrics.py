"""How far a prediction is from the truth."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

_TINY = 1e-10
BANDS = {"low": (0, 4), "middle": (5, 12), "high": (13, None)}  # wavenumbers, as PDEBench cuts them


def relative_error(
    prediction: Float[Tensor, "batch channel *space"],
    target: Float[Tensor, "batch channel *space"],
    *,
    slices: Sequence[int] | None = None,
    p: int = 1,
) -> Float[Tensor, "batch group"]:
    """Relative error of every sample and channel group, (sum |pred - target|^p / sum |target|^p)^(1/p).

    Args:
        prediction: Predicted fields, shape (batch, channel, *space).
        target: True fields, same shape.
        slices: Boundaries of the channel groups, e.g. (0, 1, 3, 4) for rho, (u, v), p. None: one group of all channels.
        p: 1 for the L1 norm (the figure of merit of Poseidon), 2 for L2.

    Returns:
        Errors as fractions (0.1 is 10 %), shape (batch, group). A target that vanishes counts as 1e-10.

    Reference:
        arXiv:2405.19101, equation 10.
    """
    slices = slices or (0, target.shape[1])
    error = (prediction - target).abs().pow(p).flatten(2)
    size = target.abs().pow(p).flatten(2)
    groups = [
        error[:, a:b].sum(dim=(1, 2)) / size[:, a:b].sum(dim=(1, 2)).clamp(min=_TINY)
        for a, b in itertools.pairwise(slices)
    ]
    return torch.stack(groups, dim=1).pow(1 / p)


def nrmse(
    prediction: Float[Tensor, "batch channel *space"], target: Float[Tensor, "batch channel *space"]
) -> Float[Tensor, "batch channel"]:
    """Root-mean-square error over the root mean square of the truth, sqrt(<(p - t)^2> / <t^2>).

    Args:
        prediction: Predicted fields, in the unit of the truth; NaN in either is left out.
        target: True fields, same shape.

    Returns:
        Errors as fractions, shape (batch, channel).

    Reference:
        arXiv:2210.07182 (PDEBench), appendix B.
    """
    error = (prediction - target).square().flatten(2).nanmean(2)
    return (error / target.square().flatten(2).nanmean(2).clamp(min=_TINY)).sqrt()


def vrmse(
    prediction: Float[Tensor, "batch channel *space"], target: Float[Tensor, "batch channel *space"]
) -> Float[Tensor, "batch channel"]:
    """Root-mean-square error over the spread of the truth, sqrt(<(p - t)^2> / (<(t - <t>)^2> + 1e-7)).

    Predicting the mean of the truth gives 1, whatever that mean is: a field that hardly differs from a large constant
    is not flattered as by ``nrmse``.

    Args:
        prediction: Predicted fields, in the unit of the truth; NaN in either is left out.
        target: True fields, same shape.

    Returns:
        Errors as fractions, shape (batch, channel).

    Reference:
        arXiv:2412.00568 (The Well), section 5.
    """
    error = (prediction - target).square().flatten(2).nanmean(2)
    target = target.flatten(2)
    variance = (target - target.nanmean(2, keepdim=True)).square().nanmean(2)
    return (error / (variance + 1e-7)).sqrt()


def energy_spectrum(fields: Float[Tensor, "*batch height width"]) -> Float[Tensor, "*batch wavenumber"]:
    """Energy of fields by wavenumber, E(k) = sum of |f_k|^2 over the shell k - 1/2 <= |k| < k + 1/2.

    The f_k are Fourier coefficients, so that the energies add up to the mean square of the field (Parseval).

    Args:
        fields: Fields on a periodic grid. Ends that do not meet count as energy at high wavenumbers.

    Returns:
        Energies at k = 0, 1, ..., up to the corner of the grid, in the unit of the field squared.
    """
    with torch.autocast(fields.device.type, enabled=False):
        height, width = fields.shape[-2:]
        energy = torch.fft.fft2(fields.double(), norm="forward").abs().square()
        k = [torch.fft.fftfreq(n, 1 / n, device=fields.device, dtype=torch.float64) for n in (height, width)]
        shell = torch.hypot(k[0][:, None], k[1]).round().long().flatten()
        spectrum = energy.new_zeros(*fields.shape[:-2], int(shell.max()) + 1)
        return spectrum.index_add_(-1, shell, energy.flatten(-2)).to(fields.dtype)


def band_errors(
    prediction: Float[Tensor, "batch channel height width"], target: Float[Tensor, "batch channel height width"]
) -> Float[Tensor, "batch channel band"]:
    """Root-mean-square error in the bands of wavenumbers ``BANDS``, over the root mean square of the whole truth.

    The squares of the three add up to that of ``nrmse``, so that they say where in the spectrum an error lies.

    Args:
        prediction: Predicted fields.
        target: True fields, same shape.

    Returns:
        Errors as fractions, shape (batch, channel, band).

    Reference:
        arXiv:2210.07182 (PDEBench), appendix B, there in absolute values.
    """
    error = energy_spectrum(prediction - target)
    size = target.square().flatten(2).mean(2, keepdim=True).clamp(min=_TINY)
    ends = [(first, None if last is None else last + 1) for first, last in BANDS.values()]
    return (torch.stack([error[..., a:b].sum(-1) for a, b in ends], dim=-1) / size).sqrt()
