"""One labelled text: the element that every source yields."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

SINGLE, MULTI, NUMBER = "single", "multi", "number"
LABEL_KINDS = (SINGLE, MULTI, NUMBER)


class Example(NamedTuple):
    """One labelled text, or pair of texts, as UTF-8 bytes.

    The label depends on the source's kind. `single`: the index of the class, -1 if hidden. `multi`:
    the indices of the labels that apply, ascending, possibly none. `number`: a float, NaN if
    hidden.
    """

    text: bytes
    text_pair: bytes | None
    label: int | float | tuple[int, ...]


def batched(examples: Iterator[Example], size: int) -> Iterator[list[Example]]:
    """Yields lists of `size` examples; the last one may be shorter."""
    while batch := list(itertools.islice(examples, size)):
        yield batch
