"""How well sequences were learned: accuracy or relative error, by class, by length and under noise."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sciml.report import Report
from sciml.ssm import plots
from sciml.ssm.config import LABELS
from sciml.ssm.robustness import robustness_report

if TYPE_CHECKING:
    from models.sequence import SequenceLearning

_CLASSES_DRAWN = 30  # a confusion matrix of more cannot be read
_SHOWN = 3  # test sequences that are drawn


class Scores:
    """Collects what a network gets right, batch by batch.

    Args:
        task: ``classification`` or ``retrieval``: accuracy and cross entropy; ``regression`` or ``sequence``: the root
            mean square error over the standard deviation of the targets, per output, then averaged. 1 is the error of
            predicting the mean.
    """

    def __init__(self, task: str):
        self.classes = task in ("classification", "retrieval")
        self.logits: list[Tensor] = []  # classification: (batch, class)
        self.targets: list[Tensor] = []  # classification: (batch,)
        self.lengths: list[Tensor] = []  # classification: (batch,)
        self.moments = torch.zeros(())  # else: number, sum, sum of squares, sum of squared errors, (4, output)
        self.examples: list[tuple[np.ndarray, np.ndarray]] = []  # sequences: truth and prediction, (length, output)
        self.count = 0

    def add(self, outputs: Tensor, batch: dict[str, Tensor]) -> None:
        """Add the outputs for a batch of the datamodule."""
        outputs, target = outputs.detach().float().cpu(), batch["target"].cpu()
        lengths = batch["lengths"].cpu() if "lengths" in batch else None
        self.count += len(target)
        if self.classes:
            self.logits.append(outputs)
            self.targets.append(target)
            self.lengths.append(lengths if lengths is not None else torch.full_like(target, batch["inputs"].shape[1]))
            return
        if target.ndim == 3:
            ends = lengths.tolist() if lengths is not None else [target.shape[1]] * len(target)
            for k in range(min(_SHOWN - len(self.examples), len(target))):
                self.examples.append((target[k, : ends[k]].numpy(), outputs[k, : ends[k]].numpy()))
            if lengths is not None:
                valid = torch.arange(target.shape[1]) < lengths[:, None]
                outputs, target = outputs[valid], target[valid]
        outputs, target = outputs.flatten(0, -2).double(), target.flatten(0, -2).double()
        error = (outputs - target).square()
        self.moments = self.moments + torch.stack([torch.ones_like(error), target, target.square(), error]).sum(1)

    def summary(self) -> dict[str, float]:
        """``error``, the one number to make small, and what else there is to know."""
        if self.classes:
            logits, targets = torch.cat(self.logits), torch.cat(self.targets)
            accuracy = (logits.argmax(1) == targets).double().mean().item()
            return {
                "error": 1 - accuracy,
                "accuracy": accuracy,
                "cross_entropy": F.cross_entropy(logits, targets).item(),
            }
        number, total, squares, errors = self.moments
        relative = (errors / (squares - total.square() / number)).sqrt()
        return {"error": relative.mean().item(), "rmse": (errors / number).mean().sqrt().item()}

    def confusion(self) -> np.ndarray:
        """Fractions of each true class (row) by predicted class."""
        logits, targets = torch.cat(self.logits), torch.cat(self.targets)
        classes = logits.shape[1]
        counts = torch.bincount(targets * classes + logits.argmax(1), minlength=classes**2).view(classes, classes)
        return (counts / counts.sum(1, keepdim=True).clamp(min=1)).numpy()

    def by_length(self, parts: int = 4) -> list[tuple[str, int, float]]:
        """Range of lengths, number of sequences and accuracy, for equal parts of the sequences from short to long."""
        lengths = torch.cat(self.lengths)
        if (lengths == lengths[0]).all():
            return []
        right = torch.cat(self.logits).argmax(1) == torch.cat(self.targets)
        order = lengths.argsort(stable=True)
        cuts = [round(k * len(order) / parts) for k in range(parts + 1)]
        chosen = [order[a:b] for a, b in pairwise(cuts) if b > a]
        return [(f"{lengths[c[0]]} to {lengths[c[-1]]}", len(c), right[c].double().mean().item()) for c in chosen]


def label(module: SequenceLearning, name: str) -> str:
    """What a network is called: a rival by its name, the network itself by its layer."""
    return name or LABELS.get(module.net.config.layer, "network")  # type: ignore[union-attr]


def measure(scores: Scores) -> float:
    """Accuracy of classes, else the relative error."""
    summary = scores.summary()
    return summary["accuracy"] if scores.classes else summary["error"]


def headline(module: SequenceLearning) -> str:
    """The result of a run in one sentence."""
    if not module.scores or not module.scores[""].count:
        return "Nothing was tested."
    own = module.scores[""]
    what = "accuracy" if own.classes else "error relative to the spread of the targets"
    text = f"Test {what} of {label(module, '')}: {measure(own):.3f}"
    rivals = [f"{name} {measure(scores):.3f}" for name, scores in module.scores.items() if name]
    text += f" ({', '.join(rivals)})" if rivals else ""
    text += f", over {own.count} sequences."
    if module.noisy:
        found = [
            f"{label(module, name)} {measure(scores[1.0]):.3f}"
            for name, scores in module.noisy.items()
            if 1.0 in scores
        ]
        text += f" With noise at the critical frequency: {', '.join(found)}." if found else ""
    return text


def describe(module: SequenceLearning, report: Report) -> None:
    """Add tables and figures of the test to a report."""
    scores = {label(module, name): s for name, s in module.scores.items() if s.count}
    if not scores:
        return
    first = next(iter(scores.values()))
    report.section(
        "Test",
        "Cross entropy in nats."
        if first.classes
        else "Error: root mean square error over the standard deviation of "
        "the targets, averaged over the outputs; 1 is the error of predicting the mean.",
    )
    sizes = [sum(p.numel() for p in net.parameters()) for net in module.networks.values()]
    columns = ["network", *(name.replace("_", " ") for name in first.summary()), "parameters"]
    rows = [[name, *s.summary().values(), f"{size:,}"] for (name, s), size in zip(scores.items(), sizes, strict=True)]
    report.table(columns, rows)
    if first.classes:
        _describe_classes(module, scores, report)
    elif first.examples:
        figure = plots.signals([{"truth": t[:, 0], "prediction": p[:, 0]} for t, p in first.examples])
        report.figure("predictions", figure, f"First output of test sequences, predicted by {next(iter(scores))}.")
    if module.noisy:
        _describe_noise(module, report)
    report.section(
        "Gain of the first state-space layer", "Its output for a signal of one frequency and unit amplitude."
    )
    gain = robustness_report(module.tested.blocks[0].layer)  # type: ignore[index, union-attr]
    caption = (
        "After training; beside it, from the same time steps and outputs, HiPPO itself and S4D where that makes sense."
    )
    report.figure("gain", gain.figure(), caption)


def _describe_classes(module: SequenceLearning, scores: dict[str, Scores], report: Report) -> None:
    name, own = next(iter(scores.items()))
    confusion = own.confusion()
    if 2 < len(confusion) <= _CLASSES_DRAWN:
        classes = module.data.described.classes or range(len(confusion))
        figure = plots.confusion_matrix(confusion, [str(c) for c in classes])
        report.figure("confusion", figure, f"What {name} takes each class for, in percent of the class.")
    lengths = {name: s.by_length() for name, s in scores.items()}
    if lengths[name]:
        report.section("Accuracy by length")
        accuracies = zip(*([f"{a:.3f}" for *_, a in rows] for rows in lengths.values()), strict=True)
        rows = [[span, count, *values] for (span, count, _), values in zip(lengths[name], accuracies, strict=True)]
        report.table(["steps", "sequences", *lengths], rows)


def _describe_noise(module: SequenceLearning, report: Report) -> None:
    noise: Any = module.noise
    what = "accuracy" if module.scores[""].classes else "relative error"
    report.section(
        "Noise of one frequency",
        f"At test time, {noise.amplitude:g} U cos(w dt l) is added to the input of every state-space layer (U uniform "
        "in [0, 1) for each sequence and feature; dt: the learned time step). The critical frequency "
        f"w = {noise.critical:.5g} is where the gain of S4D with {noise.state} states is furthest from HiPPO's. "
        f"Over {module.noisy[''][0.0].count} test sequences.",
    )
    results = {label(module, name): {w: measure(s) for w, s in found.items()} for name, found in module.noisy.items()}
    frequencies = [w for w in next(iter(results.values())) if w]
    curves = {name: np.array([found[w] for w in frequencies]) for name, found in results.items()}
    figure = plots.noise_curves(
        np.array(frequencies) * noise.critical,
        curves,
        clean={name: found[0.0] for name, found in results.items()},
        critical=noise.critical,
        ylabel=what,
    )
    report.figure("noise", figure, f"Test {what} against the frequency of the noise; dotted: without noise.")
    rows = [[name, found[0.0], *(curves[name][i] for i in range(len(frequencies)))] for name, found in results.items()]
    report.table(["network", "no noise", *(f"w = {w * noise.critical:.4g}" for w in frequencies)], rows)
