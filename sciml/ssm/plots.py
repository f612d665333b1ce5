"""Figures of sequence models: what is confused, what noise does, and signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sciml.plots import COLOURS, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_matrix(fractions: Float[np.ndarray, "truth predicted"], classes: Sequence[str]) -> Figure:
    """What each class is taken for, in percent.

    Args:
        fractions: Fraction of the true class (row) that is taken for a class (column).
        classes: Names of the classes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        side = 1.6 + 0.42 * len(classes)
        figure = Figure(figsize=(side, side))
        axis = figure.subplots()
        axis.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
        for i, row in enumerate(fractions):
            for j, fraction in enumerate(row):
                if fraction > 0.005:
                    colour = "white" if fraction > 0.5 else "black"
                    axis.text(j, i, f"{100 * fraction:.0f}", ha="center", va="center", color=colour, fontsize=7.5)
        axis.set_xticks(range(len(classes)), classes, rotation=90 if max(map(len, classes)) > 2 else 0)
        axis.set_yticks(range(len(classes)), classes)
        axis.set_xlabel("predicted")
        axis.set_ylabel("true")
    return figure


def noise_curves(
    frequencies: Float[np.ndarray, " frequency"],
    curves: Mapping[str, Float[np.ndarray, " frequency"]],
    *,
    clean: Mapping[str, float],
    critical: float,
    ylabel: str = "accuracy",
) -> Figure:
    """A measure against the frequency of test-time noise; dotted lines are without noise.

    Args:
        frequencies: Frequencies of the noise, positive.
        curves: The measure by name of the network.
        clean: The same without noise.
        critical: A frequency to mark.
        ylabel: Name of the measure.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.2))
        axis = figure.subplots()
        axis.axvline(critical, color="#cbd5e0", linewidth=5, zorder=0, label="critical frequency")
        for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
            axis.semilogx(frequencies, values, color=colour, marker="o", markersize=3, label=name)
            axis.axhline(clean[name], color=colour, linestyle=":", linewidth=1)
        axis.set_xlabel("frequency of the noise")
        axis.set_ylabel(ylabel)
        everything = np.concatenate([*curves.values(), [*clean.values()]])
        # Never so close that the chance of a few samples looks like an effect.
        room = max(0.1 * np.ptp(everything), 0.05)
        axis.set_ylim(everything.min() - room, everything.max() + room)
        axis.legend()
    return figure


def signals(rows: Sequence[Mapping[str, Float[np.ndarray, " step"]]]) -> Figure:
    """Signals over time, one row of curves a sample; the curve named ``truth`` is black.

    Args:
        rows: Signals by name of the curve.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.6 + 1.4 * len(rows)))
        for axis, curves in zip(figure.subplots(len(rows), squeeze=False)[:, 0], rows, strict=True):
            colours = iter(COLOURS)
            for name, values in curves.items():
                axis.plot(values, color="black" if name == "truth" else next(colours), linewidth=1.2, label=name)
        axis.set_xlabel("step")
        figure.axes[0].legend()
    return figure
