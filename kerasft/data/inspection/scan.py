"""Reads a split once as a stream: memory holds 16 bytes a row, and 4 for its label."""

from __future__ import annotations

import itertools
import re
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerasft.data.example import MULTI, NUMBER, SINGLE, batched
from kerasft.data.plan.splits import HASH_BYTES
from kerasft.data.sources.source import Source
from kerasft.data.store.hashes import number_by_range
from kerasft.data.store.near_copies import read_hashes

_BATCH_SIZE = 1024
_HIDDEN = -1
_KEY_TYPES = {SINGLE: np.int32, MULTI: np.uint32, NUMBER: np.float32}

CountTokens = Callable[[Sequence[bytes], Sequence[bytes] | None], np.ndarray]

INVALID_UTF8 = "invalid_utf8"
REPLACEMENT_CHARACTER = "replacement_character"
MOJIBAKE = "mojibake"
CONTROL_CHARACTER = "control_character"
HTML = "html"

# Bytes 0x80 to 0xBF, which continue a character in UTF-8, as Latin-1 and as Windows-1252 show
# them: "Ã©" for "é", "â€™" for an apostrophe, "ðŸ˜€" for an emoji.
_CONTINUATIONS = bytes(range(0x80, 0xC0))
_CONTINUED = re.escape(
    _CONTINUATIONS.decode("latin-1") + _CONTINUATIONS.decode("cp1252", errors="ignore")
)
_MOJIBAKE = re.compile(rf"[ÂÃ][{_CONTINUED}]|â(?:€|\x80)[{_CONTINUED}]|ð(?:Ÿ|\x9f)[{_CONTINUED}]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_TAGS = (
    "a|b|blockquote|br|code|div|em|font|h[1-6]|hr|i|img|li|ol|p|pre|span|strong|table|td|tr|u|ul"
)
_HTML = re.compile(
    rf"</?(?:{_TAGS})(?:\s[^<>]*)?/?>|&(?:#\d+|amp|gt|lt|nbsp|quot|apos);", re.IGNORECASE
)


def find_faults(text: bytes) -> list[str]:
    """Returns the faults, of the five above, of a text that should be UTF-8."""
    faults = []
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        faults.append(INVALID_UTF8)
        decoded = text.decode(errors="ignore")
    if not decoded.isascii():
        if "\ufffd" in decoded:
            faults.append(REPLACEMENT_CHARACTER)
        if _MOJIBAKE.search(decoded):
            faults.append(MOJIBAKE)
    # The first conditions are faster than the searches, and spare most texts them.
    if not decoded.isprintable() and _CONTROL.search(decoded) and MOJIBAKE not in faults:
        faults.append(CONTROL_CHARACTER)  # which mojibake has, too
    if ("<" in decoded or "&" in decoded) and _HTML.search(decoded):
        faults.append(HTML)
    return faults


