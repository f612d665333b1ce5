"""Operator learning: train a network that maps fields and a lead time to fields; pretraining and fine-tuning alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from models.operator_report import ForecastErrors, describe
from models.optimisation import make_scheduler, total_steps
from sciml.data.spec import group_slices
from sciml.errors import ConfigError
from sciml.metrics import relative_error
from sciml.poseidon.build import describe_fields
from sciml.poseidon.loss import grouped_relative_loss
from sciml.poseidon.rollout import rollout
from sciml.report import Report

Batch = dict[str, Tensor]


class OperatorLearning(L.LightningModule):
    """Train a neural operator on pairs (field at t, field at t + lead time) and judge it by its forecasts.

    The loss is the relative L1 error per channel group (``sciml.poseidon.loss``). Validation and test forecast whole
    trajectories from their first frame: direct (one step to every lead time) and autoregressive.

    Args:
        network: Makes the network from (fields in, fields out, grid shape), e.g. ``sciml.poseidon.build.build_scot``.
        learning_rate: Largest learning rate. Good values: 1e-3 from scratch (nano), 5e-4 (T to L), 5e-5 fine-tuning.
        learning_rate_embedding: The same for embedding and recovery; None: as the rest. Published fine-tuning: 5e-4.
        learning_rate_time: The same for the lead-time conditioning; None: as the rest. Published fine-tuning: 5e-4.
        weight_decay: Decay of AdamW, for weights only. Published fine-tuning: 1e-6.
        betas: Momenta of AdamW.
        schedule: ``cosine`` to 0, or ``constant``.
        warmup: Fraction of the steps with a rising learning rate.
        p: 1 trains on L1, 2 on the squared error.
        compile: Whether to compile the network (saves time on long runs; costs minutes at the start).

    Reference:
        arXiv:2405.19101, sections 2 and 3, appendix C.
    """

    def __init__(
        self,
        network: Callable[..., nn.Module],
        *,
        learning_rate: float = 5e-4,
        learning_rate_embedding: float | None = None,
        learning_rate_time: float | None = None,
        weight_decay: float = 1e-6,
        betas: tuple[float, float] = (0.9, 0.999),
        schedule: str = "cosine",
        warmup: float = 0.0,
        p: int = 1,
        compile: bool = False,
    ):
        super().__init__()
        for name, value in (("learning_rate", learning_rate), ("weight_decay", weight_decay)):
            if not isinstance(value, int | float) or value < 0:
                raise ConfigError(f"model.{name} is {value!r}; a number of at least 0 is expected.")
        if p not in (1, 2):
            raise ConfigError(f"model.p is {p!r}; 1 (L1) or 2 (squared error) is expected.")
        self.make_network = network
        self.learning_rate = learning_rate
        self.learning_rate_embedding = learning_rate_embedding or learning_rate
        self.learning_rate_time = learning_rate_time or learning_rate
        self.weight_decay = weight_decay
        self.betas = (betas[0], betas[1])
        self.schedule = schedule
        self.warmup = warmup
        self.p = p
        self.compile_network = compile
        self.net: nn.Module | None = None
        self.errors = ForecastErrors()

    @property
    def data(self) -> Any:
        """The datamodule of the run, which knows the fields."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def configure_model(self) -> None:
        """Build the network for the fields of the data."""
        if self.net is not None:
            return
        self.net = self.make_network(self.data.fields_in, self.data.fields_out, self.data.shape)
        self.slices = group_slices(self.data.fields_out)
        if self.compile_network:
            self.net.compile()

    def configure_optimizers(self) -> Any:
        """AdamW with the four parameter groups of the paper, and the schedule."""
        rates = {"embedding_recovery": self.learning_rate_embedding, "time_embedding": self.learning_rate_time}
        groups = [
            {
                "name": name,
                "params": parameters,
                "lr": rates.get(name, self.learning_rate),
                "weight_decay": 0.0 if name in ("time_embedding", "no_decay") else self.weight_decay,
            }
            for name, parameters in self.net.parameter_groups().items()  # type: ignore[union-attr]
            if parameters
        ]
        # Fused: one pass over each parameter. Not on a GPU, where half precision could then not clip gradients.
        optimizer = torch.optim.AdamW(groups, betas=self.betas, fused=self.device.type == "cpu")
        steps = total_steps(self.trainer)
        scheduler = make_scheduler(optimizer, schedule=self.schedule, warmup=self.warmup, steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def forward(self, fields: Tensor, lead_time: Tensor | float) -> Tensor:
        """Predict normalised fields after a lead time."""
        return self.net(fields, lead_time)  # type: ignore[misc]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch with ``fields``, ``lead_time``, ``target`` and perhaps ``mask``."""
        prediction = self(batch["fields"], batch["lead_time"])
        loss = grouped_relative_loss(prediction, batch["target"], slices=self.slices, p=self.p, mask=batch.get("mask"))
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Error of the direct forecast of the last frame."""
        prediction = self(batch["fields"], batch["lead_times"][-1].item())
        self.errors.add("direct", relative_error(prediction, batch["targets"][:, -1], slices=self.slices)[:, None])

    def on_validation_epoch_start(self) -> None:
        """Forget the samples of the last validation."""
        self.errors = ForecastErrors()

    def on_validation_epoch_end(self) -> None:
        """Log the median over samples, averaged over channel groups."""
        self.log("val/error", self.errors.final("direct"), prog_bar=True, rank_zero_only=True)

    def on_test_epoch_start(self) -> None:
        """Forget earlier samples."""
        self.errors = ForecastErrors(data=self.data, slices=self.slices)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Forecast every saved frame, directly and step by step, beside persistence."""
        fields, targets, lead_times = batch["fields"], batch["targets"], batch["lead_times"].tolist()
        forecasts = {"direct": torch.stack([self(fields, t) for t in lead_times], dim=1)}
        persistent = self.data.carried(fields)
        if persistent is not None:
            forecasts["persistence"] = persistent[:, None].expand_as(targets)
        if len(lead_times) > 1 and self.data.autoregressive:
            steps = [(b - a) / lead_times[-1] for a, b in zip([0.0, *lead_times], lead_times, strict=False)]
            forecasts["autoregressive"] = torch.stack(list(rollout(self.net, fields, lead_times[-1], steps)), dim=1)  # type: ignore[arg-type]
        self.errors.add_forecasts(batch, forecasts)

    def on_test_epoch_end(self) -> None:
        """Log the errors at the last frame."""
        for name in self.errors.methods:
            self.log(f"test/{name}", self.errors.final(name), rank_zero_only=True)

    def headline(self) -> str:
        """The result of the run in one sentence."""
        return self.errors.headline()

    def describe(self, report: Report) -> None:
        """Add figures and tables to the report of the run."""
        describe(self.errors, report)

    def export(self, folder: Path) -> Path:
        """Save the weights so that ``sciml.load`` runs them without Lightning."""
        extra = {
            "task": self.data.spec.task,
            "time_scale": self.data.spec.time_scale,
            "fields_in": describe_fields(self.data.fields_in),
            "fields_out": describe_fields(self.data.fields_out),
        }
        return self.net.save_pretrained(folder, extra=extra)  # type: ignore[union-attr, operator]
