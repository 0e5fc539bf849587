"""Compares many hashes range by range, so that few are copied at a time.

Hashes are uint8 `(num_hashes, 16)` throughout.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

_RANGES = 16  # of the first byte's values


def number_equal(hashes: np.ndarray, usable: np.ndarray | None = None) -> np.ndarray:
    """Numbers the different hashes from 0, in their own order: int32 `(num_usable,)`.

    `usable`, bool `(num_hashes,)`, selects the hashes; `None`: all.
    """
    numbers, so_far = np.zeros(len(hashes), np.int32), 0
    for rows, numbers_of_range in number_by_range(hashes, usable):
        numbers[rows] = numbers_of_range + so_far
        so_far += numbers_of_range.max(initial=-1) + 1
    return numbers if usable is None else numbers[usable]


def number_by_range(
    hashes: np.ndarray, usable: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the rows of each range of hashes, ascending, and their numbers.

    Numbers count from 0 in the order of the hashes; equal hashes have one number and the same
    range. `usable`, bool `(num_hashes,)`, selects the hashes; `None`: all.
    """
    for rows in _ranges(hashes):
        taken = rows if usable is None else rows[usable[rows]]
        yield taken, np.unique(_as_keys(hashes[taken]), return_inverse=True)[1]


def count_different(hashes: np.ndarray) -> int:
    """Returns the number of different hashes."""
    return sum(len(np.unique(_as_keys(hashes[rows]))) for rows in _ranges(hashes))


def stand_in(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns bool `(num_hashes,)`: true if the hash is one of `others`."""
    mask = np.zeros(len(hashes), bool)
    for rows, other_rows in zip(_ranges(hashes), _ranges(others), strict=True):
        mask[rows] = np.isin(_as_keys(hashes[rows]), _as_keys(others[other_rows]))
    return mask


def join_near_copies(
    hashes: Mapping[str, np.ndarray], read_hashes: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns the hashes by split, near-copies having one, the lowest of theirs.

    They are then treated as equal texts. Without near-copies the hashes are those given.

    Args:
        hashes: The texts' own hashes, by split.
        read_hashes: The hashes that near-copies share: see `near_copies.read_hashes`.
    """
    joined = np.concatenate([*hashes.values()])
    for rows, numbers in number_by_range(np.concatenate([*read_hashes.values()])):
        backwards = np.argsort(_as_keys(joined[rows]), kind="stable")[::-1]
        lowest = np.zeros(len(rows), np.int64)
        lowest[numbers[backwards]] = backwards  # the entry that remains is the lowest
        joined[rows] = joined[rows[lowest[numbers]]]
    ends = itertools.accumulate(map(len, hashes.values()))
    return dict(zip(hashes, np.split(joined, list(ends)[:-1]), strict=True))


def _ranges(hashes: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the rows of each range of hashes, lowest first."""
    first = hashes[:, 0] // (256 // _RANGES)
    for rank in range(_RANGES):
        yield np.flatnonzero(first == rank)


def _as_keys(hashes: np.ndarray) -> np.ndarray:
    """Views each hash as one comparable value, ordered by bytes on every machine."""
    return np.ascontiguousarray(hashes).view(f"V{hashes.shape[1]}").ravel()
