"""Pictures of a solution and of how it was found. Every function returns one figure."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
import torch
from torch import Tensor

from sciml.barron.box import check_box
from sciml.barron.flow import Iterate
from sciml.barron.problem import EnergyProblem
from sciml.barron.spectral import SpectralNet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
_BLUE, _RED, _GREEN, _GREY = "#2b6cb0", "#c05621", "#2f855a", "#718096"
P = ParamSpec("P")
_SIDE = 81  # points along an axis of a slice


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the style of this package."""

    @functools.wraps(draw)
    def styled(*arguments: P.args, **settings: P.kwargs) -> Figure:
        import matplotlib as mpl

        with mpl.rc_context(_STYLE):
            return draw(*arguments, **settings)

    return styled


@_styled
def convergence(history: Sequence[Iterate], *, errors: Sequence[float] = (), tol: float | None = None) -> Figure:
    """Certificate, the error if it is known, and the number of waves if it changes, against wall time.

    Args:
        history: Records of the iterates.
        errors: H1 error of every iterate; empty if unknown.
        tol: H1 error aimed at.
    """
    modes = [record.modes for record in history]
    grows = min(modes) < max(modes)
    figure, (left, *right) = _figure(1 + grows, (8.4 if grows else 5.6, 3.0))
    seconds = [record.seconds for record in history]
    left.semilogy(seconds, [r.certificate for r in history], ".-", color=_BLUE, label="certificate")
    if len(errors) == len(seconds):
        left.semilogy(seconds, errors, ".--", color=_RED, label="true error")
    if tol is not None:
        left.axhline(tol, color=_GREY, linestyle=":", label="tolerance")
    left.set(xlabel="wall time / s", ylabel="H1 error")
    left.legend()
    for axes in right:
        axes.semilogy(seconds, modes, ".-", color=_GREEN)
        axes.set(xlabel="wall time / s", ylabel="waves")
    return figure


@_styled
def norms(history: Sequence[Iterate]) -> Figure:
    """Barron norm of every iterate against what theory allows.

    Args:
        history: Records of the iterates.
    """
    figure, (axes,) = _figure(1, (5.6, 3.2))
    steps = [record.iteration for record in history]
    bounds = {
        "bound from the last iterate": ([r.one_step_bound for r in history], "-", _RED),
        "bound from the source alone": ([r.apriori_bound for r in history], "--", _GREY),
    }
    for label, (values, line, colour) in bounds.items():
        # A bound that has blown up leaves the picture; one that is not known is not in it.
        if not np.isnan(values[-1]):
            axes.plot(steps, values, line, color=colour, label=label)
    axes.plot(steps, [r.barron for r in history], ".-", color=_BLUE, label="Barron norm")
    largest = max(r.barron for r in history)
    axes.set(
        xlabel="iteration",
        ylabel="Barron norm",
        ylim=(0, (2.5 if axes.get_legend_handles_labels()[1][1:] else 1.2) * largest or None),
    )
    axes.legend()
    return figure


