"""Parquet, by pyarrow: read in batches, so that memory holds a few thousand rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasft.errors import UserError, first_line
from kerasft.text_files import open_bytes

_BATCH_ROWS = 4096


class ParquetFile:
    """One Parquet file; gzipped as a whole only if its name ends in `.gz`.

    Raises:
        UserError: If it is not a Parquet file.
    """

    def __init__(self, path: Path):
        self._path = path
        with self._open() as file:
            self.columns = tuple(file.schema_arrow.names)

    def rows(self) -> Iterator[tuple[Path, int, tuple[Any, ...]]]:
        """Yields the file, each row's number, from 1, and its values."""
        with self._open() as file:
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                columns = [column.to_pylist() for column in batch.columns]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield self._path, number, values

    def _open(self) -> _Opened:
        return _Opened(self._path)


class _Opened:
    """An open Parquet file; pyarrow's errors become a `UserError`."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> Any:
        import pyarrow.parquet

        self._bytes = open_bytes(self._path)
        file = self._bytes.__enter__()
        try:
            return pyarrow.parquet.ParquetFile(file)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(self, kind, error, trace) -> None:
        import pyarrow

        self._bytes.__exit__(None, None, None)
        if isinstance(error, pyarrow.ArrowException | OSError):
            raise UserError(
                f"{self._path} is not a readable Parquet file: {first_line(error)}",
                fix="copy it again, or say what it is: --format csv.",
            ) from error
