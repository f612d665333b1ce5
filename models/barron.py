"""Solving elliptic variational problems in high dimension by the Barron flow, with a certificate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from models.barron_checkpoint import freeze, thaw
from models.barron_report import describe, headline
from models.barron_theory import PlainDescent
from sciml.barron import AdaptiveFlow, Certificate, EnergyProblem, SpectralNet, certify
from sciml.barron.adapt import CONVERGED
from sciml.barron.boundary_net import BoundaryNet
from sciml.barron.flow import Iterate
from sciml.barron.jet import jet_of
from sciml.barron.solve import FAIR
from sciml.errors import ConfigError
from sciml.report import Report

Batch = dict[str, Tensor]
_TEST = 2**40  # far from the step numbers that seed the lattices of certificates in training


class EllipticSolving(L.LightningModule):
    """What all methods have in common: records, certificates on fresh lattices, test, report and export.

    The data are a ``datamodules.elliptic.EllipticData``, which has the problem and, where it is known, the solution.

    Args:
        certify_points: Points of each of the three lattices of a certificate, at least. Good values: 2^12 to 2^16.
        seed: Of all lattices.

    Attributes:
        history: Records of the iterates.
        errors: H1 error of every iterate, where the solution is a sum of waves; else empty.
        certificate: The last certificate of the training.
        verdict: How the training ended.
        tested: Certificate of the test.
        true: Relative L2 and H1 error in the test, where the solution is known.
    """

    def __init__(self, *, certify_points: int, seed: int):
        super().__init__()
        self.certify_points, self.seed = certify_points, seed
        self.history: list[Iterate] = []
        self.errors: list[float] = []
        self.certificate: Certificate | None = None
        self.verdict = ""
        self.tested: Certificate | None = None
        self.true: dict[str, float] = {}
        self._begin = 0.0

    @property
    def data(self) -> Any:
        """The datamodule of the run."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    @property
    def problem(self) -> EnergyProblem:
        """What is solved."""
        return self.data.problem

    @property
    def network(self) -> SpectralNet | BoundaryNet:
        """The approximate solution so far."""
        raise NotImplementedError

    def bound(self, stamp: int) -> Certificate:
        """Certificate of the network on lattices that follow from the seed and this number alone."""
        generator = torch.Generator().manual_seed((self.seed + 1) * 1_000_003 + stamp)
        with torch.inference_mode(False), torch.no_grad():
            return certify(self.problem, self.network, generator=generator, points=self.certify_points)

    def note(self, record: Iterate, *, show: Sequence[str] = ("certificate", "modes")) -> None:
        """Keep and log the record of an iterate, with the wall time of the whole run."""
        record = replace(record, iteration=len(self.history), seconds=time.perf_counter() - self._begin)
        self.history.append(record)
        values = {key: float(value) for key, value in asdict(record).items() if key != "iteration"}
        truth, network = self.data.solution, self.network
        if isinstance(truth, SpectralNet) and isinstance(network, SpectralNet):
            self.errors.append(float((network - truth.to(network.amplitudes.device)).h1()))
            values["error"] = self.errors[-1]
        for key, value in values.items():
            if not math.isnan(value):
                self.log(f"train/{key}", value, prog_bar=key in show, on_step=True, on_epoch=False, batch_size=1)

    def on_fit_start(self) -> None:
        """Start the clock, or go on with that of the run that is taken up again."""
        self._begin = time.perf_counter() - (self.history[-1].seconds if self.history else 0.0)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Certify the network on fresh lattices."""
        self.certificate = self.bound(self.global_step)
        self.log("val/error", self.certificate.relative, prog_bar=True, batch_size=1)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Certify on lattices that the training has not seen, and compare with the solution, if it is known."""
        self.tested = self.bound(_TEST)
        self.log("test/error", self.tested.relative, batch_size=1)
        if "value" not in batch:
            return
        with torch.inference_mode(False), torch.no_grad():
            points, weights, value, gradient = (
                batch[key].clone() for key in ("points", "weights", "value", "gradient")
            )
            jet = jet_of(self.network, points)
        off, steep = (jet.value - value).square(), (jet.gradient - gradient).square().sum(1)
        sizes = value.square(), gradient.square().sum(1)
        self.true = {
            "L2": float((weights @ off / (weights @ sizes[0])).sqrt()),
            "H1": float((weights @ (off + steep) / (weights @ (sizes[0] + sizes[1]))).sqrt()),
        }
        for norm, error in self.true.items():
            self.log(f"test/true_{norm}", error, batch_size=1)

    def headline(self) -> str:
        """The result of the run in one sentence."""
        return headline(self)

    def describe(self, report: Report) -> None:
        """Add figures and tables to the report of the run."""
        describe(self, report)

    def export(self, folder: Path) -> None:
        """Save the solution so that ``sciml.load`` gives it back as a plain module."""
        certificate = self.tested or self.certificate
        extra = {
            "problem": self.problem.name,
            "dimension": self.problem.dimension,
            "verdict": self.verdict,
            "certificate": certificate and asdict(certificate),
        }
        if self.trainer.is_global_zero:
            self.network.save_pretrained(folder, extra=extra)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the records."""
        kept = {"history": [asdict(record) for record in self.history], "errors": self.errors, "verdict": self.verdict}
        checkpoint["barron"] = kept | {"certificate": self.certificate and asdict(self.certificate)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the records up again."""
        kept = checkpoint["barron"]
        self.history = [Iterate(**record) for record in kept["history"]]
        self.errors, self.verdict = list(kept["errors"]), kept["verdict"]
        self.certificate = kept["certificate"] and Certificate(**kept["certificate"])


