"""Chooses the text and label columns: named by the user, or guessed and reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kerasft.errors import UserError, nearest

# Usual names, the likeliest first.
_TEXT_NAMES = (
    *("text", "sentence", "review", "body", "content", "comment", "message", "document", "tweet"),
    *("question", "title", "description", "premise", "sentence1", "text_a"),
)
_LABEL_NAMES = (
    *("label", "labels", "class", "category", "categories", "tags", "target", "sentiment"),
    *("stars", "score", "rating", "intent", "topic", "emotion", "y"),
)
_PAIR_NAMES = (
    *(("sentence1", "sentence2"), ("question1", "question2"), ("premise", "hypothesis")),
    *(("text_a", "text_b"), ("text", "text_pair"), ("question", "sentence")),
)


class Columns(NamedTuple):
    """The positions, or names, of the columns that are read; `None` if there is no such one."""

    text: int
    label: int
    text_pair: int | None
    group: int | None


def choose_columns(
    names: Sequence[str],
    sample: Callable[[], Sequence[Sequence[Any]]],
    *,
    text: str | None,
    label: str | None,
    text_pair: str | None,
    group: str | None,
) -> tuple[Columns, list[str]]:
    """Returns the columns to read, and a log line for each guessed one.

    Columns that the user did not name are `None`. A text is then the column with a usual name, with
    its second text if both have the usual names of pairs (`premise` and `hypothesis`); else the
    column with the longest strings. A label is the column with a usual name, else the only one
    left. `sample` is called for the values of the first rows if no name is usual.

    Raises:
        UserError: If a named column does not exist, or one cannot be guessed.
    """
    given = {"text": text, "label": label, "text_pair": text_pair, "group": group}
    named: dict[str, int] = {}
    for key, name in given.items():
        if name is not None:
            check_column(f"data.{key}_column", name, names)
            named[key] = names.index(name)
    check_distinct(text, label, text_pair)
    guesses = _guess_pair(names, named)
    for key, guess in (("text", _guess_text), ("label", _guess_label)):
        if key not in named:
            named[key] = guess(names, sample, {*named.values()})
            guesses.append(f'Taking the column "{names[named[key]]}" for the {key} (--{key}).')
    return Columns(*map(named.get, Columns._fields)), guesses


def check_distinct(*names: str | None) -> None:
    """Raises a `UserError` if texts and labels are named by one column."""
    twice = {name for name in names if name is not None and names.count(name) > 1}
    if twice:
        raise UserError(
            "One column cannot be two things.",
            received=", ".join(sorted(twice)),
            expected="a column each for the text, the second text and the label",
        )


def check_column(setting: str, name: str, columns: Sequence[str]) -> None:
    """Raises a `UserError` if a setting names a missing column."""
    if name not in columns:
        raise UserError(
            f"{setting}: there is no such column.{nearest(name, columns)}",
            received=name,
            expected=f"one of {', '.join(columns)}",
        )


def _guess_pair(names: Sequence[str], named: dict[str, int]) -> list[str]:
    """Adds the columns of a pair of texts to `named` if no text was named; returns log lines."""
    lowered = [name.strip().lower() for name in names]
    for first, second in _PAIR_NAMES:
        if {"text", "text_pair"} & named.keys() or not {first, second} <= {*lowered}:
            continue
        positions = lowered.index(first), lowered.index(second)
        if not {*positions} & {*named.values()}:
            named["text"], named["text_pair"] = positions
            texts = " and ".join(f'"{names[position]}"' for position in positions)
            return [f"Taking the columns {texts} for pairs of texts (--text, --text-pair)."]
    return []


def _guess_text(
    names: Sequence[str], sample: Callable[[], Sequence[Sequence[Any]]], taken: set[int]
) -> int:
    usual = _usual(names, _TEXT_NAMES, taken)
    if usual is not None:
        return usual
    rows = sample()
    lengths = {
        position: sum(len(row[position]) for row in rows if isinstance(row[position], str))
        for position in range(len(names))
        if position not in taken and _usual([names[position]], _LABEL_NAMES, set()) is None
    }
    if not lengths or not max(lengths.values()):
        raise _unguessable("text", names)
    return max(lengths, key=lengths.__getitem__)


def _guess_label(names: Sequence[str], _: object, taken: set[int]) -> int:
    usual = _usual(names, _LABEL_NAMES, taken)
    if usual is not None:
        return usual
    left = [position for position in range(len(names)) if position not in taken]
    if len(left) != 1:
        raise _unguessable("label", names)
    return left[0]


def _usual(names: Sequence[str], usual: Sequence[str], taken: set[int]) -> int | None:
    lowered = [name.strip().lower() for name in names]
    found = [lowered.index(name) for name in usual if name in lowered]
    return next((position for position in found if position not in taken), None)


def _unguessable(what: str, names: Sequence[str]) -> UserError:
    return UserError(
        f"Which column holds the {what}?",
        received=f"columns {', '.join(names)}",
        expected=f"data.{what}_column",
        fix=f"--{what} NAME",
    )
