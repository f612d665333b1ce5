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
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from barron_problems import Case
from sample_efficiency import append_records, read_records
from torch import Tensor

from sciml.barron import (
    BoundaryNet,
    Quadrature,
    random_features,
    ritz_loss,
    solve,
)
from sciml.barron.adapt import CONVERGED

ROOT = Path(__file__).resolve().parents[1]
PEERS = ("deepxde", "ritz")
METHODS = ("solve", "features", "sparse", *PEERS)
NAMES = {"solve": "`solve`", "deepxde": "DeepXDE", "ritz": "Deep Ritz", "features": "random features"}
HIDDEN = (64, 64, 64)  # units of the networks of both peers
TOLERANCES = {"exact": [1e-3, 1e-12], "decaying": [10.0 ** (-k / 2) for k in range(1, 19)]}
UNITS = [100.0, 400.0]  # random features
PATIENCE = 200.0  # CPU seconds after which no smaller tolerance is asked for
SPARSE = (10, 20, 50, 100)

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
        solution = random_features(case.problem, units=int(units), scale=2.0)
        yield {"setting": units, "cpu": time.process_time() - start, **case.errors(solution.network), "size": units}


def run_ritz(case: Case, settings: Iterable[float]) -> Iterator[Record]:
    """Deep Ritz for so many CPU seconds."""
    for budget in settings:
        start, generator = time.process_time(), torch.Generator().manual_seed(0)
        place = {"boundary": case.problem.boundary, "generator": generator}
        network = BoundaryNet.random(case.dimension, hidden=HIDDEN, **place)
        # In ten dimensions networks learn what a lattice with one generating vector does not see.
        rule = "lattice" if case.dimension < 10 else "sobol"
        quadrature = Quadrature(case.problem, rule=rule, size=2**10, generator=generator)
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


def train_deepxde(case: Case, budget: float, *, adam: float = 0.25) -> tuple[Any, float, int]:
    """A PINN with exact boundary values; the network, its CPU seconds and iterations of L-BFGS.

    Share of Adam, number of points and reverse-mode differentiation are those that did best in short trials.
    """
    os.environ["DDE_BACKEND"] = "pytorch"
    import deepxde as dde

    dde.config.set_default_float("float64")  # L-BFGS stops early in single precision
    dde.config.set_random_seed(0)
    points = round(2**10 * math.sqrt(budget / 40))  # few points and many steps do better than the other way round
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
        laplacian = sum(dde.grad.hessian(u, x, i=i, j=i) for i in range(d))
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


# Report


def best(records: Iterable[Record], case: Case, method: str, *, seconds: float = math.inf) -> Record | None:
    """The record of a problem with the smallest H1 error in so many CPU seconds."""
    name = {"method": method, **asdict(case)}
    found = [r for r in records if name.items() <= r.items() and r["cpu"] <= seconds]
    return min(found, key=lambda r: r["H1"], default=None)


