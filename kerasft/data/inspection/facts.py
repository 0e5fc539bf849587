"""What an inspection says of a split: plain numbers, to be printed and written as JSON."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasft.data.example import NUMBER
from kerasft.data.inspection.scan import Scan

PERCENTILES = (50, 90, 95, 99)
QUANTILES = (0, 5, 25, 50, 75, 95, 100)


@dataclasses.dataclass(frozen=True)
class Lengths:
    """How long the texts of a split are.

    Attributes:
        unit: `tokens`, special tokens included, or `words`.
        percentiles: The length that so many percent of the texts do not exceed.
        longest: The length of the longest.
        limit: The most tokens that are read; `None` when words were counted.
        truncated_share: The share of texts that is longer than that, 0 to 1; `None` with `limit`.
    """

    unit: str
    percentiles: dict[int, int]
    longest: int
    limit: int | None
    truncated_share: float | None


@dataclasses.dataclass(frozen=True)
class SplitFacts:
    """What is in a split.

    Attributes:
        rows: Examples.
        left_out: Rows that the source leaves out, by reason.
        empty: Examples with an empty text.
        hidden_labels: Examples whose label is hidden.
        distinct_texts: Different texts, or pairs.
        duplicates: Examples beyond the first of an equal text.
        conflicting_texts: Texts that stand under different labels.
        conflicting_rows: Examples that have such a text.
        conflicts: Some of them: `text` and two of its `labels`.
        counts: `single` and `multi`: examples by label name, in label order.
        labels_per_text: `multi`: examples by how many labels they have.
        quantiles: `number`: the label that so many percent do not exceed.
        rounding: `number`: the most that a label changes when it becomes a float32, in standard
            deviations of the labels.
        lengths: How long the texts are; `None` where there are none.
        faults: Examples by fault of encoding, `faults.FAULTS`.
        groups: How many groups there are; `None` without groups.
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
    lengths: Lengths | None
    faults: dict[str, int]
    groups: int | None


@dataclasses.dataclass(frozen=True)
class Leak:
    """Texts, or groups, that stand in two splits.

    Attributes:
        what: `texts` or `groups`.
        split: The one.
        other: The other.
        shared: How many different ones stand in both.
        rows: How many examples of `split` have them.
    """

    what: str
    split: str
    other: str
    shared: int
    rows: int


def label_counts(scan: Scan, label_names: Sequence[str]) -> dict[str, int]:
    """Returns how many examples have which label, by name, in label order."""
    return {name: scan.labels[index] for index, name in enumerate(label_names)}


def number_quantiles(scan: Scan) -> dict[int, float]:
    """Returns the labels that `QUANTILES` percent do not exceed; nothing without numbers."""
    known = scan.label_keys[~np.isnan(scan.label_keys)] if scan.kind == NUMBER else ()
    if len(known) == 0:
        return {}
    values = np.quantile(known, np.array(QUANTILES) / 100, method="inverted_cdf")
    # 4.8 rather than the float32 4.80000019.
    return {
        percent: float(f"{value:.6g}") for percent, value in zip(QUANTILES, values, strict=True)
    }


def relative_rounding(scan: Scan) -> float:
    """Returns how far float32 moves a label at most, in standard deviations of the labels."""
    if not scan.rounding:
        return 0.0
    spread = float(np.nanstd(scan.label_keys.astype(np.float64)))
    return scan.rounding / spread if spread else float("inf")


def measure_lengths(counts: Counter[int], unit: str, limit: int | None) -> Lengths | None:
    """Returns percentiles (nearest rank) of lengths that were counted; `None` if there are none."""
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
    """Returns how many times as frequent the most frequent label is as the least frequent."""
    present = [count for count in counts.values() if count]
    return max(present) / min(present) if present else 1.0
