"""Several networks trained side by side: in the same steps on the same batches, without feeling each other."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import nn

from models.optimisation import make_scheduler, total_steps


class SideBySide(L.LightningModule):
    """A network and its rivals, each with optimiser groups and gradient clipping of its own.

    Subclasses build ``net`` and fill ``rival_nets`` in ``configure_model``, say in ``optimiser_groups`` how each is
    trained, and sum the losses of ``networks``.

    Args:
        betas: Momenta of AdamW.
        schedule: ``cosine`` to 0, or ``constant``.
        warmup: Fraction of the steps with a rising learning rate.
    """

    def __init__(self, *, betas: tuple[float, float], schedule: str, warmup: float):
        super().__init__()
        self.betas = (betas[0], betas[1])
        self.schedule = schedule
        self.warmup = warmup
        self.net: nn.Module | None = None
        self.rival_nets = nn.ModuleDict()

    @property
    def data(self) -> Any:
        """The datamodule of the run, which knows what is learned."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The network, under the empty name, and its rivals."""
        return {"": self.net, **self.rival_nets}  # type: ignore[dict-item]

    def optimiser_groups(self, name: str, net: nn.Module) -> list[dict[str, Any]]:
        """The trained parameters of one of the networks with their learning rates and weight decay."""
        raise NotImplementedError

    def configure_optimizers(self) -> Any:
        """AdamW with the parameter groups of all networks, and the schedule."""
        groups = [group for name, net in self.networks.items() for group in self.optimiser_groups(name, net)]
        # Fused: one pass over each parameter. Not on a GPU, where half precision could then not clip gradients.
        optimizer = torch.optim.AdamW(groups, betas=self.betas, fused=self.device.type == "cpu")
        steps = total_steps(self.trainer)
        scheduler = make_scheduler(optimizer, schedule=self.schedule, warmup=self.warmup, steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient of each network on its own, so that rivals do not feel each other."""
        if not self.rival_nets:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)  # type: ignore[arg-type]
        elif gradient_clip_val:
            for name, net in self.networks.items():
                # In the order of the optimiser, in which the norm of a network that is alone is summed too.
                trained = [p for group in self.optimiser_groups(name, net) for p in group["params"]]
                nn.utils.clip_grad_norm_(trained, gradient_clip_val)
