"""The optimal value of a program as a differentiable function of its parameters: its gradient is the multipliers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.pool import ProgramPool, solve_all
from sciml.dispatch.program import ParametricProgram
from sciml.errors import ConfigError, ShapeError

Volumes = Float[Tensor, "batch stage plant"]


def optimal_value(
    programs: ProgramPool | ParametricProgram, parameters: Float[Tensor, "batch parameter"]
) -> Float[Tensor, " batch"]:
    r"""Optimal values of a program, differentiable in its parameters.

    Q(p) = min_x f(x) subject to g(x) = p has the gradient dQ/dp = lambda, the multipliers of those constraints
    (envelope theorem): forward solves, backward multiplies, and nothing is differentiated through the solver. Where Q
    has a kink, lambda is a subgradient of a convex program; of a nonconvex one it belongs to the local solution that
    was found.

    Args:
        programs: A pool, or one program.
        parameters: Shape (batch, parameter), in the units of the program; solved in float64.

    Returns:
        Q, shape (batch,), in the type and on the device of the parameters.

    Raises:
        InfeasibleError, SolverError: a scenario has no solution, or none was found; the message names it.

    Reference:
        arXiv:2405.14973.
    """
    return _OptimalValue.apply(parameters, programs)  # type: ignore[return-value]


class _OptimalValue(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parameters: Tensor, programs: ProgramPool | ParametricProgram) -> Tensor:
        p = parameters.detach().cpu().numpy().astype(np.float64)
        solve = programs.solutions if isinstance(programs, ProgramPool) else partial(solve_all, programs)
        solutions = solve(p, variables=False)
        ctx.save_for_backward(torch.from_numpy(solutions.multipliers).to(parameters))
        return torch.from_numpy(solutions.values).to(parameters)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        [multipliers] = ctx.saved_tensors
        return gradients[0][:, None] * multipliers, None


class _TargetCost:
    """Cost of following targets for the volumes; what the two ways of computing it share."""

    def __init__(self, case: HydrothermalCase, stages: int, factory: Callable[[], ParametricProgram], workers: int):
        self.case = case
        self.stages = stages
        self.pool = ProgramPool(factory, workers)
        active, reactive = np.array([case.load(stage) for stage in range(stages)]).swapaxes(0, 1)
        self._load = {"load": torch.tensor(active), "reactive_load": torch.tensor(reactive)}
        self._initial = torch.tensor(case.plants.initial_volume)

    def close(self) -> None:
        """End the worker processes; the next call starts new ones."""
        self.pool.close()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _solved(self, blocks: dict[str, Tensor]) -> Tensor:
        """Optimal values, (batch,), for blocks of parameters (batch, n) by name."""
        order = sorted(self.pool.blocks, key=lambda name: self.pool.blocks[name].start)
        return optimal_value(self.pool, torch.cat([blocks[name] for name in order], dim=1))

    def _water(self, inflows: Tensor) -> Tensor:
        return self.case.volume_per_flow * inflows

    def _checked(self, targets: Tensor, inflows: Tensor, volume: Tensor | None) -> Tensor:
        """The volume before the first stage, (batch, plant)."""
        expected = (self.stages, len(self.case.plants.names))
        for name, x in (("targets", targets), ("inflows", inflows)):
            if x.ndim != 3 or x.shape[1:] != expected or len(x) != len(targets):
                raise ShapeError(
                    f"{name} of shape {tuple(x.shape)} came with targets of shape {tuple(targets.shape)}; (batch, "
                    f"stage, plant) = (batch, {expected[0]}, {expected[1]}) is expected of both."
                )
        volume = self._initial if volume is None else volume
        return volume.to(targets).expand(len(targets), expected[1])


class HorizonCost(_TargetCost):
    """Cost of following targets, by one program of all stages a scenario.

    Args:
        case: The system.
        network: "dc", "dc_lossy", "soc" or "ac".
        stages: Length of the horizon.
        targets: "strict": the volumes at the end of the stages are the targets; "penalised": a deviation costs.
        penalty: Of a deviation, $ per hm3; None: the largest cost coefficient of a stage.
        workers: Processes that solve, see ``ProgramPool``.

    Example:
        >>> cost = HorizonCost(case, "dc", 24)
        >>> cost(rule(inflows), inflows).mean().backward()
    """

    def __init__(
        self,
        case: HydrothermalCase,
        network: str,
        stages: int,
        *,
        targets: str = "strict",
        penalty: float | None = None,
        workers: int = 0,
    ):
        from sciml.dispatch.programs import make_horizon_program

        _check_targets(targets)
        factory = partial(make_horizon_program, case, network, stages, targets=targets, penalty=penalty)
        super().__init__(case, stages, factory, workers)

    def __call__(
        self, targets: Volumes, inflows: Volumes, volume: Float[Tensor, "*batch plant"] | None = None
    ) -> Float[Tensor, " batch"]:
        """Cost, differentiable in targets, inflows and volume.

        Args:
            targets: Volumes at the end of the stages, hm3, shape (batch, stage, plant).
            inflows: m3/s, shape (batch, stage, plant).
            volume: Before the first stage, hm3, shape (batch, plant) or (plant,); None: the case's.

        Returns:
            Cost of all stages, penalties included, $, shape (batch,).

        Raises:
            InfeasibleError: strict targets cannot be met; the message names scenario, stage and plant.
        """
        before = self._checked(targets, inflows, volume)
        water = self._water(inflows)
        water = torch.cat([(water[:, 0] + before)[:, None], water[:, 1:]], dim=1)
        load = {name: x.to(targets).flatten().expand(len(targets), -1) for name, x in self._load.items()}
        return self._solved({"water": water.flatten(1), "target": targets.flatten(1), **load})


class StageCost(_TargetCost):
    r"""Cost of following strict targets, by one program a scenario and stage.

    Strict targets fix the volumes between the stages, so that the horizon falls apart:
    Q = sum_t q_t(v_{t-1} + K w_t, v_t) with v = targets. Stages become one batch, which many workers share well, and a
    target's gradient is the sum of two multipliers: of the stage that it ends and of the one that starts from it.

    Args:
        case: The system.
        network: "dc", "dc_lossy", "soc" or "ac".
        stages: Length of the horizon.
        workers: Processes that solve, see ``ProgramPool``.
    """

    def __init__(self, case: HydrothermalCase, network: str, stages: int, *, workers: int = 0):
        from sciml.dispatch.programs import make_stage_program

        super().__init__(case, stages, partial(make_stage_program, case, network, targets="strict"), workers)

    def __call__(
        self, targets: Volumes, inflows: Volumes, volume: Float[Tensor, "*batch plant"] | None = None
    ) -> Float[Tensor, " batch"]:
        """Cost of all stages, $, shape (batch,); see ``HorizonCost``."""
        return self.by_stage(targets, inflows, volume).sum(1)

    def by_stage(
        self, targets: Volumes, inflows: Volumes, volume: Float[Tensor, "*batch plant"] | None = None
    ) -> Float[Tensor, "batch stage"]:
        """Cost of each stage, $, shape (batch, stage); see ``HorizonCost``."""
        before = torch.cat([self._checked(targets, inflows, volume)[:, None], targets[:, :-1]], dim=1)
        water = before + self._water(inflows)
        load = {name: x.to(targets).repeat(len(targets), 1) for name, x in self._load.items()}
        stages = {"water": water.flatten(0, 1), "target": targets.flatten(0, 1), **load}
        return self._solved(stages).unflatten(0, targets.shape[:2])


def _check_targets(targets: str) -> None:
    if targets not in ("strict", "penalised"):
        raise ConfigError(f"targets={targets!r} came; 'strict' or 'penalised' is expected.")
