"""Reads a source's splits once, and reports their contents and problems."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasft.data.example import MULTI, NUMBER, SINGLE, Example
from kerasft.data.inspection.facts import (
    Leak,
    Remaining,
    SplitFacts,
    fact_lines,
    label_counts,
    measure_lengths,
    number_quantiles,
    relative_rounding,
)
from kerasft.data.inspection.problems import ERROR, Problem, find_problems
from kerasft.data.inspection.scan import Scan, count_words, token_counter
from kerasft.data.sources.source import Source
from kerasft.data.store.hashes import count_different, stand_in
from kerasft.errors import UserError

SPLITS = ("train", "validation", "test")
_MOST_CONFLICTS = 3
_SHOWN_CHARACTERS = 60
UNTRUNCATED = 10_000_000  # tokens: more than any text has


@dataclasses.dataclass(frozen=True)
class Inspection:
    """The contents and problems of a dataset.

    Attributes:
        label_kind: One of `kerasft.data.example.LABEL_KINDS`.
        splits: The contents of each split, by the dataset's own name; the first is trained on.
        leaks: Texts and groups that occur in two splits.
        problems: Problems and their fixes, worst first.
    """

    name: str
    version: str
    label_kind: str
    label_names: tuple[str, ...]
    splits: dict[str, SplitFacts]
    leaks: tuple[Leak, ...]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> list[Problem]:
        """The problems that make training impossible."""
        return [problem for problem in self.problems if problem.level == ERROR]

    def check(self) -> None:
        """Raises a `UserError` that names all errors, if there are any."""
        if self.errors:
            raise UserError(
                "This data cannot be trained on. "
                + " ".join(f"{problem.split}: {problem.what}." for problem in self.errors),
                fix=" ".join(dict.fromkeys(f"{problem.fix}." for problem in self.errors)),
            )

    def to_lines(self) -> list[str]:
        """Returns text lines: problems and fixes, then the contents."""
        problems = [problem.to_line() for problem in self.problems]
        facts = [
            line
            for split, facts in self.splits.items()
            for line in fact_lines(split, facts, self.label_kind)
        ]
        return problems + facts

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain data."""
        return {
            "name": self.name,
            "version": self.version,
            "usable": not self.errors,
            "label_kind": self.label_kind,
            "label_names": list(self.label_names),
            "problems": [problem._asdict() for problem in self.problems],
            "splits": {name: dataclasses.asdict(facts) for name, facts in self.splits.items()},
            "leaks": [dataclasses.asdict(leak) for leak in self.leaks],
        }


def inspect_source(
    source: Source,
    *,
    preprocessor: Any = None,
    sequence_length: int | None = None,
    splits: Sequence[str] = SPLITS,
    keeps_leaks: bool = False,
) -> Inspection:
    """Reads the splits of a source once, as streams.

    Memory holds 16 bytes an example, to find equal texts, and 4 for its label. If equal texts have
    different labels, the source is read again up to the first such examples.

    Args:
        source: The data.
        preprocessor: Has `tokenize(text, text_pair=None)` and does not truncate: see
            `length_preprocessor`. Without it words are counted.
        sequence_length: The most tokens read of a text; `None` for no limit. Only used with a
            preprocessor.
        splits: The dataset's own names of the splits to read, the training split first. Missing
            splits are skipped.
        keeps_leaks: Whether texts and groups of other splits stay in the training split.

    Raises:
        UserError: If the source has none of the splits.
    """
    counter = count_words if preprocessor is None else token_counter(preprocessor, source.has_pairs)
    unit, limit = ("words", None) if preprocessor is None else ("tokens", sequence_length)
    names = [split for split in dict.fromkeys(splits) if source.has_split(split)]
    if not names:
        raise UserError(
            f"{source.name} has no split to look at.", expected=f"one of {', '.join(splits)}"
        )
    scans = {split: Scan(source, split, counter) for split in names}
    facts = {split: _describe(source, split, scans[split], unit, limit) for split in names}
    leaks = _find_leaks(source, scans)
    remaining = None if keeps_leaks or not leaks else _find_remaining(source, scans)
    return Inspection(
        name=source.name,
        version=source.version,
        label_kind=source.label_kind,
        label_names=tuple(source.label_names),
        splits=facts,
        leaks=leaks,
        problems=find_problems(facts, leaks, source.label_kind, remaining),
    )


