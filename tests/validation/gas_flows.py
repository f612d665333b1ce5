"""Flows of a gas that several claims are checked on, in float64."""

import math

import torch
from scipy.optimize import brentq

GAMMA = 1.4
SOD = ((1.0, 0.0, 1.0), (0.125, 0.0, 0.1))
LAX = ((0.445, 0.698, 3.528), (0.5, 0.0, 0.571))


def centres(cells):
    return (torch.arange(cells, dtype=torch.float64) + 0.5) / cells


def mesh(cells):
    return torch.meshgrid(centres(cells), centres(cells), indexing="ij")


def shock_tube(left, right, cells):
    """Density, velocities and pressure that jump at x = 1/2, shape (1, 4, cells, 1)."""
    before = (centres(cells) < 0.5).double()
    rho, u, p = (a * before + b * (1 - before) for a, b in zip(left, right, strict=True))
    return torch.stack([rho, u, 0 * u, p])[None, :, :, None]


def exact_riemann(left, right, x_over_t):
    """Exact density, velocity and pressure at x / t of two states (rho, u, p) that meet at x = 0.

    The pressure between the outer waves is where the velocities that both waves lead to agree; a wave is a shock
    (Rankine-Hugoniot) where the pressure rises and a rarefaction (Riemann invariant, constant entropy) where it falls.
    """
    g = GAMMA

    def jump(state, p):
        rho, _, before = state
        if p > before:
            return (p - before) * math.sqrt(2 / rho / ((g + 1) * p + (g - 1) * before))
        return 2 / (g - 1) * math.sqrt(g * before / rho) * ((p / before) ** ((g - 1) / (2 * g)) - 1)

    p = brentq(lambda p: jump(left, p) + jump(right, p) + right[1] - left[1], 1e-9, 1e3, xtol=1e-14)
    u = 0.5 * (left[1] + right[1] + jump(right, p) - jump(left, p))
    out = torch.empty(3, len(x_over_t), dtype=torch.float64)
    for i, s in enumerate(x_over_t.tolist()):
        # The right half is the left half of the mirrored problem.
        sign, (rho0, u0, p0) = (1, left) if s < u else (-1, right)
        s, u0, contact = sign * s, sign * u0, sign * u
        c0 = math.sqrt(g * p0 / rho0)
        if p > p0:
            speed = u0 - c0 * math.sqrt((g + 1) / (2 * g) * p / p0 + (g - 1) / (2 * g))
            q, k = p / p0, (g - 1) / (g + 1)
            state = (rho0, u0, p0) if s < speed else (rho0 * (q + k) / (k * q + 1), contact, p)
        else:
            rho = rho0 * (p / p0) ** (1 / g)
            if s < u0 - c0:
                state = (rho0, u0, p0)
            elif s > contact - math.sqrt(g * p / rho):
                state = (rho, contact, p)
            else:
                c = (2 * c0 + (g - 1) * (u0 - s)) / (g + 1)
                state = (rho0 * (c / c0) ** (2 / (g - 1)), s + c, p0 * (c / c0) ** (2 * g / (g - 1)))
        out[:, i] = torch.tensor([state[0], sign * state[1], state[2]])
    return out


def isentropic_vortex(cells, *, strength=5.0, width=1 / 12, drift=(1.0, 1.0)):
    """A vortex of constant entropy in the middle of the unit square, carried along by a uniform wind.

    In units of its width the perturbation is du = strength / (2 pi) exp((1 - r^2) / 2) (-y, x), and the temperature
    p / rho = 1 - (g - 1) strength^2 / (8 g pi^2) exp(1 - r^2). At the edge of the square it is exp(-17.5) = 2e-8.
    """
    x, y = ((each - 0.5) / width for each in mesh(cells))
    r2 = x**2 + y**2
    swirl = strength / (2 * math.pi) * torch.exp((1 - r2) / 2)
    temperature = 1 - (GAMMA - 1) * strength**2 / (8 * GAMMA * math.pi**2) * torch.exp(1 - r2)
    rho = temperature ** (1 / (GAMMA - 1))
    return torch.stack([rho, drift[0] - swirl * y, drift[1] + swirl * x, rho * temperature])[None]