class Scan:
    """The findings of reading a split once.

    Args:
        source: Where the examples come from.
        split: The dataset's own name of the split.
        count_tokens: Returns the lengths of a batch of texts, or of pairs.

    Attributes:
        num_rows: Examples.
        num_empty: Examples whose text, or one of whose two, is empty or white space.
        num_hidden: Examples whose label is hidden.
        lengths: Number of examples by length.
        faults: Number of examples by fault: see `find_faults`.
        labels: `single` and `multi`: number of examples by label index.
        labels_per_text: `multi`: number of examples by number of labels.
        hashes: uint8 `(num_rows, 16)`: of the texts, equal for near-copies.
        label_keys: `(num_rows,)`: class, number or checksum; differs if labels differ.
        rounding: `number`: the largest change of a label when rounded to float32.
    """

    def __init__(self, source: Source, split: str, count_tokens: CountTokens):
        self.kind = source.label_kind
        self.num_rows = self.num_empty = self.num_hidden = 0
        self.rounding = 0.0
        self.lengths: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.labels: Counter[int] = Counter()
        self.labels_per_text: Counter[int] = Counter()
        hashes, keys = bytearray(), bytearray()
        for batch in batched(source.iterate(split), _BATCH_SIZE):
            texts, pairs, labels = zip(*batch, strict=True)
            pairs = pairs if source.has_pairs else None
            self.num_rows += len(texts)
            self.lengths.update(count_tokens(texts, pairs).tolist())
            self._look_at(texts, pairs)
            keys += self._count_labels(labels).tobytes()
            hashes += read_hashes(texts, pairs).tobytes()
        self.hashes = np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES)
        self.label_keys = np.frombuffer(keys, _KEY_TYPES[self.kind])

    def find_conflicts(self) -> tuple[int, int, list[tuple[int, int]]]:
        """Finds texts that read alike under different labels.

        Returns:
            The number of such texts, the number of their examples, and for each text the positions
            of two examples whose labels differ, in reading order.
        """
        pairs, num_rows = [], 0
        for rows, texts in number_by_range(self.hashes):
            labels = np.nan_to_num(self.label_keys[rows])
            # Written backwards: the entry that remains is the first example of each text.
            firsts = np.zeros(len(texts), np.int32)
            firsts[texts[::-1]] = np.arange(len(texts), dtype=np.int32)[::-1]
            differing = np.flatnonzero(labels != labels[firsts[texts]])
            in_conflict, where = np.unique(texts[differing], return_index=True)
            found = (rows[firsts[in_conflict]], rows[differing[where]])
            pairs += zip(*(row.tolist() for row in found), strict=True)
            num_rows += int(np.isin(texts, in_conflict).sum())
        return len(pairs), num_rows, sorted(pairs, key=lambda pair: pair[1])

    def _look_at(self, texts: Sequence[bytes], pairs: Sequence[bytes] | None) -> None:
        for index, text in enumerate(texts):
            pair = None if pairs is None else pairs[index]
            self.num_empty += not text.strip() or (pair is not None and not pair.strip())
            faults = find_faults(text) if pair is None else find_faults(text) + find_faults(pair)
            self.faults.update(dict.fromkeys(faults, 1))

    def _count_labels(self, labels: Sequence[Any]) -> np.ndarray:
        """Counts a batch's labels; returns their keys."""
        if self.kind == MULTI:
            self.labels.update(itertools.chain.from_iterable(labels))
            self.labels_per_text.update(map(len, labels))
            keys = [zlib.crc32(repr(tuple(map(int, indices))).encode()) for indices in labels]
            return np.array(keys, np.uint32)
        keys = np.array(labels, _KEY_TYPES[self.kind])
        if self.kind == NUMBER:
            lost = np.abs(np.array(labels, np.float64) - keys)
            self.rounding = max(self.rounding, float(np.nanmax(lost, initial=0.0)))
        hidden = np.isnan(keys) if self.kind == NUMBER else keys == _HIDDEN
        self.num_hidden += int(hidden.sum())
        if self.kind == SINGLE:
            self.labels.update(keys[~hidden].tolist())
        return keys


def count_words(texts: Sequence[bytes], pairs: Sequence[bytes] | None) -> np.ndarray:
    """Returns the number of words of each text, or of each pair together: int64 `(num_texts,)`."""
    counts = [len(text.split()) for text in texts]
    if pairs is not None:
        counts = [count + len(pair.split()) for count, pair in zip(counts, pairs, strict=True)]
    return np.array(counts)


def token_counter(preprocessor: Any, has_pairs: bool) -> CountTokens:
    """Returns the function that counts the preprocessor's tokens of each text, or pair."""
    import tensorflow as tf

    from kerasft.data.store.token_writer import build_tokenize

    tokenize = build_tokenize(preprocessor, has_pairs)

    def count(texts: Sequence[bytes], pairs: Sequence[bytes] | None) -> np.ndarray:
        columns = [texts] if pairs is None else [texts, pairs]
        token_ids, _ = tokenize(*(tf.constant(list(column)) for column in columns))
        return token_ids.row_lengths().numpy()

    return count
