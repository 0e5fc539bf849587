"""One labelled text: what every source yields."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

SINGLE, MULTI, NUMBER = "single", "multi", "number"
LABEL_KINDS = (SINGLE, MULTI, NUMBER)


class Example(NamedTuple):
    """One labelled text, or pair of texts, as UTF-8 bytes.

    The label is, by the source's kind: for `single` the index of its class, -1 where it is hidden;
    for `multi` the indices of the labels that apply, ascending, perhaps none; for `number` a float,
    NaN where it is hidden.
    """

    text: bytes
    text_pair: bytes | None
    label: int | float | tuple[int, ...]


def batched(examples: Iterator[Example], size: int) -> Iterator[list[Example]]:
    """Yields the examples in lists of `size`, the last one perhaps shorter."""
    while batch := list(itertools.islice(examples, size)):
        yield batch
