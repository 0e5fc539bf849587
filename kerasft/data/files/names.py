"""The names of labels: equal ones spelled differently are one; those that cannot be learnt."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from kerasft.data.files.cells import as_number, as_plain_number, fold, how_written, plain, show
from kerasft.errors import UserError, nearest

MOST_NAMED = 5
_MOST_UNSEEN = 1000  # labels whose rows are kept
PLAINLY = "write 1000 for 1,000, 12.5 for 12,5, 5.5 for $5.50 and 12 for 12%"
_AS_NUMBERS = 'set data.label_kind="number" (--label-kind number)'


class LabelNames:
    """The labels of train, sorted: as numbers if all are numbers, else as text.

    Equal labels have one name, in all splits: the spelling of train; if train spells a label in
    several ways, the `plain` one.

    Args:
        spelled: The number of training examples of each label, as spelled.

    Attributes:
        counts: The number of training examples by name.
        merged: The different spellings that train has of one name, by name.
    """

    def __init__(self, spelled: Mapping[str, int]):
        spellings: dict[str, list[str]] = {}
        for word in spelled:
            spellings.setdefault(plain(word), []).append(word)
        named = {key: words[0] if len(words) == 1 else key for key, words in spellings.items()}
        self.counts = Counter(
            {named[key]: sum(map(spelled.get, words)) for key, words in spellings.items()}
        )
        self.merged = {named[key]: words for key, words in spellings.items() if len(words) > 1}
        self.names = sort_names(tuple(self.counts))
        self._index = {plain(name): index for index, name in enumerate(self.names)}

    def find(self, word: str) -> int | None:
        """Returns the index of a label in any spelling; `None` if train does not have it."""
        return self._index.get(plain(word))

    def check(self, num_examples: int) -> None:
        """Raises a `UserError` if the labels cannot be learnt, or 0 and 1 mix with true and false.

        `num_examples` train examples may not all have the same labels; each label needs two.
        """
        if len(self.names) < 2 or {*self.counts.values()} <= {0, num_examples}:
            raise UserError(
                "All training examples have one label: there is nothing to learn.",
                received=", ".join(name for name in self.names if self.counts[name]) or "none",
                expected="two labels or more",
            )
        flags = {plain(name) for name in self.names}
        if flags <= {"0", "1", "true", "false"} and {*"01"} & flags and {"true", "false"} & flags:
            raise UserError(
                "The labels are 0 and 1 in some rows, true and false in others.",
                received=", ".join(self.names),
                expected="one spelling of each label",
                fix="write them alike in all files.",
            )
        rare = sort_names([name for name, count in self.counts.items() if count < 2])
        if rare:
            raise UserError(
                f"{len(rare):,} of {len(self.counts):,} labels have fewer than two training "
                "examples.",
                received=", ".join([*map(show, rare[:MOST_NAMED]), "..."][: len(rare)]),
                expected="at least two examples of each",
                fix=self._fix_of_rare(rare),
            )

    def _fix_of_rare(self, rare: Sequence[str]) -> str:
        how = how_written(self.names)
        if how is not None:
            return (
                f"these look like numbers written with {how}: {PLAINLY}, and {_AS_NUMBERS}; or, "
                "if a cell holds several labels, say what parts them: data.label_separator."
            )
        if all(as_plain_number(name) is not None for name in self.names):
            return f"if they are numbers to be predicted as such: {_AS_NUMBERS}."
        if len(rare) > max(MOST_NAMED, len(self.counts) // 2):
            return "is this the label column? Name it: --label NAME."
        return "add examples, or leave those rows out or merge them into another label."

    def check_seen(self, split: str, cells: Iterable[tuple[Sequence[str], str]]) -> None:
        """Raises a `UserError` for labels of a split that train does not have.

        `cells` are pairs of the labels of a row and its location, read to the end. The error names
        the labels, the first rows of each, and the label of train that looks like it.
        """
        unseen: dict[str, list[str]] = {}
        for words, place in cells:
            for word in words:
                if self.find(word) is None and (word in unseen or len(unseen) < _MOST_UNSEEN):
                    places = unseen.setdefault(word, [])
                    places += [place] * (len(places) < MOST_NAMED)
        if unseen:
            first = itertools.islice(unseen.items(), MOST_NAMED)
            told = [f"{show(name)} ({', '.join(at)}){self._alike(name)}" for name, at in first]
            raise UserError(
                f"Labels of {split} that no training example has.",
                received="; ".join(told) + ("; ..." * (len(unseen) > MOST_NAMED)),
                expected=f"one of {', '.join(map(show, self.names[:20]))}",
                fix="correct the label, take the rows out, or add training examples of it.",
            )

    def _alike(self, word: str) -> str:
        alike = [name for name in self.names if fold(name) == fold(word)]
        return f", where train has {show(alike[0])}" if alike else nearest(word, self.names)


def sort_names(names: Sequence[str]) -> tuple[str, ...]:
    """Sorts labels: as numbers if all are numbers, else as text."""
    if any(as_plain_number(name) is None for name in names):
        return tuple(sorted(names))
    return tuple(sorted(names, key=lambda name: (as_number(name), name)))


def check_header(column: str, names: Collection[str]) -> None:
    """Raises a `UserError` if the first line seems to be a row: the column's name is a label."""
    if column in names:
        raise UserError(
            "The first line looks like a row, not like the names of the columns.",
            received=f"a column named {column!r}, which is a label in it, too",
            expected="a first line such as text,label",
            fix="add one; or, if it is right so, name the columns: --text NAME --label NAME.",
        )
