"""Solving elliptic variational problems by Deep Ritz and a fit of the last layer, with a certificate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from models.barron import Batch, EllipticSolving
from models.optimisation import make_scheduler, total_steps
from sciml.barron.boundary_net import BoundaryNet
from sciml.barron.least_squares import POINTS_PER_UNIT, fit_outer_weights
from sciml.barron.observe import Observer
from sciml.barron.quadrature import PointSet, Quadrature
from sciml.barron.ritz import ritz_loss
from sciml.errors import ConfigError


class RitzSolving(EllipticSolving):
    """Solve by Deep Ritz, then fit the outer weights: one step of Adam on fresh points is one training step.

    Args:
        hidden: Units of the hidden layers.
        activation: "tanh", or "cos" for one hidden layer.
        scale: Size of the inner weights at the start. Good values: 2 to 10.
        learning_rate: Largest learning rate. Good values: 1e-3 to 2e-2.
        penalty: Weight of the Barron norm in the loss. Good values: 0, or 1e-3 to 1e-1 where points are few.
        schedule: ``cosine`` to 0, or ``constant``.
        warmup: Fraction of the steps with a rising learning rate.
        fit: Fit the outer weights by least squares after the last step, which gains orders of magnitude.
        fit_points: Points of the fit; None: 20 times the units.
        certify_points: Points of each of the three lattices of a certificate.
        seed: Of weights and lattices.
        recipe: Changes the network before it is trained, e.g. freezes a part (``models.recipes``).

    Reference:
        E and Yu, arXiv:1710.00211 (Deep Ritz).
    """

    def __init__(
        self,
        *,
        hidden: Sequence[int] = (64,),
        activation: str = "tanh",
        scale: float = 3.0,
        learning_rate: float = 1e-2,
        penalty: float = 0.0,
        schedule: str = "cosine",
        warmup: float = 0.0,
        fit: bool = True,
        fit_points: int | None = None,
        certify_points: int = 2**12,
        seed: int = 0,
        recipe: Callable[[nn.Module], None] | None = None,
    ):
        super().__init__(certify_points=certify_points, seed=seed)
        if not isinstance(learning_rate, int | float) or learning_rate < 0:
            raise ConfigError(f"model.learning_rate is {learning_rate!r}; a number of at least 0 is expected.")
        self.settings = {"hidden": tuple(hidden), "activation": activation, "scale": scale}
        self.learning_rate, self.penalty = learning_rate, penalty
        self.schedule, self.warmup = schedule, warmup
        self.fit, self.fit_points, self.recipe = fit, fit_points, recipe
        self.net: BoundaryNet | None = None

    @property
    def network(self) -> BoundaryNet:
        """The network that is trained."""
        return self.net  # type: ignore[return-value]

    def configure_model(self) -> None:
        """Draw the network."""
        if self.net is None:
            problem = self.problem
            place = {"boundary": problem.boundary, "box": problem.box}
            generator = torch.Generator().manual_seed(self.seed)
            self.net = BoundaryNet.random(problem.dimension, generator=generator, **place, **self.settings)
            if self.recipe:
                self.recipe(self.net)

    def configure_optimizers(self) -> Any:
        """Adam with a schedule."""
        optimizer = torch.optim.Adam([p for p in self.network.parameters() if p.requires_grad], lr=self.learning_rate)
        steps = total_steps(self.trainer)
        scheduler = make_scheduler(optimizer, schedule=self.schedule, warmup=self.warmup, steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Energy on the points of the batch, and the penalty."""
        points = PointSet(batch["points"], batch["weights"])
        loss = ritz_loss(self.problem, self.network, points, penalty=self.penalty)
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=False, batch_size=1)
        return loss

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:  # type: ignore[override]
        """A step of Adam; after the last one, the outer weights are fitted."""
        optimizer.step(closure=optimizer_closure)
        done = self.global_step + 1  # the trainer counts this step when we return
        if done < total_steps(self.trainer):
            return
        self.verdict = f"trained for {done} steps"
        if self.fit:
            steps = fit_outer_weights(self.problem, self.network, self._points_of_the_fit())
            self.verdict += f", {len(self.network)} outer weights fitted in {steps} steps"

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Certify the network on fresh lattices, and keep a record."""
        super().validation_step(batch, batch_idx)
        with torch.inference_mode(False):
            points = PointSet(batch["points"].clone(), batch["weights"].clone())
            record = Observer(self.problem, points).record(self.network)
        assert self.certificate is not None
        self.note(replace(record, certificate=self.certificate.error), show=())

    def _points_of_the_fit(self) -> PointSet:
        generator = torch.Generator().manual_seed(self.seed + 1)
        size = self.fit_points or max(2**12, POINTS_PER_UNIT * len(self.network))
        settings = {"rule": self.data.rule, "size": size, "device": self.device}
        return Quadrature(self.problem, generator=generator, **settings).draw()
