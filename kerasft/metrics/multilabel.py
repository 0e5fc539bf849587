"""Multi-label metrics as in scikit-learn, and threshold tuning.

All but the average precision are counted here: scikit-learn takes a matrix of one column for two
classes, and its micro average is then the accuracy.

Undefined metrics are 0, as in scikit-learn, without its warning: the precision of a label that is
never predicted, the recall of one that does not occur, the F1 if both hold, the average precision
of a label that does not occur, and the F1 of an example without true or predicted labels. All are
included in averages. `multilabel_notes` describes which of these cases happened.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score

from kerasft.metric import BY_LABEL
from kerasft.metrics.checks import check_label_names, check_label_sets

DEFAULT_THRESHOLD = 0.5


def multilabel_metrics(
    labels: ArrayLike, scores: ArrayLike, selected: ArrayLike, label_names: Sequence[str]
) -> dict[str, float]:
    """Computes every metric of a multi-label model.

    Args:
        labels: 1 if a label applies, else 0; shape `(num_examples, num_labels)`.
        scores: The probability of each label, of the same shape.
        selected: Whether each label is predicted (its probability reaches its threshold), of the
            same shape.
        label_names: One unique name per label; they become part of the keys.

    Returns:
        Finite Python floats. Of `selected`: `f1_micro` (over all pairs of example and label),
        `f1_macro` (mean over labels), `f1_samples` (mean over examples), `precision_micro`,
        `recall_micro`, `subset_accuracy` (the share of examples with exactly their labels),
        `hamming_loss` (the share of wrong decisions). Of the scores: `average_precision_macro`
        (mean over labels), `log_loss` (mean over all pairs, natural logarithm, at most 36.04 each).
        Then for each label `precision/<name>`, `recall/<name>`, `f1/<name>` and `support/<name>`
        (its number of examples).

    Raises:
        UserError: No example, scores that are not finite, names that repeat.
        ValueError: Shapes or values that do not fit.
    """
    labels, scores = check_label_sets(labels, scores)
    selected = np.asarray(selected, dtype=bool)
    check_label_names(label_names, labels.shape[1])
    counts = label_counts(labels, selected)
    summed = counts.sum(axis=1)
    by_label = {name: of_counts(name, *counts) for name in BY_LABEL}
    by_label["support"] = counts[2]
    overall = {
        "f1_micro": of_counts("f1", *summed),
        "f1_macro": by_label["f1"].mean(),
        "f1_samples": example_f1(labels, selected).mean(),
        "precision_micro": of_counts("precision", *summed),
        "recall_micro": of_counts("recall", *summed),
        "subset_accuracy": (labels == selected).all(axis=1).mean(),
        "hamming_loss": (labels != selected).mean(),
        "average_precision_macro": np.mean(_average_precisions(labels, scores)),
        "log_loss": example_log_loss(labels, scores).mean(),
    }
    metrics = overall | {
        f"{metric}/{name}": values[index]
        for index, name in enumerate(label_names)
        for metric, values in by_label.items()
    }
    return {name: float(value) for name, value in metrics.items()}


def multilabel_notes(
    labels: ArrayLike, scores: ArrayLike, selected: ArrayLike, label_names: Sequence[str]
) -> list[str]:
    """Returns a sentence for each metric that is 0 because something is missing.

    The arguments are those of `multilabel_metrics`.
    """
    labels, scores = check_label_sets(labels, scores)
    selected = np.asarray(selected, dtype=bool)
    check_label_names(label_names, labels.shape[1])
    occurs, given = labels.any(axis=0), selected.any(axis=0)
    cases = (
        (occurs & ~given, "Never given, so precision and F1 are 0"),
        (~occurs & given, "Given without any example, so recall, F1 and average precision are 0"),
        (~occurs & ~given, "Neither occurring nor given, so all its metrics are 0"),
    )
    notes = [
        f"{what}: {', '.join(_quoted(label_names, which))}. The macro averages hold the zeros."
        for which, what in cases
        if which.any()
    ]
    if num_empty := np.count_nonzero(~labels.any(axis=1) & ~selected.any(axis=1)):
        notes.append(
            f"{num_empty:,} of {len(labels):,} examples have no label and are rightly given none: "
            "subset_accuracy counts them as right, f1_samples as 0."
        )
    return notes


def tune_thresholds(labels: ArrayLike, scores: ArrayLike) -> np.ndarray:
    """Returns each label's threshold of the best F1 on these examples.

    Every midpoint between two neighbouring scores is tried. 0.5 is kept if no threshold is better,
    and for a label without positive examples; ties go to the threshold nearest to 0.5. Lipton et
    al. 2014, "Thresholding Classifiers to Maximize F1 Score" (arXiv:1402.1892). On few examples
    thresholds overfit: tune on a split that is not reported.

    Args:
        labels: 1 if a label applies, else 0; shape `(num_examples, num_labels)`.
        scores: The probability of each label, of the same shape.

    Returns:
        float32 `(num_labels,)`: a label is predicted if its float32 score is no smaller.

    Raises:
        UserError, ValueError: As `check_label_sets`.
    """
    labels, scores = check_label_sets(labels, scores)
    scores = scores.astype(np.float32)
    columns = zip(labels.T, scores.T, strict=True)
    return np.array([_best_threshold(*column) for column in columns], np.float32)


def label_counts(labels: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """Returns true, predicted and actual positives of each label, int64 `(3, num_labels)`.

    `labels` and `selected` are bool `(num_examples, num_labels)`.
    """
    return np.stack([np.count_nonzero(a, axis=0) for a in (labels & selected, selected, labels)])


def ratio(part: np.ndarray, whole: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    """Divides; returns `otherwise` where the denominator is 0."""
    out = np.full(np.shape(whole), float(otherwise))
    return np.divide(part, whole, out=out, where=np.asarray(whole) > 0)


def of_counts(name: str, hits: np.ndarray, given: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Returns precision, recall or F1 (`name`) from true, predicted and actual positives."""
    if name == "f1":
        return ratio(2 * hits, given + support)
    return ratio(hits, given if name == "precision" else support)


