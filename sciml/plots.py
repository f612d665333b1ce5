"""Pictures of fields, rollouts and errors. Every function returns, or writes, one figure."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sciml.data.spec import FieldSpec

STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
_SIGNED, _ERROR = "RdBu_r", "inferno"
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#718096", "#b83280", "#975a16", "#2c7a7b")


def vorticity(velocity: Float[np.ndarray, "*batch 2 x y"]) -> NDArray[np.float64]:
    """dv/dx - du/dy of a velocity on the periodic unit square, by central differences.

    Args:
        velocity: Components u and v, shape (..., 2, x, y).

    Returns:
        Shape (..., x, y).
    """
    u, v = np.moveaxis(np.asarray(velocity, dtype=np.float64), -3, 0)

    def slope(f: np.ndarray, axis: int) -> np.ndarray:
        return (np.roll(f, -1, axis) - np.roll(f, 1, axis)) * (f.shape[axis] / 2)

    return slope(v, -2) - slope(u, -1)


def _largest(fields: Iterable[NDArray]) -> float:
    """Almost the largest absolute value (NaN is left blank): a few extreme pixels must not wash out the rest."""
    return max(float(np.nanquantile(np.abs(field), 0.995)) for field in fields)


def field_table(
    rows: Sequence[Mapping[str, NDArray]],
    *,
    error: str = "error",
    labels: Sequence[str] = (),
    title: str = "",
    scale: float | None = None,
) -> Figure:
    """A table of fields: one row a sample, one column a quantity.

    The columns of a row share one colour scale, symmetric about zero; the column named ``error`` has its own.

    Args:
        rows: Fields of shape (x, y) by column title; x runs to the right, y upwards.
        error: Name of the column that holds absolute errors.
        labels: What to write left of every row.
        title: Above all.
        scale: Largest value of the colour scale; by default that of the row.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        columns = list(rows[0])
        figure = Figure(figsize=(2.1 * len(columns) + 0.6, 2.05 * len(rows) + (0.35 if title else 0.1)))
        axes = figure.subplots(len(rows), len(columns), squeeze=False)
        for i, row in enumerate(rows):
            top = scale or _largest(field for name, field in row.items() if name != error)
            for j, name in enumerate(columns):
                colours = (
                    {"cmap": _ERROR, "vmin": 0, "vmax": top}
                    if name == error
                    else {"cmap": _SIGNED, "vmin": -top, "vmax": top}
                )
                # A narrow strip is stretched: at its true ratio there would be little to see.
                aspect = "auto" if max(row[name].shape) > 4 * min(row[name].shape) else "equal"
                image = axes[i, j].imshow(
                    row[name].T, origin="lower", interpolation="bilinear", aspect=aspect, **colours
                )
                axes[i, j].set_xticks([])
                axes[i, j].set_yticks([])
                for spine in axes[i, j].spines.values():
                    spine.set_visible(False)
                if i == 0:
                    axes[i, j].set_title(name)
                if name == error or (j == 0 and error not in columns):
                    figure.colorbar(image, ax=axes[i, j], shrink=0.85, pad=0.02)
            if i < len(labels):
                axes[i, 0].set_ylabel(labels[i])
        if title:
            figure.suptitle(title)
    return figure


def gallery(rows: Sequence[Mapping[tuple[str, str], NDArray]], *, title: str = "") -> Figure:
    """Samples, one a row, as pictures side by side.

    The pictures of one quantity in a row share a colour scale, which is symmetric about zero if it changes its sign.

    Args:
        rows: Fields of shape (x, y) by quantity and what is written above, e.g. ``("rho", "t = 0.5")``; x runs to the
            right, y upwards.
        title: Above all.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        columns = list(rows[0])
        figure = Figure(figsize=(1.75 * len(columns) + 0.7, 1.7 * len(rows) + (0.6 if title else 0.3)))
        axes = figure.subplots(len(rows), len(columns), squeeze=False)
        for i, row in enumerate(rows):
            for quantity in dict.fromkeys(quantity for quantity, _ in columns):
                places = [j for j, column in enumerate(columns) if column[0] == quantity]
                colours = _colours([row[columns[j]] for j in places])
                for j in places:
                    image = axes[i, j].imshow(row[columns[j]].T, origin="lower", interpolation="bilinear", **colours)
                    axes[i, j].set_xticks([])
                    axes[i, j].set_yticks([])
                    axes[i, j].spines[:].set_visible(False)
                    if i == 0:
                        axes[i, j].set_title(", ".join(filter(None, columns[j])))
                figure.colorbar(image, ax=axes[i, places[-1]], shrink=0.85, pad=0.03)
        if title:
            figure.suptitle(title)
    return figure


def _colours(fields: Sequence[NDArray]) -> dict[str, Any]:
    low = min(float(np.quantile(field, 0.002)) for field in fields)
    high = max(float(np.quantile(field, 0.998)) for field in fields)
    if min(-low, high) < 0.05 * max(-low, high):
        return {"cmap": "viridis", "vmin": low, "vmax": high}
    return {"cmap": _SIGNED, "vmin": -max(-low, high), "vmax": max(-low, high)}


def error_curves(
    lead_times: Sequence[float],
    curves: Mapping[str, Float[np.ndarray, "sample time"]],
    *,
    xlabel: str = "lead time",
    ylabel: str = "relative L1 error",
) -> Figure:
    """Median error against lead time, with the middle half of the samples shaded.

    Args:
        lead_times: Shape (time,).
        curves: Errors of every sample by name of the method, shape (sample, time).
        xlabel: Name of the horizontal axis.
        ylabel: Name of the vertical axis.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.2))
        axis = figure.subplots()
        for colour, (name, errors) in zip(COLOURS, curves.items(), strict=False):
            low, middle, high = np.quantile(errors, [0.25, 0.5, 0.75], axis=0)
            axis.fill_between(lead_times, low, high, color=colour, alpha=0.15, linewidth=0)
            axis.plot(lead_times, middle, color=colour, marker="o", markersize=3, label=name)
        axis.set_xlabel(xlabel)
        axis.set_ylabel(ylabel)
        axis.set_ylim(bottom=0)
        axis.legend()
    return figure


