"""Training of dispatch policies by Lagrangian duality (TS-DDR), beside linear rules and SDDP."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.dispatch_judge import Verdict, judge
from models.dispatch_report import describe, headline
from models.optimisation import total_steps
from models.rivals import SideBySide
from models.summary import print_parameters
from sciml.dispatch import HorizonCost, HydrothermalCase, StageCost, TargetRule
from sciml.dispatch.programs import check_network
from sciml.errors import ConfigError
from sciml.report import Report

Batch = dict[str, Tensor]
NAME = "TS-DDR"


@dataclass(frozen=True)
class Progress:
    """Where the training stood at a validation.

    Attributes:
        step: Steps so far.
        seconds: CPU seconds of this process so far, or wall seconds where workers solve.
        costs: Mean cost of the validation scenarios by policy, $.
    """

    step: int
    seconds: float
    costs: dict[str, float]


class DispatchLearning(SideBySide):
    r"""Train decision rules whose targets a program carries out, by the program's multipliers.

        min_theta E_w Q(w; x_1, ..., x_T),   x_t = pi_theta(w_1, ..., w_t, x_{t-1}),
        gradient = E_w sum_t lambda_t . dx_t / dtheta,   lambda_t the multipliers of the rows v_t = x_t.

    The data are a ``datamodules.inflows.InflowData``, which has the case and draws scenarios.

    Args:
        rule: Makes the rule from ``case`` and ``stages``, e.g. ``TargetRule.for_case``.
        recipe: None: a rule has no backbone to freeze.
        network: Network of the programs in training: ``dc``, ``dc_lossy``, ``soc`` or ``ac``.
        judge: Network in which the test simulates; None: that of the training.
        warm_up: ``network`` and ``steps``: the first steps are taken in a cheaper network; None: none are.
        pretrained: Folder of a rule, or of a run, to start from; None: random weights.
        penalty: $ per hm3 of deviation, of rules with penalised targets; None: the largest cost of a stage in training,
            and more than any saving in the test.
        learning_rate: Largest learning rate. Good values: 2e-3 to 1e-2.
        betas: Momenta of AdamW.
        schedule: ``cosine`` to 0, or ``constant``.
        warmup: Fraction of the steps with a rising learning rate.
        rivals: Rules to compare with, trained in the same steps on the same scenarios: by name, their settings that
            differ from those of ``rule``, and ``learning_rate``.
        sddp: Settings of the SDDP beside which policies are judged (``models.dispatch_judge.train_sddp``); None: none.
        foresight: Whether the test also solves every scenario with all inflows known, the bound that no policy reaches.
        workers: Processes that solve programs; 0: this one.

    Raises:
        ConfigError: an unknown network, a recipe, or a warm-up without its settings.

    Reference:
        arXiv:2405.14973.
    """

    def __init__(
        self,
        rule: Callable[..., TargetRule],
        *,
        recipe: None = None,
        network: str = "dc",
        judge: str | None = None,
        warm_up: Mapping[str, Any] | None = None,
        pretrained: str | None = None,
        penalty: float | None = None,
        learning_rate: float = 6e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        schedule: str = "cosine",
        warmup: float = 0.0,
        rivals: Mapping[str, Mapping[str, Any] | None] | None = None,
        sddp: Mapping[str, Any] | None = None,
        foresight: bool = True,
        workers: int = 0,
    ):
        super().__init__(betas=betas, schedule=schedule, warmup=warmup)
        if recipe is not None:
            raise ConfigError("a recipe came for a decision rule, which has no backbone to freeze; take recipe=full.")
        if warm_up and set(warm_up) != {"network", "steps"}:
            raise ConfigError(f"model.warm_up is {dict(warm_up)}; its settings are network and steps.")
        self.warm_up = dict(warm_up) if warm_up else {"network": network, "steps": 0}
        for name in filter(None, (network, judge, self.warm_up["network"])):
            check_network(name)
        self.network_name, self.judge = network, judge or network
        self.pretrained, self.penalty, self.workers = pretrained, penalty, workers
        self.sddp, self.foresight = sddp, foresight
        self.settings: dict[str, dict[str, Any]] = {"": {"rule": rule, "learning_rate": learning_rate}}
        for name, rival in (rivals or {}).items():
            if rival:
                own = dict(rival)
                rate = own.pop("learning_rate", learning_rate)
                self.settings[name] = {"rule": partial(rule, **own), "learning_rate": rate}
        self.history: list[Progress] = []
        self.verdict: Verdict | None = None
        self._programs: dict[tuple[str, str], HorizonCost | StageCost] = {}
        self._costs: dict[str, list[Tensor]] = {}
        self._spent, self._begin = 0.0, 0.0

    @property
    def case(self) -> HydrothermalCase:
        """The system."""
        return self.data.case

    @property
    def policies(self) -> dict[str, TargetRule]:
        """The rules by the name that tables and figures give them."""
        return {name or NAME: net for name, net in self.networks.items()}  # type: ignore[misc]

    def configure_model(self) -> None:
        """Build the rules for the case, all from the same seed."""
        if self.net is not None:
            return
        for name, settings in self.settings.items():
            with torch.random.fork_rng():
                torch.manual_seed(torch.initial_seed())
                net = settings["rule"](case=self.case, stages=self.data.stages).train()
            if name:
                self.rival_nets[name] = net
            else:
                self.net = net
        if self.pretrained:
            from sciml.pretrained import load

            self.net.load_state_dict(load(self.pretrained).state_dict())  # type: ignore[union-attr]
        if self.trainer.state.fn == "fit" and self.trainer.is_global_zero:
            print_parameters(self)
            steps = total_steps(self.trainer)
            scenarios = f"{self.data.batch_size} scenarios of {self.data.stages} stages"
            print(
                f"Training: {steps} steps of {scenarios} of {self.case.name}, network {self.network_name}.", flush=True
            )

    def optimiser_groups(self, name: str, net: nn.Module) -> list[dict[str, Any]]:
        """All parameters of a rule, none of them decayed."""
        rate = self.settings[name]["learning_rate"]
        return [{"params": list(net.parameters()), "lr": rate, "weight_decay": 0.0, "name": name or NAME}]

    def costs(self, inflows: Tensor, network: str) -> dict[str, Tensor]:
        """Costs of carrying out the targets of every rule, $, (batch,) each, differentiable in its weights."""
        found = {}
        for kind in ("strict", "penalised"):
            rules = {name: rule for name, rule in self.policies.items() if rule.config.targets == kind}
            if rules:
                targets = torch.cat([rule(inflows) for rule in rules.values()])
                # One batch, so that workers share the programs of all rules.
                values = self._cost(network, kind)(targets, inflows.repeat(len(rules), 1, 1))
                found |= zip(rules, values.chunk(len(rules)), strict=True)
        return found

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean cost of a batch with ``inflows``, (batch, stage, plant), m3/s."""
        early = self.global_step < self.warm_up["steps"]
        costs = self.costs(batch["inflows"], self.warm_up["network"] if early else self.network_name)
        means = {name: cost.mean() for name, cost in costs.items()}
        for name, mean in means.items():
            self.log(
                f"train/cost/{name}" if name != NAME else "train/cost", mean, prog_bar=name == NAME, sync_dist=True
            )
        return torch.stack(list(means.values())).sum()

    def on_fit_start(self) -> None:
        """Start the clock, or go on with that of the run that is taken up again."""
        self._begin = self._clock() - self._spent

    def on_validation_epoch_start(self) -> None:
        """Forget the scenarios of the last validation."""
        self._costs = {name: [] for name in self.policies}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Costs of scenarios that are not trained on."""
        pause = self._clock()
        for name, cost in self.costs(batch["inflows"], self.network_name).items():
            self._costs[name].append(cost)
        self._begin += self._clock() - pause  # the training curve is against seconds of training

    def on_validation_epoch_end(self) -> None:
        """Log the mean costs."""
        costs = {name: torch.cat(found).mean().item() for name, found in self._costs.items()}
        for name, cost in costs.items():
            self.log(
                f"val/cost/{name}" if name != NAME else "val/cost", cost, prog_bar=name == NAME, rank_zero_only=True
            )
        if not self.trainer.sanity_checking and self.trainer.state.fn == "fit":
            self._spent = self._clock() - self._begin
            self.history.append(Progress(self.global_step, self._spent, costs))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the training curve."""
        spent = self._clock() - self._begin
        checkpoint["dispatch"] = {"spent": spent, "history": [vars(record) for record in self.history]}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the training curve; the test of the best weights keeps the longer one of the whole run."""
        if len(checkpoint["dispatch"]["history"]) < len(self.history):
            return
        self._spent = checkpoint["dispatch"]["spent"]
        self.history = [Progress(**record) for record in checkpoint["dispatch"]["history"]]

    def on_test_epoch_start(self) -> None:
        """Forget earlier scenarios."""
        self._costs = {"inflows": []}

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the scenarios, which are simulated together."""
        self._costs["inflows"].append(batch["inflows"])

    def on_test_epoch_end(self) -> None:
        """Simulate all policies stage by stage on the same scenarios."""
        if self.trainer.is_global_zero:
            inflows = torch.cat(self._costs["inflows"]).numpy(force=True)
            self.verdict = judge(self, inflows, folder=Path(self.trainer.default_root_dir))
            for name, cost in self.verdict.means.items():
                self.log(f"test/cost/{name}" if name != NAME else "test/cost", cost, rank_zero_only=True)
        self.trainer.strategy.barrier()

    def teardown(self, stage: str) -> None:
        """End the worker processes."""
        for programs in self._programs.values():
            programs.close()

    def headline(self) -> str:
        """The result of the run in one sentence."""
        return headline(self)

    def describe(self, report: Report) -> None:
        """Add figures and tables to the report of the run."""
        describe(self, report)

    def export(self, folder: Path) -> None:
        """Save the rule so that ``sciml.load`` gives it back."""
        if self.trainer.is_global_zero:
            extra = {"case": self.case.name, "network": self.network_name, "stage_hours": self.case.stage_hours}
            self.net.save_pretrained(folder, extra=extra)  # type: ignore[operator, union-attr]

    def _cost(self, network: str, targets: str) -> HorizonCost | StageCost:
        if (network, targets) not in self._programs:
            case, stages = self.case, self.data.stages
            # A simplex takes the whole horizon in less time than its stages; interior points do not.
            if targets == "strict" and network != "dc":
                programs = StageCost(case, network, stages, workers=self.workers)
            else:
                programs = HorizonCost(
                    case, network, stages, targets=targets, penalty=self.penalty, workers=self.workers
                )
            self._programs[network, targets] = programs
        return self._programs[network, targets]

    def _clock(self) -> float:
        return time.process_time() if not self.workers else time.perf_counter()
