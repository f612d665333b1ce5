"""What every run does besides learning: stop cleanly, save the model as a folder, write the report."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only

from models.metrics_file import read_curves
from sciml import plots
from sciml.errors import ConfigError
from sciml.report import Report, versions


class GracefulStop(L.Callback):
    """Finish the step, save a checkpoint and say how to go on, when Ctrl-C or a scheduler's SIGTERM comes.

    A second Ctrl-C stops at once.

    Args:
        path: Checkpoint to write.
        resume: Command that goes on from there.
    """

    def __init__(self, path: str, resume: str):
        self.path = path
        self.resume = resume
        self._signal: signal.Signals | None = None
        self._stopping = False
        self._handlers: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take over the signals."""

        def handle(number: int, frame: Any) -> None:
            if self._signal is not None:
                raise KeyboardInterrupt
            self._signal = signal.Signals(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, handle)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if a signal has come to any process."""
        if trainer.strategy.reduce_boolean_decision(self._signal is not None, all=False):
            trainer.save_checkpoint(self.path)
            self._stopping = True

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop, now that the metrics of the saved step are written as well."""
        self._stop(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop before a validation that nobody waits for."""
        self._stop(trainer)

    def _stop(self, trainer: L.Trainer) -> None:
        if self._stopping:
            if trainer.is_global_zero:
                message = f"\nStopped after step {trainer.global_step}. Go on with: {self.resume}"
                print(message, file=sys.stderr, flush=True)
            raise KeyboardInterrupt

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Give the signals back."""
        self._restore()
        self._stop(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


class ExportModel(L.Callback):
    """Save the weights as a folder that ``sciml.load`` reads: the last ones after fitting, then the ones tested.

    Args:
        folder: Where to, e.g. ``<run>/model``.
    """

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save what training ended with."""
        pl_module.export(self.folder)  # type: ignore[operator]

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save what was tested, the best checkpoint of the run."""
        pl_module.export(self.folder)  # type: ignore[operator]


class WriteReport(L.Callback):
    """Write ``report.html`` and its figures when the test is over.

    Args:
        folder: The run's folder.
        title: Heading of the report.
        command: Command that makes the run again.
        settings: The resolved configuration, as YAML.
    """

    def __init__(self, folder: str, title: str, command: str, settings: str):
        self.folder = Path(folder)
        self.title = title
        self.command = command
        self.settings = settings

    @rank_zero_only
    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the page and print the headline."""
        report = Report(self.title, pl_module.headline(), self.folder / "figures")  # type: ignore[operator]
        pl_module.describe(report)  # type: ignore[operator]
        self._learning(report)
        report.section("How to make this again")
        report.code(self.command)
        report.table(["package", "version"], list(versions().items()))
        report.section("Configuration")
        report.code(self.settings)
        path = report.write(self.folder / "report.html")
        print(f"\n{report.lead}\nReport: {path}", flush=True)

    def _learning(self, report: Report) -> None:
        curves = read_curves(self.folder / "metrics.csv", ("train/loss", "val/error"))
        if curves:
            report.section("Learning")
            report.figure("learning", plots.learning_curves(curves, ylabel=""), "Training loss and validation error.")


class StopOnErrorBound(L.Callback):
    """Stop as soon as a certificate from fresh lattices is within a tolerance.

    Args:
        tol: Bound of the H1 error, relative to the norm of the solution.
    """

    def __init__(self, tol: float):
        if not tol > 0:
            raise ConfigError(f"tol={tol} of StopOnErrorBound came; a positive number is expected.")
        self.tol = tol

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the last certificate."""
        certificate = pl_module.certificate
        if certificate is not None and certificate.relative <= self.tol:  # type: ignore[union-attr]
            trainer.should_stop = True
