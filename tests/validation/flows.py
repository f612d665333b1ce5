"""Flows that several claims are checked on, on the periodic unit square in float64."""

import math

import torch


def grid(resolution):
    x = torch.arange(resolution, dtype=torch.float64) / resolution
    return torch.meshgrid(x, x, indexing="ij")


def smooth(resolution):
    """A solenoidal velocity of a few long waves that interact, of size about 1, shape (2, x, y).

    Its stream function is analytic with infinitely many modes, so that every grid cuts something off.
    """
    x, y = (2 * math.pi * axis for axis in grid(resolution))
    bump = torch.exp(torch.sin(x) + torch.cos(y))
    # psi = bump / (2 pi e) + cos(x + 2 y) / (4 pi);  u = psi_y, v = -psi_x
    u = -torch.sin(y) * bump / math.e - torch.sin(x + 2 * y)
    v = -torch.cos(x) * bump / math.e + torch.sin(x + 2 * y) / 2
    return torch.stack([u, v])


def relative_error(found, reference):
    return float((found - reference).norm() / reference.norm())