def example_f1(labels: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """Returns each example's F1 over its labels, 0 without true and predicted labels."""
    return of_counts("f1", *label_counts(labels.T, selected.T))


def example_log_loss(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns each example's binary cross-entropy, the mean over labels, in nats."""
    epsilon = np.finfo(np.float64).eps
    return -np.log(np.clip(np.where(labels, scores, 1 - scores), epsilon, 1)).mean(axis=1)


def _best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    if not labels.any():
        return DEFAULT_THRESHOLD
    distinct, group = np.unique(scores, return_inverse=True)
    # At index i: selected if the threshold lies just below the i-th smallest score.
    chosen = np.bincount(group)[::-1].cumsum()[::-1]
    hits = np.bincount(group, weights=labels)[::-1].cumsum()[::-1]
    f1 = 2 * hits / (chosen + np.count_nonzero(labels))
    at_default = np.searchsorted(distinct, np.float32(DEFAULT_THRESHOLD), side="left")
    if at_default < len(distinct) and f1[at_default] >= f1.max():
        return DEFAULT_THRESHOLD
    below = np.concatenate([np.zeros(1, np.float32), distinct[:-1]])
    cuts = (below.astype(np.float64) + distinct) / 2
    cuts = cuts.astype(np.float32)
    # Between neighbouring floats there is no midpoint: the upper one is the threshold.
    cuts = np.where(cuts > below, cuts, distinct)
    best = np.flatnonzero(f1 == f1.max())
    return float(cuts[best[np.argmin(np.abs(cuts[best] - DEFAULT_THRESHOLD))]])


def _average_precisions(labels: np.ndarray, scores: np.ndarray) -> list[float]:
    return [
        average_precision_score(applies, score) if applies.any() else 0.0
        for applies, score in zip(labels.T, scores.T, strict=True)
    ]


def _quoted(label_names: Sequence[str], which: np.ndarray) -> list[str]:
    return [f'"{label_names[index]}"' for index in np.flatnonzero(which)]