class FlowSolving(EllipticSolving):
    """Solve by the Barron flow: one iteration, and a larger set of frequencies where needed, is one training step.

    The run ends by itself when fresh lattices certify the tolerance, or when the flow cannot come closer.

    Args:
        tol: H1 error, relative to the norm of the solution, to be certified. Good values: 1e-2 to 1e-10.
        lattices: Lattices of the flow; 2 tell waves from their aliases.
        points: Points of each of the first lattices, at least.
        max_points: Points of the largest lattices.
        max_modes: Largest number of frequencies.
        theory: The plain descent of the theory instead, on the frequencies of a known solution, with eta = 1 / M:
            predicted against observed rate, energy and norms. It ends with ``trainer.max_steps``.
        certify_points: Points of each of the three lattices of a certificate, at least.
        seed: Of all lattices.
        recipe: None: a flow has no weights to freeze.

    Raises:
        ConfigError: there is a recipe.
    """

    def __init__(
        self,
        *,
        tol: float = 1e-6,
        lattices: int = 2,
        points: int = 2**12,
        max_points: int = 2**20,
        max_modes: int = 20_000,
        theory: bool = False,
        certify_points: int = 2**14,
        seed: int = 0,
        recipe: None = None,
    ):
        super().__init__(certify_points=certify_points, seed=seed)
        if recipe is not None:
            raise ConfigError("a recipe came for the Barron flow, which has no weights to freeze; take recipe=full.")
        self.tol, self.theory = tol, theory
        self.settings = {"lattices": lattices, "points": points}
        self.limits = {} if theory else {"max_points": max_points, "max_modes": max_modes, "tol": FAIR * tol}
        self.flow: Any = None

    @property
    def network(self) -> SpectralNet:
        """The last iterate; once the flow has ended, without the waves that do not matter at its tolerance."""
        return self.flow.compact if self.flow.verdict else self.flow.net

    def configure_model(self) -> None:
        """Draw the first lattices and frequencies."""
        if self.flow is not None:
            return
        device = str(self.trainer.strategy.root_device)
        settings = {**self.settings, "generator": torch.Generator().manual_seed(self.seed), "device": device}
        if self.theory:
            self.flow = PlainDescent(self.problem, self.data.solution, **settings)
        else:
            self.flow = AdaptiveFlow(self.problem, **settings, **self.limits)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The flow, as an optimiser."""
        return FlowStep(self)

    def on_train_start(self) -> None:
        """Forget how an earlier part of the run ended."""
        self.certificate, self.verdict = None, ""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Keep the record of the iteration; the batch is not used, as the lattices grow with the frequencies."""
        record = self.flow.history[-1]
        self.note(record)
        last = len(self.history) == self.trainer.max_steps
        if self.flow.verdict or last:
            self._conclude()
        if last and not self.verdict:
            self.verdict = f"ended after {len(self.history)} iterations"
        return torch.tensor(record.energy)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Nothing: the flow makes its steps from residuals."""

    def _conclude(self) -> None:
        """Stop if fresh lattices agree with the flow's verdict, or if there is nothing more it can do."""
        self.certificate = self.bound(self.global_step)
        done = self.certificate.relative <= self.tol
        if not done and self.flow.verdict == CONVERGED:
            self.flow.refine()  # its lattices were too kind: it aims lower, on larger ones
        self.verdict = CONVERGED if done else self.flow.verdict
        if self.verdict:
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the whole flow, lattices included."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["barron"]["flow"] = freeze(self.flow, self.problem)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the flow up again, for the problem of this run."""
        super().on_load_checkpoint(checkpoint)
        self.flow = thaw(checkpoint["barron"]["flow"], self.problem)


class FlowStep(torch.optim.Optimizer):
    """One iteration of the flow as the step of an optimiser, so that the trainer counts it."""

    def __init__(self, module: FlowSolving):
        super().__init__([nn.Parameter(torch.empty(0))], {})  # an optimiser without parameters is refused
        self._module = module

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Advance, and let the trainer look at it."""
        with torch.no_grad():
            self._module.flow.advance()
        return closure()
