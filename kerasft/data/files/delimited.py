"""CSV and TSV: RFC 4180 with a header line and rows of equal width."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

from kerasft.errors import UserError
from kerasft.text_files import read_lines

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_MOST_NAMED = 5
_LOOK_AHEAD = 100_000  # rows that are searched for more errors of the same kind

# A text may be a book, but a quote that is never closed must not swallow a whole file.
_LONGEST_CELL = 16 * 2**20
csv.field_size_limit(_LONGEST_CELL)


class DelimitedFile:
    """One CSV or TSV file (`kind`).

    Quotes enclose the cells of CSV. The registered TSV format has none, yet spreadsheets write
    them: they enclose the cells of a TSV file if the whole file can be read that way; else they are
    text.

    Raises:
        UserError: If there is no header line, or it has another delimiter.
    """

    def __init__(self, path: Path, kind: str):
        self._path, self._kind = path, kind
        self._delimiter = _DELIMITERS[kind]
        self._quoting = csv.QUOTE_MINIMAL
        self.notes: tuple[str, ...] = ()
        if kind == "tsv":
            self._choose_quoting()
        header = next(self._read(), None)
        if header is None:
            raise UserError(f"{path} is empty.", expected="a line of column names, then rows")
        self.columns = tuple(name.strip() for name in header[1])
        self._check_columns()

    def rows(self) -> Iterator[tuple[Path, int, tuple[str, ...]]]:
        """Yields the file, the line on which each row ends, from 1, and its cells.

        Raises:
            UserError: If rows have more or fewer cells than there are columns.
        """
        rows = itertools.islice(self._read(), 1, None)
        for number, cells in rows:
            if len(cells) != len(self.columns):
                raise self._ragged(number, cells, rows)
            yield self._path, number, tuple(cells)

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        lines = read_lines(self._path)
        reader = csv.reader(lines, delimiter=self._delimiter, quoting=self._quoting, strict=True)
        try:
            yield from ((reader.line_num, cells) for cells in reader if cells)
        except csv.Error as error:
            raise UserError(
                f"{self._path}, line {reader.line_num}: {error}.",
                expected=f"cells between {_NAMES[self._delimiter]}; one that holds a quote, a "
                'delimiter or a line end stands in "quotes", quotes inside it doubled',
            ) from error

    def _choose_quoting(self) -> None:
        """Reads through a TSV file whose cells begin with quotes, to see whether they enclose."""
        if not any(line.startswith('"') or '\t"' in line for line in read_lines(self._path)):
            return
        try:
            widths = [len(cells) for _, cells in itertools.islice(self._read(), 1)]
            enclosing = all(len(cells) == widths[0] for _, cells in self._read())
        except UserError as error:
            if not isinstance(error.__cause__, csv.Error):
                raise
            enclosing = False
        if not enclosing:
            self._quoting = csv.QUOTE_NONE
            self.notes = (f"{self._path.name}: quotes belong to the texts (they do not pair up).",)

    def _check_columns(self) -> None:
        if len(self.columns) == 1:
            others = [sign for sign in _NAMES if sign in self.columns[0]]
            if others:
                names = _NAMES[others[0]]
                fix = "give --format tsv." if names == "tabs" else ""
                raise UserError(
                    f"{self._path} is not separated by {_NAMES[self._delimiter]}.",
                    received=f"one column: {self.columns[0]}",
                    expected=f"{_NAMES[self._delimiter]}; its first line has {names}",
                    fix=fix or f"save it again with {_NAMES[self._delimiter]}.",
                )
        repeated = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if repeated:
            raise UserError(
                f"{self._path} names columns twice.",
                received=repeated,
                expected="names of one each",
            )

    def _ragged(
        self, number: int, cells: list[str], rest: Iterator[tuple[int, list[str]]]
    ) -> UserError:
        width = len(self.columns)
        more = (n for n, row in itertools.islice(rest, _LOOK_AHEAD) if len(row) != width)
        lines = [number, *itertools.islice(more, _MOST_NAMED - 1)]
        return UserError(
            f"{self._path}: rows of another width than the first line, ending on line "
            f"{', '.join(map(str, lines))}{' and more' if len(lines) == _MOST_NAMED else ''}.",
            received=f"{len(cells)} cells on line {number}",
            expected=f"{width}: {', '.join(self.columns)}",
            fix='a text that holds the delimiter must stand in "quotes".',
        )
