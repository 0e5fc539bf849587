"""The facts that an inspection reports of a split, written as JSON and as text lines."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kerasft.data.example import MULTI, NUMBER
from kerasft.data.inspection.scan import Scan

PERCENTILES = (50, 90, 95, 99)
QUANTILES = (0, 5, 25, 50, 75, 95, 100)


@dataclasses.dataclass(frozen=True)
class Lengths:
    """The lengths of a split's texts.

    Attributes:
        unit: `tokens`, special tokens included, or `words`.
        percentiles: Length by percentile.
        longest: The length of the longest.
        limit: The most tokens that are read; `None` when words were counted.
        truncated_share: The share of texts longer than that, 0 to 1; `None` with `limit`.
    """

    unit: str
    percentiles: dict[int, int]
    longest: int
    limit: int | None
    truncated_share: float | None


@dataclasses.dataclass(frozen=True)
class SplitFacts:
    """The contents of a split.

    Attributes:
        rows: Examples.
        left_out: Rows that the source drops, by reason.
        empty: Examples with an empty text.
        hidden_labels: Examples whose label is hidden.
        distinct_texts: Different texts, or pairs; near-copies (case, accents, blanks) are equal.
        duplicates: Examples beyond the first of an equal text.
        conflicting_texts: Texts that occur with different labels.
        conflicting_rows: Examples that have such a text.
        conflicts: Some of them: `text` and two of its `labels`.
        counts: `single` and `multi`: examples by label name, in label order.
        labels_per_text: `multi`: examples by how many labels they have.
        quantiles: `number`: label by percentile.
        rounding: `number`: the largest change of a label when rounded to float32, in standard
            deviations of the labels.
        distinct_numbers: `number`: different labels, as float32.
        may_be_classes: `number`: whether they are whole numbers, and the source detected the kind.
        lengths: The lengths of the texts; `None` without texts.
        faults: Examples by fault: see `scan.find_faults`.
        groups: Number of groups; `None` without groups.
    """

    rows: int
    left_out: dict[str, int]
    empty: int
    hidden_labels: int
    distinct_texts: int
    duplicates: int
    conflicting_texts: int
    conflicting_rows: int
    conflicts: list[dict[str, Any]]
    counts: dict[str, int]
    labels_per_text: dict[int, int]
    quantiles: dict[int, float]
    rounding: float
    distinct_numbers: int
    may_be_classes: bool
    lengths: Lengths | None
    faults: dict[str, int]
    groups: int | None


@dataclasses.dataclass(frozen=True)
class Remaining:
    """The examples of the training split whose text and group occur in no other split.

    Attributes:
        rows: Their number.
        counts: `single` and `multi`: their number by label name.
    """

    rows: int
    counts: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Leak:
    """Texts, or groups, of `split` that also occur in `other`.

    Attributes:
        what: `texts` or `groups`.
        shared: The number of different ones in both.
        rows: The number of examples of `split` that have them.
    """

    what: str
    split: str
    other: str
    shared: int
    rows: int


def label_counts(labels: Counter[int], label_names: Sequence[str]) -> dict[str, int]:
    """Returns the number of examples of each label, counted by index, by name, in label order."""
    return {name: labels[index] for index, name in enumerate(label_names)}


def number_quantiles(scan: Scan) -> dict[int, float]:
    """Returns the label at each of `QUANTILES` percent; empty without numbers."""
    known = scan.label_keys[~np.isnan(scan.label_keys)] if scan.kind == NUMBER else ()
    if len(known) == 0:
        return {}
    values = np.quantile(known, np.array(QUANTILES) / 100, method="inverted_cdf")
    # 4.8 rather than the float32 4.80000019.
    return {
        percent: float(f"{value:.6g}") for percent, value in zip(QUANTILES, values, strict=True)
    }


def relative_rounding(scan: Scan) -> float:
    """Returns the largest float32 rounding of a label, in standard deviations of the labels."""
    if not scan.rounding:
        return 0.0
    spread = float(np.nanstd(scan.label_keys.astype(np.float64)))
    return scan.rounding / spread if spread else float("inf")


def measure_lengths(counts: Counter[int], unit: str, limit: int | None) -> Lengths | None:
    """Returns percentiles (nearest rank) of counted lengths; `None` if there are none."""
    if not counts:
        return None
    lengths = sorted(counts)
    so_far = list(itertools.accumulate(counts[length] for length in lengths))
    total = so_far[-1]
    ranks = np.searchsorted(so_far, [total * percent / 100 for percent in PERCENTILES])
    percentiles = {percent: lengths[rank] for percent, rank in zip(PERCENTILES, ranks, strict=True)}
    share = None
    if limit is not None:
        share = sum(count for length, count in counts.items() if length > limit) / total
    return Lengths(unit, percentiles, lengths[-1], limit, share)


def imbalance(counts: dict[str, int]) -> float:
    """Returns the ratio of the most to the least frequent label's counts."""
    present = [count for count in counts.values() if count]
    return max(present) / min(present) if present else 1.0


_MOST_LABELS = 12


def fact_lines(split: str, facts: SplitFacts, label_kind: str) -> Iterator[str]:
    """Yields lines on a split: rows and texts, labels, lengths."""
    groups = "" if facts.groups is None else f", in {count(facts.groups, 'group')}"
    yield (
        f"{split}: {count(facts.rows, 'row')}, {count(facts.distinct_texts, 'different text')}"
        f"{groups}."
    )
    if facts.counts and facts.hidden_labels < facts.rows:
        yield f"{split}: {describe_counts(facts.counts, facts.rows)}."
    if label_kind == MULTI and facts.labels_per_text:
        told = (f"{rows:,} with {number}" for number, rows in facts.labels_per_text.items())
        yield f"{split}: labels a text: {', '.join(told)}."
    if facts.quantiles:
        told = (f"{value:g} ({percent} %)" for percent, value in facts.quantiles.items())
        yield f"{split}: label at most: {', '.join(told)}."
    if facts.lengths is not None:
        yield f"{split}: {describe_lengths(facts.lengths)}."


def describe_counts(counts: Mapping[str, int], rows: int) -> str:
    """Returns the number of examples of each label, most frequent first; the rest counted."""
    by_count = sorted(counts.items(), key=lambda item: -item[1])
    told = [f"{name} {number:,} ({number / rows:.1%})" for name, number in by_count[:_MOST_LABELS]]
    more = len(by_count) - len(told)
    return ", ".join(told) + (f" and {more:,} more labels" if more else "")


def describe_lengths(lengths: Lengths) -> str:
    """Returns percentiles, the longest, and the share that is truncated."""
    told = ", ".join(f"{percent} % {length:,}" for percent, length in lengths.percentiles.items())
    cut = ""
    if lengths.limit is not None:
        cut = f"; {lengths.truncated_share:.1%} longer than {lengths.limit:,}"
    return f"{lengths.unit} a text, at most: {told}, longest {lengths.longest:,}{cut}"


def count(number: int, thing: str) -> str:
    """Returns `1 row`, `2,000 rows`, `3 classes`."""
    plural = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else plural}"
