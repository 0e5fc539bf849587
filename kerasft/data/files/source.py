"""The user's files as a source of examples."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kerasft.data.example import MULTI, NUMBER, SINGLE, Example
from kerasft.data.files.cells import (
    as_list,
    as_number,
    as_word,
    as_words,
    check_cells,
    encode,
    is_missing,
    plain,
    show,
    texts,
)
from kerasft.data.files.columns import Columns, check_distinct, choose_columns
from kerasft.data.files.labels import AUTO, LabelCounts, check_numbers, describe_labels
from kerasft.data.files.names import MOST_NAMED, LabelNames, check_header
from kerasft.data.files.row import Row
from kerasft.data.files.table import Contents, Table, open_table
from kerasft.data.plan.splits import HASH_BYTES, hash_text
from kerasft.errors import UserError

_SAMPLE_ROWS = 100


@dataclasses.dataclass
class RowCounts:
    """The findings of one reading of a split.

    Args:
        num_examples: Rows that are used.
        num_bytes: Their texts' UTF-8 bytes.
        groups: The hashes of the groups of the used rows, one after the other.
        num_dropped: The number of dropped rows, by reason.
        num_noted: The number of rows that are used but reported, by message.
    """

    num_examples: int = 0
    num_bytes: int = 0
    groups: bytearray = dataclasses.field(default_factory=bytearray)
    num_dropped: Counter[str] = dataclasses.field(default_factory=Counter)
    num_noted: Counter[str] = dataclasses.field(default_factory=Counter)
    _places: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def count(self, counts: Counter[str], what: str, place: str) -> None:
        """Counts a row in `num_dropped` or `num_noted`, and keeps the places of the first ones."""
        counts[what] += 1
        first = self._places.setdefault(what, [])
        if len(first) < MOST_NAMED:
            first.append(place)

    def to_lines(self, split: str) -> list[str]:
        """Returns a log line for each reason."""
        return [
            f"{split}: {count:,} {'row' if count == 1 else 'rows'} {what}{reason} "
            f"({', '.join(self._places[reason])}{', ...' if count > MOST_NAMED else ''})."
            for what, counts in (("left out: ", self.num_dropped), ("with ", self.num_noted))
            for reason, count in counts.items()
        ]


class FileSource:
    """Files with a text and a label a row, as the splits `train`, `validation` and `test`.

    All files are read once when the source is made, to find label names, rows to drop, and errors.
    They are streamed; memory holds each distinct label, and 16 bytes a row if there are groups.

    Args:
        train_files, validation_files, test_files: Paths or globs; see `open_table`.
        format, delimiter: See `open_table`.
        text_column, label_column: Names of the text's and the label's column; guessed if `None`.
        text_pair_column, group_column: Names of the second text's and the group's column, if any.
        label_columns: Columns of 0 and 1, one for each label, instead of `label_column`.
        label_kind: `auto`, or one of `kerasft.data.example.LABEL_KINDS`.
        label_separator: Separator of several labels in a cell; detected if `None`.
        log: Called with messages on guesses and dropped rows.

    Attributes:
        findings: The messages.
        kind_is_detected: Whether `label_kind` was detected.

    Raises:
        UserError: If a file cannot be read, or its labels cannot be learnt.
    """

    def __init__(  # noqa: PLR0913 - one argument for each setting of a recipe
        self,
        *,
        train_files: Sequence[str],
        validation_files: Sequence[str] = (),
        test_files: Sequence[str] = (),
        format: str = AUTO,  # noqa: A002 - the setting's name
        delimiter: str | None = None,
        text_column: str | None = None,
        text_pair_column: str | None = None,
        label_column: str | None = None,
        label_columns: Sequence[str] = (),
        group_column: str | None = None,
        label_kind: str = AUTO,
        label_separator: str | None = None,
        log: Callable[[str], object] = lambda line: None,
    ):
        files = {"train": train_files, "validation": validation_files, "test": test_files}
        self._tables = {
            name: open_table(paths, format, label_columns, delimiter)
            for name, paths in files.items()
            if paths
        }
        self._label_columns = tuple(label_columns)
        check_distinct(*label_columns, text_column, text_pair_column)
        if label_columns:
            label_column, label_kind = self._tables["train"].columns[-1], MULTI
        # Before anything is read: later readings must find the same content.
        self._contents = {name: Contents(table, name) for name, table in self._tables.items()}
        self.findings: list[str] = []
        self._log = log
        self._names = self._choose_names(
            text=text_column, label=label_column, text_pair=text_pair_column, group=group_column
        )
        self._tables = {name: self._select(table) for name, table in self._tables.items()}
        train = self._tables["train"]
        if next(train.rows(), None) is None:
            raise UserError(f"{train.files[0]} has columns, and no rows.", expected="rows")
        self._columns = {name: self._columns_of(table) for name, table in self._tables.items()}
        self.has_pairs = self._names.text_pair is not None
        self._counts = {name: RowCounts() for name in self._tables}
        self.label_kind, self.kind_is_detected = label_kind, label_kind == AUTO
        self._settle_labels(label_kind, label_separator, label_is_guessed=label_column is None)
        for name in self._tables:
            if name != "train":
                self._scan_further(name)
        for contents in self._contents.values():
            contents.check(reads=False)
        self._say(*(note for table in self._tables.values() for note in table.notes))
        self._say(*(line for name, scan in self._counts.items() for line in scan.to_lines(name)))
        self.name = train.name
        self.version = self.fingerprint("train")[:8]

    def has_split(self, split: str) -> bool:
        """Whether files were given for a split."""
        return split in self._tables

    def name_of(self, split: str) -> str:
        """Returns the name of the split's files; their path if train's have the same name."""
        table = self._tables[split]
        is_unclear = split != "train" and table.name == self.name
        return str(table.files[0]) if is_unclear else table.name

    def num_examples(self, split: str) -> int:
        """Returns how many rows of the split are used."""
        return self._counts[split].num_examples

    def num_bytes(self, split: str) -> int:
        """Returns the bytes of the split's texts."""
        return self._counts[split].num_bytes

    def num_dropped(self, split: str) -> dict[str, int]:
        """Returns how many rows of the split are dropped, by reason."""
        return dict(self._counts[split].num_dropped)

    def group_hashes(self, split: str) -> np.ndarray | None:
        """Returns the hash of each example's group, uint8 `(num_examples, 16)`.

        `None` if there are no groups. A text with an empty cell is a group of its own.
        """
        if split not in self._tables or self._columns[split].group is None:
            return None
        return np.frombuffer(bytes(self._counts[split].groups), np.uint8).reshape(-1, HASH_BYTES)

    def iterate(self, split: str) -> Iterator[Example]:
        """Yields the examples in the order of the rows, without those that are dropped.

        Raises:
            UserError: If the files have changed since they were first read.
        """
        columns, count = self._columns[split], 0
        for row in self._tables[split].rows():
            if self._why_dropped(row, columns) is None:
                text, pair = texts(row, columns)
                label = self._label_of(row.values[columns.label])
                if label is None:
                    break
                yield Example(text, pair, label)
                count += 1
        if count != self.num_examples(split):
            raise self._contents[split].changed()

    def fingerprint(self, split: str) -> str:
        """Returns the sha256 of the split's files and of the settings that read them."""
        names = self._names._asdict().items()
        digest = hashlib.sha256(repr((sorted(names, key=str), split)).encode())
        digest.update(repr((self.label_kind, self.label_names, self._separator)).encode())
        digest.update("".join(self._tables[split].reading).encode())
        digest.update(self._contents[split].digest)
        return digest.hexdigest()

    def check_unchanged(self, split: str) -> None:
        """Raises a `UserError` if the files have changed since the source was made."""
        self._contents[split].check(reads=True)

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.findings.append(line)
            self._log(line)

    def _choose_names(self, **named: str | None) -> Columns:
        """Returns the names of train's columns that are read: named, or guessed and said."""
        train = self._tables["train"]
        for name in filter(None, named.values()):
            train.has_column(name)  # perhaps a late one
        columns, guesses = choose_columns(
            train.columns, lambda: train.sample(_SAMPLE_ROWS), **named
        )
        self._say(*guesses)
        return Columns(*(None if at is None else train.columns[at] for at in columns))

    def _select(self, table: Table) -> Table:
        """Returns the table of the columns that are read; only train needs to have the group."""
        *needed, group = self._names
        found = group if group is not None and table.has_column(group) else None
        return table.select(filter(None, (*needed, found)))

    def _columns_of(self, table: Table) -> Columns:
        """Finds the columns that are read in a table; a further split need not have groups."""
        return Columns(
            *(table.columns.index(name) if name in table.columns else None for name in self._names)
        )

    def _settle_labels(self, kind: str, separator: str | None, label_is_guessed: bool) -> None:
        """Reads train to find its labels and their kind."""
        counts = self._count_labels(kind, separator)
        train = self._counts["train"]
        if not train.num_examples:
            raise UserError(
                f"No row of {self._tables['train'].files[0]} can be used.",
                received="; ".join(train.to_lines("train")),
                expected="rows with a text and a label",
            )
        self.label_kind, self._separator = counts.detect()
        if kind == AUTO and self.label_kind == MULTI and train.num_dropped["no label"]:
            counts = self._count_labels(kind, separator)  # an empty cell now has a meaning
        self._labels = LabelNames({})
        if self.label_kind != NUMBER:
            self._labels = self._name_labels(counts, label_is_guessed)
        self.label_names = self._labels.names
        if kind == AUTO:
            column, kind = self._names.label, self.label_kind
            self._say(describe_labels(column, kind, self.label_names, self._separator))

    def _count_labels(self, kind: str, separator: str | None) -> LabelCounts:
        """Reads train; counts its labels and keeps the hashes of its groups."""
        self._counts["train"] = RowCounts()
        counts = LabelCounts(kind, separator)
        for cell, place in self._label_cells("train"):
            counts.add(cell, place)
        return counts

    def _name_labels(self, counts: LabelCounts, label_is_guessed: bool) -> LabelNames:
        separator = self._separator if self.label_kind == MULTI else None
        spelled = counts.names(separator)
        spelled.update(dict.fromkeys(self._label_columns, 0))  # also one that never applies
        labels = LabelNames(spelled)
        if label_is_guessed:
            check_header(self._names.label, labels.names)
        labels.check(self._counts["train"].num_examples)
        for name, words in labels.merged.items():
            self._say(f"The labels {', '.join(map(show, words))} are one: {name}.")
        return labels

    def _scan_further(self, split: str) -> None:
        """Reads a split other than train, to find labels that train does not have."""
        cells = self._label_cells(split)
        if self.label_kind == NUMBER:
            check_numbers(cells)
        else:
            self._labels.check_seen(split, ((self._words(cell), place) for cell, place in cells))
        if not self._counts[split].num_examples:
            raise UserError(f"No row of {split} can be used.", expected="texts with labels")

    def _label_cells(self, split: str) -> Iterator[tuple[Any, str]]:
        """Yields label and place of the rows that are used, and counts them and the others."""
        columns, scan = self._columns[split], self._counts[split]
        for row in self._tables[split].rows():
            reason = self._why_dropped(row, columns)
            if reason is not None:
                scan.count(scan.num_dropped, reason, row.place)
                continue
            text, pair = texts(row, columns)
            scan.num_examples += 1
            scan.num_bytes += len(text) + len(pair or b"")
            if columns.group is not None:
                scan.groups += _group_hash(row, columns, scan)
            yield row.values[columns.label], row.place

    def _why_dropped(self, row: Row, columns: Columns) -> str | None:
        """Returns the reason to drop a row, `None` if it is used.

        An empty cell is a missing label; if a text may have several, it means that none applies.
        """
        check_cells(row, columns)
        if is_missing(row.values[columns.text]):
            return "no text"
        if columns.text_pair is not None and is_missing(row.values[columns.text_pair]):
            return "no second text"
        label = row.values[columns.label]
        none_applies = self.label_kind == MULTI and isinstance(label, str)
        return "no label" if is_missing(label) and not none_applies else None

    def _words(self, cell: Any) -> list[str]:
        if self.label_kind != MULTI:
            return [as_word(cell)]
        return as_words(cell if self._separator else as_list(cell), self._separator)

    def _label_of(self, cell: Any) -> int | float | tuple[int, ...] | None:
        """Returns a cell as a label; `None` if the label did not exist in the first reading."""
        if self.label_kind == NUMBER:
            return as_number(cell)
        if self.label_kind == SINGLE:
            return self._labels.find(as_word(cell))
        indices = {self._labels.find(word) for word in self._words(cell)}
        return None if None in indices else tuple(sorted(indices))


def _group_hash(row: Row, columns: Columns, counts: RowCounts) -> bytes:
    group = row.values[columns.group]
    if not is_missing(group):
        return hash_text(encode(plain(as_word(group)), row, "group"))
    counts.count(counts.num_noted, "no group: each text is a group of its own", row.place)
    return hash_text(texts(row, columns)[0], b"no group")
