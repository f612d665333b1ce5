"""Families of random initial data on the periodic unit square.

Every function draws one sample in float64 from the generator it is given. The numbers drawn do not depend on the
resolution: the same generator gives the same field on every grid. Axis 0 of a field is x, axis 1 is y.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float64
from torch import Generator, Tensor

Field = Float64[Tensor, "x y"]
Velocity = Float64[Tensor, "2 x y"]


def generator_for(seed: int, trajectory: int) -> Generator:
    """A generator of its own for every (seed, trajectory): trajectory 7 is the same however many are made.

    Args:
        seed: Seed of the whole data set, at least 0.
        trajectory: Index of the trajectory, at least 0.
    """
    state = np.random.SeedSequence((seed, trajectory)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def uniform(low: float, high: float, *shape: int, generator: Generator) -> Float64[Tensor, "..."]:
    """Independent numbers from U[low, high], shape as given."""
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def grid(resolution: int) -> Float64[Tensor, " point"]:
    """Points 0, 1/N, ..., 1 - 1/N: the left boundary is a point, the right one, which is the same, is not."""
    return torch.arange(resolution, dtype=torch.float64) / resolution


def sines(resolution: int, *, generator: Generator, modes: int) -> Velocity:
    """Random sine waves, the initial data of NS-Sines.

        u = sum_ij a_ij / sqrt(2 pi (i + j)) sin(2 pi i x + b_ij) sin(2 pi j y + g_ij), v the same with cos cos,

    i, j = 1..modes, a ~ U[-1, 1], b, g ~ U[0, 2 pi]. As written this is solenoidal only where i = j.

    Args:
        resolution: Grid points along each axis.
        generator: Where the random numbers come from.
        modes: Waves along each axis. Good values: 4 to 16; published: 10.

    Returns:
        The velocity, nondimensional, shape (2, x, y).

    Reference:
        arXiv:2405.19101, appendix B.
    """
    amplitude = uniform(-1, 1, modes, modes, generator=generator)
    phase_x, phase_y = uniform(0, 2 * math.pi, 2, modes, modes, 1, generator=generator)
    number = torch.arange(1, modes + 1, dtype=torch.float64)
    amplitude = amplitude / torch.sqrt(2 * math.pi * (number[:, None] + number[None, :]))
    wave = 2 * math.pi * number[:, None] * grid(resolution)
    along_x = (wave[:, None] + phase_x).flatten(0, 1)
    along_y = (wave[None, :] + phase_y).flatten(0, 1)
    weight = amplitude.flatten()[:, None]
    u = (weight * along_x.sin()).T @ along_y.sin()
    v = (weight * along_x.cos()).T @ along_y.cos()
    return torch.stack([u, v])


def gaussian_vortices(resolution: int, *, generator: Generator, vortices: int, exponent: float) -> Field:
    """Vorticity of many Gaussian vortices, the initial data of NS-Gauss.

        w = sum_i a_i / s_i exp(-exponent |x - c_i|^2 / s_i^2),  a ~ U[-1, 1], s ~ U[0.01, 0.1], c ~ U[0, 1]^2

    with the distance to the nearest periodic image.

    Args:
        resolution: Grid points along each axis.
        generator: Where the random numbers come from.
        vortices: How many; published: 100.
        exponent: 1, or 1/2 for vortices sqrt(2) times as wide, of twice the velocity.

    Returns:
        The vorticity, nondimensional, shape (x, y).

    Reference:
        arXiv:2405.19101, appendix B.
    """
    amplitude = uniform(-1, 1, vortices, generator=generator)
    width = uniform(0.01, 0.1, vortices, generator=generator)
    centre = uniform(0, 1, 2, vortices, generator=generator)
    distance = (grid(resolution) - centre[..., None] + 0.5) % 1 - 0.5
    along_x, along_y = torch.exp(-exponent * (distance / width[:, None]) ** 2)
    return ((amplitude / width)[:, None] * along_x).T @ along_y


def piecewise_constant(resolution: int, *, generator: Generator, cells: int) -> Field:
    """Independent values c ~ U[-1, 1] on cells x cells squares; the vorticity of NS-PwC, up to its amplitude.

    Args:
        resolution: Grid points along each axis.
        generator: Where the random numbers come from.
        cells: Squares along each axis; published: 10.

    Returns:
        The values, nondimensional, shape (x, y).

    Reference:
        arXiv:2405.19101, appendix B.
    """
    values = uniform(-1, 1, cells, cells, generator=generator)
    cell = torch.arange(resolution) * cells // resolution
    return values[cell][:, cell]


def shear_layers(resolution: int, *, generator: Generator, perturb_profile: bool) -> Velocity:
    """Two shear layers with a wavy interface, the initial data of NS-SL.

        u = tanh(2 pi (y' - 1/4) / rho) where y + sigma(x) <= 1/2, tanh(2 pi (3/4 - y') / rho) elsewhere;  v = 0
        sigma = xi + 0.025 sum_{k=1..p} a_k sin(2 pi k x - b_k)

    p ~ U{7..12}, a ~ U[0, 1], b ~ U[0, 2 pi], rho ~ U[0.08, 0.12], xi ~ U[-1/16, 1/16].

    Args:
        resolution: Grid points along each axis.
        generator: Where the random numbers come from.
        perturb_profile: True: y' = y + sigma(x) modulo 1, so that the layers are wavy. False: y' = y, as printed; the
            layers are then straight, because both branches are almost 1 where the interface runs.

    Returns:
        The velocity, nondimensional, shape (2, x, y).

    Reference:
        arXiv:2405.19101, appendix B.
    """
    modes = int(torch.randint(7, 13, (), generator=generator))
    amplitude = uniform(0, 1, 12, generator=generator)[:modes, None]
    phase = uniform(0, 2 * math.pi, 12, generator=generator)[:modes, None]
    thickness = uniform(0.08, 0.12, generator=generator)
    offset = uniform(-0.0625, 0.0625, generator=generator)
    points = grid(resolution)
    number = torch.arange(1, modes + 1, dtype=torch.float64)[:, None]
    interface = offset + 0.025 * (amplitude * torch.sin(2 * math.pi * number * points - phase)).sum(0)
    shifted = points[None, :] + interface[:, None]
    height = shifted % 1 if perturb_profile else points[None, :]
    below = height <= 0.5 if perturb_profile else shifted <= 0.5
    u = torch.tanh(2 * math.pi / thickness * torch.where(below, height - 0.25, 0.75 - height))
    return torch.stack([u, torch.zeros_like(u)])


def brownian_bridge(resolution: int, *, generator: Generator, modes: int) -> Velocity:
    """Rough velocity with the spectrum of a Brownian bridge, from which NS-BB starts.

        u = sum_kl (k^2 + l^2)^(-3/4) (a cos cos + b cos sin + c sin cos + d sin sin)(2 pi k x, 2 pi l y)

    k, l = 1..modes, a, b, c, d ~ U[-1, 1] for every wave and both components; not solenoidal yet.

    Args:
        resolution: Grid points along each axis.
        generator: Where the random numbers come from.
        modes: Waves along each axis. On a grid that is too coarse for them all the shortest are left out.

    Returns:
        The velocity, nondimensional, shape (2, x, y).

    Reference:
        arXiv:2405.19101, appendix B; Lanthaler, Mishra and Pares-Pulido, Math. Models Methods Appl. Sci. 31 (2021).
    """
    amplitude = uniform(-1, 1, 2, 2, 2, modes, modes, generator=generator)
    kept = min(modes, (resolution - 1) // 2)
    number = torch.arange(1, kept + 1, dtype=torch.float64)
    weight = (number[:, None] ** 2 + number[None, :] ** 2) ** -0.75
    angle = 2 * math.pi * number[:, None] * grid(resolution)
    waves = torch.stack([angle.cos(), angle.sin()])
    along_y = torch.einsum("cabkl,bly->cakly", weight * amplitude[..., :kept, :kept], waves).sum(-2)
    return torch.einsum("caky,akx->cxy", along_y, waves)


def vortex_sheet(resolution: int, *, generator: Generator, thickness: float, harmonics: bool) -> Field:
    """Vorticity of a wavy vortex sheet of strength 1, smeared out, the initial data of NS-SVS.

        w = phi * delta_Gamma,  Gamma: y = 1/2 + 0.2 sin(2 pi x) + sum_{i=1..10} a_i sin(2 pi (i x + b_i)),

    a ~ U[0, 1/320], b ~ U[0, 1]. phi is radial, of the shape of a cubic B-spline that ends at ``thickness``, with
    integral 1.

    Args:
        resolution: Grid points along each axis.
        generator: Where the random numbers come from.
        thickness: Radius of phi, in lengths of the square. Published: 5/128.
        harmonics: True: the i-th wave is i times as short, as above. False: all have the length of the square, as
            printed; all sheets are then nearly the same.

    Returns:
        The vorticity, nondimensional, shape (x, y).

    Reference:
        arXiv:2405.19101, appendix B; Lanthaler and Mishra, Math. Models Methods Appl. Sci. 25 (2015) (phi).
    """
    amplitude = uniform(0, 1 / 320, 10, 1, generator=generator)
    phase = 2 * math.pi * uniform(0, 1, 10, 1, generator=generator)
    wave = 2 * math.pi * torch.arange(1, 11, dtype=torch.float64)[:, None]
    wave = wave if harmonics else torch.full_like(wave, 2 * math.pi)
    x = grid(8 * resolution)  # the trapezoidal rule along the sheet is exact for all modes of the grid
    y = 0.5 + 0.2 * torch.sin(2 * math.pi * x) + (amplitude * torch.sin(wave * x + phase)).sum(0)
    slope = 0.4 * math.pi * torch.cos(2 * math.pi * x) + (amplitude * wave * torch.cos(wave * x + phase)).sum(0)
    length = torch.sqrt(1 + slope**2) / len(x)
    kx = torch.fft.fftfreq(resolution, 1 / resolution, dtype=torch.float64)
    ky = torch.arange(resolution // 2 + 1, dtype=torch.float64)
    along_x = torch.exp(-2j * math.pi * kx[:, None] * x)
    along_y = torch.exp(-2j * math.pi * ky[:, None] * y)
    series = (along_x * length) @ along_y.T
    series *= _spline_transform(thickness * torch.sqrt(kx[:, None] ** 2 + ky[None, :] ** 2))
    return torch.fft.irfft2(series, s=(resolution, resolution), norm="forward")


def disk(resolution: int, *, radius: float = 0.25) -> Field:
    """1 inside a disk round the centre of the square, 0 outside, shape (x, y); the tracer of NS-PwC.

    The circle itself is inside: at 128 x 128 these are 3209 points, which is the mean 0.19586 of the published tracer.
    """
    from_centre = (grid(resolution) - 0.5) ** 2
    return (from_centre[:, None] + from_centre[None, :] <= radius**2).to(torch.float64)


def velocity_of(vorticity: Field) -> Velocity:
    """The solenoidal velocity without mean whose vorticity is v_x - u_y = w - mean(w), shape (2, x, y).

    u = psi_y, v = -psi_x, -Lap psi = w - mean(w). The Nyquist modes, which have no derivative on the grid, are dropped.
    """
    kx, ky = _derivatives(len(vorticity))
    square = kx**2 + ky**2
    stream = torch.fft.fft2(vorticity) * torch.where(square > 0, 1 / square, 0)
    return torch.fft.ifft2(torch.stack([1j * ky * stream, -1j * kx * stream])).real


def solenoidal(velocity: Velocity) -> Velocity:
    """Leray projection u - grad Lap^-1 div u: the nearest velocity without divergence, shape (2, x, y)."""
    kx, ky = _derivatives(velocity.shape[-1])
    square = kx**2 + ky**2
    u, v = torch.fft.fft2(velocity)
    potential = (kx * u + ky * v) * torch.where(square > 0, 1 / square, 0)
    return torch.fft.ifft2(torch.stack([u - kx * potential, v - ky * potential])).real


def _derivatives(resolution: int) -> tuple[Tensor, Tensor]:
    """Wavenumbers 2 pi k of the derivatives along x and y, zero at the Nyquist mode, each of shape (x, y)."""
    k = 2 * math.pi * torch.fft.fftfreq(resolution, 1 / resolution, dtype=torch.float64)
    k[resolution // 2] = 0
    kx, ky = torch.meshgrid(k, k, indexing="ij")
    return kx, ky


def _spline_transform(wavenumber: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """Fourier transform at 2 pi k of a radial cubic B-spline of radius 1 in the plane, 1 at k = 0; shape as given."""
    nodes, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(128))
    r, weights = (nodes + 1) / 2, weights / 2
    shape = sum(c * (r - b).clamp(min=0) ** 3 for c, b in ((1, -1), (-4, -0.5), (6, 0), (-4, 0.5)))
    ring = shape * r * weights
    distinct, place = wavenumber.unique(return_inverse=True)
    return (torch.special.bessel_j0(2 * math.pi * distinct[:, None] * r) @ (ring / ring.sum()))[place]
