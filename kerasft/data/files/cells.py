"""Parses single cells: missing, a word, several words, a number, a text."""

from __future__ import annotations

import ast
import decimal
import functools
import json
import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np

from kerasft.data.files.columns import Columns
from kerasft.data.files.row import Row
from kerasft.errors import UserError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LEADING_ZERO = re.compile(r"[+-]?0\d")  # a postcode, not a number
_LARGEST = 3.4e38  # of float32, in which labels are stored
_INVISIBLE = " \u00ad\u200b\u200c\u200d\u2060\ufeff"  # at the ends of what looks empty
_MOST_SHOWN = 60  # characters

# NumPy prints a list without commas: ['a' 'b'], [0 1].
_ITEM_AND_GAP = re.compile(
    r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,'"\[\]]+)(\s+(?![\s,\]]))?""", re.DOTALL
)
_BARE_LIST = re.compile(r"""\[[^][{}'"]+,[^][{}'"]+\]|\{[^][{}'":]+\}""")

# Numbers as people write them.
_GROUPED = r"\d{1,3}(?:[,.' \u00a0\u202f]\d{3})+(?:[,.]\d+)?"
_AMOUNT = rf"[+-]?(?:{_GROUPED}|\d+(?:[.,]\d+)?)"
_CURRENCY = "(?:[$€£¥₹₽₩¢]|[A-Z]{3} )"
_WRITTEN = {
    "digits other than 0 to 9": r"[+-]?(?=.*[^\x00-\x7f])\d+(?:[.,]\d+)?",
    "thousands separators or decimal commas": rf"[+-]?(?:{_GROUPED}|\d+,\d+)",
    "percent signs": rf"{_AMOUNT}\s?%",
    "currencies": rf"[+-]?{_CURRENCY}\s?{_AMOUNT}|{_AMOUNT}\s?(?:[$€£¥₹₽₩¢]|[A-Z]{{3}})",
}


def is_missing(cell: Any) -> bool:
    """Whether a cell is empty: no value, blanks and invisible characters alone, or NaN."""
    if cell is None:
        return True
    if isinstance(cell, str):
        return not cell.strip() or (not cell.isascii() and not cell.strip().strip(_INVISIBLE))
    return isinstance(cell, float) and math.isnan(cell)


def as_word(cell: Any) -> str:
    """Returns a cell as text without blanks around it: `5` for 5, 5.0 and " 5 ", `true` for true.

    A float32 is written with the digits of one: `0.1`, not 0.10000000149011612.
    """
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        if cell.is_integer():
            cell = int(cell)
        elif abs(cell) <= _LARGEST and np.float32(cell) == cell:
            cell = np.float32(cell)
    return str(cell).strip()


@functools.lru_cache(maxsize=10_000)
def plain(word: str) -> str:
    """Returns the spelling that equal words share.

    `1` for 1, 1.0 and 1e0; `true` for true, True and TRUE; composed characters (Unicode's NFC).
    """
    if word.lower() in ("true", "false"):
        return word.lower()
    if as_plain_number(word) is not None:
        number = decimal.Decimal(word)
        if number == number.to_integral_value():
            return str(int(number))
    return unicodedata.normalize("NFC", word)


def fold(word: str) -> str:
    """Returns a word without blanks, invisible characters and case, to find look-alikes."""
    folded = unicodedata.normalize("NFKC", word).casefold()
    return "".join(sign for sign in folded if sign.isprintable() and sign != " ")


def show(word: str) -> str:
    """Returns a word, shortened, in which invisible characters are code points: `pos<U+200B>`."""
    short = word if len(word) <= _MOST_SHOWN else f"{word[:_MOST_SHOWN]}..."
    return "".join(sign if sign.isprintable() else f"<U+{ord(sign):04X}>" for sign in short)


def split_items(cell: Any, separator: str | None) -> list[str]:
    """Returns the items of a list, or of a text with separators; possibly empty or repeated."""
    if isinstance(cell, list | tuple):
        return [as_word(item) for item in cell]
    word = as_word(cell)
    return [item.strip() for item in word.split(separator)] if separator else [word]


