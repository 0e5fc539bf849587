"""Holding validation out of train: stratified by label, and nothing that is equal straddles."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterator

import numpy as np

from kerasft.data.plan.places import count_places
from kerasft.data.store.hashes import number_equal
from kerasft.errors import UserError

_RANGES = 16  # of the numbers that are sorted at a time


def validation_mask(
    hashes: np.ndarray,
    labels: np.ndarray,
    fraction: float,
    *,
    group_hashes: np.ndarray | None = None,
    usable: np.ndarray | None = None,
    stratified: bool = True,
) -> np.ndarray:
    """Returns bool of shape `(num_examples,)`: true where the example belongs to validation.

    Texts are visited in the order of their hashes, which no machine or file order changes, and
    taken while no class exceeds its share. Equal texts go together, whatever their labels. Groups
    are visited by their own hashes.

    Args:
        hashes: uint8 of shape `(num_examples, 16)`, from `text_hashes`.
        labels: As a token store holds them; see `count_places` for what is stratified.
        fraction: The share of each class, between 0 and 1; met within rounding, but that the last
            example of a class is never taken.
        group_hashes: uint8 of shape `(num_examples, 16)`: examples of one group go together.
        usable: bool of shape `(num_examples,)`: the others are as if they were not there. Defaults
            to all.
        stratified: Without it only the number of all examples counts.

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
    """Returns the `validation_mask`, with what is nearest to it where that would be empty.

    Where every class is too small for a place, only the number of all examples counts. Where no
    group is small enough, the smallest is taken, unless a label would be left without examples.

    Args:
        hashes: See `validation_mask`.
        labels: See `validation_mask`.
        fraction: See `validation_mask`.
        group_hashes: See `validation_mask`.
        usable: See `validation_mask`.

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
        return mask  # there is but one group
    return mask_of(smallest / len(units), stratified=False)


def move_together(
    hashes: np.ndarray,
    group_hashes: np.ndarray | None = None,
    usable: np.ndarray | None = None,
) -> np.ndarray:
    """Returns which examples move together: int32 `(num_usable,)`, the same number for each.

    Equal texts move together; with groups, so do all examples of a group, and all groups that an
    equal text connects. The numbers ascend with the hashes of the texts, or of the groups, and so
    do not depend on the order of the examples.

    Args:
        hashes: uint8 of shape `(num_examples, 16)`: of the texts.
        group_hashes: uint8 of shape `(num_examples, 16)`: of the groups; `None` without any.
        usable: bool of shape `(num_examples,)`: which examples there are. Defaults to all.
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

    They are sorted range by range, so that few indices are held at a time.
    """
    edges = np.linspace(0, numbers.max(initial=-1) + 1, _RANGES + 1).astype(np.int64)
    for low, high in itertools.pairwise(edges):
        rows = np.flatnonzero((numbers >= low) & (numbers < high))
        order = rows[np.argsort(numbers[rows], kind="stable")]
        ordered = numbers[order]
        ends = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        for start, end in itertools.pairwise(itertools.chain([0], ends, [len(order)])):
            yield order[start:end]
