"""What a layer, fresh or trained, does to noise of a single frequency: a table and a figure."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor

from sciml.ssm.discretize import discretize
from sciml.ssm.systems import ContinuousSystem, DiagonalSystem, StateSpaceLayer, initial_system
from sciml.ssm.transfer import layer_transfer_function

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

EXACT, NORMAL, LAYER = "exact HiPPO", "S4D", "this layer"
_STYLES = {
    NORMAL: ("#c05621", "^", "-"),
    LAYER: ("#2b6cb0", "o", "-"),
    EXACT: ("#1a202c", "x", "--"),
}  # in the order of drawing: what is smooth goes on top, where spikes would hide it


@dataclass(frozen=True, kw_only=True)
class RobustnessReport:
    """Gains of a layer against frequency, and of HiPPO-LegS and S4D-LegS with the same outputs where that makes sense.

    Print it, show ``report.table()`` with rich, save ``report.figure()``.

    Args:
        angles: Frequencies in radians per sample, ascending for each channel, shape (frequency, channel).
        gains: By name of the system: root mean square of |output| over inputs of unit length in all directions, for one
            input |G|; shape (frequency, channel).
        spikes: By name: how far the highest peak of a channel stands out of the median gain within a factor of two in
            frequency, shape (channel,). A smooth response has 1 to 3.
        critical: By name: gain at the highest resonance of S4D-LegS of this size, shape (channel,); empty unless the
            layer started from HiPPO-LegS.
        steps: Time step of each channel, the median if every state has its own, shape (channel,).
        margin: -max Re of the eigenvalues (of S4: of its normal part, which bounds the others), in units of one over
            the state's own time; negative if unstable.
    """

    angles: NDArray[np.float64]
    gains: Mapping[str, NDArray[np.float64]]
    spikes: Mapping[str, NDArray[np.float64]]
    critical: Mapping[str, NDArray[np.float64]]
    steps: NDArray[np.float64]
    margin: float

    def table(self) -> Table:
        """One row a system: its spikes and its gain at the critical frequency, over all channels."""
        from rich.table import Table

        table = Table(title=f"Robustness (stability margin {self.margin:.3g})")
        columns = ["system", "median spike", "worst spike", "worst gain"]
        columns += ["median gain at the critical frequency", "relative to exact"] if self.critical else []
        for i, column in enumerate(columns):
            table.add_column(column, justify="right" if i else "left")
        for name, spikes in self.spikes.items():
            row = [name, _short(np.median(spikes)), _short(spikes.max()), _short(self.gains[name].max())]
            if self.critical:
                ratio = np.median(self.critical[name] / self.critical[EXACT])
                row += [_short(np.median(self.critical[name])), _short(ratio)]
            table.add_row(*row)
        return table

    def __str__(self) -> str:
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=120, color_system=None).print(self.table())
        return text.getvalue().rstrip()

    def figure(self) -> Figure:
        """Left: gain against frequency, of the channel with the smallest time step. Right: spikes of all channels."""
        import matplotlib as mpl
        from matplotlib.figure import Figure

        channel = int(self.steps.argmin())
        panels = 2 if len(self.steps) > 1 else 1
        with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
            figure = Figure(figsize=(4.6 * panels, 3.2), layout="constrained")
            axes = figure.subplots(1, panels, squeeze=False)[0]
            for name in (name for name in _STYLES if name in self.gains):
                colour, marker, dashes = _STYLES[name]
                gain = self.gains[name][:, channel]
                axes[0].loglog(self.angles[:, channel], gain, dashes, label=name, color=colour, linewidth=1.0)
                if panels == 2:
                    axes[1].loglog(self.steps, self.spikes[name], marker, color=colour, markersize=4)
            axes[0].set(xlabel="radians per sample", ylabel="gain", title=f"time step {self.steps[channel]:.2g}")
            axes[0].legend(frameon=False)
            if panels == 2:
                axes[1].set(xlabel="time step of the channel", ylabel="highest spike", title="all channels")
        return figure


def _short(value: float) -> str:
    return f"{value:.3g}"


def robustness_report(layer: StateSpaceLayer) -> RobustnessReport:
    """Measure what a layer does to a signal of a single frequency, as it is discretised, its skip connection aside.

    A single-input layer that started from HiPPO-LegS is compared with HiPPO-LegS itself and with S4D-LegS: the outputs
    that it has now, in the original basis, and its time steps, with their matrix and input.

    Args:
        layer: An S4D, S4 or S5 layer, fresh or trained.

    Returns:
        Gains, spikes and the stability margin.

    Reference:
        arXiv:2310.01698, section 4 (the noise to which S4D is sensitive).
    """
    system = layer.continuous_system().on_cpu()
    systems = {LAYER: system}
    resonances = [_resonances(system)]
    critical = None
    if system.vectors is not None and system.input.shape[-1] == system.step.shape[-1] == 1:
        state = system.vectors.shape[0]
        # HiPPO itself has no usable eigenvectors; this is within 5e-5 of its response, and rounding within 1e-10.
        exact = _instead(system, initial_system("ptd", state, tau=1e-4, conjugate=False))
        systems = {EXACT: exact, NORMAL: _instead(system, initial_system("legs", state)), LAYER: system}
        resonances.append(_resonances(systems[NORMAL]))
        critical = resonances[-1][:, -1].imag
    even = torch.logspace(-4, math.log10(math.pi), 300, dtype=torch.float64)[:, None]
    peaks = _around(torch.cat(resonances, dim=1))
    angles = torch.cat([even.expand(-1, peaks.shape[1]), peaks])
    gains = {name: _gain(each, angles) for name, each in systems.items()}
    order = angles.argsort(dim=0)
    return RobustnessReport(
        angles=angles.gather(0, order).numpy(),
        gains={name: gain.gather(0, order).numpy() for name, gain in gains.items()},
        spikes={name: _spikes(angles, gain, len(even)).numpy() for name, gain in gains.items()},
        critical={}
        if critical is None
        else {name: _gain(each, critical[None])[0].numpy() for name, each in systems.items()},
        steps=system.step.median(dim=1).values.numpy(),
        margin=-float(system.eigenvalues.real.max()),
    )


def _instead(system: ContinuousSystem, start: DiagonalSystem) -> ContinuousSystem:
    """Another matrix and input behind the outputs of a layer that started from HiPPO-LegS."""
    assert system.vectors is not None
    unused = torch.zeros_like(system.vectors[0])
    basis = DiagonalSystem(eigenvalues=unused, input=unused, vectors=system.vectors, conjugate=system.conjugate)
    # 2 Re(C z) = c x with c = 2 Re(C V^-1), as the conjugates take care of the other half of V^-1.
    rows = (2 if system.conjugate else 1) * (system.output @ basis.inverse()).real
    channels = len(rows)
    return ContinuousSystem(
        eigenvalues=start.eigenvalues.expand(channels, -1),
        input=start.input[:, None].expand(channels, -1, 1),
        output=rows.to(start.vectors.dtype) @ start.vectors,
        step=system.step,
        conjugate=start.conjugate,
        discretization=system.discretization,
    )


def _resonances(system: ContinuousSystem) -> Tensor:
    """Decay a sample and angle of every mode, discretised, as complex numbers of shape (channel, pair)."""
    return discretize(system.eigenvalues, system.step, system.discretization)[0]  # pyright: ignore[reportArgumentType]


def _around(resonances: Tensor) -> Float64[Tensor, "frequency channel"]:
    """Angles in (0, pi] at the resonances and one half-width beside them, where a sampled signal meets them."""
    widths = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    angles = (resonances.imag[..., None] + resonances.real[..., None] * widths).flatten(1).T
    return torch.acos(torch.cos(angles)).clamp(min=1e-4)  # folded: aliases are the same signal


def _gain(system: ContinuousSystem, angles: Tensor) -> Float64[Tensor, "frequency channel"]:
    G = layer_transfer_function(system, angles)
    return torch.linalg.matrix_norm(G) / math.sqrt(G.shape[-1])


def _spikes(angles: Tensor, gains: Tensor, even: int) -> Float64[Tensor, " channel"]:
    """Largest gain over the median within a factor of two in frequency; the first ``even`` angles are a log grid."""
    grid = angles[:even, 0].contiguous()
    near = (grid.log()[:, None] - grid.log()).abs() <= math.log(2)
    around = torch.where(near[..., None], gains[:even], torch.nan).nanmedian(dim=1).values
    nearest = torch.searchsorted(grid, angles.contiguous()).clamp(max=even - 1)
    return (gains / around.gather(0, nearest)).amax(dim=0)
