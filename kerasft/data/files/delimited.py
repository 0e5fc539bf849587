"""CSV and TSV: RFC 4180 with a header line and rows of equal width, by Python's csv module."""

from __future__ import annotations

import csv
import itertools
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kerasft.data.files.row import Row
from kerasft.errors import UserError
from kerasft.text_files import conversion, read_lines

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_SPELT = {r"\t": "\t"}  # on a command line
_EXCEL = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)  # the first line that Excel obeys
_NULL = r"\N"  # of MySQL and PostgreSQL
_SAMPLE_ROWS = 100
_MOST_NAMED = 5
_LOOK_AHEAD = 100_000  # rows that are searched for more errors of the same kind
_LINES_OF_PROSE = 2  # a cell of so many lines may look like rows by chance

# A text may be a book, but a quote that is never closed must not swallow a whole file.
_LONGEST_CELL = 16 * 2**20
csv.field_size_limit(_LONGEST_CELL)


class DelimitedFile:
    """One CSV or TSV file (`kind`).

    The delimiter is the given one; or that of a first line `sep=;`, as Excel knows it; or that of
    the format. If the first rows cannot be read with the latter, and with one other, it is that.

    Quotes enclose the cells of CSV. The registered TSV format has none, yet spreadsheets write
    them: they enclose the cells of a TSV file if all pair up inside their cells, or if it cannot be
    read otherwise; else they are text. A cell `NULL` as MySQL writes it (`_NULL`) is missing.

    Attributes:
        columns: The names of the first line, stripped. A column without a name is none.
        reading: How it is read where that is not by default; complete when all rows were read.

    Raises:
        UserError: If there is no header line, or it has another delimiter.
    """

    def __init__(self, path: Path, kind: str, delimiter: str | None = None):
        self._path = path
        self._choices: list[str] = []
        self._quoting = csv.QUOTE_MINIMAL
        excel = _EXCEL.fullmatch(next(read_lines(path), ""))
        self._num_skipped = 1 if excel else 0
        self._delimiter = _SPELT.get(delimiter, delimiter) or (
            excel[1] if excel else _DELIMITERS[kind]
        )
        if not (delimiter or excel):
            self._choose_delimiter()
        if self._delimiter == "\t":
            self._choose_quoting()
        _, self._header = next(self._read(), (0, []))
        if not self._header:
            raise UserError(f"{path} is empty.", expected="a line of column names, then rows")
        self._names = [name.strip() for name in self._header]
        self.columns = self.text_columns = tuple(filter(None, self._names))
        self.reading = self._choices

    @property
    def notes(self) -> list[str]:
        """Log lines on `reading`."""
        return [f"{self._path.name}: {line}" for line in self.reading]

    def rows(self, names: Sequence[str]) -> Iterator[Row]:
        """Yields the rows, with the line on which each ends, from 1, and the values of `names`.

        Raises:
            UserError: If rows have more or fewer cells than there are columns.
        """
        header, positions = self._header, [self._names.index(name) for name in names]
        repeated, swallowing, num_nulls = [], [], 0
        rows = self._read()
        before, _ = next(rows, (0, None))
        for number, cells in rows:
            if len(cells) != len(header):
                raise self._ragged(number, cells, rows)
            if cells[-1] == header[-1] and _is_header(cells, header):
                repeated.append(number)
            else:
                if number - before > _LINES_OF_PROSE and _has_swallowed(cells, self._delimiter):
                    swallowing.append((before + 1, number))
                values = tuple([cells[position] for position in positions])
                if _NULL in values:
                    num_nulls += 1
                    values = tuple(None if value == _NULL else value for value in values)
                yield Row(self._path, number, values)
            before = number
        self.reading = [*self._choices, *self._describe(repeated, swallowing, num_nulls)]

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        """Yields all lines of cells but empty ones, each with the line on which it ends."""
        lines = itertools.islice(read_lines(self._path), self._num_skipped, None)
        reader = csv.reader(lines, delimiter=self._delimiter, quoting=self._quoting, strict=True)
        number = skipped = self._num_skipped
        try:
            for cells in reader:
                number = reader.line_num + skipped
                if cells:
                    yield number, cells
        except csv.Error as error:
            raise self._malformed(number + 1, reader.line_num + skipped, error) from error

    def _choose_delimiter(self) -> None:
        """Takes the delimiter with which the first rows have two cells or more, and all the same.

        Raises:
            UserError: If there are several, or none, or the first lines are a title.
        """
        own = self._delimiter
        samples = {sign: self._sample(sign) for sign in sorted(_NAMES, key=lambda s: s != own)}
        self._delimiter = own
        widths = {sign: {len(cells) for _, cells in rows} for sign, rows in samples.items()}
        possible = [sign for sign, found in widths.items() if len(found) == 1 and found != {1}]
        for sign in possible or (_NAMES if widths[own] <= {1} else [own]):
            self._refuse_title(samples[sign])
        if not possible and widths[own] == {1}:
            header = samples[own][0][1][0]
            self._refuse_delimiter(header, [sign for sign in _NAMES if sign in header])
        elif len(possible) > 1:
            self._refuse_delimiter("the same width in all of the first rows", possible)
        elif possible and possible != [own]:
            self._delimiter = possible[0]
            self._choices.append(f"its cells stand between {_NAMES[possible[0]]}.")

    def _sample(self, sign: str) -> list[tuple[int, list[str]]]:
        """Returns the first rows, cut at a delimiter; none if the quotes do not allow it."""
        self._delimiter = sign
        self._quoting = csv.QUOTE_NONE if sign == "\t" else csv.QUOTE_MINIMAL
        rows = self._try(lambda rows: list(itertools.islice(rows, _SAMPLE_ROWS)))
        if sign == "\t" and len({len(cells) for _, cells in rows or ()}) != 1:
            self._quoting = csv.QUOTE_MINIMAL
            rows = self._try(lambda rows: list(itertools.islice(rows, _SAMPLE_ROWS)))
        self._quoting = csv.QUOTE_MINIMAL
        return rows or []

    def _try(self, take: Callable[[Iterator[tuple[int, list[str]]]], Any]) -> Any:
        """Returns what `take` makes of the rows; `None` if the csv module cannot read them."""
        try:
            return take(self._read())
        except UserError as error:
            if isinstance(error.__cause__, csv.Error):
                return None
            raise

    def _choose_quoting(self) -> None:
        """Reads through a file of tabs whose cells begin with quotes, to see what these are."""
        if not any(line.startswith('"') or '\t"' in line for line in read_lines(self._path)):
            return
        self._quoting = csv.QUOTE_NONE
        shapes = self._try(
            lambda rows: {(len(cells), all(map(_is_enclosed, cells))) for _, cells in rows}
        )
        lines_are_rows = shapes and len({width for width, _ in shapes}) == 1
        self._quoting = csv.QUOTE_MINIMAL
        if lines_are_rows:
            enclosing = all(is_enclosed for _, is_enclosed in shapes)
        else:
            enclosing = len(self._try(lambda rows: {len(cells) for _, cells in rows}) or ()) == 1
        if not enclosing:
            self._quoting = csv.QUOTE_NONE
            self._choices.append("quotes belong to the texts (they do not pair up).")

    def _describe(
        self, repeated: list[int], swallowing: list[tuple[int, int]], num_nulls: int
    ) -> Iterator[str]:
        """Yields a log line for each oddity of the rows."""
        if repeated:
            lines = ", ".join(map(str, repeated[:_MOST_NAMED]))
            more = ", ..." if len(repeated) > _MOST_NAMED else ""
            yield f"{len(repeated):,} repeated header lines left out (line {lines}{more})."
        if swallowing:
            first, last = swallowing[0]
            yield (
                f"warning: a quoted cell spans lines {first} to {last}, each of which looks like a "
                f"row ({len(swallowing):,} such cells). A quote that belongs to a text is written "
                'twice (""), in a quoted cell.'
            )
        if num_nulls:
            yield rf"\N is taken for a missing value ({num_nulls:,} rows)."

    def _refuse_title(self, rows: list[tuple[int, list[str]]]) -> None:
        """Raises a `UserError` if lines of one cell come before rows of several."""
        first = next((i for i, (_, cells) in enumerate(rows) if sum(map(bool, cells)) > 1), 0)
        widths = {len(cells) for _, cells in rows[first:]}
        if first and len(widths) == 1 and len(rows) > first + 1:
            line = rows[first - 1][0]
            raise UserError(
                f"{self._path}: the first line is no line of column names.",
                received=" ".join(rows[0][1]),
                expected=f"the names of {widths.pop()} columns, as many as the rows have cells",
                fix="if it is a title, leave it out: "
                + conversion(f"tail -n +{line + 1}", self._path),
            )

    def _refuse_delimiter(self, received: str, others: list[str]) -> None:
        """Raises a `UserError` if there are other delimiters that the file may have."""
        if others:
            own = self._delimiter
            names = " or ".join(_NAMES[sign] for sign in others)
            signs = [shlex.quote(sign.replace("\t", r"\t")) for sign in others]
            raise UserError(
                f"{self._path} may be separated by {names}: say by which.",
                received=received,
                expected=f"{_NAMES[own]} in a {'.tsv' if own == chr(9) else '.csv'} file, or the "
                "setting data.delimiter",
                fix=" or ".join(f"--delimiter {sign}" for sign in signs),
            )

    def _malformed(self, first: int, last: int, error: csv.Error) -> UserError:
        """Returns the error for lines, of one row, that the csv module cannot read."""
        lines = itertools.islice(read_lines(self._path), first - 1, last)
        if "new-line character" in str(error):
            return UserError(
                f"{self._path}, line {last}: a carriage return (CR) in a cell without quotes.",
                expected="lines that end with LF or CR LF",
                fix="leave them out: " + conversion(r"tr -d '\r'", self._path),
            )
        if any(r"\"" in line for line in lines):
            return UserError(
                f"{self._path}, line {last}: quotes are escaped with backslashes.",
                expected='quotes inside a quoted cell are doubled: ""',
                fix=conversion(r"""sed 's/\\"/""/g'""", self._path),
            )
        return UserError(
            f"{self._path}, line {last}: {error}.",
            expected=f"cells between {_NAMES.get(self._delimiter, self._delimiter)}; one that "
            'holds a quote, a delimiter or a line end stands in "quotes", quotes inside it doubled',
        )

    def _ragged(
        self, number: int, cells: list[str], rest: Iterator[tuple[int, list[str]]]
    ) -> UserError:
        width = len(self._names)
        more = (n for n, row in itertools.islice(rest, _LOOK_AHEAD) if len(row) != width)
        lines = [number, *itertools.islice(more, _MOST_NAMED - 1)]
        return UserError(
            f"{self._path}: rows of another width than the first line, ending on line "
            f"{', '.join(map(str, lines))}{' and more' if len(lines) == _MOST_NAMED else ''}.",
            received=f"{len(cells)} cells on line {number}",
            expected=f"{width}: {', '.join(self._names)}",
            fix="take the delimiter off the ends of the rows, or end the first line with one, too."
            if not any(cells[width:]) and len(cells) > width
            else 'a text that holds the delimiter must stand in "quotes".',
        )


def _is_header(cells: list[str], header: list[str]) -> bool:
    """Whether a row repeats the header: files written one after the other into one."""
    return [cells[0].lstrip("\ufeff").strip('"'), *cells[1:]] == header


def _is_enclosed(cell: str) -> bool:
    """Whether the quotes of a cell, if it begins with one, pair up inside it."""
    inside = cell[1:-1].replace('""', "")
    return not cell.startswith('"') or (len(cell) > 1 and cell[-1] == '"' and '"' not in inside)


def _has_swallowed(cells: list[str], delimiter: str) -> bool:
    """Whether each line of a cell has as many delimiters as a row: an unclosed quote may do this.

    Lines of a text rarely do. The first line has the delimiters before the cell as well, the last
    one those after it.
    """
    for position, cell in enumerate(cells):
        counts = [line.count(delimiter) for line in cell.split("\n")]
        counts[0] += position
        counts[-1] += len(cells) - 1 - position
        if len(counts) > _LINES_OF_PROSE and {*counts} == {len(cells) - 1}:
            return True
    return False