@_styled
def spectrum(net: SpectralNet, *, compare: SpectralNet | None = None) -> Figure:
    """Size of every coefficient against its wavenumber, coloured by how many coordinates the wave depends on.

    Args:
        net: The solution.
        compare: The true solution, drawn as rings.
    """
    figure, (axes,) = _figure(1, (5.6, 3.4))
    if compare is not None:
        axes.plot(*_lengths_and_sizes(compare.merge()), "o", mfc="none", mec=_GREY, ms=8, label="true solution")
    net = net.merge()
    lengths, sizes = _lengths_and_sizes(net)
    bodies = (net.frequencies != 0).sum(1).numpy(force=True)
    most = max(2, int(bodies.max()))
    points = axes.scatter(lengths, sizes, c=bodies, cmap="viridis", s=14, zorder=3, vmin=0, vmax=most)
    axes.set(yscale="log", xlabel="wavenumber |w|", ylabel="coefficient |c|")
    ticks = range(0, most + 1, max(1, most // 5))
    figure.colorbar(points, ax=axes, label="coordinates in the wave", ticks=ticks)
    if compare is not None:
        axes.legend()
    return figure


@_styled
def slices(
    problem: EnergyProblem, network: Callable[[Tensor], Tensor], *, truth: Callable[[Tensor], Tensor] | None = None
) -> Figure:
    """The solution through the middle of the box: on a plane, and along the axes.

    Args:
        problem: What was solved.
        network: Its solution.
        truth: The true solution, if known: drawn dashed, and the difference on the plane.
    """
    d = problem.dimension
    planes = {"u": network} if d > 1 else {}
    if truth is not None and d > 1:
        planes["error"] = lambda x: network(x) - truth(x)
    figure, (*maps, lines) = _figure(len(planes) + 1, (3.1 * len(planes) + 3.4, 2.9))
    sides = check_box(problem.box, d)
    extent = (0.0, sides[0], 0.0, sides[min(1, d - 1)])
    for axes, (title, function) in zip(maps, planes.items(), strict=True):
        field = _values(function, _through_the_middle(sides, (0, 1))).reshape(_SIDE, _SIDE)
        scale = max(float(np.abs(field).max()), 1e-300)
        colours = {"cmap": "RdBu_r", "vmin": -scale, "vmax": scale}
        image = axes.imshow(field.T, origin="lower", extent=extent, aspect="auto", interpolation="bilinear", **colours)
        axes.set(title=f"{title}, plane of axes 1 and 2", xlabel="x1", ylabel="x2")
        figure.colorbar(image, ax=axes, shrink=0.9)
    for axis, colour in zip(sorted({0, d // 2, d - 1}), (_BLUE, _GREEN, _RED), strict=False):
        x = _through_the_middle(sides, (axis,))
        place = x[:, axis].numpy() / sides[axis]
        lines.plot(place, _values(network, x), color=colour, label=f"axis {axis + 1}")
        if truth is not None:
            lines.plot(place, _values(truth, x), "--", color="black", lw=0.8)
    lines.set(title="u along axes" + (", dashed: true" if truth is not None else ""), xlabel="position / side")
    lines.legend()
    return figure


@_styled
def widths(net: SpectralNet, *, generator: torch.Generator) -> Figure:
    """H1 error of smaller networks: the n best waves, n drawn at random, and Barron's bound norm / sqrt(n).

    Args:
        net: The solution.
        generator: Source of the draws.
    """
    figure, (axes,) = _figure(1, (5.6, 3.2))
    net = net.merge()
    # The whole network has no error that a logarithm could show.
    numbers = sorted({int(n) for n in np.geomspace(1, max(len(net) - 1, 1), 16)})
    best = [float((net - net.prune(n=n)).h1()) for n in numbers]
    drawn = [float((net - net.sample(n, norm="h1", generator=generator)).h1()) for n in numbers]
    bound = [float(net.barron()) * net.volume**0.5 / n**0.5 for n in numbers]
    axes.loglog(numbers, bound, "--", color=_GREY, label="Barron's bound of the mean of draws")
    axes.loglog(numbers, drawn, ".-", color=_RED, label="drawn at random")
    axes.loglog(numbers, best, ".-", color=_BLUE, label="the best waves")
    axes.set(xlabel="width n", ylabel="H1 distance from the solution found")
    axes.legend()
    return figure


def _figure(columns: int, size: tuple[float, float]) -> tuple[Figure, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _lengths_and_sizes(net: SpectralNet) -> tuple[np.ndarray, np.ndarray]:
    """|w| and |c| of every wave."""
    return net.wavenumbers.norm(dim=1).numpy(force=True), net.coefficients.detach().abs().numpy(force=True)


def _through_the_middle(sides: Sequence[float], axes: Sequence[int]) -> Tensor:
    """Points of a line or plane of the box, shape (point, dimension)."""
    grid = torch.cartesian_prod(*[torch.linspace(0, 1, _SIDE, dtype=torch.float64)] * len(axes))
    x = torch.full((len(grid), len(sides)), 0.5, dtype=torch.float64)
    x[:, list(axes)] = grid.reshape(len(grid), -1)
    return x * torch.tensor(sides, dtype=torch.float64)


def _values(function: Callable[[Tensor], Tensor], x: Tensor) -> np.ndarray:
    with torch.no_grad():
        return function(x).numpy(force=True)
