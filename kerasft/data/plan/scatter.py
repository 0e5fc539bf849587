"""Chance that every machine agrees on: integers scattered by a hash, not drawn from a generator.

The streams of NumPy's and Python's generators may change between versions, and the thousandth
number of a stream is had by drawing those before it. Here each number is a pure function of what
it is for: a seed, an epoch, an example.
"""

from __future__ import annotations

import numpy as np

_MASK = (1 << 64) - 1


def mix64(values: np.ndarray) -> np.ndarray:
    """Scatters uint64 values over the whole range: splitmix64 (Steele, Lea & Flood, 2014).

    It is a bijection: different values stay different.
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)  # arrays wrap around, as the method wants
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def key_of(*parts: int) -> int:
    """Returns the key, from 0 to 2**64 - 1, that stands for some integers in their order."""
    key = 0
    for part in parts:
        key = int(mix64(np.array([key ^ (part & _MASK)], dtype=np.uint64))[0])
    return key


def keys_of(key: int, parts: np.ndarray) -> np.ndarray:
    """Returns one key for each further part, uint64: `keys_of(key_of(a), [b])` is `key_of(a, b)`.

    Args:
        key: From `key_of`.
        parts: Integers of shape `(num_keys,)`, none negative.
    """
    return mix64(parts.astype(np.uint64) ^ np.uint64(key))


def draws(key: int, count: int) -> np.ndarray:
    """Returns `count` different uint64 values that belong to a key."""
    return mix64(np.arange(count, dtype=np.uint64) + np.uint64(key))


def happens(values: np.ndarray, chance: float) -> np.ndarray:
    """Tells of each scattered uint64 value whether something of this chance happens.

    Args:
        values: From `draws`, `keys_of` or `mix64`.
        chance: 0.0 is never, 1.0 is always.
    """
    # The upper 53 bits are a float64 exactly: no machine rounds them differently.
    return (values >> np.uint64(11)).astype(np.float64) * 2.0**-53 < chance
