"""Plots of an evaluation as PNG files: confusion matrix, reliability diagram, ROC curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from kerasft.evaluation.figures import BLUE, GREY, ORANGE, PALE, new_figure, to_png
from kerasft.metrics.calibration import ReliabilityBin

_INCHES = (6.4, 5.2)
_DOTS_PER_INCH = 100
_MOST_NUMBERED = 12  # classes, up to which the cells of a confusion matrix show counts
_MOST_NAMED = 40
_LONGEST_NAME = 24
_DIAGONAL = {"color": GREY, "linewidth": 1, "linestyle": "--"}


def plot_confusion(confusion: np.ndarray, label_names: Sequence[str], *, title: str) -> bytes:
    """Plots a confusion matrix, each row as shares of its class, as a PNG file.

    Args:
        confusion: Counts, int `(num_classes, num_classes)`; rows are the true classes. Shown in the
            cells for up to 12 classes.
        label_names: In label order.
        title: The title.
    """
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    with _figure(title) as (figure, axes):
        axes.grid(visible=False)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        figure.colorbar(image, ax=axes, label="share of the true label").outline.set_visible(False)
        if len(confusion) <= _MOST_NUMBERED:
            for (row, column), count in np.ndenumerate(confusion):
                color = "white" if shares[row, column] > 0.5 else "#20242c"
                axes.text(column, row, f"{count:,}", ha="center", va="center", color=color)
        if len(confusion) <= _MOST_NAMED:
            names, places = [_short(name) for name in label_names], range(len(confusion))
            axes.set_xticks(places, names, rotation=0 if len(names) < 5 else 90)
            axes.set_yticks(places, names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true label")
        return to_png(figure)


def plot_reliability(bins: Sequence[ReliabilityBin], *, title: str) -> bytes:
    """Plots accuracy and number of examples per confidence bin, as a PNG file.

    On the diagonal, confidence equals accuracy (Guo et al. 2017, figure 1).
    """
    filled = [b for b in bins if b.num_examples]
    total = sum(b.num_examples for b in filled)
    with _figure(title) as (figure, axes):
        for b in filled:
            middle, width = (b.lower + b.upper) / 2, (b.upper - b.lower) * 0.9
            axes.bar(middle, b.num_examples / total, width=width, color=PALE)
        axes.plot([0, 1], [0, 1], **_DIAGONAL)
        confidences, accuracies = [b.confidence for b in filled], [b.accuracy for b in filled]
        axes.plot(confidences, accuracies, "o-", color=BLUE, linewidth=2, label="accuracy")
        axes.bar(0, 0, color=PALE, label="share of the examples")
        axes.set_xlabel("confidence")
        _unit_square(axes)
        axes.legend(frameon=False, loc="upper left")
        return to_png(figure)


def plot_roc(
    targets: np.ndarray, scores: np.ndarray, label_names: Sequence[str], *, title: str
) -> bytes:
    """Plots the ROC curve of each label against the rest, with its area, as a PNG file.

    Args:
        targets: Whether each label applies, bool `(num_examples, num_labels)`.
        scores: Probability of each label, same shape.
        label_names: Names. A label that applies to no example, or to all, has no curve.
        title: The title.
    """
    with _figure(title) as (figure, axes):
        axes.plot([0, 1], [0, 1], **_DIAGONAL)
        for index, name in enumerate(label_names):
            target, score = targets[:, index], scores[:, index]
            if target.all() or not target.any():
                continue
            area = roc_auc_score(target, score)
            color = (BLUE, ORANGE)[index] if len(label_names) <= 2 else f"C{index % 10}"
            label = f"{_short(name)}, area {area:.4f}"
            axes.plot(*roc_curve(target, score)[:2], color=color, linewidth=1.8, label=label)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        _unit_square(axes)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, loc="lower right", fontsize="small")
        return to_png(figure)


def _figure(title: str):
    return new_figure(title, inches=_INCHES, dots_per_inch=_DOTS_PER_INCH)


def _unit_square(axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)


def _short(name: str) -> str:
    # A dollar sign would start a formula.
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return short.replace("$", r"\$")
