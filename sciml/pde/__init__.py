"""Solvers that generate training data, batched over trajectories, on any torch device."""

from sciml.pde.spectral import BlowUpError, NavierStokes, SpectralViscosity, Viscosity
from sciml.pde.tasks import TASKS, Task, make_task

__all__ = ["TASKS", "BlowUpError", "NavierStokes", "SpectralViscosity", "Task", "Viscosity", "make_task"]
