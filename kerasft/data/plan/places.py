"""How much of each label validation may take."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

MOST_BINS = 10  # of numbers
_PART = 2**16  # of the labels that are counted at a time


@dataclasses.dataclass(frozen=True)
class Places:
    """How much of each label validation may take.

    Attributes:
        of: Returns the numbers of the places that an example needs, given its index.
        free: How many there are of each place; counted down while they are given away.
    """

    of: Callable[[int], Sequence[int]]
    free: list[int]


def count_places(labels: np.ndarray, fraction: float, *, stratified: bool = True) -> Places:
    """Returns the places in validation, by kind of label.

    A class gives its share, rounded, but never its last example. Several labels a text are
    stratified by the rarest of them, since the rare ones are easily lost (Sechidis et al. 2011 take
    them first, too); what is too rare for a place of its own shares places with others. Numbers
    are stratified by quantile bins, at most ten and each large enough for a place.

    Args:
        labels: int `(num_examples,)`, integer zeros and ones `(num_examples, num_labels)`, or
            float `(num_examples,)`.
        fraction: The share of validation.
        stratified: Without it only the number of all examples counts, and that no label gives
            its last one.
    """
    if labels.ndim > 1:
        return _places_of_label_sets(labels, fraction, stratified)
    if labels.dtype.kind == "f":
        bins = _quantile_bins(labels, fraction) if stratified else np.zeros(len(labels), int)
        return Places(lambda row: (bins[row],), _shares(np.bincount(bins), fraction).tolist())
    classes, counts = _count_classes(labels)
    if stratified:
        free = np.minimum(_shares(counts, fraction), counts - 1)
        return Places(lambda row: (classes[row],), free.tolist())
    whole = _shares(np.array([len(labels)]), fraction)
    return Places(lambda row: (classes[row], len(counts)), [*(counts - 1).tolist(), *whole])


def _places_of_label_sets(labels: np.ndarray, fraction: float, stratified: bool) -> Places:
    counts = np.count_nonzero(labels, axis=0)
    num_labels = len(counts)
    rarest = np.full(len(labels), num_labels)  # of a text without labels
    for label in np.argsort(-counts, kind="stable") if stratified else ():
        rarest[labels[:, label] != 0] = label
    sizes = np.bincount(rarest, minlength=num_labels + 1)
    too_few = _shares(sizes, fraction) == 0
    stratum = np.where(too_few[rarest], num_labels + 1, rarest)
    shares = _shares(np.bincount(stratum, minlength=num_labels + 2), fraction)
    free = [*np.maximum(counts - 1, 0).tolist(), *shares.tolist()]
    return Places(lambda row: [*np.flatnonzero(labels[row]), num_labels + stratum[row]], free)


def _quantile_bins(values: np.ndarray, fraction: float) -> np.ndarray:
    known = values[~np.isnan(values)]
    num_bins = min(MOST_BINS, max(1, int(len(known) * fraction)))
    edges = np.quantile(known, np.linspace(0, 1, num_bins + 1)[1:-1]) if len(known) else []
    return np.searchsorted(np.unique(edges), values, side="right")


def _shares(counts: np.ndarray, fraction: float) -> np.ndarray:
    return np.floor(counts * fraction + 0.5).astype(np.int64)


def _count_classes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the number of each example's class, from 0, and how many there are of each class.

    NumPy would copy all labels as 8 bytes each, and more than once.
    """
    starts = range(0, len(labels), _PART)
    parts = [np.unique(labels[start : start + _PART]) for start in starts]
    known = np.unique(np.concatenate([labels[:0], *parts]))
    classes = np.empty(len(labels), np.min_scalar_type(len(known)))
    counts = np.zeros(len(known), np.int64)
    for start in starts:
        part = np.searchsorted(known, labels[start : start + _PART])
        classes[start : start + _PART] = part
        counts += np.bincount(part, minlength=len(known))
    return classes, counts
