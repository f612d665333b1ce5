"""Solvers that generate training data, batched over trajectories, on any torch device."""

from sciml.pde.retry import BlowUpError
from sciml.pde.spectral import NavierStokes, SpectralViscosity, Viscosity
from sciml.pde.tasks import TASKS, Task, make_task

__all__ = ["TASKS", "BlowUpError", "NavierStokes", "SpectralViscosity", "Task", "Viscosity", "make_task"]
