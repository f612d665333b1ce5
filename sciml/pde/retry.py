"""Solve a block of trajectories so that one that blows up neither ruins the others nor ends the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.errors import SolverError

if TYPE_CHECKING:
    from sciml.pde.tasks import Task

HALVINGS = 3
"""How often the time step of a failing trajectory is halved before the run is given up."""


class BlowUpError(SolverError):
    """One trajectory of a batch cannot be continued: NaN, a negative density, a velocity that runs away.

    Solvers raise it; ``simulate`` then takes the trajectory out of the batch and solves it by itself.

    Args:
        trajectory: Position of the trajectory in the batch.
        reason: What happened, in a few words, e.g. ``density -0.2 at t = 0.31``.
        advice: What to do if no smaller time step helps.
    """

    def __init__(self, trajectory: int, reason: str, advice: str = "Take a finer grid, or milder parameters."):
        super().__init__(f"trajectory {trajectory} of the batch blew up ({reason}). {advice}")
        self.trajectory = trajectory
        self.reason = reason
        self.advice = advice

    def __reduce__(self):
        return type(self), (self.trajectory, self.reason, self.advice)


def simulate(
    task: Task, trajectories: Sequence[int], *, resolution: int, seed: int, device: torch.device | str = "cpu"
) -> tuple[Float[Tensor, "trajectory frame channel x y"], list[str]]:
    """Solve a task for a block of trajectories; one that blows up is redone by itself with a smaller time step.

    The task's parameter ``cfl`` is halved up to three times; a task without it gets no second chance.

    Args:
        task: The task.
        trajectories: Indices of the trajectories.
        resolution: Grid points along each axis.
        seed: Seed of the data set.
        device: Where to compute.

    Returns:
        The fields, shape (trajectory, frame, channel, x, y), and a sentence for every trajectory that was redone.

    Raises:
        SolverError: a trajectory blew up with the smallest step, too.
    """
    where = {"resolution": resolution, "seed": seed, "device": device}
    company, failed = list(trajectories), {}
    solved: dict[int, Tensor] = {}
    while company:
        try:
            fields = _finite(task.simulate(company, **where))
        except BlowUpError as error:
            failed[company.pop(error.trajectory)] = error
        else:
            solved.update(zip(company, fields, strict=True))
            break
    remarks = []
    for trajectory, error in failed.items():
        solved[trajectory], remark = _alone(task, trajectory, error, where)
        remarks.append(remark)
    return torch.stack([solved[trajectory] for trajectory in trajectories]), remarks


def _alone(task: Task, trajectory: int, error: BlowUpError, where: dict) -> tuple[Tensor, str]:
    title = f"{task.name}: trajectory {trajectory} of seed {where['seed']}"
    cfl = getattr(task, "cfl", None)
    for halving in range(1, HALVINGS + 1 if cfl else 1):
        try:
            fields = _finite(replace(task, cfl=cfl / 2**halving).simulate([trajectory], **where))
        except BlowUpError as again:
            error = again
        else:
            return fields[0], f"{title} blew up ({error.reason}) and was redone with cfl = {cfl / 2**halving:g}"
    tried = f", even with cfl = {cfl / 2**HALVINGS:g}" if cfl else ""
    raise SolverError(
        f"{title} blew up at resolution {where['resolution']}{tried} ({error.reason}). {error.advice}"
    ) from error


def _finite(fields: Tensor) -> Tensor:
    finite = torch.isfinite(fields).flatten(1).all(1)
    if not finite.all():
        raise BlowUpError(int(finite.int().argmin()), "NaN or infinity in a saved frame")
    return fields
