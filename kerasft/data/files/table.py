"""Reads several files of one format as one table."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple, Protocol

from kerasft.data.files.delimited import DelimitedFile
from kerasft.data.files.folder import ClassFolder
from kerasft.data.files.json_lines import JsonLinesFile
from kerasft.data.files.parquet import ParquetFile
from kerasft.data.files.paths import find_paths, to_path
from kerasft.errors import UserError, changed_while_read, nearest

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


_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


class Row(NamedTuple):
    """One row: its file, its number there from 1 (for text, the line), its values.

    In a folder by class each file is one row, without a number.
    """

    file: Path
    number: int | None
    values: tuple[Any, ...]

    @property
    def place(self) -> str:
        """Its location, for messages."""
        if self.number is None:
            return f"{self.file.parent.name}/{self.file.name}"
        return f"{self.file.name}:{self.number}"


class Part(Protocol):
    """One file, or folder, of a table."""

    columns: tuple[str, ...]

    def rows(self) -> Iterator[tuple[Path, int | None, tuple[Any, ...]]]:
        """Yields file, number and values of each row."""


class Table:
    """Files of the same columns, read as one.

    Args:
        files: Existing paths.
        format: `auto` (by each name), `csv`, `tsv`, `jsonl`, `parquet` or `folder`.
        joined: Columns of 0 and 1 to replace by one column that lists the names of those that hold
            1. Its name is theirs, joined with `, `. Defaults to none.

    Raises:
        UserError: If a file cannot be read, or its columns differ from the first's.
    """

    def __init__(
        self,
        files: Sequence[Path],
        format: str = AUTO,  # noqa: A002 - the setting's name
        joined: Sequence[str] = (),
    ):
        self.files = tuple(files)
        _refuse_twice(self.files)
        self._parts = [_open_part(path, format) for path in self.files]
        self.notes = tuple(note for part in self._parts for note in getattr(part, "notes", ()))
        self._joined = tuple(joined)
        found = self._parts[0].columns
        for path, part in zip(self.files, self._parts, strict=True):
            for name in self._joined:
                if name not in part.columns:
                    raise no_such_column(f"{path}: data.label_columns", name, part.columns)
            missing = [name for name in found if name not in part.columns]
            if missing:
                raise UserError(
                    f"{path} has other columns than {self.files[0]}.",
                    received=", ".join(part.columns),
                    expected=", ".join(found),
                )
        self._read = tuple(name for name in found if name not in self._joined)
        self.columns = (*self._read, *([", ".join(self._joined)] if self._joined else ()))

    @property
    def name(self) -> str:
        """The name of the first file, and the number of others."""
        more = len(self.files) - 1
        return f"{self.files[0].name} and {more} more" if more else self.files[0].name

    def rows(self) -> Iterator[Row]:
        """Yields all rows, file after file, the values in the order of `columns`."""
        for part in self._parts:
            order = [part.columns.index(name) for name in self._read]
            flags = [(name, part.columns.index(name)) for name in self._joined]
            for path, number, values in part.rows():
                row = Row(path, number, tuple(values[index] for index in order))
                if flags:
                    marked = [name for name, index in flags if _flag(name, values[index], row)]
                    row = row._replace(values=(*row.values, marked))
                yield row

    def contents(self) -> Iterator[Path]:
        """Yields every file that is read, including those inside folders."""
        for path, part in zip(self.files, self._parts, strict=True):
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
                raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
        return digest.digest()


def open_table(
    patterns: str | os.PathLike[str] | Iterable[str],
    format: str = AUTO,  # noqa: A002 - the setting's name
    joined: Sequence[str] = (),
) -> Table:
    """Opens the files of paths and globs.

    Args:
        patterns: Paths, or globs such as `shards/*.csv.gz`, whose files are read sorted by name;
            local, or any that `tf.io.gfile` reads, such as `gs://bucket/*.csv`.
        format: See `Table`.
        joined: See `Table`.

    Raises:
        UserError: If there is no such file, or it cannot be read.
    """
    if isinstance(patterns, str | os.PathLike):
        patterns = [patterns]
    files = [file for pattern in patterns for file in _find(os.fspath(pattern))]
    return Table(files, format, joined)


def no_such_column(setting: str, name: str, columns: Sequence[str]) -> UserError:
    """Returns the error for a setting that names a missing column."""
    return UserError(
        f"{setting}: there is no such column.{nearest(name, columns)}",
        received=name,
        expected=f"one of {', '.join(columns)}",
    )


def _flag(name: str, cell: Any, row: Row) -> bool:
    """Reads a cell of a column of 0 and 1."""
    flag = _FLAGS.get(str(cell).strip().lower())
    if flag is None:
        raise UserError(
            f"{row.place}: the label column {name} holds neither 0 nor 1.",
            received=cell,
            expected="0 or 1 (or false or true) in every row of each label's column",
        )
    return flag


def _find(pattern: str) -> list[Path]:
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
    entries = folder.iterdir() if folder.is_dir() else ()
    known = [entry.name for entry in entries if entry.is_file() or not path.suffix]
    raise UserError(
        f"There is no such file.{nearest(path.name, known)}",
        received=pattern,
        expected=f"a file; it was looked for in {_absolute(folder)}",
        fix="name the file where it lies, or run the command from the folder that the path is "
        "relative to.",
    )


def _absolute(folder: Path) -> str:
    return os.path.abspath(folder) if isinstance(folder, Path) else str(folder)


def _refuse_twice(files: Sequence[Path]) -> None:
    seen: set[Path] = set()
    for path in files:
        if path.resolve() in seen:
            raise UserError(
                "A file is given twice: its rows would count twice.", received=str(path)
            )
        seen.add(path.resolve())


def _open_part(path: Path, format: str) -> Part:  # noqa: A002
    kind = _format_of(path) if format == AUTO else format
    if path.is_dir() or kind == FOLDER:
        if kind != FOLDER or not path.is_dir():
            raise UserError(
                f"{path} is {'a folder' if path.is_dir() else 'no folder'}.",
                received=f"format {kind}",
                expected="a folder of text files by class is read as the format folder",
            )
        return ClassFolder(path)
    if kind == "jsonl":
        return JsonLinesFile(path)
    return ParquetFile(path) if kind == "parquet" else DelimitedFile(path, kind)


def _format_of(path: Path) -> str:
    if path.is_dir():
        return FOLDER
    suffix = PurePath(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    kind = _SUFFIXES.get(suffix.lower())
    if kind is None:
        raise UserError(
            f"{path} does not say by its name what it is.",
            received=path.name,
            expected=f"one of {', '.join(_SUFFIXES)}, perhaps with .gz",
            fix="say it: --format csv.",
        )
    return kind


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
        self.digest = table.digest()

    def check_untouched(self) -> None:
        """Raises a `UserError` if local files were written, replaced or removed.

        This notices replacement by equal content, and a file that was changed and restored between
        two readings.
        """
        if self._read_stamps() != self._stamps:
            raise changed_while_read(", ".join(map(str, self._table.files)), self._split)

    def check_unchanged(self) -> None:
        """Raises a `UserError` if files were touched or removed, or their content differs."""
        self.check_untouched()
        if self._table.digest() != self.digest:  # the only check for remote files
            raise changed_while_read(", ".join(map(str, self._table.files)), self._split)

    def _read_stamps(self) -> list[tuple[int, ...]]:
        """Returns stamps of the local files that change with each write or rename."""
        paths = [path for path in self._table.contents() if isinstance(path, Path)]
        return [_stamp(path) for path in paths]


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns
