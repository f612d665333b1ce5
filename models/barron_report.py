"""What is said of a solved elliptic problem: certificate, time, Barron norm and its bounds, spectrum, slices, width."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import torch

from sciml.barron import SpectralNet, plots
from sciml.report import Report

if TYPE_CHECKING:
    from models.barron import EllipticSolving
    from sciml.barron.calculus import ConvexityConstants


def headline(module: EllipticSolving) -> str:
    """The result of a run in one sentence."""
    tested = module.tested
    if tested is None:
        return "Nothing was tested."
    kind = "Estimated" if tested.estimate else "Certified"
    true = f"; true error {module.true['H1']:.2g}" if module.true else ""
    seconds = f", {module.history[-1].seconds:.1f} s" if module.history else ""
    return (
        f"{kind} H1 error of the {module.problem.name} problem in dimension {module.problem.dimension}: at most "
        f"{tested.relative:.2g} of the norm{true}. {_size(module)}{seconds}."
    )


def describe(module: EllipticSolving, report: Report) -> None:
    """Add tables and figures of the test to a report."""
    if module.tested is None:
        return
    _certificate(module, report)
    network, truth = module.network, module.data.solution
    spectral = isinstance(network, SpectralNet)
    known = truth if isinstance(truth, SpectralNet) else None
    if len(module.history) > 1:
        report.section(
            "On the way",
            "Certificates of single iterates are from the points of the solver, or of the validation, and a little "
            "kinder than those from fresh lattices.",
        )
        tol = getattr(module, "tol", None)
        goal = tol * module.tested.error / module.tested.relative if tol and module.tested.relative else None
        figure = plots.convergence(module.history, errors=module.errors, tol=goal)
        report.figure("convergence", figure, "Bound of the H1 error, and size of the network, against wall time.")
        caption = "Barron norm of every iterate. Theory: preconditioned descent does not leave functions of small norm."
        report.figure("norms", plots.norms(module.history), caption)
    constants = getattr(getattr(module, "flow", None), "constants", None)
    if constants is not None:
        _theory(module, constants, report)
    report.section("Solution")
    if spectral:
        caption = f"Spectrum found: {len(network)} waves{', rings: the true ones' if known else ''}."
        report.figure("spectrum", plots.spectrum(network, compare=known), caption)
    report.figure("slices", plots.slices(module.problem, network, truth=truth), "The solution through the middle.")
    if spectral and len(network) > 1:
        generator = torch.Generator().manual_seed(module.seed)
        figure = plots.widths(network, generator=generator)
        report.figure("widths", figure, "How wide a network has to be: H1 error of networks with n of the waves.")


def _certificate(module: EllipticSolving, report: Report) -> None:
    tested, problem = module.tested, module.problem
    assert tested is not None
    report.section(
        "Certificate",
        "H1 error at most the H^-1 norm of the residual over mu, the strong convexity of the energy. Norms are means "
        f"over {tested.lattices} random lattices of {tested.points} points that the solver has not seen; the largest "
        "counts.",
    )
    rows: list[list[object]] = [
        ["H1 error, bound", tested.error],
        ["... mean over the lattices", tested.mean],
        ["... largest minus smallest", tested.spread],
        ["... relative to the H1 norm", tested.relative],
        ["energy gap, bound", tested.energy_gap],
        ["mu", tested.mu],
        *([f"true error, relative {norm}", error] for norm, error in module.true.items()),
        ["boundary", problem.boundary if isinstance(problem.boundary, str) else ", ".join(problem.boundary)],
        ["size", _size(module)],
        ["verdict", module.verdict or "tested only"],
        *(["estimate only", caveat] for caveat in tested.caveats),
    ]
    report.table(["", "value"], rows)


def _theory(module: EllipticSolving, constants: ConvexityConstants, report: Report) -> None:
    history, step = module.history, 1 / constants.M
    report.section(
        "Predicted and observed",
        f"Plain descent with eta = 1/M = {step:.4g}; mu = {constants.mu:.4g} and M = {constants.M:.4g} on functions "
        "with at most the norms of the solution.",
    )
    errors = module.errors
    observed = [new / old for old, new in itertools.pairwise(errors) if old > 1e-12 * errors[0]]
    energies = [record.energy for record in history]
    rounding = 1e-13 * max(map(abs, energies))
    falls = all(new <= old + rounding for old, new in itertools.pairwise(energies))
    ratios = {
        name: [record.barron / getattr(record, name) for record in history[1:]]
        for name in ("one_step_bound", "apriori_bound")
    }
    rows = [
        ["factor of the H1 error in a step, predicted at most", constants.contraction(step)],
        ["... observed, largest", max(observed, default=math.nan)],
        ["... observed, last", observed[-1] if observed else math.nan],
        ["energy never rises", "yes" if falls else "no"],
        *(
            row
            for name, whose in (("one_step_bound", "the last iterate"), ("apriori_bound", "f alone"))
            for row in (
                [f"Barron norm over its bound from {whose}, largest", max(ratios[name], default=math.nan)],
                ["... at the end", ratios[name][-1] if ratios[name] else math.nan],
            )
        ),
    ]
    report.table(["", "value"], rows)


def _size(module: EllipticSolving) -> str:
    network = module.network
    return f"{len(network)} {'waves' if isinstance(network, SpectralNet) else 'units in the last hidden layer'}"
