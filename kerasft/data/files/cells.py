"""Parses single cells: missing, a word, several words, a number, a text."""

from __future__ import annotations

import ast
import json
import math
import re
from typing import Any

from kerasft.data.files.columns import Columns
from kerasft.data.files.table import Row
from kerasft.errors import UserError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LEADING_ZERO = re.compile(r"[+-]?0\d")  # a postcode, not a number
_LARGEST = 3.4e38  # of float32, in which labels are stored


def is_missing(cell: Any) -> bool:
    """Whether a cell is empty: no value, blanks, or NaN."""
    if cell is None:
        return True
    if isinstance(cell, str):
        return not cell.strip()
    return isinstance(cell, float) and math.isnan(cell)


def as_word(cell: Any) -> str:
    """Returns the name of a class or label: `5` for 5, 5.0 and " 5 "."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def as_words(cell: Any, separator: str | None) -> list[str]:
    """Returns the labels that a cell lists, each once."""
    if isinstance(cell, list | tuple):
        words = [as_word(item) for item in cell]
    else:
        word = as_word(cell)
        words = word.split(separator) if separator else [word]
    return list(dict.fromkeys(word.strip() for word in words if word.strip()))


def as_list(cell: Any) -> Any:
    """Parses a list written as JSON or as Python prints it; else returns the cell itself.

    CSV has no lists: programs write `["a", "b"]` or `['a', 'b']` into it.
    """
    if not isinstance(cell, str) or not cell.strip().startswith("["):
        return cell
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(cell.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list) and not any(_is_no_word(item) for item in value):
            return value
    return cell


def _is_no_word(item: Any) -> bool:
    return is_missing(item) or not isinstance(item, str | int | float)


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


def check_cells(row: Row, columns: Columns) -> None:
    """Raises a `UserError` if a text is not a string, or a label not a word, number or list."""
    for position in (columns.text, columns.text_pair):
        value = None if position is None else row.values[position]
        if not isinstance(value, str) and not is_missing(value):
            raise _wrong_type(row, "text", value, "a string in every row")
    label = row.values[columns.label]
    items = label if isinstance(label, list | tuple) else [label]
    if any(isinstance(item, dict | bytes | list | tuple) for item in items):
        raise _wrong_type(row, "label", label, "a word, a number or a list of words")
    if items is label and any(is_missing(item) for item in items):
        raise _wrong_type(row, "label", label, "a list of words, none of them empty or null")


def _wrong_type(row: Row, what: str, value: Any, expected: str) -> UserError:
    kinds = {
        bool: "true or false",
        dict: "an object",
        list: "a list",
        bytes: "binary",
        int: "a number",
        float: "a number",
    }
    kind = kinds.get(type(value), type(value).__name__)
    return UserError(
        f"{row.place}: the {what} is {kind}.", received=str(value)[:60], expected=expected
    )


def texts(row: Row, columns: Columns) -> tuple[bytes, bytes | None]:
    """Returns the text, and the second one if there is one, as UTF-8.

    Raises:
        UserError: If it is not valid Unicode: JSON can spell halves of characters.
    """
    try:
        text = row.values[columns.text].encode()
        pair = None if columns.text_pair is None else row.values[columns.text_pair].encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{row.place}: the text holds half of a character (a surrogate without its other).",
            received=error.object[error.start : error.end],
            expected="Unicode text",
        ) from error
    return text, pair
