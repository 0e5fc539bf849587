"""Holds validation out of train: stratified by label, with equal texts and groups kept together."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from kerasft.data.store.hashes import number_equal
from kerasft.errors import UserError

_RANGES = 16  # of the numbers that are sorted at a time
MOST_BINS = 10  # of numbers
_PART = 2**16  # of the labels that are counted at a time


@dataclasses.dataclass(frozen=True)
class Places:
    """How many examples of each label validation may take.

    Attributes:
        of: Returns the numbers of the places that an example needs, given its index.
        free: The number of free places, by place; counted down as they are taken.
    """

    of: Callable[[int], Sequence[int]]
    free: list[int]


def count_places(labels: np.ndarray, fraction: float, *, stratified: bool = True) -> Places:
    """Returns the places in validation, by task.

    A class gives its share, rounded, but never its last example. Several labels a text are
    stratified by the rarest of them, since rare labels are easily lost (Sechidis et al. 2011 also
    take them first); labels too rare for a place of their own share places. Numbers are stratified
    by quantile bins, at most ten and each large enough for a place.

    Args:
        labels: int `(num_examples,)`, integer zeros and ones `(num_examples, num_labels)`, or float
            `(num_examples,)`.
        fraction: The share of validation.
        stratified: If false, only the total number of examples counts, and no label gives its last
            one.
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
    rarest = np.full(len(labels), num_labels)  # the value for a text without labels
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
    """Returns each example's class number, from 0, and the count of each class.

    NumPy would copy all labels as 8 bytes each, more than once.
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


def validation_mask(
    hashes: np.ndarray,
    labels: np.ndarray,
    fraction: float,
    *,
    group_hashes: np.ndarray | None = None,
    usable: np.ndarray | None = None,
    stratified: bool = True,
) -> np.ndarray:
    """Returns bool `(num_examples,)`: true if the example belongs to validation.

    Texts are visited in the order of their hashes, independent of machine and file order, and taken
    while no class exceeds its share. Equal texts stay together, whatever their labels. Groups are
    visited by their own hashes.

    Args:
        hashes: uint8 `(num_examples, 16)`, from `text_hashes`.
        labels: As in a token store; see `count_places` for the stratification.
        fraction: The share of each class, between 0 and 1, rounded; the last example of a class is
            never taken.
        group_hashes: uint8 `(num_examples, 16)`: examples of one group stay together.
        usable: bool `(num_examples,)`: the others are ignored. Defaults to all.
        stratified: If false, only the total number of examples counts.

    Raises:
        UserError: If `fraction` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise UserError(
            "validation_fraction is out of range.",
            received=fraction,
            expected="a number between 0 and 1, exclusive",
        )
    if usable is not None:
        labels = labels[usable]
    places = count_places(labels, fraction, stratified=stratified)
    mask = np.zeros(len(labels), dtype=bool)
    for members in _groups_of_equal(move_together(hashes, group_hashes, usable)):
        wanted = Counter(place for row in members for place in places.of(row))
        if all(count <= places.free[place] for place, count in wanted.items()):
            for place, count in wanted.items():
                places.free[place] -= count
            mask[members] = True
    if usable is None:
        return mask
    whole = np.zeros(len(hashes), dtype=bool)
    whole[usable] = mask
    return whole


def hold_out(
    hashes: np.ndarray,
    labels: np.ndarray,
    fraction: float,
    *,
    group_hashes: np.ndarray | None = None,
    usable: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the `validation_mask`, or the nearest possible one if it would be empty.

    If every class is too small for a place, only the total number of examples counts. If every
    group is too large, the smallest is taken, unless a label would be left without examples.

    Raises:
        UserError: If `fraction` is not between 0 and 1.
    """
    mask_of = functools.partial(
        validation_mask, hashes, labels, group_hashes=group_hashes, usable=usable
    )
    mask = mask_of(fraction)
    if not mask.any():
        mask = mask_of(fraction, stratified=False)
    if group_hashes is None or mask.any():
        return mask
    units = move_together(hashes, group_hashes, usable)
    _, sizes = np.unique(units, return_counts=True)
    smallest = sizes.min(initial=len(units))
    if smallest == len(units):
        return mask  # there is only one group
    return mask_of(smallest / len(units), stratified=False)


def move_together(
    hashes: np.ndarray,
    group_hashes: np.ndarray | None = None,
    usable: np.ndarray | None = None,
) -> np.ndarray:
    """Returns which examples stay together: int32 `(num_usable,)`, the same number for each.

    Equal texts stay together; with groups, so do all examples of a group, and all groups connected
    by an equal text. The numbers ascend with the hashes of the texts, or of the groups, so they do
    not depend on the order of the examples.
    """
    texts = number_equal(hashes, usable)
    if group_hashes is None:
        return texts
    groups = number_equal(group_hashes, usable)
    units, before = groups, None
    while before is None or np.any(units != before):
        before = units
        for parts in (texts, groups):
            lowest = np.full(parts.max(initial=-1) + 1, len(parts), np.int32)
            np.minimum.at(lowest, parts, units)
            units = lowest[parts]
    return units


def _groups_of_equal(numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the indices of equal numbers together, in ascending order of the numbers.

    Sorts them range by range, so that few indices are held at a time.
    """
    edges = np.linspace(0, numbers.max(initial=-1) + 1, _RANGES + 1).astype(np.int64)
    for low, high in itertools.pairwise(edges):
        rows = np.flatnonzero((numbers >= low) & (numbers < high))
        order = rows[np.argsort(numbers[rows], kind="stable")]
        ordered = numbers[order]
        ends = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        for start, end in itertools.pairwise(itertools.chain([0], ends, [len(order)])):
            yield order[start:end]
