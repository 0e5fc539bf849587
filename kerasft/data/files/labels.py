"""Detects what a label column holds (classes, several labels a text, or numbers), and checks it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from kerasft.data.example import MULTI, NUMBER, SINGLE
from kerasft.data.files.cells import (
    as_list,
    as_number,
    as_plain_number,
    as_word,
    as_words,
    is_missing,
)
from kerasft.errors import UserError

AUTO = "auto"
MOST_NAMED = 5
_SEPARATORS = ("|", ";")
_LIKELY_SEPARATORS = (*_SEPARATORS, ",")  # if the user says that there are several labels
_MOST_GRADES = 50  # up to this many distinct integers are grades or classes
_MOST_NUMBERED = 500  # up to this many are numbered classes, if there are enough rows of each;
_ROWS_EACH = 5  # otherwise they are measurements
_MOST_CELLS = 10_000  # distinct ones kept
_SEPARATED_SHARE = 0.1  # of the cells that must hold a separator before it is accepted


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
        self._first: Any = None
        self._varies = False

    def add(self, cell: Any, place: str) -> None:
        """Counts one cell that is not missing; `place` is its location, for messages."""
        if self._kind in (AUTO, MULTI) and self._separator is None:
            cell = as_list(cell)
        if isinstance(cell, list | tuple) or self._separator is not None:
            self._kinds.setdefault("list" if isinstance(cell, list | tuple) else "text", place)
            words = as_words(cell, self._separator)
            self.lists.update(words)
            self._compare(sorted(words))
            self._check_size(self.lists)
        else:
            self._kinds.setdefault("text" if isinstance(cell, str) else "number", place)
            self._count(as_word(cell), place)

    def add_nothing(self) -> None:
        """Counts a text to which no label applies."""
        self._compare([])

    def _count(self, word: str, place: str) -> None:
        number = as_plain_number(word)
        self._spelled.setdefault(number is not None, place)
        self._compare(word if number is None else number)
        if number is not None:
            self._has_fractions |= not number.is_integer()
            if len(self.cells) >= _MOST_CELLS and word not in self.cells:
                self._overflows = True  # of this many numbers only the kind matters
                return
        self.cells[word] += 1
        if False in self._spelled:
            self._check_size(self.cells)

    def _compare(self, label: Any) -> None:
        self._first = label if self._first is None else self._first
        self._varies = self._varies or label != self._first

    def _check_size(self, counts: Counter[str]) -> None:
        if len(counts) > _MOST_CELLS:
            self._overflows = True
            self.check_mixture()
            raise UserError(
                f"The label column holds more than {_MOST_CELLS:,} different labels.",
                received=", ".join(list(counts)[:MOST_NAMED]),
                expected="the labels of a classification",
                fix="is this the label column? Name it: --label NAME. If a cell holds several "
                'labels, say what parts them: data.label_separator="|".',
            )

    def check_variety(self) -> None:
        """Raises a `UserError` if all texts have the same labels."""
        if not self._varies:
            raise UserError(
                "All training examples have one label: there is nothing to learn.",
                received=self._first,
                expected="two labels or more",
            )

    def check_mixture(self) -> None:
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

    def detect(self) -> tuple[str, str | None]:
        """Returns one of `LABEL_KINDS`, and the separator of several labels.

        Raises:
            UserError: If the cells are lists, and the user's `label_kind` excludes lists.
        """
        if self._kind in (SINGLE, NUMBER):
            if "list" in self._kinds:
                raise UserError(
                    f'data.label_kind="{self._kind}", and the labels are lists.',
                    received=f"a list at {self._kinds['list']}",
                    fix='leave data.label_kind out, or set it to "multi".',
                )
            return self._kind, None
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
        return count <= _MOST_GRADES or (count <= _MOST_NUMBERED and enough)

    def _find_separator(self, signs: Sequence[str]) -> str | None:
        """Returns a sign that separates labels: it occurs in a tenth of the cells, between words.

        Unless the user said that there are several labels, it must be unmistakable: there must also
        be fewer distinct words than distinct cells.
        """
        for sign in signs:
            holding = [cell for cell in self.cells if sign in cell]
            share = sum(self.cells[cell] for cell in holding) / max(1, self.cells.total())
            pieces = [piece.strip() for cell in self.cells for piece in cell.split(sign)]
            is_plain = self._kind == MULTI or len(set(pieces)) < len(self.cells)
            if share >= _SEPARATED_SHARE and all(pieces) and is_plain:
                return sign
        return None

    def names(self, separator: str | None) -> Counter[str]:
        """Returns how often each class or label occurs; `separator` is `None` for classes."""
        names = Counter(self.lists)
        for cell, count in self.cells.items():
            for word in as_words(cell, separator):
                names[word] += count
        return names


_MOST_UNSEEN = 1000  # labels whose rows are kept


def sort_names(names: Sequence[str]) -> tuple[str, ...]:
    """Sorts labels: as numbers if all are numbers, else as text."""
    if any(as_plain_number(name) is None for name in names):
        return tuple(sorted(names))
    return tuple(sorted(names, key=lambda name: (as_number(name), name)))


def check_names(counts: Counter[str]) -> None:
    """Raises a `UserError` if there is only one class, or one has fewer than two examples."""
    if len(counts) < 2:
        raise UserError(
            "All training examples have one label: there is nothing to learn.",
            received=", ".join(counts) or "none",
            expected="two labels or more",
        )
    rare = sort_names([name for name, count in counts.items() if count < 2])
    if rare:
        named = ", ".join(rare[:MOST_NAMED])
        many = len(rare) > max(MOST_NAMED, len(counts) // 2)
        raise UserError(
            f"{len(rare):,} of {len(counts):,} labels have fewer than two training examples.",
            received=f"{named}{', ...' if len(rare) > MOST_NAMED else ''}",
            expected="at least two examples of each",
            fix="is this the label column? Name it: --label NAME."
            if many
            else "add examples, or leave those rows out or merge them into another label.",
        )


def check_header(column: str, names: Collection[str]) -> None:
    """Raises a `UserError` if the first line seems to be a row: the column's name is a label."""
    if column in names:
        raise UserError(
            "The first line looks like a row, not like the names of the columns.",
            received=f"a column named {column!r}, which is a label in it, too",
            expected="a first line such as text,label",
            fix="add one; or, if it is right so, name the columns: --text NAME --label NAME.",
        )


