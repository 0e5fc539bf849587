"""An inspection in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kerasft.data.example import MULTI
from kerasft.data.inspection.facts import Lengths, SplitFacts

_MOST_LABELS = 12


def fact_lines(split: str, facts: SplitFacts, label_kind: str) -> Iterator[str]:
    """Yields what is in a split: rows and texts, labels, lengths.

    Args:
        split: Its name.
        facts: What is in it.
        label_kind: One of `kerasft.data.example.LABEL_KINDS`.
    """
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
    """Returns how many examples have each label, the most frequent first; the rest counted."""
    by_count = sorted(counts.items(), key=lambda item: -item[1])
    told = [f"{name} {number:,} ({number / rows:.1%})" for name, number in by_count[:_MOST_LABELS]]
    more = len(by_count) - len(told)
    return ", ".join(told) + (f" and {more:,} more labels" if more else "")


def describe_lengths(lengths: Lengths) -> str:
    """Returns percentiles, the longest, and the share that is cut."""
    told = ", ".join(f"{percent} % {length:,}" for percent, length in lengths.percentiles.items())
    cut = ""
    if lengths.limit is not None:
        cut = f"; {lengths.truncated_share:.1%} longer than {lengths.limit:,}"
    return f"{lengths.unit} a text, at most: {told}, longest {lengths.longest:,}{cut}"


def count(number: int, thing: str) -> str:
    """Returns `1 row`, `2,000 rows`, `3 classes`."""
    plural = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else plural}"