def length_preprocessor(vocabulary: Sequence[str]) -> Any:
    """Builds a preprocessor without truncation, to measure lengths; `vocabulary` is in id order."""
    from kerasft.text.wordpiece import WordPiecePreprocessor

    return WordPiecePreprocessor(vocabulary, sequence_length=UNTRUNCATED)


def _describe(source: Source, split: str, scan: Scan, unit: str, limit: int | None) -> SplitFacts:
    texts, rows, conflicts = scan.find_conflicts()
    left_out = getattr(source, "num_dropped", lambda split: {})(split)
    groups = _group_hashes(source, split)
    distinct, is_number = count_different(scan.hashes), source.label_kind == NUMBER
    return SplitFacts(
        rows=scan.num_rows,
        left_out=left_out,
        empty=scan.num_empty,
        hidden_labels=scan.num_hidden,
        distinct_texts=distinct,
        duplicates=scan.num_rows - distinct,
        conflicting_texts=texts,
        conflicting_rows=rows,
        conflicts=_show_conflicts(source, split, conflicts[:_MOST_CONFLICTS]),
        counts=label_counts(scan.labels, source.label_names),
        labels_per_text=dict(sorted(scan.labels_per_text.items())),
        quantiles=number_quantiles(scan),
        rounding=relative_rounding(scan),
        distinct_numbers=len(np.unique(scan.label_keys)) if is_number else 0,
        may_be_classes=is_number
        and getattr(source, "kind_is_detected", False)
        and np.array_equal(scan.label_keys, np.round(scan.label_keys)),
        lengths=measure_lengths(scan.lengths, unit, limit),
        faults=dict(scan.faults),
        groups=None if groups is None else count_different(groups),
    )


def _group_hashes(source: Source, split: str) -> np.ndarray | None:
    return getattr(source, "group_hashes", lambda split: None)(split)


def _show_conflicts(
    source: Source, split: str, positions: Sequence[tuple[int, int]]
) -> list[dict[str, Any]]:
    """Reads the examples at some positions again, up to the last one found."""
    if not positions:
        return []
    wanted = set(itertools.chain.from_iterable(positions))
    examples = itertools.islice(source.iterate(split), max(wanted) + 1)
    found = {place: example for place, example in enumerate(examples) if place in wanted}
    return [
        {
            "text": _shorten(found[first]),
            "labels": [_name_of(found[place].label, source) for place in (first, second)],
        }
        for first, second in positions
    ]


def _shorten(example: Example) -> str:
    both = b" | ".join(filter(None, [example.text, example.text_pair]))
    text = " ".join(both.decode(errors="replace").split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _name_of(label: Any, source: Source) -> str:
    if source.label_kind == NUMBER:
        return f"{label:g}"
    if source.label_kind == MULTI:
        return ", ".join(source.label_names[index] for index in label) or "no label"
    return source.label_names[label]


def _find_remaining(source: Source, scans: dict[str, Scan]) -> Remaining:
    train, *others = scans
    groups = _group_hashes(source, train)
    left = np.ones(scans[train].num_rows, bool)
    for other in others:
        left &= ~stand_in(scans[train].hashes, scans[other].hashes)
        of_other = _group_hashes(source, other)
        if groups is not None and of_other is not None:
            left &= ~stand_in(groups, of_other)
    labels: Counter[int] = Counter()
    if source.label_kind == SINGLE:
        labels.update(scans[train].label_keys[left].tolist())
    elif source.label_kind == MULTI:
        for stays, example in zip(left, source.iterate(train), strict=True):
            labels.update(example.label if stays else ())
    return Remaining(int(left.sum()), label_counts(labels, source.label_names))


def _find_leaks(source: Source, scans: dict[str, Scan]) -> tuple[Leak, ...]:
    leaks = []
    for one, other in itertools.combinations(scans, 2):
        hashes = {
            "texts": (scans[one].hashes, scans[other].hashes),
            "groups": (_group_hashes(source, one), _group_hashes(source, other)),
        }
        for what, (mine, others) in hashes.items():
            if mine is not None and others is not None:
                in_both = mine[stand_in(mine, others)]
                if len(in_both):
                    leaks.append(Leak(what, one, other, count_different(in_both), len(in_both)))
    return tuple(leaks)
