"""One trajectory that blows up neither ruins its block nor ends the run."""

import math
import pickle
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from sciml.errors import SolverError
from sciml.pde.retry import BlowUpError, simulate

WHERE = {"resolution": 4, "seed": 3}


@dataclass(frozen=True)
class Fragile:
    """A task whose trajectories blow up, one way or another, unless the time step is small enough for each."""

    name: ClassVar[str] = "Fragile"
    limits: tuple[float, ...]
    cfl: float = 1.0
    silent: bool = False

    def simulate(self, trajectories, *, resolution, seed, device="cpu"):
        fields = torch.stack([torch.full((2, 1, 4, 4), float(i)) for i in trajectories])
        for position, trajectory in enumerate(trajectories):
            if self.cfl > self.limits[trajectory]:
                if not self.silent:
                    raise BlowUpError(position, "density -1", "Take less.")
                fields[position, 1, 0, 2, 2] = math.nan
        return fields + 0.01 * len(trajectories) * self.cfl


@pytest.mark.parametrize("silent", [False, True])
def test_failing_trajectories_are_redone_alone_and_the_others_are_solved_together(silent):
    task = Fragile((1, 0.5, 1, 0.2, 1), silent=silent)
    fields, remarks = simulate(task, range(5), **WHERE)
    # 0, 2 and 4 in a company of three; 1 alone at half the step, 3 at an eighth.
    expected = torch.tensor([0.03, 1.005, 2.03, 3.00125, 4.03])
    torch.testing.assert_close(fields[:, 0, 0, 0, 0], expected)
    reason = "NaN or infinity in a saved frame" if silent else "density -1"
    assert remarks == [
        f"Fragile: trajectory 1 of seed 3 blew up ({reason}) and was redone with cfl = 0.5",
        f"Fragile: trajectory 3 of seed 3 blew up ({reason}) and was redone with cfl = 0.125",
    ]


def test_a_block_without_failures_is_solved_once_and_has_no_remarks():
    fields, remarks = simulate(Fragile((1, 1)), [1, 0], **WHERE)
    assert fields[:, 0, 0, 0, 0].tolist() == pytest.approx([1.02, 0.02])
    assert remarks == []


def test_a_trajectory_that_no_step_saves_is_named_with_advice():
    with pytest.raises(
        SolverError,
        match=r"Fragile: trajectory 1 of seed 3 blew up at resolution 4, even with cfl = 0\.125 \(density -1\)\. Take",
    ):
        simulate(Fragile((1, 0.01)), range(2), **WHERE)


def test_a_task_without_a_step_to_shorten_gets_no_second_chance():
    @dataclass(frozen=True)
    class Steady(Fragile):
        cfl: ClassVar[float | None] = None

        def simulate(self, trajectories, **_):
            raise BlowUpError(0, "did not converge")

    with pytest.raises(
        SolverError, match=r"trajectory 7 of seed 3 blew up at resolution 4 \(did not converge\)\. Take a"
    ):
        simulate(Steady((1,)), [7], **WHERE)


def test_the_error_crosses_to_another_process():
    error = pickle.loads(pickle.dumps(BlowUpError(2, "why", "what to do")))
    assert (error.trajectory, error.reason, error.advice) == (2, "why", "what to do")
    assert "trajectory 2 of the batch blew up (why). what to do" in str(error)
