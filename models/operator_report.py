"""What forecasts of whole trajectories got wrong: per method, lead time and channel group, in numbers and pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml import plots
from sciml.metrics import relative_error
from sciml.report import Report

_SHOWN = 3  # test samples that are drawn


class ForecastErrors:
    """Collects the errors of forecasts, sample by sample.

    Args:
        data: The datamodule; without it only ``add`` and ``final`` work.
        slices: Boundaries of the channel groups.
    """

    def __init__(self, data: Any = None, slices: tuple[int, ...] = ()):
        self.data = data
        self.slices = slices
        self.relative: dict[str, list[Tensor]] = {}  # normalised fields: (batch, time, group)
        self.physical: dict[str, list[Tensor]] = {}  # physical fields: (batch, time, group)
        self.squared: dict[str, list[Tensor]] = {}  # mean squared error in units: (batch, time, channel)
        self.samples: list[dict[str, np.ndarray]] = []

    @property
    def methods(self) -> list[str]:
        """Names of the forecasts that were added."""
        return list(self.relative)

    @property
    def groups(self) -> list[str]:
        """Names of the channel groups."""
        return [self.data.fields_out[a].group for a in self.slices[:-1]]

    def scored(self) -> list[int]:
        """Groups that count: those the file holds, not the ones that a reader makes up."""
        if self.data is None:
            return []
        ends = zip(self.slices[:-1], self.slices[1:], strict=True)
        observed = [all(f.observed for f in self.data.fields_out[a:b]) for a, b in ends]
        return [i for i, held in enumerate(observed) if held]

    def add(self, method: str, errors: Tensor) -> None:
        """Add relative errors of shape (batch, time, group)."""
        self.relative.setdefault(method, []).append(errors.detach().cpu())

    def add_forecasts(self, batch: dict[str, Tensor], forecasts: dict[str, Tensor]) -> None:
        """Add normalised forecasts of shape (batch, time, channel, *space), and keep the first few to draw."""
        normaliser = self.data.normaliser_out
        targets = batch["targets"]
        truth = normaliser.decode(targets.flatten(0, 1)).unflatten(0, targets.shape[:2])
        decoded = {}
        for name, forecast in forecasts.items():
            forecast = forecast.detach()
            decoded[name] = normaliser.decode(forecast.flatten(0, 1)).unflatten(0, targets.shape[:2])
            steps = range(targets.shape[1])
            errors = [relative_error(forecast[:, k], targets[:, k], slices=self.slices) for k in steps]
            self.add(name, torch.stack(errors, dim=1))
            errors = [relative_error(decoded[name][:, k], truth[:, k], slices=self.slices) for k in steps]
            self.physical.setdefault(name, []).append(torch.stack(errors, dim=1).cpu())
            squared = (decoded[name] - truth).square().flatten(3).mean(dim=3)
            self.squared.setdefault(name, []).append(squared.cpu())
        initial = self.data.carried(batch["fields"])
        for k in range(min(_SHOWN - len(self.samples), len(targets))):
            sample = {name: forecast[k].cpu().numpy() for name, forecast in decoded.items()} | {
                "truth": truth[k].cpu().numpy()
            }
            if initial is not None:
                sample["initial"] = normaliser.decode(initial[k : k + 1])[0].cpu().numpy()
            self.samples.append(sample)

    def final(self, method: str) -> float:
        """Median over samples of the relative L1 error at the last lead time, averaged over the groups that count."""
        medians = torch.cat(self.relative[method])[:, -1].quantile(0.5, dim=0)
        scored = self.scored()
        return float(medians[scored].mean() if scored else medians.mean())

    def headline(self) -> str:
        """The result in one sentence."""
        if not self.relative or self.data is None:
            return "Nothing was tested."
        count = sum(len(e) for e in self.relative["direct"])
        names = " and ".join(self.groups[i] for i in self.scored()) or "all fields"
        when = "" if self.data.spec.steady else f" at t = {self.data.forecast_times[-1]:.2g}"
        text = f"Median relative L1 error of {names}{when}: {self.final('direct'):.3f}"
        if "autoregressive" in self.relative:
            text += f" (autoregressive {self.final('autoregressive'):.3f})"
        if "persistence" in self.relative:
            ratio = self.final("direct") / self.final("persistence")
            text += f", {ratio:.2f} of the persistence forecast's {self.final('persistence'):.3f}"
        return f"{text}, over {count} test trajectories."


def describe(errors: ForecastErrors, report: Report) -> None:
    """Add tables and figures of the forecasts to a report."""
    if not errors.relative or errors.data is None:
        return
    data, times = errors.data, list(errors.data.forecast_times)
    if errors.samples:
        _draw_samples(errors, report, times)
    if len(times) > 1:
        report.section("Error against lead time")
        for i in errors.scored() or range(len(errors.groups)):
            curves = {name: torch.cat(parts)[:, :, i].numpy() for name, parts in errors.relative.items()}
            figure = plots.error_curves(times, curves, ylabel=f"relative L1 error of {errors.groups[i]}")
            report.figure(
                f"error_{errors.groups[i]}",
                figure,
                "Median over the test trajectories; the shaded band holds the middle half of them.",
            )
    report.section(
        "Errors at the last lead time",
        "Relative L1: sum of |error| over sum of |truth|, per trajectory and group of channels; first on normalised "
        "fields, as the models see them, then on physical ones. RMSE in the unit of the field.",
    )
    rows, units = [], {f.group: f.unit for f in data.fields_out}
    for name in errors.methods:
        final, physical = torch.cat(errors.relative[name])[:, -1], torch.cat(errors.physical[name])[:, -1]
        squared = torch.cat(errors.squared[name])[:, -1]
        for i, group in enumerate(errors.groups):
            e, a, b = final[:, i], errors.slices[i], errors.slices[i + 1]
            rmse = squared[:, a:b].mean().sqrt().item()
            made_up = "" if i in errors.scored() else " (not in the file)"
            numbers = [
                e.quantile(0.5).item(),
                e.mean().item(),
                e.max().item(),
                physical[:, i].quantile(0.5).item(),
                rmse,
            ]
            rows.append([f"{name}, {group}{made_up}", *numbers, units[group]])
    columns = ["forecast", "median", "mean", "worst", "median (physical)", "RMSE", "unit"]
    report.table(columns, rows)


def _draw_samples(errors: ForecastErrors, report: Report, times: list[float]) -> None:
    report.section("Forecasts")
    what, view = _scalar(errors)
    best = min((name for name in errors.methods if name != "persistence"), key=errors.final)
    rows, last, when = [], len(times) - 1, f", t = {times[-1]:.2g}" if len(times) > 1 else ""
    for sample in errors.samples:
        truth, forecast = view(sample["truth"][last]), view(sample[best][last])
        row = {"t = 0": view(sample["initial"])} if "initial" in sample else {}
        row |= {f"truth{when}": truth, f"forecast{when}": forecast}
        rows.append(row | {"error": np.abs(forecast - truth)})
    caption = f"{what.capitalize()} of test trajectories: start, truth, {best} forecast, absolute error."
    report.figure("forecasts", plots.field_table(rows), caption)
    if len(times) > 1 and "initial" in errors.samples[0]:
        sample = errors.samples[0]
        truth = np.stack([view(sample["initial"]), *map(view, sample["truth"])])
        forecast = np.stack([view(sample["initial"]), *map(view, sample[best])])
        columns = {"truth": truth, f"{best} forecast": forecast, "error": np.abs(forecast - truth)}
        report.folder.mkdir(parents=True, exist_ok=True)
        path = plots.rollout_gif(report.folder / "rollout.gif", [0.0, *times], columns)
        report.figure("rollout", path, f"{what.capitalize()} of one test trajectory, {best} forecast.")


def _scalar(errors: ForecastErrors) -> tuple[str, Any]:
    """What to draw: the vorticity of a velocity, or else the first field that counts."""
    names = [f.name for f in errors.data.fields_out]
    if {"u", "v"} <= set(names) and set(errors.data.spec.boundary) == {"periodic"}:
        pair = [names.index("u"), names.index("v")]
        return "vorticity", lambda fields: plots.vorticity(fields[pair])
    first = errors.slices[(errors.scored() or [0])[0]]
    return names[first], lambda fields: fields[first]