def spectra(curves: Mapping[str, Float[np.ndarray, " wavenumber"]], *, ylabel: str = "energy") -> Figure:
    """Energy against wavenumber on logarithmic axes; the curve named ``truth`` is black.

    Args:
        curves: Energies at wavenumbers 0, 1, 2, ... by name.
        ylabel: Name of the vertical axis.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.2))
        axis = figure.subplots()
        colours = iter(COLOURS)
        for name, energy in curves.items():
            style = {"color": "black", "linewidth": 1.8} if name == "truth" else {"color": next(colours)}
            axis.loglog(np.arange(1, len(energy)), energy[1:], label=name, **style)
        top = max(energy[1:].max() for energy in curves.values())
        axis.set_ylim(top=3 * top, bottom=max(min(energy[1:].min() for energy in curves.values()), 1e-12 * top))
        axis.set_xlabel("wavenumber")
        axis.set_ylabel(ylabel)
        axis.legend()
    return figure


def learning_curves(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, ylabel: str = "loss") -> Figure:
    """Loss and error against training step, on a logarithmic axis.

    Args:
        curves: Steps and values by name.
        ylabel: Name of the vertical axis.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.2))
        axis = figure.subplots()
        for colour, (name, (steps, values)) in zip(COLOURS, curves.items(), strict=False):
            marker = "o" if len(steps) < 50 else None
            axis.plot(steps, values, color=colour, label=name, linewidth=1.2, marker=marker, markersize=3)
        axis.set_yscale("log")
        axis.set_xlabel("training step")
        axis.set_ylabel(ylabel)
        axis.legend()
    return figure


def scalar_view(
    fields: Sequence[FieldSpec], boundary: Sequence[str], *, first: int = 0
) -> tuple[str, Callable[[NDArray], NDArray]]:
    """What to draw of several fields: the vorticity of a periodic velocity, or else one of them.

    Args:
        fields: The fields.
        boundary: Boundary condition of every axis.
        first: Position of the one to draw.

    Returns:
        What it is, and a function from fields of shape (channel, x, y) to the picture, of shape (x, y).
    """
    names = [field.name for field in fields]
    held = {field.name for field in fields if field.observed}
    if {"u", "v"} <= held and set(boundary) == {"periodic"}:
        pair = [names.index("u"), names.index("v")]
        return "vorticity", lambda values: vorticity(values[pair])
    field = fields[first]
    mean, std = field.mean or 0.0, field.std or 1.0
    if abs(mean) > 2 * std:  # on a scale about zero one would see its mean alone
        return f"{field.name} minus {mean:.4g}", lambda values: values[first] - mean
    return names[first], lambda values: values[first]


def forecast_gif(
    path: str | Path,
    times: Sequence[float] | Float[np.ndarray, " time"],
    forecast: Float[np.ndarray, "time channel x y"],
    truth: Float[np.ndarray, "time channel x y"],
    fields: Sequence[FieldSpec],
    boundary: Sequence[str],
) -> Path:
    """An animation of one forecast beside the truth and the error, where the truth is known (not NaN).

    Args:
        path: File to write, ``*.gif``.
        times: Time of every frame, shape (time,).
        forecast: Predicted fields.
        truth: True fields; NaN where they are not known.
        fields: What the channels are.
        boundary: Boundary condition of every axis.

    Returns:
        The path.
    """
    what, view = scalar_view(fields, boundary)
    columns = {f"{what}, forecast": np.stack([view(frame) for frame in forecast])}
    known = np.stack([view(frame) for frame in truth])
    ahead = columns[f"{what}, forecast"]
    if np.isfinite(known[1:] if len(times) > 1 else known).any():  # of a steady problem, the one frame is predicted
        columns = {"truth": known, **columns, "error": np.abs(ahead - known)}
    return rollout_gif(path, [float(time) for time in times], columns)


def rollout_gif(
    path: str | Path,
    times: Sequence[float],
    columns: Mapping[str, Float[np.ndarray, "time x y"]],
    *,
    error: str = "error",
    milliseconds: int = 350,
) -> Path:
    """An animation of fields side by side, all on one colour scale.

    Args:
        path: File to write, ``*.gif``.
        times: Time of every frame, shape (time,).
        columns: Fields by title, shape (time, x, y).
        error: Name of the column that holds absolute errors.
        milliseconds: How long a frame is shown; the last one stays three times as long.

    Returns:
        The path.
    """
    from PIL import Image

    frames = []
    scale = _largest(field for name, field in columns.items() if name != error)
    for k, time in enumerate(times):
        row = {name: field[k] for name, field in columns.items()}
        figure = field_table([row], error=error, title=f"t = {time:.2f}", scale=scale)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=90)
        frames.append(Image.open(buffer).convert("P", palette=Image.Palette.ADAPTIVE, colors=128))
    durations = [milliseconds] * (len(frames) - 1) + [3 * milliseconds]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return Path(path)
