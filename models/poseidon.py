"""Operator learning: train a network that maps fields and a lead time to fields; pretraining and fine-tuning alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from models.operator_report import ForecastErrors, describe, masked_error
from models.rivals import SideBySide
from models.sharding import plain_network, shard
from models.summary import print_summary
from sciml.data.spec import group_slices
from sciml.errors import ConfigError
from sciml.poseidon.blocks import recompute_activations
from sciml.poseidon.build import describe_fields
from sciml.poseidon.loss import grouped_relative_loss
from sciml.poseidon.rollout import rollout
from sciml.report import Report

Batch = dict[str, Tensor]


class OperatorLearning(SideBySide):
    """Train a neural operator on pairs (field at t, field at t + lead time) and judge it by its forecasts.

    The loss is the relative L1 error per channel group (``sciml.poseidon.loss``). Validation and test forecast whole
    trajectories from their first frame: direct (one step to every lead time) and autoregressive.

    Args:
        network: Makes the network from (fields in, fields out, grid shape), e.g. ``sciml.poseidon.build.build_scot``;
            it is given ``scalars`` as well, if the data have any.
        pretrained: Folder, run folder or hub id of weights to start from, handed to ``network``.
        recipe: Changes the network before it is trained: freezes a part, adds low-rank updates (``models.recipes``).
        learning_rate: Largest learning rate. Good values: 1e-3 from scratch (nano), 5e-4 (T to L), 5e-5 fine-tuning.
        learning_rate_embedding: The same for embedding and recovery; None: as the rest. Published fine-tuning: 5e-4.
        learning_rate_time: The same for the lead-time conditioning; None: as the rest. Published fine-tuning: 5e-4.
        weight_decay: Decay of AdamW, for weights only. Published fine-tuning: 1e-6.
        betas: Momenta of AdamW.
        schedule: ``cosine`` to 0, or ``constant``.
        warmup: Fraction of the steps with a rising learning rate.
        p: 1 trains on L1, 2 on the squared error.
        pushforward: Number of steps of its own that the network takes, without a gradient, before the one that is
            trained: a lead time is covered in pushforward + 1 equal steps. Good values: 0 (as published), 1.
        rivals: Other networks to compare with, trained in the same steps on the same batches: by name, ``network`` (as
            above) and whichever of the three learning rates differ.
        checkpoint_activations: Whether blocks recompute their activations in the backward pass instead of keeping them,
            which saves most of the memory for a third more arithmetic.
        compile: Whether to compile the network (saves time on long runs; costs minutes at the start).

    Reference:
        arXiv:2405.19101, sections 2 and 3, appendix C; pushforward: arXiv:2202.03376, section 3.1.
    """

    def __init__(
        self,
        network: Callable[..., nn.Module],
        *,
        pretrained: str | Path | None = None,
        recipe: Callable[[nn.Module], None] | None = None,
        learning_rate: float = 5e-4,
        learning_rate_embedding: float | None = None,
        learning_rate_time: float | None = None,
        weight_decay: float = 1e-6,
        betas: tuple[float, float] = (0.9, 0.999),
        schedule: str = "cosine",
        warmup: float = 0.0,
        p: int = 1,
        pushforward: int = 0,
        rivals: Mapping[str, Mapping[str, Any] | None] | None = None,
        checkpoint_activations: bool = False,
        compile: bool = False,
    ):
        super().__init__(betas=betas, schedule=schedule, warmup=warmup)
        for name, value in (("learning_rate", learning_rate), ("weight_decay", weight_decay)):
            if not isinstance(value, int | float) or value < 0:
                raise ConfigError(f"model.{name} is {value!r}; a number of at least 0 is expected.")
        if p not in (1, 2):
            raise ConfigError(f"model.p is {p!r}; 1 (L1) or 2 (squared error) is expected.")
        if not isinstance(pushforward, int) or pushforward < 0:
            raise ConfigError(f"model.pushforward is {pushforward!r}; a number of steps of at least 0 is expected.")
        self.make_network = partial(network, pretrained=pretrained) if pretrained else network
        self.recipe = recipe
        self.learning_rate = learning_rate
        self.learning_rate_embedding = learning_rate_embedding or learning_rate
        self.learning_rate_time = learning_rate_time or learning_rate
        self.weight_decay = weight_decay
        self.p = p
        self.pushforward = pushforward
        self.rivals = {name: dict(rival) for name, rival in (rivals or {}).items() if rival}
        self.checkpoint_activations = checkpoint_activations
        self.compile_network = compile
        self.errors: dict[str, ForecastErrors] = {}  # of the test, by part of the data
        self.validated: dict[str, ForecastErrors] = {}  # of the last validation

    def configure_model(self) -> None:
        """Build the network for the fields of the data."""
        if self.net is not None:
            return
        if self.pushforward and not all(part.autoregressive for part in self.data.parts.values()):
            raise ConfigError(
                f"model.pushforward={self.pushforward} feeds predictions back, but these data cannot be: the first "
                "input fields must be the predicted ones, in one order, and the others constant in time. Set it to 0."
            )
        described = self.data.fields_in, self.data.fields_out, self.data.shape
        scalars = {"scalars": self.data.scalars} if self.data.scalars else {}
        self.net = self.make_network(*described, **scalars).train()  # weights are loaded for inference
        if self.recipe:
            self.recipe(self.net)
        for name, rival in self.rivals.items():
            self.rival_nets[name] = rival["network"](*described, **scalars).train()
        self.slices = group_slices(self.data.fields_out)
        if self.checkpoint_activations:
            recompute_activations(self)
        if self.trainer.state.fn == "fit" and self.trainer.is_global_zero:
            print_summary(self)
        for net in self.networks.values():
            if self.device_mesh is not None:
                shard(net, self.device_mesh)
            if self.compile_network:
                net.compile()

    def optimiser_groups(self, name: str, net: nn.Module) -> list[dict[str, Any]]:
        """The trained parameters of a network with their learning rates and weight decay."""
        own = self.rivals.get(name, {})
        rate = own.get("learning_rate", self.learning_rate)
        default = (rate, rate) if "learning_rate" in own else (self.learning_rate_embedding, self.learning_rate_time)
        rates = {
            "embedding_recovery": own.get("learning_rate_embedding", default[0]),
            "time_embedding": own.get("learning_rate_time", default[1]),
        }
        return [
            {
                "name": " ".join(filter(None, (name, group))),
                "params": parameters,
                "lr": rates.get(group, rate),
                "weight_decay": 0.0 if group in ("time_embedding", "no_decay") else self.weight_decay,
            }
            for group, parameters in net.parameter_groups().items()  # type: ignore[operator]
            if parameters
        ]

    def forward(self, fields: Tensor, lead_time: Tensor | float, scalars: Tensor | None = None) -> Tensor:
        """Predict normalised fields after a lead time."""
        return self.net(fields, lead_time, scalars)  # type: ignore[misc]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch with ``fields``, ``lead_time``, ``target`` and perhaps ``scalars`` and ``mask``."""
        losses = {name: self._loss(net, batch) for name, net in self.networks.items()}
        self.log("train/loss", losses[""], prog_bar=True, sync_dist=True)
        for name in self.rival_nets:
            self.log(f"train/loss/{name}", losses[name], sync_dist=True)
        return torch.stack(list(losses.values())).sum()

    def _loss(self, net: nn.Module, batch: Batch) -> Tensor:
        fields, scalars = batch["fields"], batch.get("scalars")
        lead_time = batch["lead_time"] / (self.pushforward + 1)
        if self.pushforward:
            with torch.no_grad():
                steps = rollout(net, fields, lead_time * self.pushforward, self.pushforward, scalars=scalars)  # type: ignore[arg-type]
                *_, known = steps
            fields = torch.cat([known, fields[:, known.shape[1] :]], dim=1)
        prediction = net(fields, lead_time, scalars)
        return grouped_relative_loss(prediction, batch["target"], slices=self.slices, p=self.p, mask=batch.get("mask"))

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Error of the direct forecast of the last frame."""
        prediction = self(batch["fields"], batch["lead_times"][-1].item(), batch.get("scalars"))
        target, mask = batch["targets"][:, -1], batch["mask"][:, -1] if "mask" in batch else None
        errors = list(self.validated.values())[dataloader_idx]
        errors.add("direct", masked_error(prediction, target, slices=self.slices, mask=mask)[:, None])

    def on_validation_epoch_start(self) -> None:
        """Forget the samples of the last validation."""
        self.validated = self._no_errors()

    def on_validation_epoch_end(self) -> None:
        """Log the median over samples, averaged over the channel groups that count, and over the parts of the data."""
        finals = {part: errors.final("direct") for part, errors in self.validated.items() if errors.methods}
        self.log("val/error", mean(finals.values()), prog_bar=True, rank_zero_only=True)
        if len(self.validated) > 1:
            self.log_dict({f"val/error/{part}": final for part, final in finals.items()}, rank_zero_only=True)

    def on_test_epoch_start(self) -> None:
        """Forget earlier samples."""
        self.errors = self._no_errors()

    def _no_errors(self) -> dict[str, ForecastErrors]:
        return {name: ForecastErrors(part, slices=self.slices, part=name) for name, part in self.data.parts.items()}

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Forecast every saved frame, directly and step by step, beside the baselines of the data."""
        errors = list(self.errors.values())[dataloader_idx]
        forecasts = self._forecasts(self.net, "", errors.data, batch)  # type: ignore[arg-type]
        forecasts |= errors.data.baselines(batch)
        for name, net in self.rival_nets.items():
            forecasts |= self._forecasts(net, f"{name}, ", errors.data, batch)
        errors.add_forecasts(batch, forecasts)

    def _forecasts(self, net: nn.Module, prefix: str, data: Any, batch: Batch) -> dict[str, Tensor]:
        """Normalised fields of shape (batch, time, channel, *space) by each way to forecast with a network."""
        fields, lead_times, scalars = batch["fields"], batch["lead_times"].tolist(), batch.get("scalars")
        forecasts = {f"{prefix}direct": torch.stack([net(fields, t, scalars) for t in lead_times], dim=1)}
        if len(lead_times) > 1 and data.autoregressive:
            fractions = [(b - a) / lead_times[-1] for a, b in zip([0.0, *lead_times], lead_times, strict=False)]
            steps = rollout(net, fields, lead_times[-1], fractions, scalars=scalars)  # type: ignore[arg-type]
            forecasts[f"{prefix}autoregressive"] = torch.stack(list(steps), dim=1)
        return forecasts

    def on_test_epoch_end(self) -> None:
        """Log the errors at the last frame."""
        for part, errors in self.errors.items():
            for name in errors.methods:
                self.log("/".join(filter(None, ("test", part, name))), errors.final(name), rank_zero_only=True)

    def headline(self) -> str:
        """The result of the run in one sentence."""
        return " ".join(errors.headline() for errors in self.errors.values()) or "Nothing was tested."

    def describe(self, report: Report) -> None:
        """Add figures and tables to the report of the run."""
        for errors in self.errors.values():
            describe(errors, report)

    def export(self, folder: Path) -> None:
        """Save the weights so that ``sciml.load`` runs them without Lightning; to be called by every process."""
        extra = {
            "task": self.data.spec.task,
            "time_scale": self.data.spec.time_scale,
            "normalised_by": "model" if len(self.data.parts) == 1 else "file",
            **_time_unit(self.data.parts.values()),
            "fields_in": describe_fields(self.data.fields_in),
            "fields_out": describe_fields(self.data.fields_out),
        }
        if self.data.scalars:
            extra["scalars"] = describe_fields(self.data.scalars)
        net: Any = plain_network(self.net)  # type: ignore[arg-type]
        if self.trainer.is_global_zero:
            net.save_pretrained(folder, extra=extra)


def _time_unit(parts: Iterable[Any]) -> dict[str, float]:
    """Physical time that is lead time 1, and the lead time of one forecast step, where all parts agree on them."""
    found = set()
    for part in parts:
        if not part.spec.steady:
            horizon = part.spec.time_scale * float(part.spec.times[1] - part.spec.times[0])
            found.add((float(f"{horizon:.9g}"), float(f"{part.forecast_times[0] / horizon:.9g}")))
    return dict(zip(("horizon", "step"), found.pop(), strict=True)) if len(found) == 1 else {}
