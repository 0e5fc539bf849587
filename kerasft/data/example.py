"""One labelled text: the element that every source yields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

SINGLE, MULTI, NUMBER = "single", "multi", "number"
LABEL_KINDS = (SINGLE, MULTI, NUMBER)
BATCH_BYTES = 16 * 2**20

Item = TypeVar("Item")


class Example(NamedTuple):
    """One labelled text, or pair of texts, as UTF-8 bytes.

    The label depends on the source's kind. `single`: the index of the class, -1 if hidden. `multi`:
    the indices of the labels that apply, ascending, possibly none. `number`: a float, NaN if
    hidden.
    """

    text: bytes
    text_pair: bytes | None
    label: int | float | tuple[int, ...]


def num_bytes(example: Example) -> int:
    """Returns the bytes of an example's texts."""
    return len(example.text) + len(example.text_pair or b"")


def batched(
    items: Iterable[Item],
    size: int,
    measure: Callable[[Item], int] = num_bytes,
    most_bytes: int = BATCH_BYTES,
) -> Iterator[list[Item]]:
    """Yields lists of `size` items, or of fewer where more bytes would be too many.

    Tokenizing takes some twenty times the bytes of a batch.

    Args:
        items: Examples, or anything that `measure` knows.
        size: The most items in a list.
        measure: Returns the bytes of an item.
        most_bytes: The most bytes in a list of several items.
    """
    batch: list[Item] = []
    batch_bytes = 0
    for item in items:
        item_bytes = measure(item)
        if batch and (len(batch) == size or batch_bytes + item_bytes > most_bytes):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += item_bytes
    if batch:
        yield batch
