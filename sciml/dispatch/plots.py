"""Pictures of simulated policies and of how they were found. Every function returns one figure."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from sciml.dispatch.compare import Comparison
from sciml.plots import COLOURS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from xarray import Dataset

    from sciml.dispatch.sddp import Estimate, Iteration

_BLUE, _RED, _GREEN, _GREY = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[4]
_HYDRO, _DEFICIT, _DEMAND = "#2b6cb0", "#c53030", "#1a202c"
_FUELS = ("#fbd38d", "#ed8936", "#c05621", "#7b341e", "#4a2511")  # cheap to dear
_BANDS = ((0.05, 0.95, 0.15), (0.25, 0.75, 0.25))  # from, to, opacity
_MOST = 6  # plants that a figure shows
_VISIBLE = 2e-3  # part of the demand that can be seen
_FAR = 1.5  # times the lowest mean cost: what is further right would squeeze all others
_BESIDE: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
P = ParamSpec("P")


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the style of this package."""

    @functools.wraps(draw)
    def styled(*arguments: P.args, **settings: P.kwargs) -> Figure:
        import matplotlib as mpl

        with mpl.rc_context(STYLE):
            return draw(*arguments, **settings)

    return styled


@_styled
def storage_fan(results: Dataset, *, against: Dataset | None = None, plants: Sequence[str] | None = None) -> Figure:
    """Stored water of each plant: median, the middle half and 90 % of the scenarios, and the limits.

    Args:
        results: Of ``simulate``.
        against: Another policy's, whose median is drawn.
        plants: Which; None: the largest reservoirs, six at most.
    """
    names = _largest_stores(results) if plants is None else list(plants)
    columns = min(len(names), 2 if len(names) <= 4 else 3)
    rows = -(-len(names) // columns)
    figure = _figure((3.3 * columns + 0.4, 2.1 * rows + 0.4))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    stages = np.append(0, results.stage.values)
    for axes, name in zip(panels, names, strict=False):
        plant = {"plant": name}
        volume = np.vstack([results.initial_volume.sel(plant), results.volume.sel(plant)])
        _fan(axes, stages, volume, _BLUE, results.attrs["policy"])
        if against is not None:
            other = np.vstack([against.initial_volume.sel(plant), against.volume.sel(plant)])
            axes.plot(
                stages, np.median(other, axis=1), color=_RED, linewidth=1.2, label=f"{against.attrs['policy']}, median"
            )
        low, high = float(results.volume_min.sel(plant)), float(results.volume_max.sel(plant))
        for limit in (low, high):
            axes.axhline(limit, color=_DEMAND, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set(title=name, xlim=(0, stages[-1]), ylim=(low - 0.04 * (high - low), high + 0.06 * (high - low)))
        axes.yaxis.set_major_locator(_locator(4))
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    figure.supxlabel(_clock(results), fontsize=9)
    figure.supylabel("stored water / hm3", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


@_styled
def generation_mix(results: Dataset) -> Figure:
    """Mean generation, stacked from cheap to dear, with load that is not served on top, against the demand.

    Args:
        results: Of ``simulate``.
    """
    figure = _figure((7.2, 3.4))
    axes = figure.subplots()
    stages = results.stage.values
    layers: dict[str, tuple[np.ndarray, str]] = {"hydro": (_mean(results.hydro), _HYDRO)}
    for (label, units), colour in zip(_groups(results), _FUELS, strict=False):
        layers[label] = (_mean(results.thermal.isel(unit=units)), colour)
    deficit, demand = _mean(results.deficit), results.demand.sum("bus").values
    if (deficit > _VISIBLE * demand).any():
        layers["not served"] = (deficit, _DEFICIT)
    # Each stage is a step of its own: nothing is known between two of them.
    edges = np.append(stages - 0.5, stages[-1] + 0.5)
    base = np.zeros(len(stages))
    for label, (values, colour) in layers.items():
        axes.stairs(base + values, edges, baseline=base, fill=True, color=colour, label=label, linewidth=0)
        base = base + values
    axes.stairs(demand, edges, baseline=None, color=_DEMAND, linewidth=1.4, label="demand")
    axes.set(xlabel=_clock(results), ylabel="mean power / MW", xlim=(edges[0], edges[-1]), ylim=(0, 1.08 * base.max()))
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], **_BESIDE)
    axes.set_title(results.attrs["title"], loc="left")
    return figure


@_styled
def prices_and_water_values(results: Dataset, *, plants: Sequence[str] | None = None) -> Figure:
    """Marginal price of load, and what one hm3 more in a reservoir is worth.

    Args:
        results: Of ``simulate``.
        plants: Whose water; None: the largest reservoirs, six at most.
    """
    figure = _figure((7.2, 4.6))
    above, below = figure.subplots(2, 1, sharex=True)
    stages = results.stage.values
    weights = results.demand / results.demand.sum("bus")
    price = (results.price * weights).sum("bus").transpose("stage", "scenario").values
    _fan(above, stages, price, _RED, "load-weighted mean of the buses")
    above.set(ylabel="price / ($/MWh)", title=results.attrs["title"])
    above.title.set_ha("left")
    above.title.set_x(0)
    above.set_ylim(*_room(np.quantile(price, [0.05, 0.95], axis=1)))
    above.legend(**_BESIDE)
    names = _largest_stores(results) if plants is None else list(plants)
    middles = []
    for colour, name in zip(COLOURS, names, strict=False):
        values = results.water_value.sel(plant=name).values
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=1)
        below.fill_between(stages, low, high, color=colour, alpha=0.12, linewidth=0)
        below.plot(stages, middle, color=colour, linewidth=1.4, label=name)
        middles += [low, high]
    below.set(xlabel=_clock(results), ylabel="water value / ($/hm3)", xlim=(stages[0], stages[-1]))
    below.set_ylim(*_room(np.array(middles)))
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.legend(**_BESIDE, title="median, middle half")
    return figure


