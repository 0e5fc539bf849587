"""Comparing many hashes: equal ones are found range by range, so that few are copied at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_RANGES = 16  # of the first byte's values


def number_equal(hashes: np.ndarray) -> np.ndarray:
    """Numbers the different hashes from 0, in their own order; equal ones have one number.

    Args:
        hashes: uint8 of shape `(num_hashes, 16)`.

    Returns:
        int32 of shape `(num_hashes,)`.
    """
    numbers, so_far = np.zeros(len(hashes), np.int32), 0
    for rows in _ranges(hashes):
        different, inverse = np.unique(_as_keys(hashes[rows]), return_inverse=True)
        numbers[rows] = inverse + so_far
        so_far += len(different)
    return numbers


def count_different(hashes: np.ndarray) -> int:
    """Returns how many different hashes there are.

    Args:
        hashes: uint8 of shape `(num_hashes, 16)`.
    """
    return sum(len(np.unique(_as_keys(hashes[rows]))) for rows in _ranges(hashes))


def stand_in(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns bool of shape `(num_hashes,)`: true where the hash is one of `others`.

    Args:
        hashes: uint8 of shape `(num_hashes, 16)`.
        others: uint8 of shape `(num_others, 16)`.
    """
    mask = np.zeros(len(hashes), bool)
    for rows, other_rows in zip(_ranges(hashes), _ranges(others), strict=True):
        mask[rows] = np.isin(_as_keys(hashes[rows]), _as_keys(others[other_rows]))
    return mask


def _ranges(hashes: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the rows of the lowest hashes, then those of the next higher ones, and so on."""
    first = hashes[:, 0] // (256 // _RANGES)
    for rank in range(_RANGES):
        yield np.flatnonzero(first == rank)


def _as_keys(hashes: np.ndarray) -> np.ndarray:
    """Views each hash as one comparable value, as its bytes are ordered on every machine."""
    return np.ascontiguousarray(hashes).view(f"V{hashes.shape[1]}").ravel()
