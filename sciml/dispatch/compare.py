"""Costs of policies on the same scenarios, compared scenario by scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.dispatch.program import Array
from sciml.dispatch.results import violation_share
from sciml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from xarray import Dataset

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Row:
    """A policy against the reference; intervals are mean +- half of their width.

    Attributes:
        name: Of the policy.
        scenarios: N.
        cost: Mean operating cost, $.
        cost_half: Half of its 95 % interval, $.
        difference: Mean of its cost less the reference's, $; below 0: it is cheaper.
        difference_half: Half of its 95 % t-interval, $: paired, so that what all policies suffer alike drops out.
        percent, percent_half: The same in % of the reference's mean cost.
        wins: Scenarios in which it is cheaper than the reference.
        violation_share: Penalties as part of penalties and cost; above 0.05 the cost is not to be trusted.
    """

    name: str
    scenarios: int
    cost: float
    cost_half: float
    difference: float
    difference_half: float
    percent: float
    percent_half: float
    wins: int
    violation_share: float


@dataclass(frozen=True)
class Comparison:
    """Policies against a reference; ``print`` shows it as a table.

    Attributes:
        reference: Name of the reference.
        network: In which all were judged.
        rows: One a policy, the reference first.
        differences: $, (scenario,), cost less the reference's, by name of the policy.
    """

    reference: str
    network: str
    rows: tuple[Row, ...]
    differences: Mapping[str, Array]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"reference": self.reference, "network": self.network, "rows": [asdict(row) for row in self.rows]}

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Header and rows as text, for reports."""
        head = ("policy", "cost / $", "difference / $", "difference / %", "cheaper in", "penalties")
        lines = []
        for row in self.rows:
            apart = ("-", "-", "-")
            if row.name != self.reference:
                apart = (
                    f"{row.difference:+,.1f} ± {row.difference_half:,.1f}",
                    f"{row.percent:+.3f} ± {row.percent_half:.3f}",
                    f"{row.wins} of {row.scenarios}",
                )
            cost = f"{row.cost:,.1f} ± {row.cost_half:,.1f}"
            lines.append((row.name, cost, *apart, f"{row.violation_share:.2%}"))
        return head, lines

    def __str__(self) -> str:
        head, lines = self.table()
        widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]

        def text(cells: tuple[str, ...]) -> str:
            numbers = (f"{cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=True))
            return "  ".join((f"{cells[0]:<{widths[0]}}", *numbers))

        scenarios = self.rows[0].scenarios
        title = f"against {self.reference}, network {self.network}, {scenarios} paired scenarios, 95 % intervals"
        return "\n".join([title, text(head), *map(text, lines)])


def compare(results: Mapping[str, Dataset], reference: str | None = None) -> Comparison:
    """Compare costs on the same scenarios.

    The interval of a mean of N differences d is mean(d) +- t_{N-1, 0.975} sd(d) / sqrt(N).

    Args:
        results: Of ``simulate``, by name: the same network, inflows and initial volumes in all.
        reference: What the others are compared with; None: the first one.

    Raises:
        ConfigError: the reference is not among the results, or there are fewer than two scenarios.
        DataError: the results are of different cases, networks, inflows or volumes.
    """
    from scipy.stats import t

    if not results:
        raise ConfigError("no results came; a mapping from names to what simulate() gave is expected.")
    reference = next(iter(results)) if reference is None else reference
    if reference not in results:
        raise ConfigError(f"reference is {reference!r}; one of {', '.join(map(repr, results))} is expected.")
    against = results[reference]
    scenarios = against.sizes["scenario"]
    if scenarios < 2:
        raise ConfigError("one scenario came; an interval needs two or more.")
    for name, other in results.items():
        _check_same(name, other, reference, against)
    costs = {name: dataset.cost.sum("stage").values for name, dataset in results.items()}
    mean = float(costs[reference].mean())
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, scenarios - 1))

    def half(values: Array) -> float:
        return quantile * float(values.std(ddof=1)) / scenarios**0.5

    rows, differences = [], {}
    for name in (reference, *(name for name in results if name != reference)):
        d = differences[name] = costs[name] - costs[reference]
        rows.append(
            Row(
                name=name,
                scenarios=scenarios,
                cost=float(costs[name].mean()),
                cost_half=half(costs[name]),
                difference=float(d.mean()),
                difference_half=half(d),
                percent=100 * float(d.mean()) / mean,
                percent_half=100 * half(d) / mean,
                wins=int((d < 0).sum()),
                violation_share=violation_share(results[name]),
            )
        )
    return Comparison(reference, against.attrs["network"], tuple(rows), differences)


def _check_same(name: str, other: Dataset, reference: str, against: Dataset) -> None:
    for key in ("case", "network"):
        if other.attrs[key] != against.attrs[key]:
            raise DataError(
                f"{name!r} was simulated with {key} {other.attrs[key]!r} and {reference!r} with "
                f"{against.attrs[key]!r}; only costs in the same one are compared. Simulate both in one."
            )
    for key, text in (("inflow", "inflows"), ("initial_volume", "initial volumes"), ("demand", "loads")):
        mine, theirs = other[key], against[key]
        if mine.shape != theirs.shape:
            sizes = (", ".join(f"{n} {d}s" for d, n in v.sizes.items()) for v in (mine, theirs))
            raise DataError(
                f"{name!r} and {reference!r} have different {text}: {' against '.join(sizes)}. Simulate both on the "
                "same ones."
            )
        apart = np.abs(mine.values - theirs.values)
        if apart.max(initial=0.0) > 0:
            at = dict(zip(mine.dims, np.unravel_index(np.argmax(apart), apart.shape), strict=True))
            place = ", ".join(f"{dim} {mine[dim].values[i]}" for dim, i in at.items())
            raise DataError(
                f"{name!r} and {reference!r} have different {text}, by {apart.max():.3g} {mine.attrs['units']} at "
                f"{place}; a paired comparison needs the same. Simulate both on one array of inflows."
            )
