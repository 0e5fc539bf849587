"""Reproducible randomness: integers hashed instead of drawn from a generator.

The streams of NumPy's and Python's generators may change between versions, and the thousandth
number needs all those before it. Here each number is a pure function of its purpose: a seed, an
epoch, an example.
"""

from __future__ import annotations

import numpy as np

_MASK = (1 << 64) - 1


def mix64(values: np.ndarray) -> np.ndarray:
    """Scatters uint64 values over the whole range: splitmix64 (Steele, Lea & Flood, 2014).

    It is a bijection: different values stay different.
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)  # array arithmetic wraps, as required
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def key_of(*parts: int) -> int:
    """Returns the key of a sequence of integers, from 0 to 2**64 - 1."""
    key = 0
    for part in parts:
        key = int(mix64(np.array([key ^ (part & _MASK)], dtype=np.uint64))[0])
    return key


def keys_of(key: int, parts: np.ndarray) -> np.ndarray:
    """Returns one uint64 key for each part: `keys_of(key_of(a), [b])` is `key_of(a, b)`.

    `parts` are non-negative integers, `(num_keys,)`.
    """
    return mix64(parts.astype(np.uint64) ^ np.uint64(key))


def draws(key: int, count: int) -> np.ndarray:
    """Returns `count` different uint64 values that belong to a key."""
    return mix64(np.arange(count, dtype=np.uint64) + np.uint64(key))


def happens(values: np.ndarray, chance: float) -> np.ndarray:
    """Whether an event of probability `chance` happens, for each value of `draws` or `keys_of`."""
    # The upper 53 bits are a float64 exactly: no machine rounds them differently.
    return (values >> np.uint64(11)).astype(np.float64) * 2.0**-53 < chance
