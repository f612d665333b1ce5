"""Noise of one frequency at the input of every state-space layer: what a robust initialisation withstands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sciml.ssm.systems import ContinuousSystem


@contextmanager
def fourier_noise(
    net: nn.Module, frequency: float, *, amplitude: float = 0.1, generator: torch.Generator | None = None
) -> Iterator[None]:
    """Add a cosine to what every state-space layer of a network reads, as long as the context lasts.

    u[l] <- u[l] + amplitude U cos(frequency dt l), U uniform in [0, 1) for each sample and feature, dt the time step
    that the layer has learned for the feature. The layer thus sees noise of one continuous frequency, which S4D's
    transfer function amplifies near ``sciml.ssm.transfer.critical_frequencies``. In a layer with one time step a state
    (S5), dt is their geometric mean for all features.

    Args:
        net: Any network that contains layers of this package.
        frequency: In units of one over the continuous time of the layers, nonnegative.
        amplitude: Largest amplitude, in units of the layers' inputs. The published one: 0.1.
        generator: Draws U; None: torch's global one.

    Reference:
        arXiv:2310.01698, section 5 (robustness to Fourier-mode perturbations).
    """

    def disturb(layer: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        u, *rest = arguments
        step = time_steps(layer.continuous_system()).to(u)
        uniform = torch.rand(len(u), 1, u.shape[-1], generator=generator).to(u)
        # In float64: the phase of the last of many steps is large.
        phase = frequency * step.double() * torch.arange(u.shape[1], device=u.device)[:, None]
        return (u + amplitude * uniform * phase.cos().to(u), *rest)

    layers = [module for module in net.modules() if hasattr(module, "continuous_system")]
    hooks = [layer.register_forward_pre_hook(disturb) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def time_steps(system: ContinuousSystem) -> Tensor:
    """The time step of each channel, shape (channel,): the geometric mean over its states."""
    return system.step.log().mean(dim=1).exp()
