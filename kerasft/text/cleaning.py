"""BERT's text cleaning before WordPiece, as a table over all of Unicode, in core TF ops.

`tf_text.FastBertNormalizer` is not used. It folds compatibility characters ("…" to "...", "ß" to
"ss", "½" to "1⁄2", full-width letters to ASCII), replaces control characters by spaces instead of
removing them, keeps private-use characters, and cannot lowercase without stripping accents. BERT
does none of this, so token ids would differ from pretraining. BERT cleans each character on its
own, so a table defines the result exactly.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from typing import NamedTuple

import numpy as np
import tensorflow as tf

NUM_CODE_POINTS = 0x110000
PAGE_SIZE = 256
# In a replacement; neither is a code point, so encoding drops those that remain.
ITSELF = -1  # the character that is being replaced
NOTHING = -2

# Ideographs that BERT sets apart as words of their own, and leaves as they are; the compatibility
# ideographs are set apart, too, and may decompose.
_IDEOGRAPHS = (
    range(0x3400, 0x4DC0),
    range(0x4E00, 0xA000),
    range(0x20000, 0x2A6E0),
    range(0x2A700, 0x2CEB0),
)
_COMPATIBILITY_IDEOGRAPHS = (range(0xF900, 0xFB00), range(0x2F800, 0x2FA20))
_WIDTH = 3  # the longest replacement: a Hangul syllable's letters, or a character in spaces
_PRIVATE_PLANES = (range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
# Other positions at which a character may change: checked one by one.
_LOOKED_AT = (
    range(0x3400),
    range(0xA000, 0x20000),
    range(0x2F800, 0x2FA20),
    range(0xE0000, 0xE1000),
)

# Nothing to clean but case: no accent, no control character, no invalid UTF-8.
_PLAIN_TEXT = r"[\t\n\r -~]*"
_BREAK_TAG = r"(?i)<br\s*/?>"
# Words of more than 100 characters, in a text in which only ASCII separates words.
_OVERLONG_WORD = r"([^\s!-/:-@\[-`{-~]{101,})"
# The tokenizer counts bytes. No word of 100 characters exceeds this, and every word of more than
# 100 does, once it is written four times over.
MAX_BYTES_PER_WORD = 400


class CharacterTable(NamedTuple):
    """The replacement of each code point; equal pages of 256 code points are stored once.

    Args:
        page_of: int32 `[NUM_CODE_POINTS / PAGE_SIZE]`: the page of each block of code points.
        pages: int32 `[num_pages * PAGE_SIZE, width]`: for each code point of a page the code points
            that replace it, `ITSELF` if it stays, padded with `NOTHING`.
    """

    page_of: np.ndarray
    pages: np.ndarray


def clean_character(character: str, *, lowercase: bool, strip_accents: bool) -> str:
    """Returns the replacement of one character; one that is a word of its own is put in spaces.

    Follows `BasicTokenizer` of the BERT release (Devlin et al., 2019, arXiv:1810.04805) in the
    order of Hugging Face's `BertNormalizer`. Accents are stripped by decomposition (NFD) without
    nonspacing marks.
    """
    category = unicodedata.category(character)
    if character in "\t\n\r" or category in ("Zs", "Zl", "Zp"):
        return " "
    if category in ("Cc", "Cf", "Co", "Cs") or character == "\ufffd":
        return ""
    cleaned = character
    if strip_accents:
        decomposed = unicodedata.normalize("NFD", character)
        cleaned = "".join(mark for mark in decomposed if unicodedata.category(mark) != "Mn")
    if lowercase:
        cleaned = "".join(letter.lower() for letter in cleaned)
    # The tokenizer knows these boundaries itself; spaces make them visible to `_OVERLONG_WORD`.
    is_ideograph = any(ord(character) in block for block in _IDEOGRAPHS + _COMPATIBILITY_IDEOGRAPHS)
    is_punctuation = cleaned > "\x7f" and category.startswith("P")
    return f" {cleaned} " if is_ideograph or is_punctuation else cleaned


@functools.lru_cache(maxsize=4)
def build_character_table(lowercase: bool, strip_accents: bool) -> CharacterTable:
    """Builds the table of `clean_character` over all code points."""
    table = np.full((NUM_CODE_POINTS, _WIDTH), NOTHING, np.int32)
    table[:, 0] = ITSELF
    for block in _PRIVATE_PLANES:
        table[block.start : block.stop] = NOTHING
    for block in _IDEOGRAPHS:
        table[block.start : block.stop] = ord(" "), ITSELF, ord(" ")
    for code_point in itertools.chain(*_LOOKED_AT):
        character = chr(code_point)
        cleaned = clean_character(character, lowercase=lowercase, strip_accents=strip_accents)
        if cleaned != character:
            table[code_point] = [*map(ord, cleaned), *[NOTHING] * (_WIDTH - len(cleaned))]
    blocks = table.reshape(-1, PAGE_SIZE * _WIDTH)
    pages, page_of = np.unique(blocks, axis=0, return_inverse=True)
    return CharacterTable(page_of.reshape(-1).astype(np.int32), pages.reshape(-1, _WIDTH))


def clean_text(
    text: tf.Tensor, *, lowercase: bool, strip_accents: bool, break_tags: str
) -> tf.Tensor:
    """Cleans texts as BERT does before WordPiece. Drops invalid UTF-8 and NUL.

    Args:
        text: string `[batch_size]`: UTF-8.
        lowercase: Whether letters are lowercased.
        strip_accents: Whether nonspacing marks are dropped.
        break_tags: `"space"`: `<br />` in any spelling becomes a space. `"keep"`: it stays.

    Returns:
        string `[batch_size]`, in which words of more than 100 characters exceed
        `MAX_BYTES_PER_WORD` and no others do.
    """
    if break_tags == "space":
        text = tf.strings.regex_replace(text, _BREAK_TAG, " ")
    if lowercase:
        text = tf.strings.lower(text)  # ASCII only
    # Most texts are plain, and are now cleaned, twenty times faster than by the table.
    is_plain = tf.strings.regex_full_match(text, _PLAIN_TEXT)
    mapped = _map_characters(
        tf.where(is_plain, "", text), build_character_table(lowercase, strip_accents)
    )
    text = tf.where(is_plain, text, mapped)
    return tf.strings.regex_replace(text, _OVERLONG_WORD, r"\1\1\1\1")


def _map_characters(text: tf.Tensor, table: CharacterTable) -> tf.Tensor:
    """Replaces every character of the texts by its entry in the table."""
    decoded = tf.strings.unicode_decode(text, "UTF-8", errors="ignore")
    code_points = decoded.values
    page = tf.gather(table.page_of, code_points // PAGE_SIZE)
    cleaned = tf.gather(table.pages, page * PAGE_SIZE + code_points % PAGE_SIZE)
    cleaned = tf.where(cleaned == ITSELF, code_points[:, tf.newaxis], cleaned)
    rows = tf.RaggedTensor.from_row_splits(
        tf.reshape(cleaned, [-1]), decoded.row_splits * _WIDTH, validate=False
    )
    return tf.strings.unicode_encode(rows, "UTF-8", errors="ignore")
