"""What is said of the labels once all are counted: their order, what is wrong, what they are."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from kerasft.data.example import MULTI, NUMBER
from kerasft.data.files.cells import as_number, as_plain_number, is_missing
from kerasft.data.files.scan import MOST_NAMED
from kerasft.errors import UserError

_MOST_UNSEEN = 1000  # of which the rows are kept


def sort_names(names: Sequence[str]) -> tuple[str, ...]:
    """Sorts labels: as numbers where all are numbers, else as text."""
    if any(as_plain_number(name) is None for name in names):
        return tuple(sorted(names))
    return tuple(sorted(names, key=lambda name: (as_number(name), name)))


def check_names(counts: Counter[str]) -> None:
    """Refuses classes that cannot be learnt.

    Raises:
        UserError: If there is one alone, or one has fewer than two examples.
    """
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
    """Refuses a table whose first line seems to be a row: a label is the label column's name.

    Raises:
        UserError: If it seems so.
    """
    if column in names:
        raise UserError(
            "The first line looks like a row, not like the names of the columns.",
            received=f"a column named {column!r}, which is a label in it, too",
            expected="a first line such as text,label",
            fix="add one; or, if it is right so, name the columns: --text NAME --label NAME.",
        )


def check_numbers(cells: Iterable[tuple[Any, str]]) -> None:
    """Refuses cells that are no numbers; missing ones are passed over.

    Args:
        cells: Values, and where each stands.

    Raises:
        UserError: With the first of them.
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
    """Refuses labels that training does not have, after reading all cells.

    Args:
        split: The split that they stand in.
        cells: The labels of each row, and where it stands.
        names: The labels of train.

    Raises:
        UserError: With the labels and the first rows of each.
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
    """Returns the line that tells people what the labels were taken for, and how to say else.

    Args:
        column: The label column.
        kind: What they are.
        names: The labels.
        separator: What stands between several labels in a cell.
    """
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