def as_words(cell: Any, separator: str | None) -> list[str]:
    """Returns the labels that a cell lists, each once."""
    return list(dict.fromkeys(filter(None, split_items(cell, separator))))


def as_list(cell: Any) -> Any:
    """Parses a list as programs print it; else returns the cell itself.

    CSV has no lists: JSON and Python write `["a", "b"]`, `('a', 'b')` or `{'a', 'b'}`, NumPy
    `['a' 'b']`, Spark `[a, b]`, PostgreSQL `{a,b}`.
    """
    if not isinstance(cell, str) or not cell.lstrip().startswith(("[", "(", "{")):
        return cell
    bare = text = cell.strip()
    if text[0] == "[":
        text = _ITEM_AND_GAP.sub(lambda found: found[1] + ", " * bool(found[2]), text)
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        is_list = isinstance(value, list | tuple | set) or value == {}
        return list(value) if is_list and not any(map(_is_no_word, value)) else cell
    items = bare[1:-1].split(",")
    if _BARE_LIST.fullmatch(bare) and all(map(str.strip, items)):
        return [item.strip() for item in items]
    return cell


def _is_no_word(item: Any) -> bool:
    return is_missing(item) or not isinstance(item, str | int | float)


def is_vector(items: Iterable[str]) -> bool:
    """Whether all items are 0 or 1: positions, perhaps, rather than labels."""
    return {plain(item) for item in items} <= {"0", "1", "false", "true"}


def as_number(cell: Any) -> float | None:
    """Returns a cell as a number that float32 can hold, else `None`."""
    if isinstance(cell, bool | list | tuple | bytes):
        return None
    if isinstance(cell, str) and not _NUMBER.fullmatch(cell.strip()):
        return None
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= _LARGEST else None


def as_plain_number(word: str) -> float | None:
    """Returns a word as a number; `None` for a code with leading zeros, such as `00501`."""
    return None if _LEADING_ZERO.match(word) else as_number(word)


def how_written(words: Iterable[str]) -> str | None:
    """Returns what keeps words from being numbers, such as `percent signs`; `None` if more does."""
    found = set()
    for word in words:
        if as_plain_number(word) is None:
            signs = (what for what, form in _WRITTEN.items() if re.fullmatch(form, word))
            found.add(next(signs, None))
    return None if None in found or not found else " and ".join(sorted(found))


def check_cells(row: Row, columns: Columns) -> None:
    """Raises a `UserError` if a text is not a string, or a label not a word, number or list."""
    for position in (columns.text, columns.text_pair):
        value = None if position is None else row.values[position]
        if not isinstance(value, str) and not is_missing(value):
            raise _wrong_type(row, "text", value, "a string in every row")
    label = row.values[columns.label]
    items = label if isinstance(label, list | tuple) else (label,)
    for item in items:
        if isinstance(item, str):
            item.isascii() or encode(item, row, "label")
        elif isinstance(item, dict | bytes | list | tuple):
            raise _wrong_type(row, "label", label, "a word, a number or a list of words")
        if items is label and is_missing(item):
            raise _wrong_type(row, "label", label, "a list of words, none of them empty or null")


def _wrong_type(row: Row, what: str, value: Any, expected: str) -> UserError:
    kinds = {bool: "true or false", dict: "an object", list: "a list", bytes: "binary"}
    is_number = isinstance(value, int | float)
    kind = kinds.get(type(value), "a number" if is_number else type(value).__name__)
    return UserError(
        f"{row.place}: the {what} is {kind}.", received=str(value)[:60], expected=expected
    )


def texts(row: Row, columns: Columns) -> tuple[bytes, bytes | None]:
    """Returns the text, and the second one if there is one, as UTF-8."""
    pair = None if columns.text_pair is None else row.values[columns.text_pair]
    text = encode(row.values[columns.text], row, "text")
    return text, None if pair is None else encode(pair, row, "second text")


def encode(text: str, row: Row, what: str) -> bytes:
    """Returns a cell's text as UTF-8.

    Raises:
        UserError: If it is not valid Unicode: JSON can spell halves of characters.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{row.place}: the {what} holds half of a character (a surrogate without its other).",
            received=error.object[error.start : error.end],
            expected="Unicode text",
        ) from error
