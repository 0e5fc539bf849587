"""Near-copies: texts that an uncased encoder reads alike, and the hashes that show it.

They differ in case, accents, blanks or invisible characters alone. All encoders are treated as
uncased ones, with and without their vocabulary, so that no setting moves an example to another
split.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from kerasft.data.plan.splits import text_hashes

_CONTROLS = bytes([*range(9), 11, 12, *range(14, 32), 127])
_LOWERED = bytes(range(256)).lower().translate(bytes.maketrans(b"\t\n\r", b"   "))
_BREAK_TAG = re.compile(rb"<br\s*/?>")
_PUNCTUATION = rb"[!-/:-@\[-`{-~]"  # of ASCII: words of their own, with or without blanks
_BLANK_BESIDE_IT = re.compile(rb" (?:(?=%b)|(?<=%b ))" % (_PUNCTUATION, _PUNCTUATION))


class _Cleaned(dict[int, str]):
    """The text that BERT's cleaning makes of each character, computed when it is first met."""

    def __missing__(self, code_point: int) -> str:
        from kerasft.text.cleaning import clean_character  # imports TensorFlow

        self[code_point] = clean_character(chr(code_point), lowercase=True, strip_accents=True)
        return self[code_point]


_CLEANED = _Cleaned()


def read_text(text: bytes) -> bytes:
    """Returns a text as an uncased encoder reads it: the same for all near-copies."""
    if not text.isascii():
        text = text.decode(errors="ignore").translate(_CLEANED).encode()
    text = text.translate(_LOWERED, _CONTROLS)
    if b"<br" in text:
        text = _BREAK_TAG.sub(b" ", text)
    if b"  " in text:
        text = b" ".join(text.split())
    return _BLANK_BESIDE_IT.sub(b"", text.strip())


def read_hashes(texts: Iterable[bytes], text_pairs: Iterable[bytes] | None = None) -> np.ndarray:
    """Returns hashes that near-copies share: uint8 `(num_texts, 16)`; of pairs, both texts'."""
    pairs = None if text_pairs is None else map(read_text, text_pairs)
    return text_hashes(map(read_text, texts), pairs)