def report(records: list[Record], folder: Path) -> str:
    """Write ``curves.png`` and ``report.md``; returns the latter."""
    cases = list(dict.fromkeys(Case(r["equation"], r["dimension"], r["spectrum"]) for r in records))
    sparse = [case for case in cases if case.spectrum == "sparse"]
    cases = sorted((case for case in cases if case not in sparse), key=lambda c: (c.spectrum != "exact", c.dimension))
    budgets = sorted({r["setting"] for r in records if r["method"] in PEERS})
    if cases:
        draw(records, cases, folder / "curves.png")
    columns = [
        *(f"`solve`, {budget / 4:g} s" for budget in budgets),
        *(f"{NAMES[peer]}, {budget:g} s" for peer in PEERS for budget in budgets),
        "random features",
        *(f"gain at {budget:g} s" for budget in budgets),
    ]
    lines = [
        "# Barron flow, PINN, Deep Ritz",
        "",
        "Relative H1 error at points that no method has seen, by CPU seconds of one thread. `solve` has a quarter of "
        "the time of the others; gain: the smallest error of the two peers up to then over its own.",
        "",
        "![Error against CPU seconds](curves.png)",
        "",
        "| equation | d | spectrum | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for case in cases:
        # Peers look at the clock after their steps, and end a few percent late.
        ours = [best(records, case, "solve", seconds=budget / 4) for budget in budgets]
        theirs = {peer: [_peer(records, case, peer, budget) for budget in budgets] for peer in PEERS}
        cells = [_error(r) for r in [*ours, *theirs["deepxde"], *theirs["ritz"]]]
        features = best(records, case, "features")
        cells.append(f"{_error(features)} in {features['cpu']:.1f} s" if features else "")
        # A peer that has become worse would have been stopped earlier.
        before = [
            [r for found in theirs.values() for r in found[: i + 1]]
            if any(found[i] for found in theirs.values())
            else []
            for i in range(len(budgets))
        ]
        cells += [_gain(own, peers) for own, peers in zip(ours, before, strict=True)]
        lines.append(f"| {case.equation} | {case.dimension} | {case.spectrum} | {' | '.join(cells)} |")
    found = [r for case in sparse if (r := best(records, case, "sparse"))]
    if found:
        lines += [
            "",
            "Sparse spectra, cubic:",
            "",
            "| d | waves | H1 error | certificate | CPU seconds |",
            "|---" * 5 + "|",
        ]
        lines += [
            f"| {r['dimension']} | {r['size']} | {r['H1']:.1e} | {r['certificate'] * r['H1'] / r['absolute']:.1e} "
            f"| {r['cpu']:.1f} |"
            for r in found
        ]
    # Below, both are rounding.
    ratios = [r["certificate"] / r["absolute"] for r in records if "certificate" in r and r["H1"] > 1e-12]
    if ratios:
        lines += ["", f"Certificate over true H1 error, {len(ratios)} runs: {min(ratios):.2f} to {max(ratios):.2f}."]
    text = "\n".join(lines) + "\n"
    (folder / "report.md").write_text(text)
    return text


def _peer(records: list[Record], case: Case, peer: str, budget: float) -> Record | None:
    return best((r for r in records if r["setting"] == budget), case, peer)


def _error(record: Record | None) -> str:
    return f"{record['H1']:.1e}" if record else ""


def _gain(own: Record | None, peers: list[Record | None]) -> str:
    errors = [peer["H1"] for peer in peers if peer]
    return f"{min(errors) / own['H1']:.2g}" if own and errors else ""


def draw(records: list[Record], cases: list[Case], path: Path) -> None:
    """One panel a problem: dimensions side by side."""
    from matplotlib.figure import Figure

    rows = list(dict.fromkeys((case.spectrum, case.equation) for case in cases))
    dimensions = sorted({case.dimension for case in cases})
    figure = Figure(figsize=(3.0 * len(dimensions) + 0.6, 2.1 * len(rows) + 0.5), layout="constrained")
    panels = figure.subplots(len(rows), len(dimensions), squeeze=False, sharex=True, sharey=True)
    colours = {"solve": "#2b6cb0", "deepxde": "#c05621", "ritz": "#2f855a", "features": "#718096"}
    for case in cases:
        panel = panels[rows.index((case.spectrum, case.equation))][dimensions.index(case.dimension)]
        for method, colour in colours.items():
            name = {"method": method, **asdict(case)}
            found = sorted((r["cpu"], r["H1"]) for r in records if name.items() <= r.items())
            if found:
                label = NAMES[method].strip("`")
                panel.plot(*zip(*found, strict=True), "o-", color=colour, markersize=3, linewidth=1, label=label)
        panel.set(title=f"{case.equation}, d = {case.dimension}, {case.spectrum}", xscale="log", yscale="log")
        panel.title.set_fontsize(9)
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("CPU seconds", fontsize=9)
    figure.supylabel("relative H1 error", fontsize=9)
    panels[0][0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    torch.set_num_threads(1)
    import_module("torch._dynamo")  # the first optimiser of a process would do it, which takes seconds
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
