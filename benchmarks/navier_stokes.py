"""CPU seconds per trajectory of the Navier-Stokes solver against exponax, at equal accuracy.

    python benchmarks/navier_stokes.py            needs: pip install "sciml-kit[bench]"

Both solve the same vorticity equation (plain viscosity, 2/3 rule, float32, one thread) from the same random waves to
time 1 at 128 x 128. The error is measured against a solution of twice the resolution in float64 with small steps. Each
solver takes the fewest steps with which its error is below 1e-4 (exponax: ETDRK4, its most accurate method); a line of
its own shows ours with the steps of the default CFL number. The limit is the time that torch spends in nothing but the
plain Fourier transforms of our steps: 4 a stage, 16 a step.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable

# Read when XLA starts: one thread, as for torch.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import torch
from rich.console import Console
from rich.table import Table

from sciml.pde import BlowUpError, NavierStokes, Viscosity
from sciml.pde.initial import generator_for, sines, solenoidal

try:
    import exponax
    import jax
    import jax.numpy as jnp
except ImportError:
    sys.exit('This benchmark compares with exponax, which is not installed: pip install "sciml-kit[bench]"')

RESOLUTION, BATCH, TIME, NU, MODES, REPEATS = 128, 8, 1.0, 1e-3, 5, 5
TARGET, FEWEST = 1e-4, 40


def cpu_seconds(call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def initial_velocity(resolution: int) -> torch.Tensor:
    draws = (sines(resolution, generator=generator_for(0, i), modes=MODES) for i in range(BATCH))
    return torch.stack([solenoidal(velocity) for velocity in draws])


def relative_error(found: torch.Tensor, reference: torch.Tensor) -> float:
    """Relative L2 error of the vorticity at the final time, the worst of the batch."""
    return float(((found - reference).norm(dim=(1, 2)) / reference.norm(dim=(1, 2))).max())


class Ours:
    """The solver of sciml.pde, in batches."""

    def __init__(self, steps: int, name: str = "sciml.pde, IF-RK4"):
        self.name = name
        self.steps = steps
        self.solver = NavierStokes(RESOLUTION, damping=Viscosity(NU))
        self.start = initial_velocity(RESOLUTION).float()

    def __call__(self) -> torch.Tensor:
        velocity = self.solver.solve(self.start, [0, TIME], cfl=math.inf, max_step=TIME / self.steps)[:, 1]
        return self.solver.vorticity(velocity).double()


class Exponax:
    """The stepper of exponax, compiled, one trajectory after the other or in a batch, whichever is faster."""

    def __init__(self, steps: int, *, batched: bool):
        self.name = "exponax, ETDRK4" + (", vmap" if batched else "")
        self.steps = steps
        stepper = exponax.stepper.NavierStokesVorticity(2, 1.0, RESOLUTION, TIME / steps, diffusivity=NU, order=4)
        repeated = exponax.repeat(stepper, steps)
        self.run = jax.jit(jax.vmap(repeated) if batched else repeated)
        self.batched = batched
        # With axes (x, y) exponax advects with (-psi_y, psi_x): it solves for the vorticity of the other sign.
        vorticity = NavierStokes(RESOLUTION, dtype=torch.float64).vorticity(initial_velocity(RESOLUTION))
        self.start = jnp.asarray(-vorticity[:, None].numpy(), dtype=jnp.float32)
        self()

    def __call__(self) -> torch.Tensor:
        out = self.run(self.start) if self.batched else jnp.stack([self.run(w) for w in self.start])
        return -torch.tensor(jax.device_get(out.block_until_ready()))[:, 0].double()


def fewest_steps(make: Callable[[int], Callable[[], torch.Tensor]], reference: torch.Tensor) -> int:
    """Fewest steps, on a ladder of 10 percent, with which a solver meets the target."""
    steps = FEWEST
    while True:
        try:
            if relative_error(make(steps)(), reference) <= TARGET:
                return steps
        except BlowUpError:  # too few to be stable
            pass
        steps = math.ceil(steps * 1.1)
        if steps > 50 * FEWEST:
            sys.exit(f"the target {TARGET:.0e} is not reached in {steps} steps")


def fourier_limit(steps: int) -> float:
    """CPU seconds per trajectory of the transforms alone, by torch's own real two-dimensional FFT."""
    fields = torch.randn(2 * BATCH, RESOLUTION, RESOLUTION)
    series = torch.fft.rfft2(fields)

    def stage():
        torch.fft.irfft2(series)
        torch.fft.rfft2(fields)

    stage()
    return min(cpu_seconds(lambda: [stage() for _ in range(10)]) for _ in range(REPEATS)) / 10 / BATCH * 4 * steps


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    console = Console()
    with console.status("solving for the reference"):
        fine = NavierStokes(2 * RESOLUTION, damping=Viscosity(NU), dtype=torch.float64)
        start = initial_velocity(2 * RESOLUTION)
        velocity = fine.solve(start, [0, TIME], cfl=0.5)[:, 1]
        reference = fine.vorticity(velocity)[:, ::2, ::2]
    speed = float(start.abs().sum(1).max())
    default = Ours(math.ceil(TIME * RESOLUTION * speed), "sciml.pde, CFL 1")
    with console.status("finding the fewest steps"):
        ours = Ours(fewest_steps(Ours, reference))
        steps = fewest_steps(lambda steps: Exponax(steps, batched=True), reference)
    runs = [ours, default, Exponax(steps, batched=False), Exponax(steps, batched=True)]
    with console.status("measuring"):
        # Taken in turns, so that a change of the machine's clock touches all alike.
        rounds = [[cpu_seconds(run) / BATCH for run in runs] for _ in range(REPEATS)]
    seconds = [min(column) for column in zip(*rounds, strict=True)]
    limit = fourier_limit(ours.steps)

    table = Table(
        "solver",
        "steps",
        "relative L2 error",
        "CPU s / trajectory",
        "to ours",
        title=f"Navier-Stokes, {RESOLUTION} x {RESOLUTION}, T = {TIME:g}, nu = {NU:g}, float32, one thread",
    )
    for run, cost in zip(runs, seconds, strict=True):
        error = relative_error(run(), reference)
        table.add_row(run.name, str(run.steps), f"{error:.1e}", f"{cost:.4f}", f"{cost / seconds[0]:.2f}x")
    table.add_row(
        "limit: our rfft2 and irfft2 alone", str(ours.steps), "", f"{limit:.4f}", f"{limit / seconds[0]:.2f}x"
    )
    console.print(table)


if __name__ == "__main__":
    main()
