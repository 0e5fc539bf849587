"""The raw texts of some examples in memory, for augmentation that needs words."""

from __future__ import annotations

import array
import dataclasses
import itertools

import numpy as np

from kerasft.data.plan.splits import hash_text
from kerasft.data.sources.source import Source
from kerasft.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class RawTexts:
    """Texts concatenated in one blob, without a Python object for each.

    Memory: their size in UTF-8, plus 8 bytes a text and 8 bytes an example; 34 MB for the 25,000
    training reviews of IMDB. Repeated examples are stored once.

    Attributes:
        blob: The texts; the two of a pair are adjacent.
        offsets: int64 `(num_texts + 1,)`: where each text starts.
        rows: int64 `(num_examples,)`: the text, or pair, of each example.
        per_example: 1, or 2 for pairs.
    """

    blob: bytearray
    offsets: np.ndarray
    rows: np.ndarray
    per_example: int

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, example: int) -> tuple[bytes, ...]:
        first = int(self.rows[example]) * self.per_example
        ends = self.offsets[first : first + self.per_example + 1].tolist()
        return tuple(bytes(self.blob[start:end]) for start, end in itertools.pairwise(ends))


def read_raw_texts(
    source: Source,
    split: str,
    indices: np.ndarray,
    *,
    text_hashes: np.ndarray,
    to_the_end: bool = True,
) -> RawTexts:
    """Reads a split once, and keeps the texts of some examples, in the order of `indices`.

    `indices`, int64, are positions in the split, and may repeat. `text_hashes`, uint8
    `(num_examples in the split, 16)`, are those stored with the tokens, to compare. With
    `to_the_end` the split is read to its end, to count it.

    Raises:
        UserError: If the data has changed since it was tokenized.
    """
    wanted, rows = np.unique(indices, return_inverse=True)
    is_wanted = np.zeros(len(text_hashes), bool)
    is_wanted[wanted] = True
    length = len(text_hashes)
    # One more reveals a longer split.
    until = length + 1 if to_the_end else int(wanted.max(initial=-1)) + 1
    blob, ends, count = bytearray(), array.array("q", [0]), 0
    for text, text_pair, _ in itertools.islice(source.iterate(split), until):
        count += 1
        if count > length or not is_wanted[count - 1]:
            continue
        if hash_text(text, text_pair) != text_hashes[count - 1].tobytes():
            raise _changed(source, split, f"another text in the place of example {count:,}")
        for part in (text,) if text_pair is None else (text, text_pair):
            blob += part
            ends.append(len(blob))
    if count != min(until, length):
        more = "more" if count > length else f"{count:,}"
        raise _changed(source, split, f"{more} examples where there were {length:,}")
    return RawTexts(blob, np.array(ends, np.int64), rows, 1 + source.has_pairs)


def _changed(source: Source, split: str, received: str) -> UserError:
    return UserError(
        f"The {split} split of {source.name} has changed since it was tokenized.",
        received=received,
        fix="start the run again, and leave the data as it is while it is read.",
    )
