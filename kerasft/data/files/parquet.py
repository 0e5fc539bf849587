"""Parquet, by pyarrow: the columns that are needed, read in batches of bounded size."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kerasft.data.files.row import Row
from kerasft.errors import UserError, first_line
from kerasft.text_files import open_bytes

_BATCH_ROWS = 4096
_BATCH_BYTES = 16 * 2**20


class ParquetFile:
    """One Parquet file; perhaps gzipped as a whole.

    Raises:
        UserError: If it is not a Parquet file.
    """

    def __init__(self, path: Path):
        self._path = path
        with self._open() as file:
            schema = file.schema_arrow
        self.columns = tuple(schema.names)
        self.text_columns = tuple(
            name for name, kind in zip(schema.names, schema.types, strict=True) if _is_text(kind)
        )

    def rows(self, names: Sequence[str]) -> Iterator[Row]:
        """Yields each row's number, from 1, and its values of `names`.

        Raises:
            UserError: If a value cannot be read: a string that is no UTF-8, a date after 9999.
        """
        with self._open() as file:
            number, size = 0, _batch_rows(file.metadata, names)
            for batch in file.iter_batches(batch_size=size, columns=[*names]):
                found = batch.schema.names
                columns = [
                    self._values(batch.column(found.index(name)), name, number) for name in names
                ]
                for values in zip(*columns, strict=True) if names else [()] * len(batch):
                    number += 1
                    yield Row(self._path, number, values)

    def _values(self, column: Any, name: str, before: int) -> list[Any]:
        """Returns a batch's values of a column, which follow the row `before`."""
        try:
            return column.to_pylist()
        except (ValueError, OverflowError):
            for number, value in enumerate(column, start=before + 1):
                try:
                    value.as_py()
                except (ValueError, OverflowError) as error:
                    raise self._unreadable(error, name, number) from error
            raise

    def _unreadable(self, error: Exception, name: str, number: int) -> UserError:
        if isinstance(error, UnicodeDecodeError):
            return UserError(
                f"{self._path}:{number}: the column {name} is not UTF-8.",
                received=error.object[max(0, error.start - 10) : error.start + 5],
                expected="strings in UTF-8",
                fix="write the file again from strings, decoded with the encoding they have.",
            )
        return UserError(
            f"{self._path}:{number}: the column {name} cannot be read: {first_line(error)}",
            expected="values that Python has, too",
        )

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        """Opens the file; pyarrow's errors become a `UserError`."""
        import pyarrow.parquet

        with open_bytes(self._path) as file:
            try:
                yield pyarrow.parquet.ParquetFile(file, pre_buffer=False, buffer_size=2**20)
            except (pyarrow.ArrowException, OSError) as error:
                raise UserError(
                    f"{self._path} is not a readable Parquet file: {first_line(error)}",
                    fix="copy it again, or say what it is: --format csv.",
                ) from error


def _is_text(kind: Any) -> bool:
    """Whether the values of an Arrow type are strings."""
    import pyarrow.types

    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    return pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)


def _batch_rows(metadata: Any, names: Sequence[str]) -> int:
    """Returns how many rows of some columns have about 16 MiB, in the group with the longest."""
    longest = 1.0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        columns = map(group.column, range(group.num_columns))
        read = (c for c in columns if _is_of(c.path_in_schema, names))
        size = sum(column.total_uncompressed_size for column in read)
        longest = max(longest, size / max(group.num_rows, 1))
    return max(1, min(_BATCH_ROWS, int(_BATCH_BYTES / longest)))


def _is_of(path: str, names: Sequence[str]) -> bool:
    """Whether a path in a schema is one of the columns, or nested in one."""
    return any(path == name or path.startswith(f"{name}.") for name in names)