@_styled
def cost_distribution(results: Mapping[str, Dataset]) -> Figure:
    """Share of the scenarios that cost no more than so much, one curve a policy; a dot is the mean.

    Policies that cost more than half again as much as the cheapest are only in the legend.

    Args:
        results: Of ``simulate``, by name.
    """
    figure = _figure((7.2, 3.3))
    axes = figure.subplots()
    costs = {name: np.sort(dataset.cost.sum("stage").values) for name, dataset in results.items()}
    right = _FAR * min(cost.mean() for cost in costs.values())
    for colour, (name, cost) in zip(_cycle(len(costs)), costs.items(), strict=True):
        label = f"{name}, mean {cost.mean():,.0f}"
        if cost.mean() > right:
            axes.plot([], [], color=colour, label=f"{label} (not shown)")
            continue
        share = np.arange(1, len(cost) + 1) / len(cost)
        axes.step(cost, share, where="post", color=colour, linewidth=1.4, label=label)
        axes.plot(cost.mean(), (cost <= cost.mean()).mean(), "o", color=colour, markersize=5)
    axes.set(xlabel="operating cost of all stages / $", ylabel="share of scenarios", ylim=(0, 1.02))
    axes.xaxis.set_major_locator(_locator(6))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter(_percent())
    axes.legend(**_BESIDE)
    return figure


