"""Convolution by a kernel whose Fourier coefficients are learned."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.errors import ShapeError


class SpectralConv(nn.Module):
    """Mix the channels of every low Fourier mode by a matrix of its own, and drop all other modes.

    (K x)_k = R_k x_k for wavenumbers |k_1|, |k_2| < modes, with complex R_k of shape (channels_in, channels_out). The
    R_k belong to wavenumbers and not to grid points, so that the layer is the same operator on every grid that resolves
    them.

    Args:
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        modes: Wavenumbers 0, ..., modes - 1 are kept along either axis, with both signs. Good values: 8 to 20.

    Reference:
        arXiv:2010.08895, section 4.
    """

    def __init__(self, channels_in: int, channels_out: int, modes: int):
        super().__init__()
        self.modes = modes
        # Real pairs, for DDP, safetensors and half precision; rows are k_1 = 0, ..., modes - 1, -(modes - 1), ..., -1.
        self.weight = nn.Parameter(torch.empty(2 * modes - 1, modes, channels_in, channels_out, 2))
        nn.init.normal_(
            self.weight, std=(2 * channels_in) ** -0.5
        )  # the output is as large as what is kept of the input

    def forward(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel_out height width"]:
        """Convolve periodic fields.

        Raises:
            ShapeError: the grid is too coarse for the modes.
        """
        height, width = x.shape[-2:]
        m = self.modes
        if m > (min(height, width) + 1) // 2:
            raise ShapeError(
                f"{m} modes were asked for, but a grid of {height}x{width} resolves the wavenumbers 0 to "
                f"{(min(height, width) + 1) // 2 - 1}. Use finer fields, or a network with modes of at most "
                f"{(min(height, width) + 1) // 2}."
            )
        # Half precision has no FFT on the CPU and loses digits on a GPU. Autocast leaves complex numbers alone.
        fields = x if x.dtype == torch.float64 else x.float()
        # One axis after the other: the second transform sees only the columns that are kept.
        columns = torch.fft.rfft(fields, dim=-1, norm="forward")[..., :m]
        modes = torch.fft.fft(columns, dim=-2, norm="forward")
        modes = torch.cat([modes[..., :m, :], modes[..., height - m + 1 :, :]], dim=-2)
        modes = torch.einsum("bixy,xyio->boxy", modes, torch.view_as_complex(self.weight.to(fields.dtype)))
        gap = modes.new_zeros(*modes.shape[:-2], height - 2 * m + 1, m)
        modes = torch.cat([modes[..., :m, :], gap, modes[..., m:, :]], dim=-2)
        columns = torch.fft.ifft(modes, dim=-2, norm="forward")
        return torch.fft.irfft(columns, n=width, dim=-1, norm="forward").to(x.dtype)
