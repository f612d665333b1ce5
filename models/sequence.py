"""Learning from sequences: classification, regression, an output at every step, retrieval of pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.optimisation import steps_of_epoch, total_steps
from models.rivals import SideBySide
from models.roles import optimiser_groups
from models.sequence_report import Scores, describe, headline
from models.sharding import plain_network, shard
from models.summary import print_parameters
from sciml.errors import ConfigError
from sciml.report import Report
from sciml.ssm.noise import fourier_noise
from sciml.ssm.transfer import critical_frequencies

Batch = dict[str, Tensor]
_RATES = ("learning_rate", "ssm_learning_rate", "weight_decay", "roles", "dt_global", "rates", "decays")


@dataclass(frozen=True, kw_only=True)
class NoiseTest:
    """Test-time noise cos(w dt l) at the input of every state-space layer (``sciml.ssm.noise``).

    Args:
        state: State size N whose critical frequency, about N^2 / pi, is the unit of ``frequencies``.
        amplitude: Largest amplitude of the noise. Published: 0.1.
        frequencies: Frequencies w in units of the critical one, which is 1.
        samples: How many test sequences to disturb; None: all.
    """

    state: int
    amplitude: float = 0.1
    frequencies: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 0.7, 0.9, 1.0, 1.1, 1.4, 3.0)
    samples: int | None = None

    @property
    def critical(self) -> float:
        """The frequency at which S4D's gain is furthest from HiPPO's."""
        return float(critical_frequencies(self.state).max())


class SequenceLearning(SideBySide):
    """Train a sequence model by AdamW with learning rates by role, and judge it by accuracy or relative error.

    The data say what there is to learn (``data.task``). The loss is the cross entropy (classification, retrieval) or
    the mean squared error over valid steps (regression, sequence).

    Args:
        network: Makes the network from ``task``, ``encoder``, ``inputs`` and ``outputs``, e.g.
            ``sciml.ssm.network.build_sequence_model``.
        recipe: Changes the network before it is trained, e.g. freezes a part (``models.recipes``).
        learning_rate: Largest learning rate. Good values: 1e-3 to 1e-2.
        ssm_learning_rate: The same for the state-space parameters. Good values: at most 1e-3.
        weight_decay: Decay of what ``roles`` decays. Published: 0.01 to 0.07.
        roles: Which parameters learn at which of the two rates, and which are decayed: ``s4``, ``s4_ptd``,
            ``standard``, ``BandCdecay``, ``BfastandCdecay`` or ``noBCdecay`` (``models.roles``).
        dt_global: Whether the time step learns and decays like the rest, not like A.
        rates: Learning rates by role, in place of the recipe's: eigenvalues, step, input, output, skip, norm, weights,
            no_decay.
        decays: Weight decay by role, in place of the recipe's.
        betas: Momenta of AdamW.
        schedule: ``cosine`` to 0, or ``constant``.
        warmup: Fraction of the steps with a rising learning rate.
        rivals: Other networks to compare with, trained in the same steps on the same batches, from the same seed: by
            name, what differs: settings of ``network``, and any of the settings from ``learning_rate`` to ``decays``.
        noise: Settings of ``NoiseTest``; None: no noise.

    Reference:
        arXiv:2111.00396, appendix D (S4); arXiv:2208.04933, appendix on experiments (S5); arXiv:2310.01698.
    """

    def __init__(
        self,
        network: Callable[..., nn.Module],
        *,
        recipe: Callable[[nn.Module], None] | None = None,
        learning_rate: float = 4e-3,
        ssm_learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        roles: str = "s4",
        dt_global: bool = False,
        rates: Mapping[str, float] | None = None,
        decays: Mapping[str, float] | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        schedule: str = "cosine",
        warmup: float = 0.1,
        rivals: Mapping[str, Mapping[str, Any] | None] | None = None,
        noise: Mapping[str, Any] | None = None,
    ):
        super().__init__(betas=betas, schedule=schedule, warmup=warmup)
        numbers = {"learning_rate": learning_rate, "ssm_learning_rate": ssm_learning_rate, "weight_decay": weight_decay}
        for name, value in numbers.items():
            if not isinstance(value, int | float) or value < 0:
                raise ConfigError(f"model.{name} is {value!r}; a number of at least 0 is expected.")
        self.recipe = recipe
        self.noise = NoiseTest(**noise) if noise else None
        own: dict[str, Any] = {
            "network": network,
            "roles": roles,
            "dt_global": dt_global,
            "rates": rates,
            "decays": decays,
        } | numbers
        self.settings = {"": own}
        for name, rival in (rivals or {}).items():
            if rival:
                self.settings[name] = own | dict(rival) | {"network": partial(network, **rival.get("network", {}))}
        self.scores: dict[str, Scores] = {}  # by network
        self.noisy: dict[str, dict[float, Scores]] = {}  # by network and frequency
        self.tested: nn.Module | None = None

    def configure_model(self) -> None:
        """Build the networks for the data, all from the same seed."""
        if self.net is not None:
            return
        data = self.data
        inputs = data.vocabulary if data.encoder == "tokens" else data.features
        described = {"task": data.task, "encoder": data.encoder, "inputs": inputs, "outputs": data.outputs}
        for name, settings in self.settings.items():
            with torch.random.fork_rng():
                torch.manual_seed(torch.initial_seed())
                net = settings["network"](**described).train()
            if name:
                self.rival_nets[name] = net
            else:
                self.net = net
        if self.recipe:
            self.recipe(self.net)  # type: ignore[arg-type]
        if self.trainer.state.fn == "fit" and self.trainer.is_global_zero:
            print_parameters(self)
            steps, each = total_steps(self.trainer), steps_of_epoch(self.trainer, len(data.train_dataloader()))
            print(f"Training: {steps} steps of {data.batch_size} sequences, {each} steps an epoch.", flush=True)
        if self.device_mesh is not None:
            for net in self.networks.values():
                shard(net, self.device_mesh)

    def optimiser_groups(self, name: str, net: nn.Module) -> list[dict[str, Any]]:
        """The trained parameters of a network with their learning rates and weight decay."""
        settings = {key: self.settings[name][key] for key in _RATES}
        groups = optimiser_groups(net, recipe=settings.pop("roles"), **settings)
        return [{**group, "name": f"{name} {group['name']}".strip()} for group in groups]

    def forward(self, batch: Batch) -> Tensor:
        """Logits or values of a batch."""
        return predict(self.net, batch)  # type: ignore[arg-type]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch with ``inputs``, ``target`` and perhaps ``lengths``, ``steps``, ``inputs2``, ``lengths2``."""
        losses = {name: self._loss(predict(net, batch), batch) for name, net in self.networks.items()}
        for name, loss in losses.items():
            self.log("/".join(filter(None, ("train/loss", name))), loss, prog_bar=not name, sync_dist=True)
        return torch.stack(list(losses.values())).sum()

    def _loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        target = batch["target"]
        if self.data.task in ("classification", "retrieval"):
            return F.cross_entropy(outputs, target)
        if self.data.task == "sequence" and "lengths" in batch:
            valid = torch.arange(target.shape[1], device=target.device) < batch["lengths"][:, None]
            return F.mse_loss(outputs[valid], target[valid])
        return F.mse_loss(outputs, target)

    def on_validation_epoch_start(self) -> None:
        """Forget the sequences of the last validation."""
        self.scores = {name: Scores(self.data.task) for name in self.networks}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Judge every network."""
        for name, net in self.networks.items():
            self.scores[name].add(predict(net, batch), batch)

    def on_validation_epoch_end(self) -> None:
        """Log the error of every network."""
        self._log_scores("val")

    def on_test_epoch_start(self) -> None:
        """Forget earlier sequences."""
        self.on_validation_epoch_start()
        if self.noise:
            self.noisy = {
                name: {w: Scores(self.data.task) for w in (0.0, *self.noise.frequencies)} for name in self.scores
            }

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Judge every network, and do so again with noise of every frequency."""
        self.validation_step(batch, batch_idx)
        noise = self.noise
        if not noise or (noise.samples is not None and self.noisy[""][0.0].count >= noise.samples):
            return
        for name, net in self.networks.items():
            for frequency, scores in self.noisy[name].items():
                # The same amplitudes for all networks and frequencies.
                generator = torch.Generator().manual_seed(batch_idx)
                disturb = partial(fourier_noise, net, frequency * noise.critical, generator=generator)
                with disturb(amplitude=noise.amplitude if frequency else 0.0):
                    scores.add(predict(net, batch), batch)

    def on_test_epoch_end(self) -> None:
        """Log the error of every network, and keep the first one for the report, which one process alone writes."""
        self._log_scores("test")
        self.tested = self._plain()

    def _log_scores(self, stage: str) -> None:
        for name, scores in self.scores.items():
            for what, value in scores.summary().items():
                show = what == "error" and not name and stage == "val"
                self.log("/".join(filter(None, (stage, what, name))), value, prog_bar=show, rank_zero_only=True)

    def headline(self) -> str:
        """The result of the run in one sentence."""
        return headline(self)

    def describe(self, report: Report) -> None:
        """Add figures and tables to the report of the run."""
        describe(self, report)

    def export(self, folder: Path) -> None:
        """Save the weights so that ``sciml.load`` runs them without Lightning; to be called by every process."""
        data = self.data.described
        extra = {
            "task": data.kind,
            "data": data.name,
            "length": data.length,
            "classes": list(data.classes),
            "normalised_by": _numbers(data.normaliser),
            "targets_normalised_by": _numbers(data.target_normaliser),
        }
        net: Any = self._plain()
        if self.trainer.is_global_zero:
            net.save_pretrained(folder, extra=extra)

    def _plain(self) -> nn.Module:
        """The network, gathered if it is sharded, on every process."""
        return plain_network(self.net, device="cpu")  # type: ignore[arg-type]


def _numbers(normaliser: Any) -> dict[str, list[float]] | None:
    """Mean and standard deviation of every feature."""
    return normaliser and {"mean": normaliser.mean.tolist(), "std": normaliser.std.tolist()}


def predict(net: nn.Module, batch: Batch) -> Tensor:
    """Outputs of a network for a batch of the datamodule."""
    options = {key: batch[key] for key in ("steps", "inputs2", "lengths2") if key in batch}
    return net(batch["inputs"], batch.get("lengths"), **options)
