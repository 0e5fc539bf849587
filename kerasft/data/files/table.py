"""Reads several files of one format as one table."""

from __future__ import annotations

import copy
import glob
import hashlib
import itertools
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote

from kerasft.data.files.cells import as_word, plain
from kerasft.data.files.columns import check_column
from kerasft.data.files.delimited import DelimitedFile
from kerasft.data.files.folder import ClassFolder
from kerasft.data.files.json_lines import JsonLinesFile
from kerasft.data.files.parquet import ParquetFile
from kerasft.data.files.paths import find_paths, list_folder, to_path
from kerasft.data.files.row import Row
from kerasft.errors import UserError, changed_while_read, nearest
from kerasft.text_files import check_start, open_bytes, unreadable

AUTO, FOLDER = "auto", "folder"
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
# Each has `columns`, where a name may stand twice; `text_columns`, whose values may be strings; and
# `rows(names)`, which yields the values of some.
Part = DelimitedFile | JsonLinesFile | ParquetFile | ClassFolder
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_TICK_NANOSECONDS = 2 * 10**9  # between the times that a file system tells apart, at most
_FLAGS = {"0": False, "1": True, "false": False, "true": True}


class Table:
    """Files read as one table, of the columns that any has.

    Args:
        files: Paths, and for each the columns that its folders give it: `{"label": "pos"}` in
            `label=pos`.
        format: `auto` (by each name), `csv`, `tsv`, `jsonl`, `parquet` or `folder`.
        joined: Columns of 0 and 1 to replace by one column that lists the names of those that hold
            1. Its name is theirs, joined with `, `. Defaults to none.
        delimiter: Of CSV and TSV; found if `None`.

    Raises:
        UserError: If a file cannot be read, or is given twice.
    """

    def __init__(
        self,
        files: Mapping[Path, Mapping[str, str | None]],
        format: str = AUTO,  # noqa: A002 - the setting's name
        joined: Sequence[str] = (),
        delimiter: str | None = None,
    ):
        self.files, self._fixed = tuple(files), files
        self._parts = {path: _open_part(path, format, delimiter) for path in files}
        names = (part.columns for part in self._parts.values())
        self.columns = tuple(dict.fromkeys(itertools.chain(*names, *files.values())))
        for name in joined:
            self.has_column(name)  # perhaps a late one
            check_column(f"{self.files[0]}: data.label_columns", name, self.columns)
        self._joined = {", ".join(joined): joined} if joined else {}
        self.columns = (*(name for name in self.columns if name not in joined), *self._joined)

    def has_column(self, name: str) -> bool:
        """Whether any file has a column; reads on in JSON lines whose first do not have the key."""
        parts = (part for part in self._parts.values() if isinstance(part, JsonLinesFile))
        found = [part.has_column(name) for part in parts]
        if name not in self.columns and any(found):
            self.columns = (*self.columns, name)
        return name in self.columns

    def select(self, names: Iterable[str]) -> Table:
        """Returns the table of some columns alone: others are not read.

        Raises:
            UserError: If a file does not have one of them, or has it twice.
        """
        table = copy.copy(self)
        table.columns = tuple(dict.fromkeys(names))
        for path, part in self._parts.items():
            for name in table._read_columns():
                count = part.columns.count(name)
                if count > 1:
                    raise UserError(
                        f"{path} has the column {name!r} {count} times.",
                        received=", ".join(part.columns),
                        expected="one column of each name that is read",
                    )
                may_lack_it = isinstance(part, JsonLinesFile) and self.has_column(name)
                if not (count or name in self._fixed[path] or may_lack_it):
                    raise UserError(
                        f"{path} has no column {name!r}, which another file has."
                        f"{nearest(name, part.columns)}",
                        received=", ".join(part.columns),
                    )
        return table

    def sample(self, size: int) -> list[tuple[Any, ...]]:
        """Returns the first rows; `None` for values of columns whose type is no string."""
        rows: list[tuple[Any, ...]] = []
        for part in self._parts.values():
            names = [name for name in dict.fromkeys(part.columns) if name in part.text_columns]
            for row in itertools.islice(part.rows(names), size - len(rows)):
                values = dict(zip(names, row.values, strict=True))
                rows.append(tuple(map(values.get, self.columns)))
        return rows

    def rows(self) -> Iterator[Row]:
        """Yields all rows, file after file, the values in the order of `columns`."""
        names = self._read_columns()
        for path, part in self._parts.items():
            fixed = self._fixed[path]
            own = [name for name in names if name in part.columns or name not in fixed]
            if own == [*self.columns]:
                yield from part.rows(own)
                continue
            for row in part.rows(own):
                values = {**fixed, **dict(zip(own, row.values, strict=True))}
                for joined, flags in self._joined.items():
                    values[joined] = [name for name in flags if _flag(name, values[name], row)]
                yield row._replace(values=tuple(values[name] for name in self.columns))

    @property
    def name(self) -> str:
        """The name of the first file, and the number of others."""
        more = len(self.files) - 1
        return f"{self.files[0].name} and {more} more" if more else self.files[0].name

    @property
    def notes(self) -> list[str]:
        """Log lines on how the files are read, complete when all rows were read."""
        return [note for part in self._parts.values() for note in getattr(part, "notes", ())]

    @property
    def reading(self) -> list[str]:
        """What of the reading changes the rows of the files, beyond their contents."""
        return [line for part in self._parts.values() for line in getattr(part, "reading", ())]

    def _read_columns(self) -> list[str]:
        """Returns the columns that the files are asked for."""
        return [read for name in self.columns for read in self._joined.get(name, (name,))]

    def contents(self) -> Iterator[Path]:
        """Yields every file that is read, including those inside folders."""
        for path, part in self._parts.items():
            yield from part.files() if isinstance(part, ClassFolder) else (path,)

    def digest(self) -> bytes:
        """Returns the sha256 of the contents of all files and of their names, which may be labels.

        Raises:
            UserError: If a file cannot be read.
        """
        digest = hashlib.sha256()
        for path in self.contents():
            digest.update(f"{path.parent.name}/{path.name}".encode(errors="surrogateescape"))
            try:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise unreadable(path, error) from error
        return digest.digest()


