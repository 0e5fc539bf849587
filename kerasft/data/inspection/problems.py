"""The problems of a dataset: their level and their fix."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kerasft.data.example import MULTI, NUMBER, SINGLE
from kerasft.data.files.cells import as_plain_number, fold, how_written, show
from kerasft.data.files.labels import MOST_NUMBERED
from kerasft.data.files.names import PLAINLY
from kerasft.data.inspection.facts import Leak, Remaining, SplitFacts, count, imbalance
from kerasft.data.inspection.scan import (
    CONTROL_CHARACTER,
    HTML,
    INVALID_UTF8,
    MOJIBAKE,
    REPLACEMENT_CHARACTER,
)

ERROR, WARNING, NOTE = "error", "warning", "note"
LEVELS = (ERROR, WARNING, NOTE)

FEWEST_EXAMPLES = 2  # of a class: one to train on, one to validate on
FEW_EXAMPLES = 10
UNBALANCED = 10.0  # the most frequent class, in multiples of the least frequent
_TRUNCATED_SHARE = 0.05
_HTML_SHARE = 0.01
_MOST_ROUNDING = 1e-3  # standard deviations
_LONGEST_POSITIONS = 512  # of the encoders here
_MOST_NAMED = 10
_MISSING_WORDS = ("nan", "NaN", "null", "NULL", "None", "<NA>", "NaT", r"\N", "N/A")
_SUBTRACT = "subtract a constant from all of them, such as the smallest"
_SINGLE = '--label-kind single (data.label_kind="single")'
_NUMBER = '--label-kind number (data.label_kind="number")'

_FAULTS = {
    INVALID_UTF8: (
        "no valid UTF-8",
        "find out the file's encoding, and write it as UTF-8: iconv -f latin1 -t utf-8",
    ),
    REPLACEMENT_CHARACTER: (
        'the replacement character U+FFFD, "\ufffd"',
        "the text was read in the wrong encoding before: export it again, as UTF-8",
    ),
    MOJIBAKE: (
        'UTF-8 that was taken for Latin-1, such as "Ã©"',
        "export the text again as UTF-8, or mend it with text.encode('cp1252').decode('utf-8')",
    ),
    CONTROL_CHARACTER: (
        "control characters",
        "nothing, if they mean nothing: they are left out before the model reads the text",
    ),
}


class Problem(NamedTuple):
    """A problem of the data; texts have no full stop.

    Args:
        level: `error` (the data cannot be trained on), `warning` or `note`.
        split: The split, or two.
    """

    level: str
    split: str
    what: str
    fix: str

    def to_line(self) -> str:
        """Returns it as one line."""
        fix = f"{self.fix[0].upper()}{self.fix[1:]}"
        return f"{self.level}: {self.split}: {self.what}. {fix}."


def find_problems(
    splits: Mapping[str, SplitFacts],
    leaks: Sequence[Leak],
    label_kind: str,
    remaining: Remaining | None = None,
) -> tuple[Problem, ...]:
    """Returns the problems, worst first; the first of `splits` is trained on.

    `remaining` is what is left of it without the leaks; `None` if they stay, or there are none.
    """
    problems = [] if remaining is None else list(_lost_labels(splits, remaining))
    for rank, (split, facts) in enumerate(splits.items()):
        if not facts.rows:
            problems.append(Problem(ERROR, split, "There is no row", "add rows, or leave it out"))
            continue
        first = _in_training if rank == 0 else _in_measuring
        problems += [
            Problem(level, split, what, fix)
            for finder in (first, _in_texts, _in_labels, _in_lengths, _in_encoding)
            for level, what, fix in finder(facts, label_kind)
        ]
    train = next(iter(splits))
    problems += [_of_leak(leak, train, stays=remaining is None) for leak in leaks]
    return tuple(sorted(problems, key=lambda problem: LEVELS.index(problem.level)))


def _in_training(facts: SplitFacts, label_kind: str) -> Iterator[tuple[str, str, str]]:
    """Yields problems that matter only for the training split."""
    if facts.hidden_labels:
        yield (
            ERROR,
            f"The labels of {count(facts.hidden_labels, 'row')} are hidden",
            "train on a split whose labels are known",
        )
        return
    if label_kind == NUMBER:
        distinct = facts.distinct_numbers
        if distinct == 1 and facts.rounding:
            yield ERROR, "All labels are the same number to a float32", _SUBTRACT
        elif distinct == 1:
            yield ERROR, "All labels are the same number", "name another label column"
        if facts.may_be_classes and distinct <= MOST_NUMBERED and facts.rows >= 2 * distinct > 2:
            yield (
                WARNING,
                f"The labels are {distinct:,} different whole numbers in {count(facts.rows, 'row')}"
                ", and are read as numbers to be predicted, not as classes",
                f"for classes: {_SINGLE}; else say so: {_NUMBER}",
            )
        return
    yield from _odd_names(facts.counts)
    if label_kind == SINGLE and sum(number > 0 for number in facts.counts.values()) < 2:
        yield (
            ERROR,
            f"There is but one class, {next(iter(facts.counts), 'none')}",
            "name another label column, or add examples of another class",
        )
        return
    yield from _rare_labels(facts.counts, label_kind)
    ratio = imbalance(facts.counts)
    if label_kind == SINGLE and ratio >= UNBALANCED:
        yield (
            WARNING,
            f"The most frequent class has {ratio:,.0f} times as many rows as the rarest",
            "read macro F1 rather than accuracy, and try training.class_weights=balanced or "
            "data.oversample=true",
        )
    if facts.groups == 1:
        yield (
            WARNING,
            "All rows are of one group, which cannot be split",
            "give a validation file, or leave the group column out",
        )


def _odd_names(counts: Mapping[str, int]) -> Iterator[tuple[str, str, str]]:
    """Yields a warning for labels that look alike, missing, or like numbers."""
    alike: dict[object, list[str]] = {}
    for name in counts:
        is_number = as_plain_number(name) is not None
        alike.setdefault(decimal.Decimal(name) if is_number else fold(name), []).append(name)
    told = [" and ".join(map(show, names)) for names in alike.values() if len(names) > 1]
    if told:
        yield (
            WARNING,
            f"Labels that look alike: {'; '.join(told[:_MOST_NAMED])}",
            "write them alike, if they are meant to be one: they are learnt as different labels",
        )
    missing = [name for name in _MISSING_WORDS if counts.get(name)]
    if missing:
        yield (
            WARNING,
            f"Labels that programs write for a missing value: {_name(missing, counts)}",
            "empty these cells, if they stand for nothing: they are learnt as labels",
        )
    how = how_written(counts)
    if how is not None:
        fix = f"for numbers: {PLAINLY}, and {_NUMBER}"
        yield WARNING, f"The classes look like numbers written with {how}", fix


def _lost_labels(splits: Mapping[str, SplitFacts], remaining: Remaining) -> Iterator[Problem]:
    """Yields an error for labels of train that all stand in another split; nothing may be left."""
    train, *others = splits
    if not remaining.rows:
        yield Problem(
            ERROR,
            train,
            f"Nothing is left to train on: all {count(splits[train].rows, 'row')} occur in "
            f"{' or '.join(others)}, too",
            "name other data for one of them",
        )
        return
    validated = splits["validation"].counts if "validation" in others else {}
    for name, number in splits[train].counts.items():
        if number and not remaining.counts[name]:
            yield Problem(
                # Its metrics on validation show that it is not learnt.
                WARNING if validated.get(name) else ERROR,
                train,
                f"No training example is left of {show(name)}: all {number:,} occur in "
                f"{' or '.join(others)}, too",
                "add examples of it, or take its texts out of the other split",
            )


def _in_measuring(facts: SplitFacts, label_kind: str) -> Iterator[tuple[str, str, str]]:
    """Yields problems that matter only for validation and test splits."""
    if facts.hidden_labels:
        yield (
            NOTE,
            f"The labels of {count(facts.hidden_labels, 'row')} are hidden",
            "nothing can be measured there, only predicted",
        )


def _rare_labels(counts: Mapping[str, int], label_kind: str) -> Iterator[tuple[str, str, str]]:
    thing = "label" if label_kind == MULTI else "class"
    single = [name for name, number in counts.items() if number < FEWEST_EXAMPLES]
    few = [name for name, number in counts.items() if FEWEST_EXAMPLES <= number < FEW_EXAMPLES]
    if single:
        yield (
            ERROR,
            f"{_have(single, thing)} fewer than {FEWEST_EXAMPLES} examples: "
            f"{_name(single, counts)}",
            f"add examples, merge the {thing} with another, or take its rows out",
        )
    if few:
        yield (
            WARNING,
            f"{_have(few, thing)} fewer than {FEW_EXAMPLES} examples: {_name(few, counts)}",
            "add examples, or expect little of it",
        )


def _have(names: Sequence[str], thing: str) -> str:
    return f"{count(len(names), thing)} {'has' if len(names) == 1 else 'have'}"


def _name(names: Sequence[str], counts: Mapping[str, int]) -> str:
    told = [f"{name} ({counts[name]})" for name in names[:_MOST_NAMED]]
    return ", ".join([*told, "..."] if len(names) > _MOST_NAMED else told)


def _in_texts(facts: SplitFacts, label_kind: str) -> Iterator[tuple[str, str, str]]:
    for reason, number in facts.left_out.items():
        yield (
            WARNING,
            f"{count(number, 'row')} left out: {reason}",
            "mend them, if they should count",
        )
    if facts.empty:
        yield WARNING, f"{count(facts.empty, 'text')} empty", "take the rows out"
    if facts.duplicates:
        yield (
            NOTE,
            f"{count(facts.duplicates, 'row')} with a text that another row has, too "
            "(case, accents and blanks aside)",
            "nothing, if the text really came so often: equal texts stay in one split",
        )


def _in_labels(facts: SplitFacts, label_kind: str) -> Iterator[tuple[str, str, str]]:
    if _MOST_ROUNDING < facts.rounding < math.inf:
        yield (
            WARNING,
            "The labels have more digits than a float32 keeps: it moves them by up to "
            f"{facts.rounding:.2g} standard deviations",
            _SUBTRACT,
        )
    if facts.conflicting_texts:
        shown = "; ".join(
            f'"{conflict["text"]}" ({" / ".join(conflict["labels"])})'
            for conflict in facts.conflicts
        )
        yield (
            WARNING,
            f"{count(facts.conflicting_texts, 'text')} under different labels, in "
            f"{count(facts.conflicting_rows, 'row')}: {shown}",
            "decide on one label for each, since no model can answer both",
        )


def _in_lengths(facts: SplitFacts, label_kind: str) -> Iterator[tuple[str, str, str]]:
    lengths = facts.lengths
    if lengths is None or (lengths.truncated_share or 0) < _TRUNCATED_SHARE:
        return
    enough = -(-lengths.percentiles[95] // 8) * 8
    longer = f"model.sequence_length={enough} to read 95 % whole, or "
    yield (
        NOTE,
        f"{lengths.truncated_share:.1%} of the texts are longer than {lengths.limit:,} tokens, and "
        "are cut",
        f"set {longer if enough <= _LONGEST_POSITIONS else ''}model.truncation=windows to read "
        "on, for more time",
    )


def _in_encoding(facts: SplitFacts, label_kind: str) -> Iterator[tuple[str, str, str]]:
    for fault, (what, fix) in _FAULTS.items():
        if facts.faults.get(fault):
            level = NOTE if fault == CONTROL_CHARACTER else WARNING
            yield level, f"{count(facts.faults[fault], 'row')} with {what}", fix
    share = facts.faults.get(HTML, 0) / facts.rows
    if share >= _HTML_SHARE:
        yield (
            NOTE,
            f"{share:.1%} of the texts have HTML tags or entities",
            "<br /> is read as a space; strip other tags, if they mean nothing",
        )


def _of_leak(leak: Leak, train: str, *, stays: bool) -> Problem:
    where = f"{leak.split} and {leak.other}"
    left_out = f"{count(leak.rows, 'row')} of {leak.split}"
    if leak.split != train:
        fix = f"take them out of one of the two: scores on {leak.other} would flatter"
    elif stays:
        fix = f"leave data.keep_train_test_duplicates out: scores on {leak.other} flatter"
    else:
        fix = "nothing, if that is right: they are left out of training"
    return Problem(WARNING, where, f"{count(leak.shared, leak.what[:-1])} in both, {left_out}", fix)
