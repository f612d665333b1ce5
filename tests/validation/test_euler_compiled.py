"""Compiled code solves the same equations: it differs from eager execution by rounding."""

import pytest
import torch

from sciml.pde.compilation import compiler_available
from sciml.pde.finite_volume import Euler
from sciml.pde.tasks import make_task

pytestmark = [pytest.mark.validation, pytest.mark.skipif(not compiler_available(), reason="there is no C++ compiler")]


def test_compiled_and_eager_results_agree():
    task = make_task("CE-RM")
    fields = torch.stack([task.initial(i, resolution=32, seed=0) for i in range(2)])
    eager, fast = (Euler((32, 32), compile=compile).solve(fields, [0, 0.02, 0.1]) for compile in (False, True))
    # Rounding of float32, 1e-7 of the largest pressure 20, grown in some 60 steps past limiters that switch.
    torch.testing.assert_close(fast, eager, rtol=0, atol=1e-4)
    assert torch.equal(fast, Euler((32, 32), compile=True).solve(fields, [0, 0.02, 0.1]))