def open_table(
    patterns: str | os.PathLike[str] | Iterable[str],
    format: str = AUTO,  # noqa: A002 - the setting's name
    joined: Sequence[str] = (),
    delimiter: str | None = None,
) -> Table:
    """Opens the files of paths and globs.

    Args:
        patterns: Paths, or globs such as `shards/*.csv.gz`, whose files are read sorted by name;
            local, or of any URI that `pyarrow.fs` reads, such as `gs://bucket/*.csv`. Folders such
            as `label=pos` below a folder or in a glob are columns (as of Hive).
        format: See `Table`.
        joined: See `Table`.
        delimiter: See `Table`.

    Raises:
        UserError: If there is no such file, or it cannot be read.
    """
    if isinstance(patterns, str | os.PathLike):
        patterns = [patterns]
    files: dict[Path, dict[str, str | None]] = {}
    seen: set[Path] = set()
    for pattern in map(os.fspath, patterns):
        parts = itertools.takewhile(lambda part: not glob.has_magic(part), to_path(pattern).parts)
        depth = len(list(parts))
        for path in itertools.chain.from_iterable(map(_expand, _find(pattern))):
            if path.resolve() in seen:
                raise UserError(
                    "A file is given twice: its rows would count twice.", received=str(path)
                )
            seen.add(path.resolve())
            files[path] = _partition(path.parts[depth:-1])
    return Table(files, format, joined, delimiter)


def _expand(path: Path) -> list[Path]:
    """Returns a path itself, or the data files in a folder of folders such as `label=pos`."""
    is_partitioned = path.is_dir() and any("=" in entry.name for entry in list_folder(path))
    return (is_partitioned and list(_data_files(path))) or [path]


def _data_files(folder: Path) -> Iterator[Path]:
    for entry in list_folder(folder):
        if entry.is_dir():
            yield from _data_files(entry)
        elif not entry.name.startswith("_") and _find_format(entry) is not None:
            yield entry


def _partition(folders: Sequence[str]) -> dict[str, str | None]:
    """Returns the columns that folders such as `label=pos` stand for."""
    pairs = (folder.partition("=") for folder in folders if "=" in folder)
    values = {name: unquote(value) for name, _, value in pairs}
    return {name: None if value == _HIVE_NULL else value for name, value in values.items()}