@_styled
def paired_comparison(comparison: Comparison) -> Figure:
    """Differences to the reference in percent: every scenario as a point, the mean with its 95 % interval.

    Args:
        comparison: Of ``compare``.
    """
    rows = [row for row in comparison.rows if row.name != comparison.reference]
    figure = _figure((7.2, 0.62 * len(rows) + 1.3))
    axes = figure.subplots()
    mean = next(row.cost for row in comparison.rows if row.name == comparison.reference)
    rng = np.random.default_rng(0)
    axes.axvline(0, color=_DEMAND, linewidth=0.9)
    # The reference comes last in other figures, so that the others have the same colours in all.
    for place, (colour, row) in enumerate(zip(_cycle(len(rows)), rows, strict=True)):
        each = 100 * comparison.differences[row.name] / mean
        axes.plot(each, place + rng.uniform(-0.22, 0.22, len(each)), ".", color=colour, alpha=0.35, markersize=5, mew=0)
        axes.errorbar(row.percent, place, xerr=row.percent_half, fmt="o", color=colour, capsize=8, ms=4, elinewidth=2)
        text = f"{row.percent:+.2f} % ± {row.percent_half:.2f}, cheaper in {row.wins} of {row.scenarios}"
        axes.annotate(
            text, (1.02, place), xycoords=("axes fraction", "data"), va="center", color=colour, annotation_clip=False
        )
    everything = np.concatenate([100 * comparison.differences[row.name] / mean for row in rows])
    axes.set_xlim(*_room(np.append(np.quantile(everything, [0.01, 0.99]), 0)))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"cost less that of {comparison.reference}, % of its mean")
    title = f"network {comparison.network}, {rows[0].scenarios} paired scenarios (points), mean with 95 % interval"
    axes.set_title(title, loc="left")
    return figure


@_styled
def training_curves(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    bound: tuple[Sequence[float], Sequence[float]] | float | None = None,
    references: Mapping[str, float] | None = None,
    ylabel: str = "mean cost of held-out scenarios / $",
) -> Figure:
    """Cost against CPU seconds, down to what cannot be beaten.

    Args:
        curves: CPU seconds and cost by name.
        bound: SDDP's lower bound: a number, or CPU seconds and values while it rose.
        references: Costs of other policies by name, drawn as lines.
        ylabel: Which cost.
    """
    figure = _figure((6.4, 3.5))
    axes = figure.subplots()
    for colour, (name, (seconds, cost)) in zip(COLOURS, curves.items(), strict=False):
        axes.plot(seconds, cost, color=colour, marker="o", markersize=3, linewidth=1.3, label=name)
    for line, (name, value) in zip(((0, (5, 2)), (0, (2, 2)), (0, (1, 1))), (references or {}).items(), strict=False):
        axes.axhline(value, color=_GREY, linewidth=1.1, linestyle=line, label=f"{name}, {value:,.0f}")
    floor = [*(references or {}).values()]
    if isinstance(bound, tuple):
        seconds, values = bound
        axes.plot(seconds, values, color=_DEMAND, linewidth=1.3, label=f"SDDP's lower bound, {max(values):,.0f}")
        floor.append(max(values))
    elif bound is not None:
        axes.axhline(bound, color=_DEMAND, linewidth=1.3, label=f"SDDP's lower bound, {bound:,.0f}")
        floor.append(bound)
    # Where the curves end is what matters; how bad an untrained rule is does not.
    last = [cost[-1] for _, cost in curves.values()]
    low, high = min(*last, *floor), max(*last, *floor)
    started = max(max(cost) for _, cost in curves.values())
    high = min(started, low + 3 * (high - low)) if high > low else started
    axes.set(xscale="log", xlabel="CPU time / s", ylabel=ylabel, ylim=_room(np.array([low, high])))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend()
    return figure


