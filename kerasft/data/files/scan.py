"""What reading a table finds: rows to use and rows to leave out, counted by reason."""

from __future__ import annotations

import dataclasses
from collections import Counter

MOST_NAMED = 5


@dataclasses.dataclass
class Scan:
    """What one reading of a split found.

    Args:
        num_examples: Rows that are used.
        num_bytes: Their texts' UTF-8 bytes.
        dropped: Rows that are left out, by reason, and where the first of them stand.
        num_dropped: How many there are, by reason.
        num_noted: How many rows are used and told of, by what is to be told.
        groups: The hashes of the groups of the rows that are used, one after the other.
    """

    num_examples: int = 0
    num_bytes: int = 0
    dropped: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    num_dropped: Counter[str] = dataclasses.field(default_factory=Counter)
    groups: bytearray = dataclasses.field(default_factory=bytearray)
    num_noted: Counter[str] = dataclasses.field(default_factory=Counter)
    _noted: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def drop(self, reason: str, place: str) -> None:
        """Counts a row that is left out."""
        _count(self.num_dropped, self.dropped, reason, place)

    def note(self, what: str, place: str) -> None:
        """Counts a row that is used, and of which something is to be told."""
        _count(self.num_noted, self._noted, what, place)

    def to_lines(self, split: str) -> list[str]:
        """Returns a line for people on each reason."""
        told = [
            ("left out: ", self.num_dropped, self.dropped),
            ("with ", self.num_noted, self._noted),
        ]
        return [
            f"{split}: {count:,} {'row' if count == 1 else 'rows'} {what}{reason} "
            f"({', '.join(places[reason])}{', ...' if count > MOST_NAMED else ''})."
            for what, counts, places in told
            for reason, count in counts.items()
        ]


def _count(counts: Counter[str], places: dict[str, list[str]], what: str, place: str) -> None:
    """Counts a row, and keeps where it stands if it is among the first."""
    counts[what] += 1
    first = places.setdefault(what, [])
    if len(first) < MOST_NAMED:
        first.append(place)
