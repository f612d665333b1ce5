"""Error against CPU seconds of one thread: `solve`, a PINN of DeepXDE, Deep Ritz and random features.

    pip install -c constraints.txt -e ".[bench]"
    python benchmarks/barron_vs_pinn.py [--dimensions 2 5 10] [--spectra exact decaying] [--budgets 40 160 640]
        [--methods solve features sparse deepxde ritz]
    python benchmarks/barron_vs_pinn.py --report        # only rebuild figure and tables from results.jsonl

-Lap u + u = f and -Lap u + u + u^3 = f on the unit cube. Solutions, all of root mean square 1: three products of sines,
zero on the boundary ("exact": a finite sum of waves); a product of Poisson kernels, zero on the boundary ("decaying",
linear); the exponential of 2 d - 1 plane waves, periodic ("decaying", cubic). "sparse": the cubic equation whose
solution is 2 d - 1 plane waves, in up to a hundred dimensions.

All networks have exact boundary values. DeepXDE: residual on fixed points, Adam for a quarter of the time, then L-BFGS.
Deep Ritz: energy on fresh points, Adam with a learning rate that falls to zero. The time of the right-hand side counts
for all, that of the comparison with the true solution for none. A point that is finished is not run again.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from sample_efficiency import append_records, read_records
from torch import Tensor

from sciml.barron import (
    BoundaryNet,
    EnergyProblem,
    Quadrature,
    SpectralNet,
    make_problem,
    random_features,
    ritz_loss,
    solve,
)
from sciml.barron.adapt import CONVERGED
from sciml.barron.jet import jet_of

ROOT = Path(__file__).resolve().parents[1]
PEERS = ("deepxde", "ritz")
METHODS = ("solve", "features", "sparse", *PEERS)
NAMES = {"solve": "`solve`", "deepxde": "DeepXDE", "ritz": "Deep Ritz", "features": "random features"}
HIDDEN = (64, 64, 64)  # units of the networks of both peers
TOLERANCES = {"exact": [1e-3, 1e-12], "decaying": [10.0 ** (-k / 2) for k in range(1, 19)]}
UNITS = [100.0, 400.0, 1600.0]  # random features
PATIENCE = 200.0  # CPU seconds after which no smaller tolerance is asked for
SPARSE = (10, 20, 50, 100)
POINTS = 2**13  # at which the true error is measured

Record = dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--equations", nargs="+", default=["linear", "cubic"], choices=["linear", "cubic"])
    parser.add_argument("--dimensions", nargs="+", type=int, default=[2, 5, 10], metavar="D")
    parser.add_argument("--spectra", nargs="+", default=["exact", "decaying"], choices=["exact", "decaying"])
    parser.add_argument("--budgets", nargs="+", type=float, default=[40, 160, 640], metavar="SECONDS", help="of peers")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/reports/barron_vs_pinn")
    parser.add_argument("--report", action="store_true", help="only write figure and tables")
    return parser.parse_args()


# Problems


def sines(dimension: int) -> SpectralNet:
    """Three products of sines."""
    vectors = torch.ones(3, dimension, dtype=torch.int64)
    vectors[1, 0], vectors[2, -1] = 2, 3
    return _of_size_one(SpectralNet(vectors, [1.0, 0.5, 0.25], boundary="dirichlet"))


def plane_waves(dimension: int) -> SpectralNet:
    """A wave along every axis and along every pair of neighbouring axes, amplitudes 1 / i and 1 / (2 i)."""
    one = torch.eye(dimension, dtype=torch.int64)
    signs = 1 - 2 * (torch.arange(dimension - 1) % 2)
    amplitudes = 1 / torch.arange(1, dimension + 1, dtype=torch.float64)
    amplitudes = torch.cat([amplitudes, amplitudes[:-1] / 2])
    turns = torch.rand(len(amplitudes), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vectors = torch.cat([one, one[:-1] + signs[:, None] * one[1:]])
    return _of_size_one(SpectralNet(vectors, torch.polar(amplitudes, 2 * math.pi * turns), boundary="periodic"))


class PoissonKernels:
    """prod_i s(x_i) with s(x) = a sum_k r^(k - 1) sin(pi k x), r = 0.3: all products of sines."""

    boundary, ratio = "dirichlet", 0.3

    def __init__(self, dimension: int):
        self._scale = math.sqrt(2 * (1 - self.ratio**2))

    def __call__(self, x: Tensor) -> Tensor:
        return self._factor(x)[0].prod(1)

    def laplacian(self, x: Tensor) -> Tensor:
        """Sum over i of s''(x_i), times the other factors."""
        value, second = self._factor(x)
        return sum(
            second[:, i] * value[:, :i].prod(1) * value[:, i + 1 :].prod(1) for i in range(x.shape[1])
        )  # type: ignore[return-value]

    def _factor(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s and s'', s = a sin t / q with q = 1 - 2 r cos t + r^2."""
        r, sin, cos = self.ratio, torch.sin(math.pi * x), torch.cos(math.pi * x)
        q, q1, q2 = 1 - 2 * r * cos + r**2, 2 * r * sin, 2 * r * cos
        second = -sin / q - (2 * cos * q1 + sin * q2) / q**2 + 2 * sin * q1**2 / q**3
        return self._scale * sin / q, self._scale * math.pi**2 * second