@_styled
def sddp_convergence(history: Sequence[Iteration], *, estimate: Estimate | None = None) -> Figure:
    """Lower bound and costs of the forward passes against iterations, and the gap to the simulated cost.

    Args:
        history: ``SDDP.history``.
        estimate: Cost of simulated scenarios, ``SDDP.estimate(n)``: drawn as a band.
    """
    figure = _figure((8.4 if estimate else 5.6, 3.2))
    left, *right = figure.subplots(1, 2 if estimate else 1, squeeze=False)[0]
    iterations = np.array([record.iteration for record in history])
    bound = np.array([record.bound for record in history])
    cost = np.array([record.cost for record in history])
    window = max(len(cost) // 10, 1)
    left.plot(iterations, cost, ".", color=_RED, alpha=0.5, markersize=5, mew=0, label="cost of a forward pass")
    if len(cost) > 2 * window > 2:
        finite = np.where(np.isfinite(cost), cost, np.nanmean(cost))
        smooth = np.convolve(finite, np.ones(window) / window, "valid")
        left.plot(iterations[window - 1 :], smooth, color=_RED, label=f"mean of {window} passes")
    if estimate is not None:
        low, high = estimate.mean - estimate.half_width, estimate.mean + estimate.half_width
        left.axhspan(low, high, color=_GREEN, alpha=0.2, linewidth=0, label="simulated cost, 95 % interval")
        left.axhline(estimate.mean, color=_GREEN, linewidth=1)
    left.plot(iterations, bound, color=_BLUE, linewidth=1.8, label="lower bound")
    settled = cost[len(cost) // 4 :]
    top = np.nanquantile(settled, 0.98)
    bottom = min(np.nanquantile(settled, 0.02), bound[len(bound) // 4])
    left.set(xlabel="iteration", ylabel="cost of all stages / $", xlim=(0, iterations[-1]))
    left.set_ylim(*_room(np.array([bottom, top]), 0.15))
    left.yaxis.set_major_formatter("{x:,.0f}")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    if estimate is not None:
        gap, half = (100 * x / estimate.mean for x in (estimate.mean - bound, estimate.half_width))
        [axes] = right
        axes.semilogy(
            [record.seconds for record in history], np.maximum(gap, 1e-3), color=_BLUE, label="gap of the bound"
        )
        axes.axhline(half, color=_GREEN, linestyle=":", label=f"95 % interval of the simulated cost, ± {half:.2g} %")
        axes.set(xlabel="CPU time / s", ylabel="% of the simulated cost")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=size)


def _fan(axes: Axes, x: np.ndarray, values: np.ndarray, colour: str, label: str) -> None:
    """Median and bands of values (x, scenario)."""
    for low, high, opacity in _BANDS:
        between = np.quantile(values, [low, high], axis=1)
        text = f"{round(100 * (high - low))} % of the scenarios"
        axes.fill_between(x, *between, color=colour, alpha=opacity, linewidth=0, label=text)
    axes.plot(x, np.median(values, axis=1), color=colour, linewidth=1.6, label=f"{label}, median")


def _largest_stores(results: Dataset) -> list[str]:
    """Names of the plants with the most storage, in the order of the case."""
    size = results.volume_max.values
    kept = np.sort(np.argsort(-size, kind="stable")[: min(_MOST, max(1, int((size > 0).sum())))])
    return results.plant.values[kept].tolist()


def _groups(results: Dataset) -> list[tuple[str, list[int]]]:
    """Thermal units that run, by cost, in at most as many groups as there are colours: label and indices."""
    cost = results.thermal_cost.values
    runs = results.thermal.mean("scenario").max("stage").values > _VISIBLE * results.demand.sum("bus").values.max()
    # The others are in the group of their cost, too small to be seen.
    order = np.argsort(cost, kind="stable")
    edges = np.array_split(order[runs[order]], min(max(int(runs.sum()), 1), len(_FUELS)))
    last = [order.tolist().index(part[-1]) for part in edges[:-1]]
    groups = []
    for part in np.split(order, [place + 1 for place in last]):
        shown = cost[part][runs[part]] if runs[part].any() else cost[part]
        low, high = shown.min(), shown.max()
        label = f"{low:.0f}" if round(low) == round(high) else f"{low:.0f} to {high:.0f}"
        groups.append((f"thermal, {label} $/MWh", part.tolist()))
    return groups


def _mean(values: Any) -> np.ndarray:
    """Mean over the scenarios of the sum over units, plants or buses, (stage,)."""
    rest = [dim for dim in values.dims if dim not in ("stage", "scenario")]
    return values.sum(rest).mean("scenario").values.clip(0)


def _clock(results: Dataset) -> str:
    hours = results.attrs["stage_hours"]
    return {1: "hour", 24: "day", 168: "week", 720: "month", 730: "month"}.get(round(hours), f"stage of {hours:g} h")


def _cycle(number: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(number)]


def _room(values: np.ndarray, share: float = 0.06) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = share * (high - low) or 1.0
    return low - margin, high + margin


def _locator(most: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most)


def _percent() -> Any:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1.0)
