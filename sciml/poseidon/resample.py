"""Band-limited interpolation between grids of a periodic domain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sciml.errors import ShapeError
from sciml.poseidon.precision import full_precision


def spectral_resample(
    fields: Float[Tensor, "batch channel height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channel new_height new_width"]:
    """Resample periodic fields by cutting, or zero-padding, their Fourier series.

    Going down keeps the integer frequencies -n/2 <= f < n/2 of the new grid of n points.

    Args:
        fields: Fields on a periodic grid, shape (batch, channel, height, width).
        size: New (height, width). Each must differ from the old one by an even number.

    Raises:
        ShapeError: a difference is odd.

    Reference:
        arXiv:2405.19101, appendix A.
    """
    old = tuple(fields.shape[-2:])
    if old == tuple(size):
        return fields
    if any((n - m) % 2 for n, m in zip(old, size, strict=True)):
        raise ShapeError(
            f"fields of {old[0]}x{old[1]} points cannot be resampled to {size[0]}x{size[1]}: each side must change by "
            "an even number. Pad or crop one row, or set the network's image_size to the size of the fields."
        )
    # FFTs of half precision do not exist on the CPU and lose digits on a GPU.
    with full_precision(fields.device):
        x = fields if fields.dtype == torch.float64 else fields.float()
        spectrum = torch.fft.fftshift(torch.fft.fft2(x, norm="forward"), dim=(-2, -1))
        (dh, dw) = ((m - n) // 2 for n, m in zip(old, size, strict=True))
        spectrum = F.pad(spectrum, (dw, dw, dh, dh))
        spectrum = torch.fft.ifftshift(spectrum, dim=(-2, -1))
        return torch.fft.ifft2(spectrum, norm="forward").real.to(fields.dtype)
