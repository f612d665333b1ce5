"""Spectral network: a sum of waves on a box, with its norms and its algebra in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.barron import waves
from sciml.barron.box import Boundary, boundary_name, check_box, check_points, sine_axes
from sciml.barron.folder import read_network
from sciml.barron.frequencies import Coefficients, Terms, WaveVectors, check_terms, merge, multiply, plane_waves
from sciml.barron.norms import count_needed, norm_shares, total, wave_integrals, wave_masses
from sciml.barron.ridge import RidgeNet
from sciml.barron.sampling import draw, sampling_weights
from sciml.errors import ConfigError, ShapeError
from sciml.model_folder import write_model

Points = Float[Tensor, "point dimension"]
Values = Float[Tensor, " point"]
Number = Float[Tensor, ""]


class SpectralNet(nn.Module):
    """A sum of waves on a box: a two-layer network with fixed, integer inner weights.

    u(x) = sum_k Re(c_k exp(i w_k.x))      periodic, one wave vector k of each pair +-k
    u(x) = sum_k c_k prod_i cos(w_ki x_i)  Neumann
    u(x) = sum_k c_k prod_i sin(w_ki x_i)  Dirichlet

    with w = 2 pi k / L (periodic) or pi k / L (others) on the box (0, L_1) x ... x (0, L_d). Neumann and Dirichlet axes
    may be mixed, which is how derivatives of one are represented. Norms are exact: repeated waves are merged before.

    Coefficients are parameters in float64, periodic ones as pairs of real and imaginary part. They are frozen, so that
    millions of values take no memory; ``net.requires_grad_()`` makes them trainable.

    Args:
        frequencies: Integer wave vectors k, shape (mode, dimension). Any sign; they may repeat.
        coefficients: Coefficients c_k, shape (mode,); complex or real if periodic, else real.
        boundary: "periodic", "neumann", "dirichlet", or one of the latter two for every axis.
        box: Sides L_i of the box; None for the unit cube.

    Raises:
        ShapeError: frequencies, coefficients and box do not fit each other.
        ConfigError: the boundary is unknown, a side is not positive, or real coefficients are expected.

    Example:
        >>> u = SpectralNet([[1, 1], [2, 1]], [1.0, 0.5], boundary="dirichlet")
        >>> u(torch.rand(5, 2)).shape, float(u.barron())
        (torch.Size([5]), 10.6...)
    """

    frequencies: Tensor
    sides: Tensor
    sine: Tensor | None

    def __init__(
        self,
        frequencies: WaveVectors | Sequence[Sequence[int]],
        coefficients: Coefficients | Sequence[complex],
        *,
        boundary: Boundary | Sequence[str],
        box: Sequence[float] | None = None,
    ):
        super().__init__()
        frequencies = torch.as_tensor(frequencies)
        if not isinstance(coefficients, Tensor):
            coefficients = torch.from_numpy(np.asarray(coefficients))  # which keeps the digits of a list of floats
        check_terms(frequencies, coefficients)
        self.dimension = frequencies.shape[1]
        self.box = check_box(box, self.dimension)
        sine = sine_axes(boundary, self.dimension)
        self.boundary: Boundary = boundary_name(sine)
        if sine is not None and coefficients.is_complex():
            raise ConfigError(
                f"complex coefficients came for boundary={self.boundary!r}, whose waves are real; pass "
                "coefficients.real, or boundary='periodic'."
            )
        device = frequencies.device
        self.register_buffer("frequencies", frequencies.long())
        self.register_buffer("sides", torch.tensor(self.box, dtype=torch.float64, device=device), persistent=False)
        self.register_buffer("sine", None if sine is None else sine.to(device), persistent=False)
        if sine is None:
            coefficients = torch.view_as_real(coefficients.to(torch.complex128).resolve_conj())
        amplitudes = coefficients.detach().to(device, torch.float64).clone()
        self.amplitudes = nn.Parameter(amplitudes, requires_grad=False)

    @property
    def coefficients(self) -> Coefficients:
        """Coefficients c_k, shape (mode,): complex if periodic, else real."""
        return torch.view_as_complex(self.amplitudes) if self.sine is None else self.amplitudes

    @property
    def wavenumbers(self) -> Float[Tensor, "mode dimension"]:
        """Physical wavenumbers w, shape (mode, dimension)."""
        return self._wavenumbers(self.frequencies)

    @property
    def masses(self) -> Float[Tensor, " mode"]:
        """Squared L2 norm of every wave, shape (mode,): integral of u^2 = sum_k masses_k |c_k|^2 if no wave repeats."""
        return wave_masses(self.frequencies, self.sine, self.volume)

    @property
    def volume(self) -> float:
        """Volume of the box."""
        return math.prod(self.box)

    def __len__(self) -> int:
        """Number of waves."""
        return len(self.frequencies)

    def extra_repr(self) -> str:
        """What ``print`` shows of the network."""
        sides = "" if set(self.box) == {1.0} else f", box={self.box}"
        return f"{len(self)} waves, dimension={self.dimension}, boundary={self.boundary!r}{sides}"

    def forward(self, x: Points) -> Values:
        """Values u(x).

        Args:
            x: Points of the box, shape (point, dimension).

        Returns:
            Values, shape (point,), float64.
        """
        return waves.values(self._points(x), self.wavenumbers, self.coefficients, self.sine)

    def gradient(self, x: Points) -> Points:
        """Gradient of u at the points x, shape (point, dimension)."""
        return waves.gradients(self._points(x), self.wavenumbers, self.coefficients, self.sine)

    def laplacian(self, x: Points) -> Values:
        """Laplacian of u at the points x, shape (point,)."""
        symbol = -self.wavenumbers.square().sum(1)
        return waves.values(self._points(x), self.wavenumbers, symbol * self.coefficients, self.sine)

    def second_derivatives(self, x: Points, directions: Points) -> Values:
        """Second derivatives g.H(x) g, H being the Hessian of u.

        Args:
            x: Points, shape (point, dimension).
            directions: A direction g of any length for every point, shape (point, dimension), or one for all,
                shape (dimension,).

        Returns:
            One number for every point, shape (point,).
        """
        x = self._points(x)
        directions = self._points(directions.expand_as(x))
        return waves.second_derivatives(x, directions, self.wavenumbers, self.coefficients, self.sine)

    def l2(self) -> Number:
        """Norm (integral of u^2)^(1/2) over the box."""
        return self.norm("l2")

    def h1(self) -> Number:
        """Norm (integral of u^2 + |grad u|^2)^(1/2) over the box."""
        return self.norm("h1")

    def wiener(self) -> Number:
        """Wiener norm: the sum of the absolute values of all Fourier coefficients, sum_k |c_k|; bounds sup |u|."""
        return self.norm("wiener")

    def barron(self, order: float = 1) -> Number:
        """Barron norm sum_k (1 + |w_k|_2)^order |c_k| of the periodic, even or odd extension of u.

        Args:
            order: 0 gives the Wiener norm; order 1 bounds sup |u| + sup |grad u|.

        Reference:
            Barron, IEEE Trans. Inf. Theory 39 (1993), 930-945; arXiv:2210.12101.
        """
        return self.norm("barron", order=order)

    def norm(self, kind: str, *, order: float = 1) -> Number:
        """A norm by its name, differentiable in the coefficients.

        Args:
            kind: "l2", "h1", "wiener" or "barron".
            order: Order of the Barron norm.
        """
        return total(self._shares(*self._merged(), kind, order), kind)

    def integral(self) -> Number:
        """Integral of u over the box."""
        integrals = wave_integrals(self.frequencies, self.sine, self.volume)
        return (integrals * self.coefficients.real).sum()

    # Algebra: every result is a new network

    def merge(self) -> SpectralNet:
        """The same function with each wave once, in the order of first appearance."""
        return self._new(*self._merged())

    def __add__(self, other: SpectralNet) -> SpectralNet:
        """Sum of two networks of the same box and boundary, merged."""
        self._check_same_box(other)
        if other.boundary != self.boundary:
            raise ConfigError(
                f"networks with boundaries {self.boundary!r} and {other.boundary!r} came; their sum is no sum of waves "
                "of one kind. Add networks of the same boundary, or add their values: u(x) + v(x)."
            )
        frequencies = torch.cat([self.frequencies, other.frequencies])
        return self._new(frequencies, torch.cat([self.coefficients, other.coefficients])).merge()

    def __neg__(self) -> SpectralNet:
        """The network -u."""
        return self._new(self.frequencies, -self.coefficients)

    def __sub__(self, other: SpectralNet) -> SpectralNet:
        """Difference of two networks of the same box and boundary, merged."""
        return self + (-other)

    def __mul__(self, other: SpectralNet | float) -> SpectralNet:
        """Product with a number, or the exact product with another network, merged.

        A product of two sines is a sum of cosines: u * v is Neumann if u and v are Dirichlet, and u * v * w is
        Dirichlet again.
        """
        if not isinstance(other, SpectralNet):
            return self._new(self.frequencies, other * self.coefficients)
        self._check_same_box(other)
        if (self.sine is None) != (other.sine is None):
            raise ConfigError(
                f"networks with boundaries {self.boundary!r} and {other.boundary!r} came; periodic networks multiply "
                "only each other. Multiply their values: u(x) * v(x)."
            )
        sines = None if self.sine is None or other.sine is None else (self.sine, other.sine)
        one, another = self.merge(), other.merge()
        terms = multiply((one.frequencies, one.coefficients), (another.frequencies, another.coefficients), sines)
        return self._new(*terms, sine=None if sines is None else sines[0] ^ sines[1]).merge()

    __rmul__ = __mul__

    def derivative(self, axis: int) -> SpectralNet:
        """The network of du/dx_axis; on a Dirichlet axis sines become cosines, and the other way round."""
        slope = self.wavenumbers[:, axis]
        if self.sine is None:
            return self._new(self.frequencies, 1j * slope * self.coefficients)
        sign = 1 if self.sine[axis] else -1
        sine = self.sine.clone()
        sine[axis] = ~sine[axis]
        return self._new(self.frequencies, sign * slope * self.coefficients, sine=sine).merge()

    def multiplier(self, symbol: Callable[[Tensor], Tensor]) -> SpectralNet:
        """The network with coefficients symbol(|w_k|^2) c_k: symbol(-Laplacian) u.

        Args:
            symbol: Function of |w|^2, shape (mode,), e.g. ``lambda s: -s`` for the Laplacian.
        """
        return self._new(self.frequencies, symbol(self.wavenumbers.square().sum(1)) * self.coefficients)

    def resolvent(self, alpha: float = 1.0, beta: float = 1.0) -> SpectralNet:
        """The solution v of alpha v - beta Laplacian v = u with the boundary condition of u.

        Args:
            alpha: Coefficient of v, nonnegative.
            beta: Coefficient of the Laplacian, nonnegative. (1, 1) is the Riesz map of H^1.

        Raises:
            ConfigError: alpha is 0 and u has a mean, for which there is no solution.
        """
        if bool((alpha + beta * self.wavenumbers.square().sum(1) <= 0).any()):
            raise ConfigError(f"({alpha} - {beta} Laplacian) has no inverse on all waves of u; take alpha > 0.")
        return self.multiplier(lambda s: 1 / (alpha + beta * s))

    # Size

    def prune(self, *, n: int | None = None, tol: float | None = None, norm: str = "h1") -> SpectralNet:
        """Keep the waves that contribute most to a norm.

        Args:
            n: Number of waves to keep; the best n-term approximation in "l2" and "h1".
            tol: Instead of n: keep the fewest waves such that the norm of all others together is at most tol.
            norm: "l2", "h1", "wiener" or "barron".

        Raises:
            ConfigError: not exactly one of n and tol is given.
        """
        if (n is None) == (tol is None):
            raise ConfigError(f"prune got n={n} and tol={tol}; exactly one of them is expected.")
        frequencies, coefficients = self._merged()
        shares = self._shares(frequencies, coefficients, norm)
        count = count_needed(shares, norm, tol) if tol is not None else n
        kept = shares.argsort(descending=True)[:count].sort().values
        return self._new(frequencies[kept], coefficients[kept])

    def sample(self, n: int, *, norm: str = "l2", generator: torch.Generator, stratified: bool = False) -> SpectralNet:
        """Draw n waves at random such that the mean over all draws is u; repeats are merged.

        Args:
            n: Number of draws.
            norm: "l2" draws k with probability ~ |c_k|; "h1" with ~ (1 + |w_k|^2)^(1/2) |c_k|. The mean squared error
                is at most barron(0)^2 / n in L2 and barron(1)^2 / n in H1, times the volume of the box.
            generator: Source of the randomness.
            stratified: One draw from each n-th part of the distribution, which has a smaller error.

        Reference:
            Barron, IEEE Trans. Inf. Theory 39 (1993), lemma 1.
        """
        net = self.merge()
        weights = sampling_weights(net, norm)
        counts = draw(weights, n, generator=generator, stratified=stratified)
        kept = counts.nonzero()[:, 0]
        scale = counts[kept] * weights.sum() / (n * weights[kept])
        return self._new(net.frequencies[kept], scale * net.coefficients[kept])

    def refit(self, x: Points, y: Values) -> SpectralNet:
        """The same waves with the coefficients that fit data best in the sense of least squares.

        Args:
            x: Points, shape (point, dimension); at least as many as real coefficients, better 3 times as many.
            y: Values, shape (point,).

        Raises:
            ShapeError: there are too few points.
        """
        net = self.merge()
        with torch.no_grad():
            matrix = waves.design_matrix(self._points(x), net.wavenumbers, self.sine)
            free = torch.ones(matrix.shape[1:], dtype=torch.bool, device=matrix.device)
            if self.sine is None:
                free[:, 1] = (net.frequencies != 0).any(1)  # the constant has no imaginary part
            if len(x) < int(free.sum()):
                raise ShapeError(
                    f"{len(x)} points came to fit {int(free.sum())} real coefficients; at least as many points are "
                    "expected. Give more points, or prune the network first."
                )
            solution = matrix.new_zeros(free.shape)
            solution[free] = torch.linalg.lstsq(matrix[:, free], y.to(matrix)[:, None]).solution[:, 0]
            coefficients = solution[:, 0] if self.sine is not None else torch.view_as_complex(solution)
        return self._new(net.frequencies, coefficients)

    # Export

    def to_cosine_network(self) -> RidgeNet:
        """The same function as a two-layer cosine network sum_j a_j cos(w_j.x + b_j).

        A product of m cosines or sines is a sum of 2^(m - 1) cosines; a periodic wave is one.

        Raises:
            ConfigError: the network would be too large.
        """
        frequencies, coefficients = self._merged()
        if self.sine is None:
            weights, terms = self._wavenumbers(frequencies), coefficients
            return RidgeNet(weights, terms.angle(), terms.abs(), "cos")
        return RidgeNet(*plane_waves(frequencies, coefficients, self.sine, math.pi / self.sides), "cos")

    def save_pretrained(self, folder: str | Path, *, extra: Mapping[str, Any] | None = None) -> Path:
        """Write ``config.json`` and ``model.safetensors``, which ``sciml.load`` reads.

        Args:
            folder: Where to write; made if it does not exist.
            extra: What else a user needs to know, kept under the key ``sciml`` of ``config.json``.
        """
        boundary = self.boundary if isinstance(self.boundary, str) else list(self.boundary)
        config = {"architectures": ["SpectralNet"], "model_type": "barron", "boundary": boundary, "box": list(self.box)}
        return write_model(folder, config, self.state_dict(), extra=extra)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> SpectralNet:
        """Load what ``save_pretrained`` wrote.

        Raises:
            CheckpointError: nothing is there, or it is not a spectral network.
        """
        config, tensors = read_network(folder, "SpectralNet", {"frequencies", "amplitudes"})
        amplitudes = tensors["amplitudes"]
        coefficients = torch.view_as_complex(amplitudes) if amplitudes.ndim == 2 else amplitudes
        return cls(tensors["frequencies"], coefficients, boundary=config["boundary"], box=config["box"])

    def _wavenumbers(self, frequencies: WaveVectors) -> Float[Tensor, "mode dimension"]:
        return (2 if self.sine is None else 1) * math.pi / self.sides * frequencies

    def _merged(self) -> Terms:
        return merge(self.frequencies, self.coefficients, self.sine)

    def _shares(self, frequencies: WaveVectors, coefficients: Coefficients, kind: str, order: float = 1) -> Tensor:
        masses = wave_masses(frequencies, self.sine, self.volume)
        return norm_shares(coefficients, self._wavenumbers(frequencies).square().sum(1), masses, kind, order)

    def _new(self, frequencies: WaveVectors, coefficients: Coefficients, *, sine: Tensor | None = None) -> SpectralNet:
        boundary = self.boundary if sine is None else boundary_name(sine)
        return SpectralNet(frequencies, coefficients, boundary=boundary, box=self.box)

    def _points(self, x: Points) -> Points:
        return check_points(x, self.dimension).to(self.amplitudes.dtype)

    def _check_same_box(self, other: SpectralNet) -> None:
        if self.box != other.box:
            raise ConfigError(f"networks on the boxes {self.box} and {other.box} came; one box for both is expected.")
