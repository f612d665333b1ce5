"""Decision rules: networks that read the inflows and say how much water each reservoir keeps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.dispatch.case import HydrothermalCase
from sciml.dispatch.reachable import ReachableTargets, Reservoirs, share
from sciml.errors import CheckpointError, ConfigError, ShapeError
from sciml.model_folder import read_model, write_model

KINDS = ("lstm", "mlp", "linear")
TARGETS = ("strict", "penalised")
_CLOCK = 3  # features of time: sine and cosine of the season, part of the horizon that is left

Memory = tuple[Tensor, Tensor] | None
Context = Float[Tensor, "batch stage context"]
Network = Callable[[Float[Tensor, "batch plant"]], Float[Tensor, "batch plant"]]  # logits from volumes, of one stage


@dataclass(frozen=True, kw_only=True)
class RuleConfig:
    """Architecture of a decision rule and what it knows of its case.

    Args:
        reservoirs: The plants.
        inflow_mean, inflow_std: (plant,), m3/s, by which inflows are standardised.
        season: Stages of a year, after which the season comes back.
        stages: Horizon that the rule is trained for.
        kind: ``lstm`` (a memory of all inflows so far, and hidden layers), ``mlp`` (hidden layers on the inflow of the
            stage) or ``linear`` (TS-LDR: affine in the same features as ``mlp``).
        memory: Width of the LSTM. Good values: 32 to 128.
        hidden: Widths of the hidden layers. Good values: (64, 64) to (256, 256).
        targets: ``strict``: reachable by construction; ``penalised``: between the limits of the volumes.

    Raises:
        ConfigError: an unknown name, or a number that cannot be.
    """

    reservoirs: Reservoirs
    inflow_mean: tuple[float, ...]
    inflow_std: tuple[float, ...]
    season: int
    stages: int
    kind: str = "lstm"
    memory: int = 64
    hidden: tuple[int, ...] = (64,)
    targets: str = "strict"

    def __post_init__(self):
        for name, value, known in (("kind", self.kind, KINDS), ("targets", self.targets, TARGETS)):
            if value not in known:
                raise ConfigError(f"{name}={value!r} came; one of {', '.join(known)} is expected.")
        for name, value in (("stages", self.stages), ("memory", self.memory), *(("hidden", h) for h in self.hidden)):
            if value < 1:
                raise ConfigError(f"{name}={value} came; 1 or more is expected.")

    @classmethod
    def of(cls, case: HydrothermalCase, *, stages: int, **settings: Any) -> RuleConfig:
        """For a case, with mean and deviation of its inflows over all rows and openings."""
        deviation = case.inflows.std((0, 2))
        return cls(
            reservoirs=Reservoirs.of(case),
            inflow_mean=tuple(case.inflows.mean((0, 2)).tolist()),
            inflow_std=tuple(float(x) if x > 0 else 1.0 for x in deviation),
            season=len(case.inflows),
            stages=stages,
            **{**settings, **({"hidden": tuple(settings["hidden"])} if "hidden" in settings else {})},
        )

    @property
    def plants(self) -> int:
        """Number of plants."""
        return len(self.reservoirs.names)

    @property
    def context(self) -> int:
        """Features that do not depend on the volume: standardised inflows, time, memory."""
        return self.plants + _CLOCK + (self.memory if self.kind == "lstm" else 0)

    @property
    def features(self) -> int:
        """All features that a network of the user's gets: the context, and the volumes as parts of their maximum."""
        return self.context + self.plants

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RuleConfig:
        """Read the content of a ``config.json``; keys that a rule does not know are left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        plain = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items() if key in known}
        return cls(**{**plain, "reservoirs": Reservoirs.from_dict(values["reservoirs"])})

    def to_dict(self) -> dict[str, Any]:
        """The content of a ``config.json``."""
        return {"architectures": ["TargetRule"], "model_type": "dispatch", **dataclasses.asdict(self)}


class TargetRule(nn.Module):
    r"""Says, stage by stage, which volume each reservoir shall end with.

        x_t = reach(sigma(network(features_t, x_{t-1} / x_max)), x_{t-1}, w_t)

    where the features are the standardised inflows w_t, the season, the part of the horizon that is left and, of an
    ``lstm``, a memory of w_1, ..., w_t. All stages share the network. Decisions see no inflow of later stages. The
    memory does not depend on volumes, so that an LSTM reads all stages in one call; only the rest runs stage by stage.

    Args:
        config: Architecture, see ``RuleConfig``.
        network: Any module (batch, ``config.features``) -> (batch, plant), in place of the hidden layers. Such a rule
            is loaded again with ``sciml.load(folder, network=...)``.

    Example:
        >>> rule = TargetRule.for_case(case, stages=24, kind="lstm")
        >>> targets = rule(inflows)

    Reference:
        arXiv:2405.14973 (TS-DDR; TS-LDR is ``linear``).
    """

    inflow_mean: Tensor
    inflow_std: Tensor
    volume_scale: Tensor
    initial_volume: Tensor

    def __init__(self, config: RuleConfig, *, network: nn.Module | None = None):
        super().__init__()
        self.config = config
        reservoirs = config.reservoirs
        scale = [top if top > 0 else 1.0 for top in reservoirs.volume_max]
        constants = {
            "inflow_mean": config.inflow_mean,
            "inflow_std": config.inflow_std,
            "volume_scale": scale,
            "initial_volume": reservoirs.initial_volume,
        }
        for name, value in constants.items():
            # Not saved: they are in the config.
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64), persistent=False)
        self.encoder = None
        if config.kind == "lstm":
            self.encoder = nn.LSTM(config.plants + _CLOCK, config.memory, batch_first=True)
        if network is None:
            hidden = () if config.kind == "linear" else config.hidden
            self.network = _Layers(config.context, config.plants, hidden)
        else:
            self.network = _Joined(network)
        self.reachable = ReachableTargets(reservoirs)
        self.double()

    @classmethod
    def for_case(
        cls, case: HydrothermalCase, *, stages: int, network: nn.Module | None = None, **settings: Any
    ) -> TargetRule:
        """A rule for a case.

        Args:
            case: The system.
            stages: Horizon.
            network: See the class.
            settings: Of ``RuleConfig``: kind, memory, hidden, targets.
        """
        return cls(RuleConfig.of(case, stages=stages, **settings), network=network)

    def forward(
        self,
        inflows: Float[Tensor, "batch stage plant"],
        volume: Float[Tensor, "*batch plant"] | None = None,
    ) -> Float[Tensor, "batch stage plant"]:
        """Targets of all stages, each from the one before: what strict targets lead to.

        Args:
            inflows: m3/s, shape (batch, stage, plant), from the first stage on.
            volume: Before the first stage, hm3, shape (batch, plant) or (plant,); None: the case's.

        Returns:
            Volumes at the end of the stages, hm3, shape (batch, stage, plant).

        Raises:
            ShapeError: another number of plants, or more stages than the horizon.
        """
        if inflows.ndim != 3 or inflows.shape[2] != self.config.plants:
            raise ShapeError(
                f"inflows of shape {tuple(inflows.shape)} came; (batch, stage, {self.config.plants}) is expected."
            )
        batch, stages, _ = inflows.shape
        self._check_stage(stages - 1)
        networks, _ = self._networks(inflows, 0, self.start(batch))
        target = (self.initial_volume if volume is None else volume).expand(batch, -1)
        targets = []
        for network, water in zip(networks, self._water(inflows).unbind(1), strict=True):
            target = self._target(network, target, water)
            targets.append(target)
        return torch.stack(targets, dim=1)

    def start(self, batch: int) -> Memory:
        """Memory before the first stage."""
        if self.encoder is None:
            return None
        zeros = self.inflow_mean.new_zeros(1, batch, self.config.memory)
        return zeros, zeros

    def step(
        self, stage: int, inflow: Float[Tensor, "batch plant"], volume: Float[Tensor, "batch plant"], memory: Memory
    ) -> tuple[Float[Tensor, "batch plant"], Memory]:
        """Targets of one stage; all stages in a row, from their own targets, give what ``forward`` gives.

        Args:
            stage: 0, 1, ...
            inflow: m3/s, shape (batch, plant).
            volume: At the start of the stage, hm3, shape (batch, plant).
            memory: Of ``start``, or what the stage before has left.

        Returns:
            Volumes at the end of the stage, hm3, shape (batch, plant), and the memory to go on with.

        Raises:
            ShapeError: the stage is beyond the horizon.
        """
        self._check_stage(stage)
        [network], memory = self._networks(inflow[:, None], stage, memory)
        return self._target(network, volume, self._water(inflow)), memory

    def save_pretrained(self, folder: str | Path, *, extra: Mapping[str, Any] | None = None) -> Path:
        """Write ``config.json`` and ``model.safetensors``, which ``sciml.load`` reads.

        Args:
            folder: Where to write; made if it does not exist.
            extra: What else a user of the rule needs, kept under the key ``sciml`` of ``config.json``.
        """
        return write_model(folder, self.config.to_dict(), self.state_dict(), extra=extra)

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, network: nn.Module | None = None) -> TargetRule:
        """Load what ``save_pretrained`` wrote; the rule is in evaluation mode.

        Args:
            folder: Where it was written.
            network: As the rule was made with, untrained.

        Raises:
            CheckpointError: nothing is there, or it is no rule, or its weights do not fit its config.
        """
        content, weights = read_model(folder)
        if content.get("model_type") != "dispatch":
            raise CheckpointError(
                f"{folder} holds a model of type {content.get('model_type')!r}; 'dispatch' is expected. "
                "sciml.load(folder) loads a model of any type."
            )
        rule = cls(RuleConfig.from_dict(content), network=network)
        try:
            rule.load_state_dict(weights)
        except RuntimeError as error:
            first = " ".join(str(error).splitlines()[1].split())
            raise CheckpointError(
                f"the weights in {folder} do not fit their config.json ({first}). Save the rule again, or give the "
                "network it was made with: sciml.load(folder, network=...)."
            ) from error
        return rule.eval()

    def _networks(self, inflows: Tensor, first: int, memory: Memory) -> tuple[list[Network], Memory]:
        """The network of each stage as a function of the volume, and the memory after the last."""
        batch, stages, _ = inflows.shape
        features = (inflows - self.inflow_mean) / self.inflow_std
        features = torch.cat([features, self._clock(first, stages).expand(batch, -1, -1)], dim=2)
        if self.encoder is not None:
            remembered, memory = self.encoder(features, memory)
            features = torch.cat([features, remembered], dim=2)
        return self.network.by_stage(features, self.volume_scale), memory

    def _clock(self, first: int, stages: int) -> Tensor:
        rows = []
        for stage in range(first, first + stages):
            angle = 2 * math.pi * (stage % self.config.season) / self.config.season
            rows.append([math.sin(angle), math.cos(angle), 1 - stage / self.config.stages])
        return self.inflow_mean.new_tensor(rows)

    def _target(self, network: Network, volume: Tensor, inflow: Tensor) -> Tensor:
        shares = share(network(volume))
        if self.config.targets == "strict":
            return self.reachable(shares, volume, inflow)
        return torch.lerp(self.reachable.floor, self.reachable.ceiling, shares)

    def _water(self, inflows: Tensor) -> Tensor:
        """Inflows as hm3 a stage."""
        return self.config.reservoirs.volume_per_flow * inflows

    def _check_stage(self, stage: int) -> None:
        if stage >= self.config.stages:
            raise ShapeError(
                f"{stage + 1} stages came; this rule has a horizon of {self.config.stages}. Train one with "
                f"stages={stage + 1} or more."
            )


class _Layers(nn.Module):
    """Hidden layers and a linear one on (context, volumes as parts of their maximum)."""

    def __init__(self, context: int, plants: int, hidden: tuple[int, ...]):
        super().__init__()
        widths = (*hidden, plants)
        self.context = nn.Linear(context, widths[0])
        self.volume = nn.Linear(plants, widths[0], bias=False)
        layers: list[nn.Module] = []
        for width, after in pairwise(widths):
            layers += [nn.SiLU(), nn.Linear(width, after)]
        self.layers = nn.Sequential(*layers)
        # The first targets are about half of what can be reached, whatever the features.
        with torch.no_grad():
            for output in (layers[-1],) if layers else (self.context, self.volume):
                output.weight.mul_(0.1)  # type: ignore[operator, union-attr]
                if output.bias is not None:
                    output.bias.zero_()  # type: ignore[operator, union-attr]

    def by_stage(self, context: Context, scale: Tensor) -> list[Network]:
        # What does not depend on volumes is made for all stages at once.
        weight = self.volume.weight.T / scale[:, None]
        return [partial(self._of_volume, prepared, weight) for prepared in self.context(context).unbind(1)]

    def _of_volume(self, prepared: Tensor, weight: Tensor, volume: Tensor) -> Tensor:
        return self.layers(torch.addmm(prepared, volume, weight))


class _Joined(nn.Module):
    """A network of the user's on (context, volumes as parts of their maximum)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def by_stage(self, context: Context, scale: Tensor) -> list[Network]:
        return [partial(self._of_volume, part, scale) for part in context.unbind(1)]

    def _of_volume(self, context: Tensor, scale: Tensor, volume: Tensor) -> Tensor:
        return self.network(torch.cat([context, volume / scale], dim=1))
