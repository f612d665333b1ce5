"""What forecasts of whole trajectories got wrong: per method, lead time and channel group, in numbers and pictures."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml import plots
from sciml.metrics import BANDS, band_errors, energy_spectrum, nrmse, relative_error, vrmse
from sciml.report import Report

OWN = ("direct", "autoregressive")  # the forecasts of the network; all others are of rivals, or baselines
_SHOWN = 3  # test samples that are drawn


def rival_of(method: str) -> str:
    """Name of the rival network of whose forecasts this is one, or nothing."""
    name, _, way = method.rpartition(", ")
    return name if way in OWN else ""


def masked_error(
    prediction: Tensor, target: Tensor, *, slices: tuple[int, ...], mask: Tensor | None = None, p: int = 1
) -> Tensor:
    """Relative Lp error per sample and channel group over what counts; NaN for a group of which nothing does.

    Args:
        prediction: Predicted fields, shape (batch, channel, *space).
        target: True fields, same shape.
        slices: Boundaries of the channel groups.
        mask: True where nothing is to be compared, shape (batch, channel) or (batch, channel, *space).
        p: 1 or 2.

    Returns:
        Errors as fractions, shape (batch, group).
    """
    if mask is None:
        return relative_error(prediction, target, slices=slices, p=p)
    mask = _spread(mask, target)
    error = relative_error(prediction.masked_fill(mask, 0.0), target.masked_fill(mask, 0.0), slices=slices, p=p)
    silent = torch.stack([mask[:, a:b].flatten(1).all(1) for a, b in pairwise(slices)], dim=1)
    return error.masked_fill(silent, torch.nan)


class ForecastErrors:
    """Collects the errors of forecasts, sample by sample.

    Args:
        data: The datamodule, or one part of it.
        slices: Boundaries of the channel groups.
        part: Which part of the data is forecast, if there are several.
    """

    def __init__(self, data: Any, *, slices: tuple[int, ...], part: str = ""):
        self.part = part
        self.data = data
        self.slices = slices
        self.relative: dict[str, list[Tensor]] = {}  # normalised fields: (batch, time, group)
        self.physical: dict[str, list[Tensor]] = {}  # physical fields: (batch, time, group)
        self.squared: dict[str, list[Tensor]] = {}  # mean squared error in units: (batch, time, channel)
        self.more: dict[str, dict[str, list[Tensor]]] = {}  # other measures: (batch, time, channel or group)
        self.spectra: dict[str, Tensor] = {}  # energy at the last lead time, summed over samples: (channel, wavenumber)
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
        ends = zip(self.slices[:-1], self.slices[1:], strict=True)
        observed = [all(f.observed for f in self.data.fields_out[a:b]) for a, b in ends]
        return [i for i, held in enumerate(observed) if held]

    def add(self, method: str, errors: Tensor) -> None:
        """Add relative errors of shape (batch, time, group)."""
        self.relative.setdefault(method, []).append(errors.detach().cpu())

    def add_forecasts(self, batch: dict[str, Tensor], forecasts: dict[str, Tensor]) -> None:
        """Add normalised forecasts of shape (batch, time, channel, *space), and keep the first few to draw."""
        normaliser = self.data.normaliser_out
        targets, mask = batch["targets"], batch.get("mask")
        truth = normaliser.decode(targets.flatten(0, 1)).unflatten(0, targets.shape[:2])
        decoded = {}
        for name, forecast in forecasts.items():
            forecast = forecast.detach()
            decoded[name] = normaliser.decode(forecast.flatten(0, 1)).unflatten(0, targets.shape[:2])
            steps = range(targets.shape[1])
            masks = [None if mask is None else mask[:, k] for k in steps]
            errors = [masked_error(forecast[:, k], targets[:, k], slices=self.slices, mask=masks[k]) for k in steps]
            self.add(name, torch.stack(errors, dim=1))
            errors = [masked_error(decoded[name][:, k], truth[:, k], slices=self.slices, mask=masks[k]) for k in steps]
            self.physical.setdefault(name, []).append(torch.stack(errors, dim=1).cpu())
            self._measure(name, forecast, targets, decoded[name], truth, mask)
            squared = (decoded[name] - truth).square()
            if mask is not None:
                squared = squared.masked_fill(_spread(mask, squared), torch.nan)
            self.squared.setdefault(name, []).append(squared.flatten(3).nanmean(dim=3).cpu())
        if mask is not None and mask.ndim == targets.ndim:  # a body or land is left blank in the pictures
            blank = _spread(mask, targets)
            truth, decoded = (
                truth.masked_fill(blank, torch.nan),
                {name: forecast.masked_fill(blank, torch.nan) for name, forecast in decoded.items()},
            )
        initial = self.data.carried(batch["fields"])
        for k in range(min(_SHOWN - len(self.samples), len(targets))):
            sample = {name: forecast[k].cpu().numpy() for name, forecast in decoded.items()} | {
                "truth": truth[k].cpu().numpy()
            }
            if initial is not None:
                start = normaliser.decode(initial[k : k + 1])[0].cpu().numpy()
                sample["initial"] = np.where(np.isnan(sample["truth"][0]), np.nan, start)
            self.samples.append(sample)

    def _measure(
        self, name: str, forecast: Tensor, targets: Tensor, decoded: Tensor, truth: Tensor, mask: Tensor | None
    ) -> None:
        """Add the measures other than the relative L1 error, of fields of shape (batch, time, channel, *space)."""
        steps = range(targets.shape[1])
        masks = [None if mask is None else mask[:, k] for k in steps]
        errors = [masked_error(forecast[:, k], targets[:, k], slices=self.slices, mask=masks[k], p=2) for k in steps]
        found = {"relative L2": torch.stack(errors, dim=1)}
        if mask is not None:
            blank = _spread(mask, truth)
            truth, decoded = truth.masked_fill(blank, torch.nan), decoded.masked_fill(blank, torch.nan)
        flat, true = decoded.flatten(0, 1), truth.flatten(0, 1)
        found |= {what: f(flat, true).unflatten(0, truth.shape[:2]) for what, f in (("VRMSE", vrmse), ("nRMSE", nrmse))}
        if truth.ndim == 5:
            bands = band_errors(flat, true).unflatten(0, truth.shape[:2])
            found |= {f"nRMSE, {band}": bands[..., i] for i, band in enumerate(BANDS)}
            for whose, fields in ((name, decoded), ("truth", truth)):
                if whose != "truth" or name == self.methods[0]:
                    energy = energy_spectrum(fields[:, -1]).sum(0).cpu()
                    self.spectra[whose] = self.spectra.get(whose, torch.zeros_like(energy)) + energy
        for what, values in found.items():
            self.more.setdefault(name, {}).setdefault(what, []).append(values.cpu())

    def final(self, method: str) -> float:
        """Median over samples of the relative L1 error at the last lead time, averaged over the groups that count."""
        medians = torch.cat(self.relative[method])[:, -1].nanquantile(0.5, dim=0)
        scored = self.scored()
        return float(medians[scored].nanmean() if scored else medians.nanmean())

    def headline(self) -> str:
        """The result in one sentence."""
        if not self.relative:
            return "Nothing was tested."
        count = sum(len(e) for e in self.relative["direct"])
        names = " and ".join(self.groups[i] for i in self.scored()) or "all fields"
        when = "" if self.data.spec.steady else f" at t = {self.data.forecast_times[-1]:.2g}"
        text = f"{self.part}: " if self.part else ""
        text += f"Median relative L1 error of {names}{when}: {self.final('direct'):.3f}"
        if "autoregressive" in self.relative:
            text += f" (autoregressive {self.final('autoregressive'):.3f})"
        for name in self.methods:
            if name in OWN or name.endswith(f", {OWN[1]}"):
                continue
            rival = rival_of(name)
            whose = f"{rival}'s" if rival else f"the {name} forecast's"
            text += f", {self.final('direct') / self.final(name):.2f} of {whose} {self.final(name):.3f}"
        return f"{text}, over {count} test trajectories."


def describe(errors: ForecastErrors, report: Report) -> None:
    """Add tables and figures of the forecasts to a report."""
    if not errors.relative:
        return
    data, times = errors.data, list(errors.data.forecast_times)
    heading, prefix = (f"{errors.part}: ", f"{errors.part}_") if errors.part else ("", "")
    if errors.samples:
        _draw_samples(errors, report, times)
    if len(times) > 1:
        report.section(f"{heading}Error against lead time")
        for i in errors.scored() or range(len(errors.groups)):
            curves = {name: torch.cat(parts)[:, :, i].numpy() for name, parts in errors.relative.items()}
            figure = plots.error_curves(times, curves, ylabel=f"relative L1 error of {errors.groups[i]}")
            report.figure(
                f"{prefix}error_{errors.groups[i]}",
                figure,
                "Median over the test trajectories; the shaded band holds the middle half of them.",
            )
    report.section(
        f"{heading}Errors at the last lead time",
        "Relative L1: sum of |error| over sum of |truth|, per trajectory and group of channels; first on normalised "
        "fields, as the models see them, then on physical ones. RMSE in the unit of the field.",
    )
    rows, units = [], {f.group: f.unit for f in data.fields_out}
    for name in errors.methods:
        final, physical = torch.cat(errors.relative[name])[:, -1], torch.cat(errors.physical[name])[:, -1]
        squared = torch.cat(errors.squared[name])[:, -1]
        for i in errors.scored() or range(len(errors.groups)):
            e, a, b = final[:, i], errors.slices[i], errors.slices[i + 1]
            if e.isnan().all():
                continue
            rmse = squared[:, a:b].nanmean().sqrt().item()
            numbers = [
                e.quantile(0.5).item(),
                e.mean().item(),
                e.max().item(),
                physical[:, i].quantile(0.5).item(),
                rmse,
            ]
            rows.append([f"{name}, {errors.groups[i]}", *numbers, units[errors.groups[i]]])
    columns = ["forecast", "median", "mean", "worst", "median (physical)", "RMSE", "unit"]
    report.table(columns, rows)
    _more_measures(errors, report, heading, prefix)
    write_errors(errors, report.folder.parent / f"{prefix}forecast_errors.csv")


def _more_measures(errors: ForecastErrors, report: Report, heading: str, prefix: str) -> None:
    """A table of the other measures at the last lead time, and the energy spectra."""
    rows = []
    for name, measures in errors.more.items():
        finals = {what: torch.cat(parts)[:, -1].nanquantile(0.5, dim=0) for what, parts in measures.items()}
        for i in errors.scored() or range(len(errors.groups)):
            a, b = errors.slices[i], errors.slices[i + 1]
            numbers = [f[i].item() if what == "relative L2" else f[a:b].mean().item() for what, f in finals.items()]
            rows.append([f"{name}, {errors.groups[i]}", *numbers])
    if not rows:
        return
    waves = ", ".join(f"{n} {a} to {b}" if b else f"{n} from {a} on" for n, (a, b) in BANDS.items())
    report.section(
        f"{heading}Other measures at the last lead time",
        "Medians over the trajectories. VRMSE: error over the spread of the truth (1 for its mean); nRMSE: over its "
        f"root mean square, and how much of it lies in which band of wavenumbers ({waves}). Bands and spectra take the "
        "domain as periodic.",
    )
    report.table(["forecast", *next(iter(errors.more.values()))], rows)
    fields = errors.data.fields_out
    for i in (errors.scored() or range(len(errors.groups))) if errors.spectra else ():
        a, b = errors.slices[i], errors.slices[i + 1]
        curves = {whose: energy[a:b].sum(0).numpy() for whose, energy in errors.spectra.items()}
        shown = {whose: curves[whose] for whose in ("truth", *errors.methods) if np.isfinite(curves[whose]).all()}
        if len(shown) > 1:
            figure = plots.spectra(shown, ylabel=f"energy of {fields[a].group}")
            report.figure(
                f"{prefix}spectrum_{errors.groups[i]}",
                figure,
                "Energy by wavenumber at the last lead time, over all test trajectories: what forecasts smooth away.",
            )


def write_errors(errors: ForecastErrors, path: Path) -> None:
    """Write every measure of every forecast, lead time and group or channel, over the test trajectories, as CSV."""
    fields, times = errors.data.fields_out, list(errors.data.forecast_times)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["forecast", "measure", "lead_time", "of", "median", "mean", "worst"])
        for name in errors.methods:
            measures = {"relative L1": errors.relative[name], "relative L1, physical": errors.physical[name]}
            for what, parts in (measures | errors.more.get(name, {})).items():
                values = torch.cat(parts).double()
                whole = what.startswith("relative")
                for k, time in enumerate(times):
                    for i, of in enumerate(errors.groups if whole else [f.name for f in fields]):
                        column = values[:, k, i]
                        column = column[~column.isnan()]
                        if len(column):
                            numbers = column.quantile(0.5).item(), column.mean().item(), column.max().item()
                            writer.writerow([name, what, f"{time:.6g}", of, *(f"{n:.6g}" for n in numbers)])


def _draw_samples(errors: ForecastErrors, report: Report, times: list[float]) -> None:
    heading, prefix = (f"{errors.part}: ", f"{errors.part}_") if errors.part else ("", "")
    report.section(f"{heading}Forecasts")
    what, view = _scalar(errors)
    best = min((name for name in errors.methods if name in OWN), key=errors.final)
    rival = min((name for name in errors.methods if rival_of(name)), key=errors.final, default="")
    rows, last, when = [], len(times) - 1, f", t = {times[-1]:.2g}" if len(times) > 1 else ""
    for sample in errors.samples:
        truth, forecast = view(sample["truth"][last]), view(sample[best][last])
        row = {"t = 0": view(sample["initial"])} if "initial" in sample else {}
        row |= {f"truth{when}": truth, f"forecast{when}": forecast}
        if rival:
            row[rival_of(rival)] = view(sample[rival][last])
        rows.append(row | {"error": np.abs(forecast - truth)})
    caption = f"{what.capitalize()} of test trajectories: start, truth, {best} forecast, absolute error."
    report.figure(f"{prefix}forecasts", plots.field_table(rows), caption)
    if len(times) > 1 and "initial" in errors.samples[0]:
        sample = errors.samples[0]
        truth = np.stack([view(sample["initial"]), *map(view, sample["truth"])])
        forecast = np.stack([view(sample["initial"]), *map(view, sample[best])])
        columns = {"truth": truth, f"{best} forecast": forecast, "error": np.abs(forecast - truth)}
        report.folder.mkdir(parents=True, exist_ok=True)
        path = plots.rollout_gif(report.folder / f"{prefix}rollout.gif", [0.0, *times], columns)
        report.figure(f"{prefix}rollout", path, f"{what.capitalize()} of one test trajectory, {best} forecast.")


def _scalar(errors: ForecastErrors) -> tuple[str, Any]:
    """What to draw: the vorticity of a velocity, or else the first field that counts."""
    first = errors.slices[(errors.scored() or [0])[0]]
    return plots.scalar_view(errors.data.fields_out, errors.data.spec.boundary, first=first)


def _spread(mask: Tensor, fields: Tensor) -> Tensor:
    """A mask of whole channels, or of points, as one of points."""
    return mask.reshape(*mask.shape, *[1] * (fields.ndim - mask.ndim)).expand_as(fields)
