"""Waves that several claims are checked on."""

import math

import torch


def points(count, layer):
    """The grid with its layer; the square is [0, 1]^2."""
    return torch.arange(-layer, count + layer, dtype=torch.float64) / (count - 1)


def packet(x, y, *, centre, width, wavelength=math.inf, angle=0.0):
    """A bump, or a wave packet in it that splits into two which run in the direction of the angle and its opposite."""
    x, y = x[:, None] - centre[0], y[None, :] - centre[1]
    phase = 2 * math.pi / wavelength * (math.cos(angle) * x + math.sin(angle) * y)
    return torch.exp(-(x**2 + y**2) / (2 * width**2)) * torch.cos(phase)


def energy(u, *, interval, spacing, speed=1.0):
    """Energy of the frames between the first and the last, 1/2 int u_t^2 / c^2 + |grad u|^2, shape (batch, frame)."""
    velocity = (u[:, 2:] - u[:, :-2]) / (2 * interval) / speed
    middle = u[:, 1:-1]
    along_x = (middle[..., 1:, :] - middle[..., :-1, :]) / spacing
    along_y = (middle[..., :, 1:] - middle[..., :, :-1]) / spacing
    return sum(part.square().sum((-2, -1)) for part in (velocity, along_x, along_y)) * spacing**2 / 2