def check_numbers(cells: Iterable[tuple[Any, str]]) -> None:
    """Raises a `UserError` for the first cell that is not a number; missing ones are skipped.

    `cells` are pairs of a value and its location.
    """
    wrong = ((c, at) for c, at in cells if not is_missing(c) and as_number(c) is None)
    first = list(itertools.islice(wrong, MOST_NAMED))
    if first:
        raise UserError(
            "The labels are to be numbers, and some are not.",
            received=", ".join(f"{str(cell)[:60]!r} ({at})" for cell, at in first),
            expected="finite numbers with a decimal point",
            fix='for classes: data.label_kind="single".',
        )


def check_seen(
    split: str, cells: Iterable[tuple[Sequence[str], str]], names: Collection[str]
) -> None:
    """Raises a `UserError` for labels of a split that train does not have, after reading all cells.

    `cells` are pairs of the labels of a row and its location. The error names the labels and the
    first rows of each.
    """
    unseen: dict[str, list[str]] = {}
    for words, place in cells:
        for word in words:
            if word not in names and (word in unseen or len(unseen) < _MOST_UNSEEN):
                places = unseen.setdefault(word, [])
                places += [place] * (len(places) < MOST_NAMED)
    if unseen:
        told = [f"{name} ({', '.join(at)})" for name, at in unseen.items()]
        raise UserError(
            f"Labels of {split} that no training example has.",
            received="; ".join(told[:MOST_NAMED]) + ("; ..." * (len(told) > MOST_NAMED)),
            expected=f"one of {', '.join(itertools.islice(names, 20))}",
            fix="correct the label, take the rows out, or add training examples of it.",
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
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"{are} {len(names)} classes: {shown}.{order}"