class Exponential:
    """exp(v) over its root mean square, v being plane waves of root mean square 1/2: all sums of their wave vectors."""

    boundary = "periodic"

    def __init__(self, dimension: int):
        self._exponent = 0.5 * plane_waves(dimension)
        points = torch.quasirandom.SobolEngine(dimension, scramble=True, seed=1).draw(2**16, dtype=torch.float64)
        self._scale = float(torch.exp(2 * self._exponent(points)).mean().rsqrt())

    def __call__(self, x: Tensor) -> Tensor:
        return self._scale * torch.exp(self._exponent(x))

    def laplacian(self, x: Tensor) -> Tensor:
        """u (Lap v + |grad v|^2)."""
        return self(x) * (self._exponent.laplacian(x) + self._exponent.gradient(x).square().sum(1))


def _of_size_one(u: SpectralNet) -> SpectralNet:
    return u * (1 / float(u.l2()))


@dataclass(frozen=True)
class Case:
    """An equation with a known solution."""

    equation: str
    dimension: int
    spectrum: str

    @cached_property
    def solution(self) -> SpectralNet | PoissonKernels | Exponential:
        if self.spectrum == "exact":
            return sines(self.dimension)
        if self.spectrum == "sparse":
            return plane_waves(self.dimension)
        return PoissonKernels(self.dimension) if self.equation == "linear" else Exponential(self.dimension)

    @cached_property
    def problem(self) -> EnergyProblem:
        formula = "reaction_diffusion" if self.equation == "linear" else "cubic"
        return make_problem(formula, self.dimension, boundary=self.solution.boundary, source=self.source)

    def source(self, x: Tensor) -> Tensor:
        """The right-hand side, in closed form."""
        u = self.solution(x)
        return u - self.solution.laplacian(x) + (u**3 if self.equation == "cubic" else 0)

    def errors(self, network: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Relative L2 and H1 error, and the H1 norm of the error, at points that no method has seen."""
        engine = torch.quasirandom.SobolEngine(self.dimension, scramble=True, seed=10**6)
        x = engine.draw(POINTS, dtype=torch.float64)
        found, true = jet_of(network, x), jet_of(self.solution, x)
        off, size = (found.value - true.value).square().mean(), true.value.square().mean()
        steep = (found.gradient - true.gradient).square().sum(1).mean()
        whole = size + true.gradient.square().sum(1).mean()
        h1 = float((off + steep).sqrt())
        return {"L2": float((off / size).sqrt()), "H1": float(((off + steep) / whole).sqrt()), "absolute": h1}


# Methods: each yields records of what it has reached


def run_solve(case: Case, settings: Iterable[float]) -> Iterator[Record]:
    """One run for every tolerance, the largest first, until one is not reached or takes too long."""
    for tol in settings:
        start = time.process_time()
        solution = solve(case.problem, tol=tol)
        cpu = time.process_time() - start
        more = {"certificate": solution.certificate.error, "size": len(solution.network), "verdict": solution.verdict}
        yield {"setting": tol, "cpu": cpu, **case.errors(solution.network), **more}
        if not solution.converged or cpu > PATIENCE:
            return


def run_features(case: Case, settings: Iterable[float]) -> Iterator[Record]:
    """Random features, one run for every number of units."""
    for units in settings:
        start = time.process_time()
        solution = random_features(case.problem, units=int(units))
        yield {"setting": units, "cpu": time.process_time() - start, **case.errors(solution.network), "size": units}


def run_ritz(case: Case, settings: Iterable[float]) -> Iterator[Record]:
    """Deep Ritz for so many CPU seconds."""
    for budget in settings:
        start, generator = time.process_time(), torch.Generator().manual_seed(0)
        place = {"boundary": case.problem.boundary, "generator": generator}
        network = BoundaryNet.random(case.dimension, hidden=HIDDEN, **place)
        quadrature = Quadrature(case.problem, size=2**10, generator=generator)
        optimizer = torch.optim.Adam(network.parameters())
        steps, share = 0, 0.0
        while (share := (time.process_time() - start) / budget) < 1:
            optimizer.param_groups[0]["lr"] = 5e-3 * (1 + math.cos(math.pi * share))
            optimizer.zero_grad()
            ritz_loss(case.problem, network, quadrature.draw()).backward()
            optimizer.step()
            steps += 1
        yield {"setting": budget, "cpu": share * budget, **case.errors(network), "size": steps}


def run_deepxde(case: Case, settings: Iterable[float]) -> Iterator[Record]:
    """DeepXDE for so many CPU seconds."""
    for budget in settings:
        network, cpu, steps = train_deepxde(case, budget)
        yield {"setting": budget, "cpu": cpu, **case.errors(network), "size": steps}


def train_deepxde(case: Case, budget: float, *, adam: float = 0.25, points: int = 2**12, forward: bool=False) -> tuple[Any, float, int]:
    """A PINN with exact boundary values; the network, its CPU seconds and iterations of L-BFGS."""
    os.environ["DDE_BACKEND"] = "pytorch"
    import deepxde as dde

    dde.config.set_default_float("float64")  # L-BFGS stops early in single precision
    dde.config.set_random_seed(0)
    if forward: dde.config.set_default_autodiff('forward')
    d, periodic, start = case.dimension, case.problem.boundary == "periodic", time.process_time()

    class Clock(dde.callbacks.Callback):
        def __init__(self, share: float):
            super().__init__()
            self._end = start + share * budget

        def on_epoch_end(self) -> None:
            self.model.stop_training = time.process_time() >= self._end

    class Model(dde.Model):
        def _test(self, verbose: int = 1) -> None:
            """Nothing: the loss is not evaluated for display, which would take half of the time."""

    def residual(x: Tensor, u: Tensor, f: Tensor) -> Tensor:
        laplacian = sum(dde.grad.hessian(u, x, i=i, j=i)[0] if forward else dde.grad.hessian(u, x, i=i, j=i) for i in range(d)); u = u[0] if forward else u
        return f - u + laplacian - (u**3 if case.equation == "cubic" else 0)

    def load(x: Any) -> Any:
        return case.source(torch.as_tensor(x))[:, None].numpy()

    def waves(x: Tensor) -> Tensor:
        return torch.cat([torch.cos(2 * math.pi * x), torch.sin(2 * math.pi * x)], dim=1)

    def vanish(x: Tensor, u: Tensor) -> Tensor:
        return u * (math.sqrt(2) * torch.sin(math.pi * x)).prod(1, keepdim=True)

    cube = dde.geometry.Hypercube([0.0] * d, [1.0] * d)
    distribution = {"train_distribution": "Sobol", "auxiliary_var_function": load}
    data = dde.data.PDE(cube, residual, [], num_domain=points, **distribution)
    network = dde.nn.FNN([2 * d if periodic else d, *HIDDEN, 1], "tanh", "Glorot normal")
    if periodic:
        network.apply_feature_transform(waves)
    else:
        network.apply_output_transform(vanish)
    model = Model(data, network)
    model.compile("adam", lr=1e-3)
    model.train(iterations=10**9, display_every=10**9, callbacks=[Clock(adam)], verbose=0)
    dde.optimizers.set_LBFGS_options(maxiter=10**9)
    # The clock is looked at after so many iterations; what L-BFGS remembers is kept.
    dde.optimizers.config.LBFGS_options.update(iter_per_step=10, fun_per_step=15)
    model.compile("L-BFGS", verbose=0)
    model.train(callbacks=[Clock(1.0)], verbose=0)
    cpu = time.process_time() - start
    return (lambda x: network(x)[:, 0]), cpu, model.opt.state_dict()["state"][0]["n_iter"]


RUNS = {"solve": run_solve, "sparse": run_solve, "features": run_features, "deepxde": run_deepxde, "ritz": run_ritz}


def finished(done: list[Record], settings: list[float]) -> bool:
    """Whether a problem needs no more runs of a method: all are there, or the last one was to be the last."""
    if len({record["setting"] for record in done}) == len(settings):
        return True
    return any(record.get("verdict", CONVERGED) != CONVERGED or record["cpu"] > PATIENCE for record in done)


def main() -> None:
    torch.set_num_threads(1)
    import torch._dynamo  # the first optimiser of a process would import it, which takes seconds
    options = arguments()
    path = options.out / "results.jsonl"
    cases = [
        Case(equation, dimension, spectrum)
        for spectrum in options.spectra
        for dimension in options.dimensions
        for equation in options.equations
    ]
    plan: list[tuple[str, Case, list[float]]] = [("solve", case, TOLERANCES[case.spectrum]) for case in cases]
    plan += [("features", case, UNITS) for case in cases]
    plan += [("sparse", Case("cubic", d, "sparse"), [1e-12]) for d in SPARSE]
    plan += [(peer, case, [budget]) for budget in options.budgets for case in cases for peer in PEERS]
    plan = [point for point in plan if point[0] in options.methods and not options.report]
    for i, (method, case, settings) in enumerate(plan):
        name = {"method": method, **asdict(case)}
        done = [r for r in read_records(path) if name.items() <= r.items() and r["setting"] in settings]
        if finished(done, settings):
            continue
        left = [setting for setting in settings if setting not in [record["setting"] for record in done]]
        print(f"[{i + 1}/{len(plan)}] {method}: {case.equation}, d = {case.dimension}, {case.spectrum}", flush=True)
        for record in RUNS[method](case, left):
            append_records(path, [name | record])
            print(f"    {record}", flush=True)
    records = read_records(path)
    if not records:
        sys.exit(f"{path} has no results. Run without --report first.")
    print(report(records, options.out))


if __name__ == "__main__":
    main()
