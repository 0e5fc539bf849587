"""Detects what a label column holds: classes, several labels a text, or numbers."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from kerasft.data.example import MULTI, NUMBER, SINGLE
from kerasft.data.files.cells import (
    as_list,
    as_number,
    as_plain_number,
    as_word,
    as_words,
    how_written,
    is_missing,
    is_vector,
    show,
    split_items,
)
from kerasft.data.files.names import MOST_NAMED, PLAINLY
from kerasft.errors import UserError

AUTO = "auto"
_SEPARATORS = ("|", ";")
_LIKELY_SEPARATORS = (*_SEPARATORS, ",")  # if the user says that there are several labels
_MOST_GRADES = 50  # up to this many distinct integers are grades or classes
MOST_NUMBERED = 500  # up to this many are numbered classes, if there are enough rows of each;
_ROWS_EACH = 5  # otherwise they are measurements
_MOST_CELLS = 10_000  # distinct ones kept
_SEPARATED_SHARE = 0.1  # of the cells that must hold a separator before it is accepted
_BETWEEN_POSITIONS = re.compile(r"[\s,;|]+")  # of a 0/1 vector without brackets


class LabelCounts:
    """Counts the cells of a label column to detect the task afterwards.

    Memory holds each distinct cell once, and of numbers 10,000 at most.

    Args:
        kind: The user's `label_kind`; `auto` detects it.
        separator: The user's separator between several labels in a cell.

    Raises:
        UserError: If a separator is given for labels that are one a text.
    """

    def __init__(self, kind: str = AUTO, separator: str | None = None):
        if separator is not None and kind not in (AUTO, MULTI):
            raise UserError(
                f'data.label_separator parts several labels, and data.label_kind="{kind}" has one.',
                received=separator,
                fix='leave one of them out, or set data.label_kind="multi".',
            )
        self.cells: Counter[str] = Counter()
        self.lists: Counter[str] = Counter()
        self._kind, self._separator = kind, separator
        self._kinds: dict[str, str] = {}  # kinds of values, and the place of the first of each
        self._spelled: dict[bool, str] = {}  # the same for cells that are numbers, or not
        self._has_fractions = self._overflows = False
        self._first_list: list[str] = []
        self._are_vectors, self._repeats = True, False  # of the lists

    def add(self, cell: Any, place: str) -> None:
        """Counts one cell; a missing one has no label. `place` is its location, for messages."""
        if is_missing(cell):
            return
        if self._kind == NUMBER:
            check_numbers([(cell, place)])
            return
        if self._kind in (AUTO, MULTI) and self._separator is None:
            cell = as_list(cell)
        is_list = isinstance(cell, list | tuple)
        kind = "list" if is_list else "text" if isinstance(cell, str) else "number"
        self._kinds.setdefault(kind, place)
        if is_list or self._separator is not None:
            self._count_list(split_items(cell, self._separator))
        else:
            self._count(as_word(cell), place)

    def _count_list(self, items: Sequence[str]) -> None:
        words = dict.fromkeys(filter(None, items))
        self._first_list = self._first_list or list(items)
        self._are_vectors = self._are_vectors and is_vector(words)
        self._repeats = self._repeats or len(words) < len(items)
        self.lists.update(words.keys())
        self._check_size(self.lists)

    def _count(self, word: str, place: str) -> None:
        number = as_plain_number(word)
        self._spelled.setdefault(number is not None, place)
        if number is not None:
            self._has_fractions |= not number.is_integer()
        self.cells[word] += 1
        if len(self.cells) > _MOST_CELLS:
            self._overflows = True
            if False in self._spelled or self._kind == SINGLE:
                self._check_size(self.cells)
            del self.cells[word]  # of this many numbers only the kind matters

    def _check_size(self, counts: Counter[str]) -> None:
        if len(counts) > _MOST_CELLS:
            self._check_mixture()
            raise UserError(
                f"The label column holds more than {_MOST_CELLS:,} different labels.",
                received=", ".join(map(show, itertools.islice(counts, MOST_NAMED))),
                expected="the labels of a classification",
                fix="is this the label column? Name it: --label NAME. If a cell holds several "
                'labels, say what parts them: data.label_separator="|".',
            )

    def _check_mixture(self) -> None:
        """Raises a `UserError` if a column mixes lists and single values, or numbers and words."""
        words = len(self._spelled) == 2
        numbers_beside_words = {"text", "number"} <= self._kinds.keys() and words
        if ("list" in self._kinds and len(self._kinds) > 1) or numbers_beside_words:
            raise UserError(
                "The label column mixes kinds of values.",
                received=", ".join(f"a {kind} at {at}" for kind, at in self._kinds.items()),
                expected="all of one kind",
            )
        if words and self._kind == AUTO and (self._has_fractions or self._overflows):
            raise UserError(
                "The label column mixes numbers and words.",
                received=f"a number at {self._spelled[True]}, a word at {self._spelled[False]}",
                expected="numbers alone, or the names of classes",
                fix='empty the cells that stand for nothing, or set data.label_kind="single".',
            )

    def _check_vectors(self) -> None:
        """Raises a `UserError` if the cells are vectors of 0 and 1, whose positions have meaning.

        A list of the labels 0 and 1 would hold each of them once.
        """
        first, are_vectors, repeats = self._first_list, self._are_vectors, self._repeats
        if not self.lists:
            parts = [_BETWEEN_POSITIONS.split(cell) for cell in self.cells]
            first = next(iter(parts), [])
            are_vectors = all(len(part) > 1 and is_vector(part) for part in parts)
            repeats = any(len(set(part)) < len(part) for part in parts)
        if first and are_vectors and repeats:
            raise UserError(
                "The labels are vectors of 0 and 1: the names of their positions are unknown.",
                received=f"{', '.join(first)} ({next(iter(self._kinds.values()))})",
                expected="the names of the labels that apply, or a column of 0 and 1 for each",
                fix="write one column for each position, under the label's name, and name the "
                "columns: --label toxic insult threat.",
            )

    def detect(self) -> tuple[str, str | None]:
        """Returns one of `LABEL_KINDS`, and the separator of several labels.

        Raises:
            UserError: If the cells are mixed, or are 0/1 vectors, or are lists though the user's
                `label_kind` excludes lists.
        """
        self._check_mixture()
        if self._kind == SINGLE and "list" in self._kinds:
            raise UserError(
                'data.label_kind="single", and the labels are lists.',
                received=f"a list at {self._kinds['list']}",
                fix='leave data.label_kind out, or set it to "multi".',
            )
        if self._kind in (SINGLE, NUMBER):
            return self._kind, None
        self._check_vectors()
        if "list" in self._kinds or self._separator is not None:
            return MULTI, self._separator
        if self._kind == MULTI:
            return MULTI, self._find_separator(_LIKELY_SEPARATORS)
        if False not in self._spelled:
            return (SINGLE if self._are_numbered_classes() else NUMBER), None
        found = self._find_separator(_SEPARATORS)
        return (SINGLE, None) if found is None else (MULTI, found)

    def _are_numbered_classes(self) -> bool:
        """Whether integers are classes: few distinct ones, or many rows for each."""
        if self._has_fractions or self._overflows:
            return False
        count = len(self.cells)
        enough = self.cells.total() >= _ROWS_EACH * count
        return count <= _MOST_GRADES or (count <= MOST_NUMBERED and enough)

    def _find_separator(self, signs: Sequence[str]) -> str | None:
        """Returns a sign that separates labels: it occurs in a tenth of the cells, between words.

        Unless the user said that there are several labels, it must be unmistakable: there must also
        be fewer distinct words than distinct cells. Signs at the ends of a cell separate nothing.
        """
        for sign in signs:
            pieces = {cell: split_items(cell.strip(f" {sign}"), sign) for cell in self.cells}
            share = sum(self.cells[cell] for cell in pieces if len(pieces[cell]) > 1)
            words = {word for of_cell in pieces.values() for word in of_cell}
            is_plain = self._kind == MULTI or ("" not in words and len(words) < len(self.cells))
            if share >= _SEPARATED_SHARE * max(1, self.cells.total()) and is_plain:
                return sign
        return None

    def names(self, separator: str | None) -> Counter[str]:
        """Returns how often each class or label occurs; `separator` is `None` for classes."""
        names = Counter(self.lists)
        for cell, count in self.cells.items():
            for word in as_words(cell, separator):
                names[word] += count
        return names


def check_numbers(cells: Iterable[tuple[Any, str]]) -> None:
    """Raises a `UserError` for the first cells that are not numbers.

    `cells` are pairs of a value and its location.
    """
    wrong = ((cell, place) for cell, place in cells if as_number(cell) is None)
    first = list(itertools.islice(wrong, MOST_NAMED))
    if first:
        how = how_written([as_word(cell) for cell, _ in first])
        raise UserError(
            "The labels are to be numbers, and some are not.",
            received=", ".join(f"{str(cell)[:60]!r} ({at})" for cell, at in first),
            expected="finite numbers with a decimal point",
            fix='for classes: data.label_kind="single".'
            if how is None
            else f"these look like numbers written with {how}: {PLAINLY}.",
        )


def describe_labels(
    column: str, kind: str, names: Sequence[str], separator: str | None = None
) -> str:
    """Returns the log line that says how labels were interpreted and how to change that."""
    are = f'The labels in "{column}" are'
    if kind == NUMBER:
        return f'{are} numbers: a regression. For classes: data.label_kind="single".'
    if kind == MULTI:
        between = f' with "{separator}" between them' if separator else ""
        return (
            f"{are} {len(names)} labels, several to a text{between}. "
            'For one class a text: data.label_kind="single".'
        )
    grades = all(as_number(name) is not None for name in names)
    order = ' For numbers in an order: data.label_kind="number".' if grades else ""
    shown = ", ".join(map(show, names[:8])) + (", ..." if len(names) > 8 else "")
    return f"{are} {len(names)} classes: {shown}.{order}"