def _flag(name: str, cell: Any, row: Row) -> bool:
    """Reads a cell of a column of 0 and 1."""
    flag = _FLAGS.get(plain(as_word(cell)))
    if flag is None:
        raise UserError(
            f"{row.place}: the label column {name} holds neither 0 nor 1.",
            received=cell,
            expected="0 or 1 (or false or true) in every row of each label's column",
        )
    return flag


def _find(pattern: str) -> list[Path]:
    if not pattern.strip():
        raise UserError(
            "The name of a file is empty.", received=pattern, expected="a file, folder or glob"
        )
    found = find_paths(pattern)
    if found:
        return found
    if glob.has_magic(pattern):
        raise UserError(
            "No file matches the glob.",
            received=pattern,
            expected=f"a pattern of files; they were looked for from {Path.cwd()}",
        )
    path = to_path(pattern)
    folder = path.parent
    entries = list_folder(folder) if folder.is_dir() else ()
    known = [entry.name for entry in entries if entry.is_file() or not path.suffix]
    raise UserError(
        f"There is no such file.{nearest(path.name, known)}",
        received=pattern,
        expected="a file; it was looked for in "
        f"{folder.absolute() if isinstance(folder, Path) else folder}",
        fix="name the file where it lies, or run the command from the folder that the path is "
        "relative to.",
    )


def _open_part(path: Path, format: str, delimiter: str | None) -> Part:  # noqa: A002
    kind = _format_of(path) if format == AUTO else format
    if delimiter is not None and kind not in ("csv", "tsv"):
        raise UserError(
            f"{path} has no delimiter.",
            received=f"data.delimiter={delimiter!r}, format {kind}",
            expected="data.delimiter for CSV and TSV alone",
        )
    if path.is_dir() != (kind == FOLDER):
        raise UserError(
            f"{path} is {'a folder' if path.is_dir() else 'no folder'}.",
            received=f"format {kind}",
            expected="a folder of text files by class is read as the format folder",
        )
    if kind in ("csv", "tsv"):
        return DelimitedFile(path, kind, delimiter)
    return {FOLDER: ClassFolder, "jsonl": JsonLinesFile, "parquet": ParquetFile}[kind](path)


def _format_of(path: Path) -> str:
    if path.is_dir():
        return FOLDER
    kind = _find_format(path)
    if kind is None:
        with open_bytes(path) as file:
            check_start(file.read(4096), path)
        raise UserError(
            f"{path} does not say by its name what it is.",
            received=path.name,
            expected=f"one of {', '.join(_SUFFIXES)}, perhaps with .gz",
            fix="say it: --format csv.",
        )
    return kind


def _find_format(path: Path) -> str | None:
    suffix = PurePath(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    return _SUFFIXES.get(suffix.lower())


class Contents:
    """The contents of a split's files, to notice changes between readings.

    Args:
        table: The files, read here for the first time.
        split: Their split, for messages.

    Attributes:
        digest: The sha256 of the contents.
    """

    def __init__(self, table: Table, split: str):
        self._table, self._split = table, split
        self._stamps = self._read_stamps()
        # A file that is written right now may be written again without another stamp.
        latest = time.time_ns() - _TICK_NANOSECONDS
        self._stamps_tell = all(stamp and stamp[-1] < latest for stamp in self._stamps)
        self.digest = table.digest()

    def check(self, *, reads: bool) -> None:
        """Raises a `UserError` if local files were written, replaced or removed.

        This notices replacement by equal content, and a file that was changed and restored between
        two readings. With `reads` the contents are compared, too, where the stamps may not tell:
        those of remote files, and of files written in the seconds before the first reading.
        """
        reads = reads and not self._stamps_tell
        if self._read_stamps() != self._stamps or (reads and self._table.digest() != self.digest):
            raise self.changed()

    def changed(self) -> UserError:
        """Returns the error for files that changed."""
        return changed_while_read(", ".join(map(str, self._table.files)), self._split)

    def _read_stamps(self) -> list[tuple[int, ...]]:
        """Returns a stamp of each file that changes with each write or rename; none of a remote."""
        stamps = []
        for path in self._table.contents():
            try:
                found = path.stat() if isinstance(path, Path) else None
            except OSError as error:
                raise unreadable(path, error) from error
            is_local = found is not None
            stamps.append(
                (found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns) if is_local else ()
            )
        return stamps
