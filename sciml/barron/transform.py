"""The fast transform between the coefficients of a sparse series and its values on a rank-one lattice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from sciml.barron.box import Boundary, check_box, sine_axes
from sciml.barron.frequencies import check_memory, signed_waves
from sciml.errors import ShapeError

if TYPE_CHECKING:
    from sciml.barron.lattice import RankOneLattice


class LatticeTransform:
    """Values on a lattice from coefficients, and back: one scatter and one FFT, one FFT and one gather.

    On the lattice every mode is the real part of sum_s c a_s exp(2 pi i s.x): one wave s = k with a = 1 (periodic), or
    the 2^(active - 1) waves with the signs of k flipped (Neumann, Dirichlet); an active axis is one with k_i != 0.

    Args:
        lattice: The points.
        frequencies: Integer wave vectors, one of each pair k, -k, shape (mode, dimension); positive for Dirichlet.
        boundary: ``periodic``, ``neumann`` or ``dirichlet``, or one of the latter two for every axis.
        box: Sides of the box; None for the unit cube.

    Attributes:
        resolved: Whether some wave of the mode has a bin of its own, shape (mode,).
        eigenvalues: |w_k|^2, the eigenvalues of minus the Laplacian, shape (mode,).
        mass: Mean of the square of the mode with coefficient 1, shape (mode,).

    Raises:
        ShapeError: the frequencies do not fit the lattice.
        ConfigError: the signed frequencies do not fit into memory.
    """

    def __init__(
        self,
        lattice: RankOneLattice,
        frequencies: Int64[Tensor, "mode dimension"],
        boundary: Boundary,
        box: Sequence[float] | None = None,
    ):
        if frequencies.ndim != 2 or frequencies.shape[1] != lattice.dimension:
            raise ShapeError(
                f"frequencies of shape {tuple(frequencies.shape)} came; (mode, {lattice.dimension}) is expected, one "
                "integer vector a row."
            )
        check_memory(
            float(signed_copies(frequencies, boundary).double().sum()),
            lattice.dimension,
            what=f"the lattice transform of {len(frequencies)} {boundary} frequencies",
            hint="A mode with m nonzero components is 2^(m - 1) waves unless the boundary is periodic: take fewer "
            "modes, or such with fewer nonzero components (Dirichlet modes have all, which limits d to about 12).",
        )
        self.lattice, self.modes, self.sine = lattice, len(frequencies), sine_axes(boundary, lattice.dimension)
        self.unit = wave_unit(lattice.dimension, boundary, box).to(frequencies.device)
        self.eigenvalues = (frequencies * self.unit).square().sum(1)
        self._odd = None if self.sine is None else lattice.mirror[self.sine].prod(0, dtype=torch.float64)
        active = (frequencies != 0).sum(1)
        self.mass = 0.5 ** (active.clamp(max=1) if self.sine is None else active).double()
        self._signed, self._mode = signed_waves(frequencies, periodic=boundary == "periodic")
        wave = self._signed @ lattice.generator % lattice.size
        self._mirrored = wave > lattice.size // 2  # a real FFT holds half of the bins
        self._bins = torch.where(self._mirrored, lattice.size - wave, wave)
        self._amplitude = self._amplitudes(frequencies)
        # The DC bin holds the real part of a wave, which gives a coefficient back only if the wave is constant.
        constant = (self._signed == 0).all(1)
        crowd = torch.bincount(self._bins, minlength=lattice.size // 2 + 1)
        usable = (self._bins > 0) | constant
        clear = usable & (crowd[self._bins] == 1)
        self.resolved = self._per_mode(clear.double()) > 0
        self._inverse = torch.where(constant, 1.0, 2.0) / self._amplitude
        self._clear, self._usable = clear, usable

    def _amplitudes(self, frequencies: Tensor) -> Tensor:
        """Amplitude of each wave, its phase at the lattice's shift included."""
        phase = torch.exp(2j * math.pi * (self._signed.double() @ self.lattice.shift))
        if self.sine is None:
            return phase
        active = (frequencies != 0).sum(1)[self._mode]
        parity = 1 - 2 * ((self._signed[:, self.sine] < 0).sum(1) % 2)
        # cos t and sin t are the means of exp(+-it) and of -+i exp(+-it); two conjugate waves are one real part.
        return phase * parity * (-1j) ** int(self.sine.sum()) * 2.0 ** (1 - active.clamp(min=1)).double()

    def evaluate(self, coefficients: Tensor, derivative: Sequence[int] = ()) -> Float64[Tensor, " point"]:
        """Values, or a partial derivative, of the series at the lattice's points.

        Args:
            coefficients: Shape (mode,).
            derivative: Coordinates to differentiate along: () for values, (i,) for d/dx_i, (i, j) for d^2/dx_i dx_j.
        """
        waves = coefficients[self._mode] * self._amplitude
        for i in derivative:
            waves = waves * (1j * self.unit[i] * self._signed[:, i])
        waves = torch.where(self._mirrored, waves.conj(), waves)
        # A real FFT counts every bin but the first twice.
        waves = torch.where(self._bins > 0, waves / 2, waves)
        bins = torch.zeros(self.lattice.size // 2 + 1, dtype=waves.dtype, device=waves.device)
        values = torch.fft.irfft(bins.index_add(0, self._bins, waves), n=self.lattice.size, norm="forward")
        return values * self._orientation(derivative)

    def gradient(self, coefficients: Tensor) -> Float64[Tensor, "point dimension"]:
        """Gradient of the series at the lattice's points."""
        return torch.stack([self.evaluate(coefficients, (i,)) for i in range(self.lattice.dimension)], dim=1)

    def laplacian(self, coefficients: Tensor) -> Float64[Tensor, " point"]:
        """Laplacian of the series at the lattice's points."""
        return self.evaluate(-self.eigenvalues * coefficients)

    def project(self, values: Float64[Tensor, " point"], *, confused: bool = False) -> Tensor:
        """Coefficients of the modes, shape (mode,).

        Args:
            values: The function at the lattice's points, shape (point,).
            confused: What a mode gets that the lattice does not resolve: 0, or the sum of all modes in its bin.
        """
        spectrum = torch.fft.rfft(values * self._orientation(), norm="forward")[self._bins]
        waves = torch.where(self._mirrored, spectrum.conj(), spectrum) * self._inverse
        used = self._clear | (self._usable & ~self.resolved[self._mode]) if confused else self._clear
        shares = self._per_mode((waves if self.sine is None else waves.real) * used)
        return shares / self._per_mode(used.double()).clamp(min=1)

    def dual_norm_squared(self, values: Float64[Tensor, " point"], rest: float) -> Float64[Tensor, ""]:
        """Estimate the mean of v (1 - Lap)^-1 v, the squared dual norm of a function per unit of volume, from above.

        sum over bins b of |v_b|^2 / (1 + l_b), where l_b is the smallest eigenvalue among the modes in the bin. A bin
        without a mode counts with ``rest``, and stands for the bins in which a mode hides what else aliases there.

        Args:
            values: The function at the lattice's points, shape (point,).
            rest: Smallest eigenvalue of minus the Laplacian that is not among the modes.
        """
        power = torch.fft.rfft(values * self._orientation(), norm="forward").abs().square()
        power[1:] *= 2
        least = torch.full_like(power, math.inf).scatter_reduce(0, self._bins, self.eigenvalues[self._mode], "amin")
        free = least.isinf()
        known = (power / (1 + least)).sum()
        return known + power[free].sum() / (1 + rest) / free.double().mean().clamp(min=0.5)

    def _per_mode(self, shares: Tensor) -> Tensor:
        """Sum over the waves of each mode."""
        return torch.zeros(self.modes, dtype=shares.dtype, device=shares.device).index_add(0, self._mode, shares)

    def _orientation(self, derivative: Sequence[int] = ()) -> Tensor | float:
        """Sign by which the even or odd extension differs from the function at the folded points."""
        if self._odd is None:
            return 1.0
        sign = self._odd
        for i in derivative:
            sign = sign * self.lattice.mirror[i]
        return sign


def wave_unit(dimension: int, boundary: Boundary, box: Sequence[float] | None) -> Float64[Tensor, " dimension"]:
    """Physical wavenumber of k_i = 1: 2 pi / L_i for periodic series, pi / L_i for the others."""
    sides = torch.tensor(check_box(box, dimension), dtype=torch.float64)
    return (2 if boundary == "periodic" else 1) * math.pi / sides


def signed_copies(frequencies: Int64[Tensor, "mode dimension"], boundary: Boundary) -> Int64[Tensor, " mode"]:
    """Number of plane waves, up to conjugates, that each mode is made of."""
    if boundary == "periodic":
        return torch.ones_like(frequencies[:, 0])
    return 2 ** ((frequencies != 0).sum(1) - 1).clamp(min=0, max=62)
